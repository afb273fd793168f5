//! What an attack has brought to light.

use subrosa_client::JobError;
use thiserror::Error;

use crate::{Attack, world::World};

/// What a client says of a handler that panicked.
const HANDLER_PANICKED: &str = "the handler panicked";

/// Why an attack was not withstood.
///
/// ```
/// # use serde_json::Value;
/// # use subrosa_testing::{Attack, Odd, Weakness, run};
/// # use subrosa_worker::{Job, Launched};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let trusting = run(async |job: Job<Launched>| {
///     let (_, job) = job.options::<Value>(&()).await?;
///     let (payload, job) = job.ready::<Value>(&()).await?;
///     let value = payload.as_u64().expect("a number");
///     job.done(&(value + 1)).await
/// });
/// let run = trusting.payload(77).attack(Attack::Payload(Odd::Text)).await;
/// let message = "a number".to_owned();
/// assert_eq!(run.withstood(), Err(Weakness::FunctionPanicked { message }));
/// # }
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Weakness {
    /// The job was over before the attack could begin: it shows nothing.
    #[error("the attack did not reach the peer: the job was over before")]
    NotReached,
    /// The worker's function panicked. Its client is told, but the peer has chosen what it panics at.
    #[error("the worker's function panicked: {message}")]
    FunctionPanicked {
        /// What it said.
        message: String,
    },
    /// A handler of the client panicked.
    #[error("the client's handler for the {step} panicked")]
    HandlerPanicked {
        /// Which: `options`, `payload` or `status`.
        step: &'static str,
    },
    /// The worker's process did not come to an end within a minute after its job.
    #[error("the worker's process still runs although its job is over")]
    StillRunning,
    /// Somebody who only carries messages has kept the job from its result.
    #[error("the job has no result, although the peer has done nothing wrong: {error}")]
    NoResult {
        /// The job's error.
        error: String,
    },
}

/// Judges a job that is over, and had this error.
pub(crate) fn judge(world: &World, error: Option<&JobError>) -> Result<(), Weakness> {
    if let Some(message) = world.function.panicked() {
        return Err(Weakness::FunctionPanicked { message });
    }
    match error {
        Some(JobError::Handler { step, message, .. }) if message == HANDLER_PANICKED => {
            return Err(Weakness::HandlerPanicked { step });
        }
        // The function's own error is the right answer to some jobs, and so is a handler's.
        None | Some(JobError::Worker { .. } | JobError::Handler { .. } | JobError::Result(_)) => {}
        Some(error) if world.attack.is_some_and(Attack::leaves_peers_honest) => {
            return Err(Weakness::NoResult { error: error.to_string() });
        }
        Some(_) => {}
    }
    match world.attack {
        Some(_) if world.reached.get() == 0 => Err(Weakness::NotReached),
        _ => Ok(()),
    }
}
