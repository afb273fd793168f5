//! Health checks of a resident worker, from both ends.

use subrosa_telemetry::{Health, Question, probe};
use subrosa_transport::now_ms;
use tokio_util::sync::CancellationToken;

use crate::{ConfigError, Error, config::health_from_env, process::Shared};

/// Asks the worker that listens where `SUBROSA_HEALTH_LISTEN` says whether it takes jobs; with `--live` among the
/// program's arguments, only whether it is alive. For health checks in images that have no shell:
///
/// ```no_run
/// #[tokio::main]
/// async fn main() -> Result<(), subrosa_worker::Error> {
///     if std::env::args().nth(1).as_deref() == Some("health") {
///         return subrosa_worker::health();
///     }
///     subrosa_worker::serve("echo", |job| async move {
///         let ((), job) = job.options(&()).await?;
///         let (payload, job) = job.ready::<String>(&()).await?;
///         job.done(&payload).await
///     })
///     .await
/// }
/// ```
///
/// # Errors
///
/// Why it does not, or that nobody answers within 5 s.
pub fn health() -> Result<(), Error> {
    let address = health_from_env()?.ok_or(ConfigError::Missing {
        name: "SUBROSA_HEALTH_LISTEN",
        what: "the address that the worker answers health checks at",
    })?;
    let live = std::env::args().any(|argument| argument == "--live");
    Ok(probe(address, if live { Question::Alive } else { Question::Ready })?)
}

/// What a worker needs to be ready.
pub(crate) fn require(health: &Health, process: &Shared, draining: &CancellationToken) {
    let (connected, trusted, draining) = (process.connection.clone(), process.clone(), draining.clone());
    health.require(move || match draining.is_cancelled() {
        true => Err("it is about to end".into()),
        false => Ok(()),
    });
    health.require(move || match connected.is_connected() {
        true => Ok(()),
        false => Err("it is not connected to NATS".into()),
    });
    health.require(move || trusted.counts(now_ms()).map_err(|reason| reason.to_string().into()));
}
