//! What can go wrong: connecting, launching, and the job itself.

use std::{fmt, time::Duration};

use subrosa_protocol::{
    identity::{RevokedError, Thumbprint, Untrusted},
    job, launch,
    receipt::ReceiptError,
    refusal::{Code, StepCode},
    subject::SubjectError,
    wire::{BodyError, ErrorMember, SealError},
};
use subrosa_transport::{ConnectError, RequestError};
use thiserror::Error;

use crate::{Outcome, SecretsError};

/// A client that could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// NATS cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The client cannot listen for its jobs.
    #[error(transparent)]
    Subscribe(#[from] RequestError),
    /// The reply token is none.
    #[error(transparent)]
    ReplyToken(#[from] SubjectError),
    /// The revocation file cannot be used.
    #[error(transparent)]
    Revoked(#[from] RevokedError),
}

/// A job that was not launched.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The worker's name is none.
    #[error(transparent)]
    Worker(#[from] subrosa_protocol::id::NameError),
    /// The job breaks a rule.
    #[error(transparent)]
    Job(#[from] job::JobError),
    /// The payload that is to be bound has no JSON form.
    #[error("the payload to be bound cannot be written: {0}")]
    Input(#[from] BodyError),
    /// The launch request is one that no launcher takes: its signatures or times, as a rule.
    #[error(transparent)]
    Request(#[from] launch::LaunchError),
    /// The reply token is none.
    #[error(transparent)]
    ReplyToken(#[from] SubjectError),
    /// The secrets of a prepared job are not its own.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// A prepared job is answered where this client does not listen.
    #[error("the job is answered under {wanted}, but this client listens under {found}: set its reply token")]
    Reply {
        /// The prefix in the job.
        wanted: String,
        /// The client's prefix.
        found: String,
    },
    /// The job was launched before, and is over.
    #[error("the job was launched before, and has ended: {state}")]
    Ended {
        /// `failed`, `cancelled`, `expired` or `closed`.
        state: String,
    },
    /// A launcher refuses it.
    #[error("the launcher refuses: {message} ({code})")]
    Refused {
        /// Why, as a code.
        code: Code,
        /// Why, in words; from the launcher.
        message: String,
    },
    /// No launcher can be asked.
    #[error("no launcher can be asked: {0}")]
    NoLauncher(RequestError),
    /// No launcher answered in time.
    #[error("no launcher answered within {within:?}: {reason}")]
    NoAnswer {
        /// How long it was asked.
        within: Duration,
        /// What the last question came to.
        reason: RequestError,
    },
    /// The launcher's answer cannot be understood.
    #[error("the launcher's answer cannot be understood")]
    Malformed,
}

impl LaunchError {
    /// Whether no launcher could say anything: none answered, or had the time.
    pub(crate) fn is_unheard(&self) -> bool {
        match self {
            Self::Refused { code, .. } => *code == Code::Overloaded,
            Self::NoAnswer { .. } => true,
            _ => false,
        }
    }
}

/// A worker that answered a job and was not trusted. It was told nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UntrustedWorker {
    /// Its key.
    pub worker: Thumbprint,
    /// Why it is not trusted.
    pub reason: Untrusted,
}

/// A job that has no result.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JobError {
    /// The worker's function failed. Its message was sealed for this client.
    #[error("the worker failed: {message} ({code})")]
    Worker {
        /// Why, as a code.
        code: StepCode,
        /// Why, in the worker's words.
        message: String,
    },
    /// A handler of this client failed or panicked; the worker was told so, sealed.
    #[error("the handler for the {step} failed: {message} ({code})")]
    Handler {
        /// Which handler: `options`, `payload` or `status`; or `result`, for one that cannot be taken.
        step: &'static str,
        /// Why, as a code.
        code: StepCode,
        /// Why, in the handler's words.
        message: String,
    },
    /// No trusted worker took the job in time.
    #[error("no trusted worker took the job within {within:?}{}", listed(.untrusted))]
    NoWorker {
        /// How long the job could wait: its `expires_in`.
        within: Duration,
        /// Who answered, and was not trusted.
        untrusted: Vec<UntrustedWorker>,
    },
    /// The job has ended without a result, as a launcher says.
    #[error("the job has ended: {state}{}", explained(.code, .reason))]
    Ended {
        /// `failed`, `expired` or `closed`.
        state: String,
        /// Why, as a code.
        code: Option<String>,
        /// Why, in public words.
        reason: Option<String>,
    },
    /// The job was cancelled: by this client, unless the reason says otherwise.
    #[error("the job was cancelled{}", .reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Cancelled {
        /// Why, in public words, as a launcher says; none if nobody has confirmed it yet.
        reason: Option<String>,
    },
    /// The job did not end within all the time that its attempts may take.
    #[error("the job did not end within {within:?}; attempt {attempt} of {max} was the last one heard of")]
    Timeout {
        /// How long it was waited for.
        within: Duration,
        /// The last attempt that a trusted worker has begun.
        attempt: u16,
        /// How many there may be.
        max: u16,
    },
    /// The result is not of the type asked for.
    #[error("the result is not what was expected: it {0}")]
    Result(#[from] BodyError),
    /// The worker sent a result without a receipt that holds for it; the worker was told so, sealed.
    #[error("the result was not taken: {0}")]
    Receipt(ReceiptError),
    /// The job has finished while its client was away, and what was stored of it is not there any more.
    #[error("the job has finished, but its result is not stored any more: it was not fetched in time")]
    NotStored,
    /// The job has finished while its client was away, but the worker whose result is stored is not trusted. The
    /// job is left as it is.
    #[error("a result is stored, but {} is not trusted: {}", .0.worker, .0.reason)]
    Untrusted(UntrustedWorker),
    /// A launcher says that a job that was left has ended, but shows no record of it by anybody who is trusted. The
    /// job is left as it is.
    #[error("a launcher says that the job is {state}, but nobody who is trusted has signed that")]
    Unproven {
        /// What it says: `failed`, `cancelled`, `expired` or `closed`.
        state: String,
    },
    /// The client was closed, or goes on with the job elsewhere: it was resumed once more.
    #[error("the client was closed, or the job was resumed once more")]
    Closed,
}

/// A job that could not be left.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DetachError {
    /// Its result was here first.
    #[error("the job has finished: its result is here")]
    Finished(Box<Outcome<Vec<u8>>>),
    /// It has no result.
    #[error(transparent)]
    Job(#[from] JobError),
}

fn listed(untrusted: &[UntrustedWorker]) -> String {
    let mut text = String::new();
    for UntrustedWorker { worker, reason } in untrusted {
        text.push_str(&format!("; {worker} answered and is not trusted: {reason}"));
    }
    text
}

fn explained(code: &Option<String>, reason: &Option<String>) -> String {
    match (reason, code) {
        (Some(reason), Some(code)) => format!(", {reason} ({code})"),
        (None, Some(code)) => format!(" ({code})"),
        (Some(reason), None) => format!(", {reason}"),
        (None, None) => String::new(),
    }
}

/// Why a handler cannot answer. The message goes to the worker, sealed, and to the job's result.
///
/// Any error turns into one with `?`.
pub struct HandlerError(ErrorMember);

impl HandlerError {
    /// The handler failed.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(ErrorMember::new(StepCode::HandlerFailed, message.to_string()))
    }

    /// What the worker sent cannot be used.
    pub fn bad_input(message: impl fmt::Display) -> Self {
        Self(ErrorMember::new(StepCode::BadInput, message.to_string()))
    }

    pub(crate) fn sealing(error: &SealError) -> ErrorMember {
        let code = match error {
            SealError::TooLarge { .. } => StepCode::TooLarge,
            SealError::Body(_) => StepCode::HandlerFailed,
            _ => StepCode::Internal,
        };
        ErrorMember::new(code, error.to_string())
    }

    pub(crate) fn into_member(self) -> ErrorMember {
        self.0
    }
}

impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

/// Prints the code only: the message is for the two peers.
impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandlerError({})", self.0.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handlers_error_prints_its_code_only() {
        assert_eq!(format!("{:?}", HandlerError::new("value 77")), "HandlerError(handler_failed)");
    }

    #[test]
    fn an_end_is_explained_as_far_as_it_is_known() {
        let ended = |code: Option<&str>, reason: Option<&str>| {
            let own = |text: &str| text.to_owned();
            JobError::Ended { state: own("failed"), code: code.map(own), reason: reason.map(own) }.to_string()
        };
        assert_eq!(ended(None, None), "the job has ended: failed");
        assert_eq!(ended(Some("client_gone"), Some("late")), "the job has ended: failed, late (client_gone)");
    }
}
