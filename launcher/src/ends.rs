//! Ends by a launcher: the cancel token, the close token, what the sweep and deliveries find.

use bytes::Bytes;
use std::time::Duration;
use subrosa_protocol::{
    delivery::{End, Last, end},
    id::{Instance, JobId, Sha256Hash, WorkerName},
    json::Int,
    launch::LaunchRequest,
    record::{Event, Reason, Record, Times},
    refusal::Code,
    session::worker::closes,
    subject::Control,
};
use subrosa_transport::{Backoff, HistoryError, Queue, Stored, now_ms};
use tokio::time::Instant;

use crate::{
    error::Trouble,
    office::{Case, Office, Shared, Written, short},
    refused::{Failed, Refused},
    status::{Status, unknown},
};

/// How often an ending is tried anew because another record came first. Every job has few records.
const TRIES: usize = 32;
/// How long a process is told that its job has ended.
const STOP: Duration = Duration::from_secs(6);

/// What ends, so that those who wait for it can be told.
pub(crate) struct Ended<'a> {
    pub(crate) worker: &'a WorkerName,
    pub(crate) job: &'a JobId,
    /// The request, if the job is known.
    pub(crate) request: Option<&'a LaunchRequest>,
    /// The process that held the attempt.
    pub(crate) holder: Option<Instance>,
    /// The ending record.
    pub(crate) record: &'a Stored,
}

impl Office {
    /// Ends a job for whoever shows its cancel token.
    pub(crate) async fn cancel(self: &Shared, job: &JobId, token: &Sha256Hash) -> Result<Status, Failed> {
        let reason = Reason::new("cancelled", "the client cancelled the job");
        let event = Event::Cancelled { cancel: Some(token.0), reason };
        let shows = |request: &LaunchRequest| Sha256Hash::of(token.0) == request.job().description().cancel;
        self.end_for(job, shows, event).await
    }

    /// Ends a job for the operator, who has the launcher's key and no token.
    pub(crate) async fn cancel_as_operator(self: &Shared, job: &JobId) -> Result<Status, Failed> {
        let case = self.find(job, self.deadline()).await?.ok_or_else(unknown)?;
        let reason = Reason::new("operator", "the operator cancelled the job");
        let case = self.end(case, Event::Cancelled { cancel: None, reason }).await?;
        Ok(Status::of(&case))
    }

    /// Closes a job for whoever shows that the client has the result.
    pub(crate) async fn close(self: &Shared, job: &JobId, token: &Sha256Hash) -> Result<Status, Failed> {
        let times = Times { closed_ms: Int::try_from(now_ms()).ok(), ..Times::default() };
        let event = Event::Closed { close: token.0, times };
        let shows = |request: &LaunchRequest| closes(&token.0, &request.job().description().close);
        self.end_for(job, shows, event).await
    }

    /// A stored message, for whoever shows SHA-256(t). Its content says whether it is the last one.
    pub(crate) async fn stored(
        self: &Shared,
        job: &JobId,
        token: &Sha256Hash,
        number: u64,
    ) -> Result<Bytes, Failed> {
        let case = self.find(job, self.deadline()).await?.ok_or_else(unknown)?;
        let request = case.request.as_ref().ok_or_else(unknown)?;
        if Sha256Hash::of(token.0) != request.job().description().close {
            return Err(wrong_token().into());
        }
        let not_stored = || Refused::new(Code::NotStored, "nothing is stored there");
        let kept = case
            .seen
            .record
            .as_ref()
            .filter(|record| matches!(record.event, Event::Finished | Event::Failed(_)));
        let attempt = kept.ok_or_else(not_stored)?.attempt;
        let message = self.results.read((&case.worker, job), attempt, number, self.deadline()).await?;
        Ok(message.ok_or_else(not_stored)?)
    }

    async fn end_for(
        self: &Shared,
        job: &JobId,
        shows: impl Fn(&LaunchRequest) -> bool,
        event: Event,
    ) -> Result<Status, Failed> {
        let case = self.find(job, self.deadline()).await?.ok_or_else(unknown)?;
        // A history that does not begin with the job holds no tokens.
        let request = case.request.as_ref().ok_or_else(unknown)?;
        if !shows(request) {
            return Err(wrong_token().into());
        }
        let case = self.end(case, event).await?;
        Ok(Status::of(&case))
    }

    /// Writes the ending record, or finds one.
    async fn end(self: &Shared, mut case: Case, event: Event) -> Result<Case, Failed> {
        for _ in 0..TRIES {
            let event = match end(&case.seen.last) {
                End::Unknown => return Err(unknown().into()),
                End::Ended => {
                    self.clean_up(&case).await;
                    return Ok(case);
                }
                End::Write => event.clone(),
                End::Broken(ending) => ending.into_event(),
            };
            let attempt = case.highest_attempt();
            let prev = case.seen.stored.as_ref();
            match self.write(&case.worker, &case.id, attempt, prev, event).await {
                Ok(Written::Won(seen)) => {
                    case.seen = seen;
                    tracing::info!(job = short(&case.id), worker = %case.worker, "{}", case.seen.state());
                    self.clean_up(&case).await;
                    return Ok(case);
                }
                // Somebody took it meanwhile, or ended it.
                Ok(Written::Lost(_)) => {
                    let again = self.read(&case.worker, &case.id, self.deadline()).await?;
                    case = again.ok_or_else(unknown)?;
                }
                Err(Trouble::History(HistoryError::Full)) => {
                    let message = "the store of the jobs' histories is full";
                    return Err(Refused::new(Code::Overloaded, message).into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Trouble::Restless.into())
    }

    async fn clean_up(self: &Shared, case: &Case) {
        let Some(record) = &case.seen.stored else { return };
        if let Some(Record { event: Event::Closed { .. }, .. }) = case.seen.record {
            let removed = self.results.remove(&case.worker, &case.id, self.deadline()).await;
            if let Err(error) = removed {
                // It goes with its age.
                tracing::warn!(job = short(&case.id), %error, "what is stored of the job was not removed");
            }
        }
        self.after_end(&Ended {
            worker: &case.worker,
            job: &case.id,
            request: case.request.as_ref(),
            holder: case.taken.map(|(_, instance)| instance),
            record,
        })
        .await;
    }

    /// What follows an ending record: the job leaves the queue, its process stops, the client is told.
    pub(crate) async fn after_end(self: &Shared, ended: &Ended<'_>) {
        let deadline = self.deadline();
        let removed = Queue::remove(&self.connection, &self.namespace, ended.worker, ended.job, deadline);
        if let Err(error) = removed.await {
            // Whoever it is delivered to sees the end, and acks.
            tracing::warn!(job = short(ended.job), %error, "the job was not removed from the queue");
        }
        if let Some(instance) = &ended.holder {
            let subject = self.namespace.control(ended.worker, instance, ended.job, Control::Stop);
            // It may take some time to find out that nobody listens, and nobody has to wait for that.
            self.errands.spawn(stop(self.clone(), subject, ended.record.bytes.clone()));
        }
        if let Some(request) = ended.request {
            self.tell_ended(request.job(), ended.record).await;
        }
    }
}

fn wrong_token() -> Refused {
    Refused::new(Code::WrongToken, "the token is not this job's")
}

impl Case {
    /// What an ending record carries: the highest attempt taken, 0 if none.
    pub(crate) fn highest_attempt(&self) -> u16 {
        match &self.seen.last {
            Last::Known(snapshot) => snapshot.attempt,
            Last::Absent | Last::Unverified { .. } => self.taken.map_or(0, |(attempt, _)| attempt),
        }
    }
}

/// Shows a process the record that ended its job. It looks at the records itself now and then, so that
/// this may fail.
async fn stop(office: Shared, subject: String, record: Bytes) {
    let until = Instant::now() + STOP;
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(1));
    for _ in 0..3 {
        let asked = office.connection.request(&subject, None, record.clone(), Duration::from_secs(2)).await;
        match asked {
            Err(error) if error.is_passing() && Instant::now() < until => backoff.wait().await,
            Err(error) => return tracing::debug!(%error, "a process was not stopped"),
            Ok(_) => return,
        }
    }
}
