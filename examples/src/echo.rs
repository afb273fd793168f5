//! A worker that returns what it was given: the least that a worker can be.

use serde::Serialize;
use serde_json::Value;
use subrosa_telemetry::Telemetry;
use subrosa_worker::{Done, Failure, Job, Launched};

/// What comes back.
#[derive(Debug, Serialize)]
pub struct Echo {
    /// The client's options.
    pub options: Value,
    /// The client's payload.
    pub payload: Value,
}

/// Runs one job.
///
/// # Errors
///
/// Those of the job's steps; the client is told, sealed.
pub async fn run(job: Job<Launched>) -> Result<Done, Failure> {
    let (options, job) = job.options(&()).await?;
    let (payload, job) = job.ready(&()).await?;
    job.done(&Echo { options, payload }).await
}

/// Serves [`run`] as the worker `echo`, as the environment says; with the argument `health`, asks whether
/// such a worker is well.
///
/// # Errors
///
/// Why the process cannot go on; a job that fails does not end it.
#[tokio::main]
pub async fn main() -> Result<(), subrosa_worker::Error> {
    if std::env::args().nth(1).as_deref() == Some("health") {
        return subrosa_worker::health();
    }
    let _telemetry = Telemetry::start("echo");
    subrosa_worker::serve("echo", run).await
}
