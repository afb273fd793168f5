//! How long the client waits, and what it asks a launcher meanwhile.

use std::{future::Future, time::Duration};

use subrosa_protocol::refusal::Code;
use subrosa_transport::now_ms;
use tokio::time::Instant;

use super::{
    Driver, Over, Session, cancel,
    stored::{self, Store},
};
use crate::{
    JobError, LaunchError,
    launcher::{JobState, NotLaunched},
};

/// How long after `expires_ms` the first answer of a worker may still come in.
const LATE: Duration = Duration::from_secs(5);

/// What a launcher says of the job.
pub(super) struct Known {
    state: Result<JobState, Code>,
    /// What the worker has stored for a client that is away.
    stored: Store,
}

/// Clocks that differ by less than this, in milliseconds, show the same time.
const SAME_MS: u64 = 5_000;

impl Driver {
    /// Until when to wait: for a worker as long as the job may wait, after that as long as all attempts
    /// may take.
    pub(super) fn deadline(&self) -> Instant {
        let expires_ms = self.launched.job().description().expires_ms;
        let waiting = Duration::from_millis(expires_ms.saturating_sub(self.launched_ms));
        self.launched_at + waiting + if self.was_served() { self.attempts() } else { LATE }
    }

    /// Whether a trusted worker has answered: in this process, or in the one that has left the job.
    fn was_served(&self) -> bool {
        self.worker.is_some() || self.resumed
    }

    /// How long all attempts may take.
    fn attempts(&self) -> Duration {
        let job = self.launched.job().description();
        let attempt = Duration::from_millis(job.timeout_ms) + self.client.timing.steps;
        attempt * u32::from(job.max_attempts)
    }

    pub(super) fn too_late(&mut self) -> JobError {
        let job = self.launched.job().description();
        // As it was asked for, and not what admission has left of it.
        let waiting = Duration::from_millis(job.expires_ms.saturating_sub(job.created_ms));
        if !self.was_served() {
            return JobError::NoWorker { within: waiting, untrusted: std::mem::take(&mut self.untrusted) };
        }
        let (within, max) = (waiting + self.attempts(), job.max_attempts);
        let attempt = self.worker.map_or(self.launched.proven_attempt(), |(_, attempt)| attempt);
        JobError::Timeout { within, attempt, max }
    }

    /// Asks a launcher for the job's state; a job without any record is launched again, by who has launched it. None, if
    /// no launcher could say.
    pub(super) fn ask_state(&self) -> impl Future<Output = Option<Known>> + Send + 'static {
        let (client, id) = (self.client.clone(), self.id());
        let reads = self.reads_stored();
        let (worker, request) = (self.launched.job().worker().clone(), self.request.clone());
        let resumed = self.resumed;
        async move {
            let patience = Duration::from_secs(10);
            let mut answer = client.launchers.status(&id, patience).await;
            let unknown = matches!(answer, Err(LaunchError::Refused { code: Code::UnknownJob, .. }));
            if unknown && !resumed {
                let launched = client.launchers.launch(&worker, request.bytes(), patience).await;
                answer = launched.map_err(|NotLaunched { error, .. }| error);
            }
            match answer {
                Ok(state) => {
                    let stored = match reads {
                        Some(token) => stored::read(&client, &id, &token, &state).await,
                        None => Store::Unread,
                    };
                    Some(Known { state: Ok(state), stored })
                }
                Err(LaunchError::Refused { code, .. }) if code != Code::Overloaded => {
                    Some(Known { state: Err(code), stored: Store::Unread })
                }
                Err(_) => None,
            }
        }
    }

    /// A stored result is taken, and an end is reported as what it is.
    pub(super) fn judge_state(&mut self, Known { state, stored }: Known) -> Result<Option<Over>, JobError> {
        if self.has_left(&state) {
            return Ok(Some(Over::Detached));
        }
        if let Some(over) = self.look_for(&state, &stored) {
            return Ok(Some(over));
        }
        if let Store::Has(messages) = stored {
            self.take_stored(messages)?;
        }
        match state {
            // What is here is judged, whatever becomes of the job.
            _ if matches!(self.session, Session::Stored(..)) => Ok(None),
            Ok(state) if state.is_end() => {
                // Whoever notices first that no worker has come, it is told in one way; unless it is too early by this
                // clock: then the record's own words say what may be wrong.
                let in_time = now_ms() + SAME_MS < self.launched.job().description().expires_ms;
                let nobody = state.state == "expired" && state.attempt == 0 && !in_time;
                let untrusted = !self.untrusted.is_empty() && state.state != "cancelled";
                if !self.was_served() && (nobody || untrusted) {
                    return Err(self.too_late());
                }
                Err(self.ended(state))
            }
            Err(Code::Expired) => Err(self.too_late()),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// How an end is reported: to whoever would lose a ticket by it, only with a record that proves it.
    fn ended(&self, state: JobState) -> JobError {
        if self.resumed && !state.is_proven_end(self.launched.job(), &self.client.trust.get()) {
            return JobError::Unproven { state: state.state };
        }
        cancel::ended(state)
    }
}
