//! The delivery rules, as pure functions: the last record, the clock and what a process holds go in,
//! what to do comes out.
//!
//! Worker and launcher only carry these decisions out. Nothing here waits, reads or writes, so that the
//! rules can be explored exhaustively without a server.

mod attempt;
mod launcher;
mod worker;

#[cfg(test)]
mod tests;

pub use self::{
    attempt::{
        AfterLost, Conclusion, Outcome, Settle, Stand, Stopped, after_store, conclude, ending_lost, settle,
    },
    launcher::{
        AfterChild, Child, ChildView, End, KeepChild, OnLaunch, Sweep, SweepAges, after_child, child, end,
        on_launch, sweep,
    },
    worker::{Delivered, Look, OnDelivery, Probe, Start, after_probe, deliver, look, start},
};

use crate::{
    id::{Attempt, Instance, JobId, Sha256Hash, WorkerName},
    identity::Trust,
    record::{Event, Reason, Record, code},
};

/// A job's last record: the job's state.
///
/// ```
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// # use subrosa_protocol::{id::JobId, identity::{Role, SigningKey, Trust}, record::{Event, Record}};
/// use subrosa_protocol::delivery::Last;
///
/// # let launcher = SigningKey::generate(&mut UnwrapErr(SysRng));
/// # let (job, worker) = (JobId::of(b"a job"), "echo".parse()?);
/// # let trust = Trust::default().with_key(launcher.public(), Role::Launcher, None);
/// # let event = Event::Queued { request: b"a launch request".to_vec() };
/// # let record = Record { job, at_ms: 1_800_000_000_000, attempt: 0, prev: None, event }.sign(&launcher);
/// assert!(Last::read(Some(&record), &job, &worker, &trust).may_be_taken());
/// assert!(!Last::read(Some(b"anybody's"), &job, &worker, &trust).may_be_taken());
/// assert_eq!(Last::read(None, &job, &worker, &trust), Last::Absent);
/// # Ok::<(), subrosa_protocol::id::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Last {
    /// There is none.
    Absent,
    /// There is a message that is no record of the job: nobody's state.
    Unverified {
        /// Its hash, for the one exception in which something is appended to it.
        hash: Sha256Hash,
    },
    /// There is a record that counts.
    Known(Snapshot),
}

/// What of the last record matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The record's hash: the `prev` of whatever follows.
    pub hash: Sha256Hash,
    /// The highest attempt taken, 0 if none.
    pub attempt: u16,
    /// When it was written, in Unix milliseconds of the writer's clock.
    pub at_ms: u64,
    /// The state that it brought about.
    pub state: State,
}

/// A job's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits for a worker.
    Queued,
    /// A process has claimed the attempt, or already runs the function.
    Open {
        /// The process.
        instance: Instance,
        /// Whether the payload had arrived.
        running: bool,
    },
    /// The sealed result is stored.
    Finished,
    /// Closed, failed, cancelled or expired: nothing counts after it.
    Ended,
}

impl Last {
    /// Judges a job's last message.
    pub fn read(message: Option<&[u8]>, job: &JobId, worker: &WorkerName, trust: &Trust) -> Self {
        let Some(bytes) = message else { return Self::Absent };
        let hash = Sha256Hash::of(bytes);
        match Record::verify(bytes, job, worker, trust) {
            Ok(verified) => Self::Known(Snapshot::new(hash, &verified.record)),
            Err(_) => Self::Unverified { hash },
        }
    }

    /// The hash that the next record has to name.
    pub fn hash(&self) -> Option<Sha256Hash> {
        match self {
            Self::Absent => None,
            Self::Unverified { hash } | Self::Known(Snapshot { hash, .. }) => Some(*hash),
        }
    }

    /// The same, as written no later than it was seen, in Unix milliseconds: what a wrong clock has dated ahead would
    /// be new until then, and so would be what follows it.
    #[must_use]
    pub fn seen_at(mut self, seen_ms: u64) -> Self {
        if let Self::Known(snapshot) = &mut self {
            snapshot.at_ms = snapshot.at_ms.min(seen_ms);
        }
        self
    }

    /// Whether the job may come to a further attempt.
    pub fn may_be_taken(&self) -> bool {
        matches!(self, Self::Known(Snapshot { state: State::Queued | State::Open { .. }, .. }))
    }

    /// The highest attempt taken, 0 if none or unknown.
    pub fn attempt(&self) -> u16 {
        match self {
            Self::Known(snapshot) => snapshot.attempt,
            Self::Absent | Self::Unverified { .. } => 0,
        }
    }
}

impl Snapshot {
    /// What matters of `record`, whose bytes have this hash.
    pub fn new(hash: Sha256Hash, record: &Record) -> Self {
        let state = match &record.event {
            Event::Queued { .. } => State::Queued,
            Event::Taken { instance } => State::Open { instance: *instance, running: false },
            Event::Running { instance } => State::Open { instance: *instance, running: true },
            Event::Finished => State::Finished,
            Event::Closed { .. } | Event::Failed(_) | Event::Cancelled { .. } | Event::Expired(_) => {
                State::Ended
            }
        };
        Self { hash, attempt: record.attempt, at_ms: record.at_ms, state }
    }
}

/// An ending to be written, and whether it is a failure or an expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// `failed`
    Failed(Reason),
    /// `expired`
    Expired(Reason),
}

impl Ending {
    /// A failure with this code and public text.
    pub fn failed(code: &str, text: &str) -> Self {
        Self::Failed(Reason::new(code, text))
    }

    /// The job's time is over, and no further attempt starts: after this one, 0 if none was taken.
    ///
    /// ```
    /// # use subrosa_protocol::delivery::Ending;
    /// let Ending::Expired(reason) = Ending::expired(1) else { unreachable!() };
    /// assert_eq!(reason.text, "attempt 1 was lost with its worker, and it was too late for another one");
    /// ```
    pub fn expired(attempt: u16) -> Self {
        Self::Expired(match attempt {
            // Whoever finds this may be the one whose clock is wrong.
            0 => {
                let text = "no worker took the job in time; if it was launched just now, check the clocks";
                Reason::new("expired", text)
            }
            _ => Reason::new(
                "expired",
                &format!("attempt {attempt} was lost with its worker, and it was too late for another one"),
            ),
        })
    }

    /// So many attempts were made, which are all.
    pub(crate) fn used_up(attempts: u16) -> Self {
        let text = match attempts {
            1 => "the only attempt was lost with its worker".to_owned(),
            _ => format!("all {attempts} attempts were lost with their workers"),
        };
        Self::failed(code::ATTEMPTS_USED_UP, &text)
    }

    /// The record's event.
    pub fn into_event(self) -> Event {
        match self {
            Self::Failed(reason) => Event::Failed(reason),
            Self::Expired(reason) => Event::Expired(reason),
        }
    }
}

/// The process that holds an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The attempt.
    pub attempt: Attempt,
    /// The process.
    pub instance: Instance,
}

/// What became of a record whose publication was refused or not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is the last one: it had won.
    Won,
    /// Nothing has changed: publish the same bytes again.
    Again,
    /// Another one came first: decide anew.
    Lost,
}

/// Judges an append that was refused or not answered, by the last message since.
pub fn appended(last: Option<&Sha256Hash>, own: &Sha256Hash, prev: Option<&Sha256Hash>) -> Appended {
    if last == Some(own) {
        Appended::Won
    } else if last == prev {
        Appended::Again
    } else {
        Appended::Lost
    }
}
