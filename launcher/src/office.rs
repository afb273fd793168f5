//! What all parts of a launcher share, and how they read and write histories.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use subrosa_protocol::{
    delivery::{Last, Snapshot, State},
    id::{Instance, JobId, Sha256Hash, WorkerName},
    identity::{SigningKey, Untrusted},
    job::Job,
    json,
    launch::LaunchRequest,
    policy::Policy,
    record::{Event, Record},
    subject::{Control, ENDED, Namespace, worker_in},
};
use subrosa_transport::{
    Commit, Connection, Enqueued, History, HistoryError, Live, LiveTrust, Queue, Results, Stored, Tally,
    now_ms,
};
use tokio::{sync::watch, time::Instant};
use tokio_util::task::TaskTracker;

use crate::{
    config::{Config, Keys, Timing, Worker},
    error::{Error, Trouble},
    numbers::Numbers,
    quota::Quota,
    workers::Workers,
};

/// How long a job is looked for that a lagging replica may not know yet.
const LAG: Duration = Duration::from_millis(1500);

/// What all parts share.
pub(crate) struct Office {
    pub(crate) namespace: Namespace,
    pub(crate) identity: SigningKey,
    pub(crate) trust: LiveTrust,
    policies: HashMap<WorkerName, Live<Policy>>,
    pub(crate) revoked_file: Option<PathBuf>,
    pub(crate) workers: HashMap<WorkerName, Worker>,
    /// What the service `workers` answers, made anew when trust or policies change.
    workers_answer: watch::Sender<Bytes>,
    pub(crate) timing: Timing,
    pub(crate) quota: Quota,
    /// Whether a history may be read from a server that lags.
    replicated: bool,
    /// How long a stored result is kept.
    pub(crate) results_age: Duration,
    pub(crate) connection: Connection,
    pub(crate) history: History,
    pub(crate) results: Results,
    pub(crate) numbers: Numbers,
    pub(crate) refused_requests: Tally,
    /// What was delivered to the workers that are started here, and was no good.
    pub(crate) refused_deliveries: Tally,
    /// What is done beside the answers: telling a process or a client that a job has ended.
    pub(crate) errands: TaskTracker,
}

/// The office, shared by its tasks.
pub(crate) type Shared = Arc<Office>;

/// A job's last record, as it lies in the stream and as it is judged.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) stored: Option<Stored>,
    pub(crate) last: Last,
    /// What the record says, if it counts.
    pub(crate) record: Option<Record>,
}

/// A job, and its whole history.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) id: JobId,
    pub(crate) worker: WorkerName,
    /// The request in the `queued` record; none if the history does not begin with one.
    pub(crate) request: Option<LaunchRequest>,
    pub(crate) seen: Seen,
    /// Whether the last record names the message before it.
    pub(crate) chained: bool,
    /// The highest attempt of any record that verifies, and the process that took it.
    pub(crate) taken: Option<(u16, Instance)>,
}

/// What became of a record of ours.
pub(crate) enum Written {
    /// It counts.
    Won(Seen),
    /// Another one came first; this is the last one now.
    Lost(Seen),
}

impl Office {
    pub(crate) fn new(config: &Config, keys: Keys, connection: Connection, numbers: Numbers) -> Self {
        let office = Self {
            history: History::new(connection.clone(), config.namespace.clone()),
            results: Results::new(connection.clone(), config.namespace.clone()),
            connection,
            namespace: config.namespace.clone(),
            workers_answer: watch::Sender::new(Bytes::new()),
            replicated: config.streams.records.replicas > 1,
            identity: keys.identity,
            trust: keys.trust,
            policies: keys.policies,
            revoked_file: config.revoked_file.clone(),
            workers: config.workers.iter().map(|worker| (worker.name.clone(), worker.clone())).collect(),
            timing: config.timing,
            quota: Quota::new(config.quota),
            results_age: config.streams.results.max_age.unwrap_or_default(),
            refused_requests: numbers.refused_requests.clone(),
            refused_deliveries: numbers.refused_deliveries.clone(),
            numbers,
            errands: TaskTracker::new(),
        };
        office.describe_workers();
        office
    }

    /// Who may launch this worker, as it is now.
    pub(crate) fn policy(&self, worker: &WorkerName) -> Policy {
        self.policies.get(worker).map(Live::get).unwrap_or_default()
    }

    /// What the service `workers` answers.
    pub(crate) fn workers_answer(&self) -> Bytes {
        self.workers_answer.borrow().clone()
    }

    fn describe_workers(&self) {
        let answer = Workers::new(self.workers.values(), &self.trust.get(), |name| self.policy(name));
        self.workers_answer.send_replace(json::to_vec(&answer).into());
    }

    /// Reads trust, revocations and signers again. What cannot be used stays as it was.
    pub(crate) fn reload(&self) {
        self.trust.reload();
        self.policies.values().for_each(Live::reload);
        self.describe_workers();
        tracing::info!("reloaded: what is decided from now on is decided by these files");
    }

    /// Heeds a revocation file that changes. Never returns.
    pub(crate) async fn heed_revocations(&self) {
        let mut changes = self.trust.changes();
        let describe = async {
            while changes.changed().await.is_ok() {
                self.describe_workers();
            }
        };
        tokio::join!(self.trust.watch(), describe);
    }

    /// Checks that this user may do what a launcher has to.
    pub(crate) async fn check_rights(&self) -> Result<(), Error> {
        let (connection, namespace) = (&self.connection, &self.namespace);
        self.history.may_find(self.deadline()).await?;
        connection.may_tell_ends(namespace).await?;
        for (name, worker) in &self.workers {
            self.history.may_record(name, self.deadline()).await?;
            connection.may_queue(namespace, name, self.deadline()).await?;
            connection.may_remove(namespace, name, self.deadline()).await?;
            connection.may_control(namespace, name, Control::Stop).await?;
            self.results.may_keep(name, self.deadline()).await?;
            if worker.backend.per_job().is_some() {
                connection.may_control(namespace, name, Control::Alive).await?;
            }
        }
        Ok(())
    }

    /// Until when something that begins now may take.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.timing.request
    }

    /// Whether this launcher's records count, as whom it trusts is now.
    ///
    /// # Errors
    ///
    /// Why they do not.
    pub(crate) fn counts(&self) -> Result<(), Untrusted> {
        self.trust.get().launcher(&self.identity.thumbprint()).map(drop)
    }

    /// Judges a job's last message.
    pub(crate) fn judge(&self, worker: &WorkerName, job: &JobId, stored: Option<Stored>) -> Seen {
        let Some(stored) = stored else {
            return Seen { stored: None, last: Last::Absent, record: None };
        };
        let hash = stored.hash();
        match Record::verify(&stored.bytes, job, worker, &self.trust.get()) {
            Ok(verified) => Seen {
                stored: Some(stored),
                last: Last::Known(Snapshot::new(hash, &verified.record)),
                record: Some(verified.record),
            },
            Err(_) => Seen { stored: Some(stored), last: Last::Unverified { hash }, record: None },
        }
    }

    /// Reads the last record of a job that must have one: of nothing, or of less than what is known to be
    /// there, a replica may still hear.
    pub(crate) async fn look(
        &self,
        worker: &WorkerName,
        job: &JobId,
        known_sequence: u64,
    ) -> Result<Seen, HistoryError> {
        let stored = self.history.last_settled(worker, job, known_sequence).await?;
        Ok(self.judge(worker, job, stored))
    }

    /// Reads a job's whole history. None if there is no message.
    pub(crate) async fn read(
        &self,
        worker: &WorkerName,
        job: &JobId,
        deadline: Instant,
    ) -> Result<Option<Case>, HistoryError> {
        let mut messages = self.history.all(worker, job, deadline).await?;
        let request = messages.first().and_then(|first| self.request_in(worker, job, first));
        let trust = self.trust.get();
        let taken = messages.iter().rev().find_map(|message| {
            let record = Record::verify(&message.bytes, job, worker, &trust).ok()?.record;
            match record.event {
                Event::Taken { instance } | Event::Running { instance } => Some((record.attempt, instance)),
                _ => None,
            }
        });
        let Some(last) = messages.pop() else { return Ok(None) };
        let before: Option<Sha256Hash> = messages.last().map(Stored::hash);
        let seen = self.judge(worker, job, Some(last));
        let chained = seen.record.as_ref().is_some_and(|record| record.prev == before);
        Ok(Some(Case { id: *job, worker: worker.clone(), request, seen, chained, taken }))
    }

    /// Finds a job by its id.
    ///
    /// A worker can write under its own name and any id. So what is found counts only if its history
    /// begins with that job, and else it is looked for under every name.
    pub(crate) async fn find(&self, job: &JobId, deadline: Instant) -> Result<Option<Case>, HistoryError> {
        let Some(found) = self.find_message(job, deadline).await? else { return Ok(None) };
        let named = worker_in(&found.subject);
        let first = match &named {
            Some(worker) => self.read(worker, job, deadline).await?,
            None => None,
        };
        if first.as_ref().is_some_and(|case| case.request.is_some()) {
            return Ok(first);
        }
        for worker in self.workers.keys().filter(|name| Some(*name) != named.as_ref()) {
            let case = self.read(worker, job, deadline).await?;
            if case.as_ref().is_some_and(|case| case.request.is_some()) {
                return Ok(case);
            }
        }
        Ok(first)
    }

    /// The last message of a job, under any name. A replica may lag: then nothing counts only if it stays so,
    /// for as long as whoever asks waits for one try.
    async fn find_message(&self, job: &JobId, deadline: Instant) -> Result<Option<Stored>, HistoryError> {
        let until = Instant::now() + LAG;
        loop {
            let found = self.history.find(job, deadline).await?;
            if found.is_some() || !self.replicated || Instant::now() >= until {
                return Ok(found);
            }
            tokio::time::sleep(LAG / 10).await;
        }
    }

    /// The launch request in the record that a history begins with.
    pub(crate) fn request_in(
        &self,
        worker: &WorkerName,
        job: &JobId,
        first: &Stored,
    ) -> Option<LaunchRequest> {
        let record = Record::verify(&first.bytes, job, worker, &self.trust.get()).ok()?.record;
        let Event::Queued { request } = record.event else { return None };
        let request = LaunchRequest::parse(&request, &self.namespace).ok()?;
        let fits = record.prev.is_none() && request.job().id() == job && request.job().worker() == worker;
        fits.then_some(request)
    }

    /// Signs a record that follows `prev`, and appends it; unless nobody would believe it, this launcher included:
    /// what cannot be told from a forged one is worse than none.
    pub(crate) async fn write(
        &self,
        worker: &WorkerName,
        job: &JobId,
        attempt: u16,
        prev: Option<&Stored>,
        event: Event,
    ) -> Result<Written, Trouble> {
        self.counts()?;
        // What does not verify says nothing of the time either.
        let before = prev.and_then(|prev| self.judge(worker, job, Some(prev.clone())).record);
        let at_ms = now_ms().max(before.map_or(0, |before| before.at_ms));
        let record = Record { job: *job, at_ms, attempt, prev: prev.map(Stored::hash), event };
        let bytes = record.sign(&self.identity);
        match self.history.append(worker, job, prev, bytes, self.deadline()).await? {
            Commit::Won(stored) => {
                self.numbers.recorded(&record.event);
                let last = Last::Known(Snapshot::new(stored.hash(), &record));
                Ok(Written::Won(Seen { stored: Some(stored), last, record: Some(record) }))
            }
            Commit::Lost(stored) => {
                self.numbers.record_refused();
                Ok(Written::Lost(self.judge(worker, job, stored)))
            }
        }
    }

    /// Puts a job in the queue. What goes wrong there the sweep makes good.
    pub(crate) async fn enqueue(
        &self,
        worker: &WorkerName,
        job: &JobId,
        request: Bytes,
        deadline: Instant,
    ) -> Option<Enqueued> {
        Queue::publish(&self.connection, &self.namespace, worker, job, request, deadline)
            .await
            .inspect(|outcome| tracing::debug!(job = short(job), %worker, ?outcome, "queued"))
            .inspect_err(|error| tracing::warn!(job = short(job), %worker, %error, "not queued yet"))
            .ok()
    }

    /// Puts a job in the queue that should be there, and be delivered: what lies there and never will be makes room.
    pub(crate) async fn enqueue_again(&self, worker: &WorkerName, job: &JobId, request: Bytes) {
        let (connection, namespace, deadline) = (&self.connection, &self.namespace, self.deadline());
        if self.enqueue(worker, job, request.clone(), deadline).await != Some(Enqueued::Already) {
            return;
        }
        match Queue::remove_passed_over(connection, namespace, worker, Some(job), deadline).await {
            Ok(1..) => {
                tracing::warn!(job = short(job), %worker, "the server has lost track of a queued job: queued anew");
                self.enqueue(worker, job, request, deadline).await;
            }
            Ok(0) => {}
            Err(error) => tracing::warn!(job = short(job), %worker, %error, "the queue was not looked at"),
        }
    }

    /// Tells the client how its job ended. It may get lost; the client asks, if it has to know.
    pub(crate) async fn tell_ended(&self, job: &Job, record: &Stored) {
        let subject = job.description().reply.subject(job.id(), ENDED);
        if let Err(error) = self.connection.publish(&subject, None, record.bytes.clone()).await {
            tracing::debug!(%error, "the client was not told of its job's end");
        }
    }
}

impl Seen {
    /// The last record's sequence.
    pub(crate) fn sequence(&self) -> u64 {
        self.stored.as_ref().map_or(0, |stored| stored.sequence)
    }

    /// The job's state in a word.
    pub(crate) fn state(&self) -> &'static str {
        self.record.as_ref().map_or("broken", |record| record.event.name())
    }

    /// The code of an ending that has one.
    pub(crate) fn code(&self) -> Option<&str> {
        match &self.record.as_ref()?.event {
            Event::Failed(reason) | Event::Expired(reason) | Event::Cancelled { reason, .. } => {
                Some(&reason.code)
            }
            _ => None,
        }
    }

    /// The process that holds the attempt, or did.
    pub(crate) fn holder(&self) -> Option<Instance> {
        match &self.last {
            Last::Known(Snapshot { state: State::Open { instance, .. }, .. }) => Some(*instance),
            _ => None,
        }
    }
}

/// Short names for logs: nothing in a log says more of a job than its id.
pub(crate) fn short(job: &JobId) -> String {
    job.to_string().chars().take(8).collect()
}
