//! Leaving a job that runs: its keys go to a ticket, and its result to the store.

use subrosa_protocol::{id::Attempt, refusal::Code};

use super::{Driver, Over, Session};
use crate::{JobError, JobSecrets, Ticket, launcher::JobState, ticket::Answers};

impl Driver {
    /// Whether the application wants to leave.
    pub(super) fn is_leaving(&self) -> bool {
        self.orders.detaching.is_cancelled()
    }

    /// Whether it may, once the job is seen to run: its worker owes the next step.
    pub(super) fn may_leave(&self) -> bool {
        let answered = matches!(self.session, Session::None | Session::Done(_));
        self.is_leaving() && answered && self.inputs.is_some()
    }

    /// Whether the attempt that has everything runs, or has run: then nobody is needed before its result.
    pub(super) fn has_left(&self, state: &Result<JobState, Code>) -> bool {
        let Ok(state) = state else { return false };
        let runs = matches!(state.state.as_str(), "running" | "finished");
        self.may_leave() && runs && state.attempt == self.launched.proven_attempt()
    }

    /// What an error comes to. Whoever has come back with a ticket may do so again: only what has ended the job
    /// is its end.
    pub(super) fn over(&self, error: JobError) -> Over {
        let left = match &error {
            // Somebody else in this process goes on with the job.
            JobError::Closed => true,
            JobError::Timeout { .. }
            | JobError::Handler { .. }
            | JobError::Untrusted(_)
            | JobError::Unproven { .. } => self.resumed,
            _ => false,
        };
        if left { Over::Left(error) } else { Over::Failed(error, None) }
    }

    /// What opens the job's result later. The session's keys are overwritten.
    pub(super) fn into_ticket(self) -> Option<Ticket> {
        let attempt = Attempt::new(self.launched.proven_attempt()).ok()?;
        let answers =
            Answers { options: self.handlers.options.keep(), payload: self.handlers.payload.keep() };
        let job = self.id();
        let secrets = JobSecrets { job, key: self.launched.into_key(), tokens: self.tokens };
        Ticket::new(self.request, secrets, attempt, self.inputs?, answers)
    }
}
