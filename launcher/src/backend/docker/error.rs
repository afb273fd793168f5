//! Why a container did not do its work.

use std::path::PathBuf;

use bollard::errors::Error as EngineError;
use subrosa_protocol::identity::{CertFileError, ImageDigest};
use thiserror::Error;

/// Why a worker's container cannot be started, or ended as none should. Operators read it; a record gets
/// [`DockerError::public_text`] only.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DockerError {
    /// Nobody listens, or nobody answers.
    #[error("the Docker engine does not answer: {reason}")]
    Unreachable {
        /// What was tried last.
        reason: String,
    },
    /// The engine has no such image.
    #[error("the engine has no image {image}: load it, or set `pull = true`")]
    NoImage {
        /// As it stands in the configuration.
        image: String,
    },
    /// The image is not on the engine, and could not be pulled.
    #[error("the image {image} cannot be pulled: {reason}")]
    NotPulled {
        /// As it stands in the configuration.
        image: String,
        /// What the engine says.
        reason: String,
    },
    /// The worker's certificate is for another image.
    #[error("the image {image} has the id {id}, but the worker is certified for {certified}")]
    OtherImage {
        /// As it stands in the configuration.
        image: String,
        /// Its id.
        id: String,
        /// The id or repository's digest in the certificate.
        certified: ImageDigest,
    },
    /// The engine has no such network.
    #[error("the engine has no network {network}: run `docker network create --internal {network}`")]
    NoNetwork {
        /// As it stands in the configuration.
        network: String,
    },
    /// The network reaches further than its own containers.
    #[error("the network {network} is not internal: make one that is, or set `open_network = true`")]
    OpenNetwork {
        /// As it stands in the configuration.
        network: String,
    },
    /// A file that the worker needs cannot be read.
    #[error("the worker's file {} cannot be read: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The worker's certificate cannot be used.
    #[error(transparent)]
    Cert(#[from] CertFileError),
    /// The engine refuses.
    #[error("the engine refuses to {what}: {reason}")]
    Refused {
        /// What it was asked for.
        what: &'static str,
        /// What it says.
        reason: String,
    },
    /// The container has ended, with a failure or before it took its job.
    #[error("the container has ended with status {status}")]
    Exited {
        /// Its first process's exit status.
        status: i64,
    },
    /// The container has used up its memory, and was killed.
    #[error("the container was killed: it needed more than its {memory} bytes of memory")]
    OutOfMemory {
        /// Its limit.
        memory: u64,
    },
    /// Somebody else has removed the container.
    #[error("the container was removed by somebody else")]
    Removed,
}

impl DockerError {
    /// What may be said in public: nothing of the machine.
    pub fn public_text(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "the container engine does not answer",
            Self::NoImage { .. } | Self::NotPulled { .. } => "the worker's image is not there",
            Self::OtherImage { .. } => "the worker's image is not the one that its certificate names",
            Self::NoNetwork { .. } | Self::OpenNetwork { .. } => {
                "the worker's network is not as it should be"
            }
            Self::File { .. } | Self::Cert(_) => "the worker's files cannot be used",
            Self::Refused { .. } => "the worker's container could not be started",
            Self::Exited { .. } => "the worker's container ended before it took the job",
            Self::OutOfMemory { .. } => "the worker's container ran out of memory before it took the job",
            Self::Removed => "the worker's container was removed before it took the job",
        }
    }

    /// What the engine answered when it was asked for this; that it answered nothing, if so.
    pub(super) fn from_engine(what: &'static str, error: &EngineError) -> Self {
        match error {
            EngineError::DockerResponseServerError { message, .. } => {
                Self::Refused { what, reason: message.clone() }
            }
            EngineError::DockerStreamError { error } => Self::Refused { what, reason: error.clone() },
            error => Self::Unreachable { reason: with_causes(error) },
        }
    }
}

/// Whether the engine says that there is no such thing.
pub(super) fn is_missing(error: &EngineError) -> bool {
    matches!(error, EngineError::DockerResponseServerError { status_code: 404, .. })
}

/// The outermost error alone says "client error".
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
    // Some repeat what they are caused by.
    texts.dedup();
    texts.join(": ")
}
