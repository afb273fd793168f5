//! The server as a container, for machines with a Docker engine and no nats-server.
//!
//! The container hangs on the standard input of its `docker run`: when that ends, because it was told to or
//! because this process died, a watcher inside ends the server, and the engine removes the container. So
//! nothing stays behind even after a SIGKILL, which a detached container would survive.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use std::{fmt, io};

use subrosa_launcher::guard::Guard;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use super::Progress;

/// The image to run.
pub const IMAGE: &str = "nats:2.12.8-alpine";

/// How long the engine may take for a question.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// How long the image may take to be pulled (it is about 10 MB).
const PULL_DEADLINE: Duration = Duration::from_secs(20);
/// How long the server may take to greet once it has taken a connection.
const GREETING_DEADLINE: Duration = Duration::from_secs(1);

/// Ends the server, which is process 1, when the standard input is closed. Again and again, as process 1 does
/// not notice the signal before it has asked for it; with process 1 the watcher ends too.
const SCRIPT: &str = "exec 3<&0; (cat <&3 >/dev/null; while kill -TERM 1; do sleep 1; done) & \
                      exec nats-server \"$@\" 3<&- </dev/null";

/// The Docker engine is of no use here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DockerError {
    /// The command-line client cannot be run.
    #[error("cannot run docker: {0}")]
    Client(#[source] io::Error),
    /// The image cannot be pulled.
    #[error("docker pull: {message}")]
    Pull {
        /// The last line that the client wrote.
        message: String,
    },
    /// The image was not there in time.
    #[error("no answer within {} s", PULL_DEADLINE.as_secs())]
    Slow,
}

/// Whether an engine answers and has the image.
pub(super) async fn has_image() -> bool {
    let mut inspect = client(["image", "inspect", IMAGE]);
    inspect.stdout(Stdio::null()).stderr(Stdio::null());
    matches!(timeout(ANSWER_DEADLINE, inspect.status()).await, Ok(Ok(status)) if status.success())
}

/// Pulls the image, if that is quick.
pub(super) async fn pull(progress: &mut Progress<'_>) -> Result<(), DockerError> {
    progress(&format!("pulling the container image {IMAGE}"));
    let output = timeout(PULL_DEADLINE, client(["pull", "--quiet", IMAGE]).output()).await;
    let output = output.map_err(|_elapsed| DockerError::Slow)?.map_err(DockerError::Client)?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let message = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    Err(DockerError::Pull { message: message.trim().to_owned() })
}

/// The name of one container of ours.
#[derive(Debug, Clone)]
pub(super) struct Container(String);

impl Container {
    /// A name that no other container has.
    pub(super) fn new() -> Self {
        Self(format!("subrosa-nats-{:016x}", rand::random::<u64>()))
    }

    /// The command that runs the server with its store in `state`, as this user, for as long as its standard
    /// input is open.
    pub(super) fn run(
        &self,
        guard: &Guard,
        state: &Path,
        port: Option<u16>,
        config: Option<&Path>,
    ) -> Command {
        let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let port = port.map_or_else(String::new, |port| port.to_string());
        let mut command = guard.command("docker");
        command.args(["run", "--rm", "--interactive", "--name", &self.0]);
        command.args(["--user", &format!("{user}:{group}"), "--publish", &format!("127.0.0.1:{port}:4222")]);
        command.arg("--volume").arg(mount(state, "/state"));
        if let Some(config) = config {
            command.arg("--volume").arg(mount(config, "/config.conf:ro"));
        }
        command.args(["--entrypoint", "/bin/sh", IMAGE, "-c", SCRIPT, "nats-server"]);
        command.args(["-js", "-sd", "/state", "-a", "0.0.0.0", "-p", "4222"]);
        if config.is_some() {
            command.args(["-c", "/config.conf"]);
        }
        command.stdin(Stdio::piped());
        command
    }

    /// The server's URL, once it greets.
    pub(super) async fn url(&self) -> Option<String> {
        let port =
            timeout(ANSWER_DEADLINE, client(["port", &self.0, "4222/tcp"]).output()).await.ok()?.ok()?;
        let address = String::from_utf8(port.stdout).ok()?.lines().next()?.trim().to_owned();
        // The engine takes connections before the server does, so only its greeting counts.
        let greeting = async {
            let stream = TcpStream::connect(&address).await.ok()?;
            let line = BufReader::new(stream).lines().next_line().await.ok()??;
            line.starts_with("INFO ").then(|| format!("nats://{address}"))
        };
        timeout(GREETING_DEADLINE, greeting).await.ok()?
    }

    /// Kills the server with SIGKILL; the engine then removes the container.
    pub(super) async fn kill(&self) -> io::Result<ExitStatus> {
        let mut kill = client(["rm", "--force", &self.0]);
        kill.stdout(Stdio::null()).stderr(Stdio::null());
        timeout(ANSWER_DEADLINE, kill.status()).await.map_err(|_elapsed| io::ErrorKind::TimedOut)?
    }

    /// The same for a destructor; does not wait for the engine.
    pub(super) fn kill_soon(&self) {
        let mut kill = std::process::Command::new("docker");
        kill.args(["rm", "--force", &self.0])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // Without the client there is no container either.
        let _ = kill.spawn();
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "container {} of {IMAGE}", self.0)
    }
}

fn mount(path: &Path, inside: &str) -> std::ffi::OsString {
    let mut text = path.as_os_str().to_owned();
    text.push(":");
    text.push(inside);
    text
}

fn client<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new("docker");
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_binds_to_this_machine_only_and_is_removed_at_its_end() {
        let guard = Guard::new("/bin/subrosa".into());
        let command = Container::new().run(&guard, Path::new("/tmp/state"), Some(4222), None);
        let args: Vec<_> = command.as_std().get_args().map(|arg| arg.to_str().unwrap()).collect();
        assert!(args.windows(2).any(|pair| pair == ["--publish", "127.0.0.1:4222:4222"]), "{args:?}");
        assert!(args.windows(2).any(|pair| pair == ["--volume", "/tmp/state:/state"]), "{args:?}");
        assert!(args.contains(&"--rm") && args.contains(&"--interactive"), "{args:?}");
    }
}
