//! What can go wrong: for the process, and for one job.

use std::fmt;

use subrosa_protocol::{
    identity::Untrusted,
    refusal::StepCode,
    wire::{BodyError, ErrorMember, SealError},
};
use subrosa_telemetry::{EndpointError, ProbeError};
use subrosa_transport::{ConnectError, HistoryError, QueueError, RequestError};
use thiserror::Error;

use crate::ConfigError;

/// Why a worker's process ends.
///
/// Its `Debug` is its `Display`: that is what a `main` that returns it shows to an operator.
#[derive(Error)]
#[non_exhaustive]
pub enum Error {
    /// The name is none.
    #[error(transparent)]
    Name(#[from] subrosa_protocol::id::NameError),
    /// The environment is not as it should be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The worker's records would not count: not even for itself.
    #[error("the worker's own key is not good for this name by its trust file: {reason}")]
    Untrusted {
        /// Why.
        reason: Untrusted,
    },
    /// NATS cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The queue cannot be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A subject cannot be used.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A job's history cannot be reached.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Health checks cannot be answered.
    #[error(transparent)]
    Health(#[from] EndpointError),
    /// The worker that was asked is not well.
    #[error(transparent)]
    Unwell(#[from] ProbeError),
    /// The process cannot wait for signals or start its threads.
    #[error("the process cannot be set up: {0}")]
    Process(std::io::Error),
    /// The one job was not closed with its result.
    #[error("the job was not closed: {reason}")]
    NotClosed {
        /// What became of it.
        reason: String,
    },
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a worker's function gives up on its job. The message goes to the client, sealed, and nowhere else.
///
/// Any error turns into a failure with `?`.
///
/// ```
/// use subrosa_worker::Failure;
///
/// fn half(text: &str) -> Result<u32, Failure> {
///     let number: u32 = text.parse()?; // any error is the function's failure
///     if number % 2 == 0 { Ok(number / 2) } else { Err(Failure::bad_input("an odd number")) }
/// }
/// assert!(matches!(half("42"), Ok(21)));
/// assert_eq!(format!("{:?}", half("43").unwrap_err()), "Failure(bad_input)"); // no message in logs
/// assert_eq!(format!("{:?}", half("x").unwrap_err()), "Failure(handler_failed)");
/// ```
pub struct Failure(ErrorMember);

impl Failure {
    /// The client's options or payload cannot be used.
    pub fn bad_input(message: impl fmt::Display) -> Self {
        Self(ErrorMember::new(StepCode::BadInput, message.to_string()))
    }

    /// The function failed.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(ErrorMember::new(StepCode::HandlerFailed, message.to_string()))
    }

    /// The job is no longer this worker's to run. The message is never sent.
    pub(crate) fn interrupted() -> Self {
        Self(ErrorMember::new(StepCode::Internal, "the job was interrupted"))
    }

    /// What the client has sent as `what` is not what the function takes.
    pub(crate) fn body(what: &str, error: &BodyError) -> Self {
        Self::bad_input(format!("the {what}: {error}"))
    }

    pub(crate) fn seal(error: &SealError) -> Self {
        let code = match error {
            SealError::TooLarge { .. } => StepCode::TooLarge,
            SealError::Body(_) => StepCode::HandlerFailed,
            _ => StepCode::Internal,
        };
        Self(ErrorMember::new(code, error.to_string()))
    }

    pub(crate) fn into_member(self) -> ErrorMember {
        self.0
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

/// Prints the code only: the message is for the client.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({})", self.0.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_prints_its_code_only() {
        let failure = Failure::bad_input("value 123 is too large");
        assert_eq!(format!("{failure:?}"), "Failure(bad_input)");
    }
}
