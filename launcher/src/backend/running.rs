//! What runs an attempt: a process or a container.

use std::time::Duration;

use subrosa_protocol::{
    id::{Attempt, JobId},
    launch::LaunchRequest,
};

use super::{Runs, Started, docker::Container, process};

/// A worker that runs one attempt.
pub(super) enum Running {
    Process(tokio::process::Child),
    Container(Container),
}

/// Why a worker that claimed nothing did not, in public words.
pub(super) type Why = &'static str;

impl Started {
    /// Starts a worker for one attempt.
    pub(super) async fn begin(&self, request: &LaunchRequest, attempt: Attempt) -> Result<Running, Why> {
        match &self.runs {
            Runs::Process(process, guard) => {
                let spawned = guard.spawn(&process::program(self, process, request, attempt)).await;
                spawned.map(Running::Process).map_err(|error| {
                    tracing::error!(worker = %self.name, %error, "the worker's process cannot be started");
                    "the worker's process could not be started"
                })
            }
            Runs::Containers(containers) => {
                let started = containers.start(self, request, attempt).await;
                started.map(Running::Container).map_err(|error| {
                    tracing::error!(worker = %self.name, %error, "the worker's container cannot be started");
                    error.public_text()
                })
            }
        }
    }
}

impl Running {
    /// Waits for its end, which is logged. None: it ended as workers do.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped: another call finds the same end.
    pub(super) async fn ended(&mut self, job: &JobId) -> Option<Why> {
        match self {
            Self::Process(child) => {
                process::log_end(job, &child.wait().await);
                None
            }
            Self::Container(container) => container.ended(job).await,
        }
    }

    /// Asks it to end.
    pub(super) async fn terminate(&self) {
        match self {
            Self::Process(child) => process::terminate(child),
            Self::Container(container) => container.terminate().await,
        }
    }

    /// Ends it, if it has not ended yet, and leaves nothing of it.
    pub(super) async fn end(self, job: &JobId, grace: Duration) {
        match self {
            Self::Process(child) => process::end(child, job, grace).await,
            Self::Container(container) => container.end(job, grace).await,
        }
    }
}
