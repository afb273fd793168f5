//! The server's process: its command, its log, when it is ready, and how it ends.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use subrosa_launcher::guard::Guard;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::ServerError;
use super::docker::Container;
use super::find::Found;

/// How long a server may take until it is ready; with a big store it reads for a while.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// How often to look whether it is.
const READY_POLL: Duration = Duration::from_millis(10);
/// How long a server may take to end by itself before it is killed.
const END_DEADLINE: Duration = Duration::from_secs(5);
/// How long a destructor waits for a killed process, so that its files can be removed.
const DROP_DEADLINE: Duration = Duration::from_secs(2);
/// How much of the log an error carries.
const LAST_WORDS: usize = 10;

/// What stays the same when a server is started again.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) found: Found,
    pub(super) guard: Guard,
    pub(super) state: PathBuf,
    pub(super) config: Option<PathBuf>,
}

impl Launch {
    /// The file that takes everything that the server writes.
    pub(super) fn log(&self) -> PathBuf {
        self.state.join("nats-server.log")
    }

    /// Starts the server, on a free port if none is given, and waits until it is ready.
    pub(super) async fn start(&self, port: Option<u16>) -> Result<(Process, String), ServerError> {
        let path = self.log();
        let log = File::options().create(true).append(true).open(&path);
        let log = log.and_then(|log| Ok((log.try_clone()?, log)));
        let (out, err) = log.map_err(|source| ServerError::State { path, source })?;
        let (mut command, container, name) = match &self.found {
            Found::Program(program) => (self.command(program, port), None, program.display().to_string()),
            Found::Image => {
                let container = Container::new();
                let command = container.run(&self.guard, &self.state, port, self.config.as_deref());
                (command, Some(container.clone()), container.to_string())
            }
        };
        let spawned = command.stdout(out).stderr(err).spawn();
        let child = spawned.map_err(|source| ServerError::Spawn { program: name, source })?;
        let mut process = Process { child, container };
        let url = self.ready(&mut process).await?;
        Ok((process, url))
    }

    fn command(&self, program: &Path, port: Option<u16>) -> Command {
        let port = port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
        let mut command = self.guard.command(program);
        command.args(["-js", "-a", "127.0.0.1", "-p", &port, "-sd"]).arg(&self.state);
        command.arg("--ports_file_dir").arg(&self.state).stdin(Stdio::null());
        if let Some(config) = &self.config {
            command.arg("-c").arg(config);
        }
        command
    }

    async fn ready(&self, process: &mut Process) -> Result<String, ServerError> {
        let end = Instant::now() + READY_DEADLINE;
        loop {
            if let Some(status) = process.child.try_wait().map_err(ServerError::End)? {
                return Err(ServerError::Exited { status, log: self.last_words() });
            }
            let url = match &process.container {
                None => process.id().and_then(|id| written_url(&self.state, id)),
                Some(container) => container.url().await,
            };
            match url {
                Some(url) => return Ok(url),
                None if Instant::now() >= end => {
                    return Err(ServerError::NotReady { waited: READY_DEADLINE, log: self.last_words() });
                }
                None => sleep(READY_POLL).await,
            }
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let skipped = log.lines().count().saturating_sub(LAST_WORDS);
        log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }
}

/// The file that nats-server writes once it takes connections.
#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

/// The URL in the server's file; none while the file is missing or half written. A file of a killed server
/// stays behind, but has that one's process id in its name.
fn written_url(directory: &Path, id: u32) -> Option<String> {
    let text = fs::read(directory.join(format!("nats-server_{id}.ports"))).ok()?;
    let ports: Ports = serde_json::from_slice(&text).ok()?;
    ports.nats.into_iter().next()
}

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    container: Option<Container>,
}

impl Process {
    /// The process id, until the end of the process has been seen.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Asks the server to end, and kills it if it has not done so in time. (The Docker client passes the
    /// signal on.)
    pub(super) async fn stop(mut self) -> Result<ExitStatus, ServerError> {
        if let Some(pid) = self.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)) {
            // The process has not been waited for, so the id is still its own.
            kill_process(pid, Signal::TERM).map_err(|error| ServerError::End(error.into()))?;
        }
        match timeout(END_DEADLINE, self.child.wait()).await {
            Ok(ended) => ended.map_err(ServerError::End),
            Err(_elapsed) => self.kill().await,
        }
    }

    /// Kills the server with SIGKILL and waits for its end.
    pub(super) async fn kill(mut self) -> Result<ExitStatus, ServerError> {
        if let Some(container) = &self.container {
            container.kill().await.map_err(ServerError::End)?;
        }
        self.child.start_kill().map_err(ServerError::End)?;
        self.child.wait().await.map_err(ServerError::End)
    }
}

impl Drop for Process {
    /// Kills, and waits a moment (blocking the thread), as the directory of the state may be removed next.
    fn drop(&mut self) {
        if self.id().is_none() {
            return;
        }
        if let Some(container) = &self.container {
            container.kill_soon();
        }
        // It fails only where the process has ended.
        let _ = self.child.start_kill();
        let end = std::time::Instant::now() + DROP_DEADLINE;
        while matches!(self.child.try_wait(), Ok(None)) && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
