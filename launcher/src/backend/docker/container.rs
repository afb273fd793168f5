//! A container that runs, or has run.

use std::time::Duration;

use bollard::{
    Docker as Engine,
    query_parameters::{KillContainerOptions, RemoveContainerOptions, WaitContainerOptions},
};
use futures_util::StreamExt as _;
use subrosa_protocol::id::JobId;
use tokio::time::Instant;

use super::error::{DockerError, is_missing};
use crate::{backend::running::Why, office::short};

/// How soon an engine is asked again that did not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// The exit status of what SIGKILL has ended: 128 and the signal's number.
const KILLED: i64 = 128 + 9;
/// How long the engine may take to find out that a container was killed for its memory: it hears of that and of the
/// end in no order.
const FINDS_OUT: Duration = Duration::from_secs(3);

/// The container of one attempt.
pub(crate) struct Container {
    engine: Engine,
    id: String,
    /// Its limit, in bytes.
    memory: u64,
    /// Whether its end has been seen.
    has_ended: bool,
}

impl Container {
    pub(super) fn new(engine: &Engine, id: String, memory: u64) -> Self {
        Self { engine: engine.clone(), id, memory, has_ended: false }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Waits for its end, however long the engine is away.
    pub(in crate::backend) async fn ended(&mut self, job: &JobId) -> Option<Why> {
        let mut killed = None;
        loop {
            let condition = WaitContainerOptions { condition: "not-running".to_owned() };
            // Whatever it says, its state says more.
            let _ = Box::pin(self.engine.wait_container(&self.id, Some(condition))).next().await;
            match self.end_seen().await {
                Ok(Some(DockerError::Exited { status: KILLED }))
                    if killed.get_or_insert_with(Instant::now).elapsed() < FINDS_OUT => {}
                Ok(Some(end)) => {
                    self.has_ended = true;
                    return Some(logged(job, &end));
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(job = short(job), %error, "a container is not seen"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// How it ended, if it has.
    async fn end_seen(&self) -> Result<Option<DockerError>, DockerError> {
        let state = match self.engine.inspect_container(&self.id, None).await {
            Ok(container) => container.state.unwrap_or_default(),
            Err(error) if is_missing(&error) => return Ok(Some(DockerError::Removed)),
            Err(error) => return Err(DockerError::from_engine("show a container", &error)),
        };
        if state.running.unwrap_or(true) {
            return Ok(None);
        }
        Ok(Some(match state.oom_killed {
            Some(true) => DockerError::OutOfMemory { memory: self.memory },
            _ => DockerError::Exited { status: state.exit_code.unwrap_or(-1) },
        }))
    }

    /// Asks it to end.
    pub(in crate::backend) async fn terminate(&self) {
        let signal = KillContainerOptions { signal: "SIGTERM".to_owned() };
        if let Err(error) = self.engine.kill_container(&self.id, Some(signal)).await {
            tracing::debug!(%error, "a container was not signalled");
        }
    }

    /// Ends it, if it has not ended yet, and removes it.
    pub(in crate::backend) async fn end(mut self, job: &JobId, grace: Duration) {
        if !self.has_ended {
            self.terminate().await;
            if tokio::time::timeout(grace, self.ended(job)).await.is_err() {
                tracing::warn!(job = short(job), "the worker's container does not end, and is killed");
            }
        }
        self.remove().await;
    }

    /// Removes it, running or not, and its files.
    pub(super) async fn remove(self) {
        if let Err(error) = remove(&self.engine, &self.id).await {
            let container = &self.id;
            tracing::error!(container, %error, "a container is left over: the next start removes it");
        }
    }
}

/// Removes a container, running or not, and its files.
pub(super) async fn remove(engine: &Engine, id: &str) -> Result<(), DockerError> {
    let all = RemoveContainerOptions { force: true, v: true, link: false };
    match engine.remove_container(id, Some(all)).await {
        Err(error) if !is_missing(&error) => Err(DockerError::from_engine("remove a container", &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Says how it ended; in public, before it took its job.
fn logged(job: &JobId, end: &DockerError) -> Why {
    match end {
        DockerError::Exited { status: 0 } => {
            tracing::info!(job = short(job), "the worker's container has ended")
        }
        error => tracing::error!(job = short(job), %error, "the worker's container has failed"),
    }
    end.public_text()
}
