//! What one worker process is made of.

use std::sync::Arc;

use subrosa_protocol::{
    delivery::Last,
    id::{Instance, JobId, WorkerName},
    identity::{SigningKey, Untrusted},
    job::Job,
    policy::Policy,
    record::{Event, Record},
    subject::{ENDED, Namespace},
};
use subrosa_transport::{
    Absences, Commit, Connection, History, HistoryError, Live, LiveTrust, Results, Stored, Tally, now_ms,
};
use tokio::{runtime::Handle, time::Instant};

use crate::{Timing, held::Held, numbers::Numbers};

/// The process: its name, its key, its connection, and the attempts that it holds.
pub(crate) struct Process {
    pub(crate) name: WorkerName,
    pub(crate) instance: Instance,
    pub(crate) identity: SigningKey,
    pub(crate) cert: Live<Option<String>>,
    pub(crate) trust: LiveTrust,
    pub(crate) policy: Live<Policy>,
    pub(crate) namespace: Namespace,
    pub(crate) timing: Timing,
    pub(crate) connection: Connection,
    pub(crate) history: History,
    pub(crate) results: Results,
    pub(crate) held: Held,
    /// Jobs that were delivered and have no record.
    pub(crate) absences: Absences,
    pub(crate) numbers: Numbers,
    /// Deliveries that were no good.
    pub(crate) refused: Tally,
    /// Where the worker's functions run: not where the connection is served, so that a busy function
    /// does not keep the process from answering.
    pub(crate) functions: Handle,
}

/// The last record of a job, as it lies in the stream and as it is judged.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) stored: Option<Stored>,
    pub(crate) last: Last,
}

/// What became of a record of ours.
pub(crate) enum Written {
    /// It counts.
    Won(Stored),
    /// Another one came first; this is the last one now.
    Lost(Seen),
}

impl Process {
    /// Until when a record may take to be written or read.
    pub(crate) fn record_deadline(&self) -> Instant {
        Instant::now() + self.timing.record
    }

    /// Whether this worker's own records of a time, in Unix milliseconds, count, as whom it trusts and its
    /// certificate are now. Nobody appends what does not count: it would be nobody's state, and the job would be
    /// lost by it.
    ///
    /// # Errors
    ///
    /// Why they do not.
    pub(crate) fn counts(&self, at_ms: u64) -> Result<(), Untrusted> {
        let key = self.identity.thumbprint();
        self.trust.get().vouched(&key, &self.name, self.cert.get().as_deref(), at_ms)
    }

    /// Whether the records count that this worker writes after `prev`, from now until then, in Unix milliseconds: none
    /// is older than the one before, whatever its writer's clock said.
    ///
    /// # Errors
    ///
    /// Why they do not.
    pub(crate) fn may_follow(&self, prev: Option<&Stored>, until_ms: u64) -> Result<(), Untrusted> {
        let from_ms = next_ms(prev);
        self.counts(from_ms).and_then(|()| self.counts(until_ms.max(from_ms)))
    }

    /// Waits until there is a thread on which a function could begin.
    pub(crate) async fn can_begin(&self) {
        // Functions of a runtime that is gone do not begin, and nothing is left to wait for.
        let _ = self.functions.spawn(async {}).await;
    }

    /// Judges a job's last message.
    pub(crate) fn judge(&self, job: &JobId, stored: Option<Stored>) -> Seen {
        let bytes = stored.as_ref().map(|stored| &*stored.bytes);
        let last = Last::read(bytes, job, &self.name, &self.trust.get());
        Seen { stored, last }
    }

    /// Reads the last record of a job that must have one.
    pub(crate) async fn look(&self, job: &JobId, known_sequence: u64) -> Result<Seen, HistoryError> {
        let stored = self.history.last_settled(&self.name, job, known_sequence).await?;
        Ok(self.judge(job, stored))
    }

    /// Signs a record that follows `prev`, and appends it.
    pub(crate) async fn write(
        &self,
        job: &JobId,
        attempt: u16,
        prev: Option<&Stored>,
        event: Event,
    ) -> Result<Written, HistoryError> {
        let record = Record { job: *job, at_ms: next_ms(prev), attempt, prev: prev.map(Stored::hash), event };
        let numbers = &self.numbers;
        let bytes = record.sign_certified(&self.identity, self.cert.get().as_deref());
        let deadline = self.record_deadline();
        Ok(match self.history.append(&self.name, job, prev, bytes, deadline).await? {
            Commit::Won(stored) => {
                numbers.recorded(&record.event);
                Written::Won(stored)
            }
            Commit::Lost(stored) => {
                numbers.record_refused();
                Written::Lost(self.judge(job, stored))
            }
        })
    }

    /// Tells the client how its job ended. It may get lost; the client asks, if it has to know.
    pub(crate) async fn tell_ended(&self, job: &Job, record: &Stored) {
        let subject = job.description().reply.subject(job.id(), ENDED);
        if let Err(error) = self.connection.publish(&subject, None, record.bytes.clone()).await {
            tracing::debug!(%error, "the client was not told of its job's end");
        }
    }
}

/// The date of a record that follows `prev` now, in Unix milliseconds.
fn next_ms(prev: Option<&Stored>) -> u64 {
    // Whatever is written on was verified before.
    let before_ms = prev.and_then(|prev| Record::time_in(&prev.bytes)).unwrap_or_default();
    now_ms().max(before_ms)
}

/// Short names for logs: nothing in a log says more of a job than its id.
pub(crate) fn short(job: &JobId) -> String {
    job.to_string().chars().take(8).collect()
}

/// The process, shared by its tasks.
pub(crate) type Shared = Arc<Process>;

/// The record that a hash names is known by its sequence.
pub(crate) fn sequence(stored: Option<&Stored>) -> u64 {
    stored.map_or(0, |stored| stored.sequence)
}
