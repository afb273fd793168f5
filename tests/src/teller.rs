//! A worker's function that says a lot, sealed, and ends in every way that there is. What it says can be told from
//! anything else, wherever it comes to lie.

use serde_json::{Value, json};
use subrosa_transport::trace::TARGET;
use subrosa_worker::{Done, Failure, Job, Launched, LogLevel};

/// The worker's name.
pub const WORKER: &str = "teller";

/// The worker's parameters.
pub const PARAMETERS: &str = "parameters: cashier number seventeen";
/// A line of the client's log.
pub const LOG: &str = "log: the drawer is open at last";
/// How far it is.
pub const PROGRESS: &str = "progress: counting the second bundle";
/// The result.
pub const RESULT: &str = "result: four thousand and two in coins";
/// Why it fails.
pub const FAILURE: &str = "failure: the vault is out of order";
/// What a panic says.
pub const PANIC: &str = "panic: somebody set off the alarm";
/// What it gives away, if it is told to.
pub const LEAK: &str = "leak: written where everyone can read";
/// What a library gives away then, to whoever has it log at its finest levels.
pub const BLAB: &str = "blab: a library has seen it in a message";

/// The function. The payload's member `then` says how it ends.
pub async fn tell(job: Job<Launched>) -> Result<Done, Failure> {
    let (_, job) = job.options::<Value>(&PARAMETERS).await?;
    job.log(LogLevel::Info, LOG);
    let (payload, job) = job.ready::<Value>(&PARAMETERS).await?;
    job.progress(0.5, PROGRESS);
    match payload["then"].as_str() {
        Some("fail") => return Err(Failure::new(FAILURE)),
        Some("panic") => panic!("{PANIC}"),
        Some("hang") => std::future::pending().await,
        Some("leak") => {
            let span = tracing::debug_span!(target: TARGET, "leak", text = LEAK);
            span.in_scope(|| tracing::trace!(text = LEAK, "given away"));
            tracing::debug!(target: "async_nats::jetstream", text = BLAB, "given away");
            tracing::trace!(target: "async_nats::connection", text = BLAB, "given away");
        }
        _ => {}
    }
    job.done(&json!({ "result": RESULT, "payload": payload })).await
}
