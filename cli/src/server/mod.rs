//! A real nats-server with JetStream, for the demo, for development on one machine, and for tests.
//!
//! [`start`] finds or provides a server, runs it on a free port of this machine with its state in a
//! temporary directory, and returns when it takes connections. The server dies with this process, however
//! that ends (on Linux; see [`guard`](subrosa_launcher::guard)), and [`Server::stop`] leaves nothing behind.
//!
//! It is for one machine: it listens on the loopback address only, and without a configuration file it
//! lets everyone there in.

mod docker;
mod error;
mod find;
mod process;
mod version;
mod wheel;

use std::fs;
use std::path::{Path, PathBuf};

use subrosa_launcher::guard::Guard;
use tempfile::TempDir;

use self::process::{Launch, Process};

pub use self::docker::{DockerError, IMAGE};
pub use self::error::{ServerError, Tried};
pub use self::find::{Choice, OLDEST, ProgramError, VARIABLE};
pub use self::version::{NoVersion, Version};
pub use self::wheel::WheelError;

/// Takes messages about steps that take a while, as a download.
pub type Progress<'a> = dyn FnMut(&str) + Send + 'a;

/// How a server is to be run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Ties the server to this process.
    pub guard: Guard,
    /// Which server.
    pub choice: Choice,
    /// Where the server keeps its streams, its log and its ports file. It is made if it does not exist, and
    /// kept; without one, it is a temporary directory that is removed at the end.
    pub state_dir: Option<PathBuf>,
    /// The port; without one, a free one.
    pub port: Option<u16>,
    /// A configuration file. Address, port and store are set on the command line and win over it.
    pub config: Option<PathBuf>,
}

impl Options {
    /// Any server, on a free port, with temporary state and no configuration file.
    pub fn new(guard: Guard) -> Self {
        Self { guard, choice: Choice::default(), state_dir: None, port: None, config: None }
    }
}

/// Runs a server; returns when it takes connections. Call it from a thread that lives as long as the server
/// is needed, as the main thread does.
///
/// # Errors
///
/// There is no server to be had, its state directory cannot be made, or it ends or does not get ready: the
/// error then has the end of its log.
///
/// # Cancel safety
///
/// Dropping the future leaves no process behind.
pub async fn start(options: Options, progress: &mut Progress<'_>) -> Result<Server, ServerError> {
    let Options { guard, choice, state_dir, port, config } = options;
    let found = find::find(&choice, progress).await?;
    let state = State::prepare(state_dir)?;
    let launch = Launch { found, guard, state: state.path.clone(), config };
    let (process, url) = launch.start(port).await?;
    Ok(Server { process: Some(process), url, launch, _state: state })
}

/// A running server. Dropping it kills the server; [`stop`](Server::stop) is kinder.
#[derive(Debug)]
pub struct Server {
    // The order of the fields is the order of their ends: the process before the directory of its state.
    process: Option<Process>,
    url: String,
    launch: Launch,
    _state: State,
}

impl Server {
    /// Where the server takes connections, as `nats://127.0.0.1:4222`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server's process id (of the Docker client's, for a container); none after [`kill`](Server::kill).
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Process::id)
    }

    /// The directory with the server's streams and its log.
    pub fn state_dir(&self) -> &Path {
        &self.launch.state
    }

    /// The file that takes everything that the server writes.
    pub fn log(&self) -> PathBuf {
        self.launch.log()
    }

    /// Lets the server end (SIGTERM), kills it if it has not ended after 5 s, and removes its state if that
    /// is temporary.
    ///
    /// # Errors
    ///
    /// The process cannot be signalled or waited for.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future kills the server.
    pub async fn stop(mut self) -> Result<(), ServerError> {
        match self.process.take() {
            Some(process) => process.stop().await.map(drop),
            None => Ok(()),
        }
    }

    /// Kills the server at once (SIGKILL), as a crash would. Its state stays, for [`restart`](Server::restart).
    ///
    /// # Errors
    ///
    /// The process cannot be signalled or waited for.
    pub async fn kill(&mut self) -> Result<(), ServerError> {
        match self.process.take() {
            Some(process) => process.kill().await.map(drop),
            None => Ok(()),
        }
    }

    /// Runs the server again on the same port with the same state; if it still runs, it is let end first.
    ///
    /// # Errors
    ///
    /// As for [`start`]. The port may have been taken by someone else in between.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the server killed; it can be started again.
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        if let Some(process) = self.process.take() {
            process.stop().await?;
        }
        let port = self.url.rsplit_once(':').and_then(|(_, port)| port.trim_end_matches('/').parse().ok());
        let (process, url) = self.launch.start(port).await?;
        self.process = Some(process);
        self.url = url;
        Ok(())
    }
}

/// The directory of the server's state.
#[derive(Debug)]
struct State {
    path: PathBuf,
    /// Removes it at the end, if it is a temporary one.
    _temporary: Option<TempDir>,
}

impl State {
    fn prepare(wanted: Option<PathBuf>) -> Result<Self, ServerError> {
        let Some(path) = wanted else {
            let made = tempfile::Builder::new().prefix("subrosa-nats-").tempdir();
            let directory =
                made.map_err(|source| ServerError::State { path: std::env::temp_dir(), source })?;
            return Ok(Self { path: directory.path().to_owned(), _temporary: Some(directory) });
        };
        // Absolute, as the Docker engine takes a relative one for the name of a volume.
        let made = fs::create_dir_all(&path).and_then(|()| fs::canonicalize(&path));
        let path = made.map_err(|source| ServerError::State { path, source })?;
        Ok(Self { path, _temporary: None })
    }
}

#[cfg(test)]
mod tests;
