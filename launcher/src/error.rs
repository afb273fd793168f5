//! Why a launcher ends.

use subrosa_protocol::{id::WorkerName, identity::Untrusted};
use subrosa_telemetry::EndpointError;
use subrosa_transport::{ConnectError, HistoryError, QueueError, RequestError};
use thiserror::Error;

use crate::{backend::DockerError, config::ConfigError, streams::StreamsError};

/// Why a launcher ends.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// NATS cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The streams are not there, or not as they should be.
    #[error(transparent)]
    Streams(#[from] StreamsError),
    /// A queue cannot be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A subject cannot be used.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Jobs' histories cannot be read or written.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Health checks cannot be answered.
    #[error(transparent)]
    Health(#[from] EndpointError),
    /// The process cannot wait for signals.
    #[error("the process cannot wait for signals: {0}")]
    Signals(std::io::Error),
    /// A worker's containers cannot be started.
    #[error("the worker {worker} cannot be started in containers: {reason}")]
    Docker {
        /// The worker.
        worker: WorkerName,
        /// Why.
        reason: DockerError,
    },
    /// A job was not cancelled.
    #[error("{reason}")]
    NotCancelled {
        /// Why.
        reason: String,
    },
    /// The services cannot be offered.
    #[error("the launcher's services cannot be offered on NATS: {0}")]
    Service(String),
}

/// Why one request or delivery could not be dealt with. Nothing of it is the requester's fault.
#[derive(Clone, Debug, Error)]
pub(crate) enum Trouble {
    /// A history cannot be read or written.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Something did not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// What it would write does not count. Another launcher's may.
    #[error("no record of this launcher counts any more: {0}")]
    Untrusted(#[from] Untrusted),
    /// It changed whenever it was looked at.
    #[error("the job's history changes faster than it can be followed")]
    Restless,
}

impl Trouble {
    /// Whether another try may help.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::History(HistoryError::Request(error)) | Self::Request(error) => error.is_passing(),
            // Another launcher may do better: who is refused asks again at once.
            Self::History(_) | Self::Untrusted(_) => false,
            Self::Restless => true,
        }
    }
}
