//! A worker's function that does what it is told, and writes down every run: so a test can count the runs in
//! processes that are killed.

use std::{
    env, fs,
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use subrosa_client::JobId;
use subrosa_worker::{Config, Done, Error, Failure, Job, Launched, serve_with};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// The environment variable that names the file of the runs.
pub const RUNS: &str = "CHORES_RUNS";

/// What a function is to do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Chore {
    /// How long it works, in milliseconds.
    pub work_ms: u64,
    /// How it ends.
    pub end: End,
}

/// How a function ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// With a result: the attempt that it was made in.
    Done,
    /// With a failure.
    Fail,
    /// With a panic.
    Panic,
}

/// A run of a function, as it was written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Run {
    /// The job.
    pub job: JobId,
    /// The attempt.
    pub attempt: u16,
    /// Whether this is its end: that it was killed nobody writes down.
    pub ended: bool,
}

impl Run {
    fn write(self) -> io::Result<()> {
        let Some(path) = env::var_os(RUNS) else { return Ok(()) };
        let mut line = serde_json::to_vec(&self)?;
        line.push(b'\n');
        // In one go, at whatever is the file's end by then: others write there, too.
        fs::File::options().append(true).create(true).open(path)?.write_all(&line)
    }

    /// All that was written into this file.
    pub fn read(path: &Path) -> Vec<Self> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The function.
///
/// # Errors
///
/// Those of the job's steps, and when it is told to fail.
pub async fn run(job: Job<Launched>) -> Result<Done, Failure> {
    let (_, job) = job.options::<Value>(&()).await?;
    let (chore, job) = job.ready::<Chore>(&()).await?;
    let run = Run { job: *job.id(), attempt: job.attempt(), ended: false };
    run.write()?;
    job.progress(0.5, "at work");
    sleep_until(Instant::now() + Duration::from_millis(chore.work_ms)).await;
    Run { ended: true, ..run }.write()?;
    match chore.end {
        End::Done => job.done(&run.attempt).await,
        End::Fail => Err(Failure::new("it was told to fail")),
        End::Panic => panic!("it was told to panic"),
    }
}

/// Serves the function as the worker of this name, as the environment says, but with less patience: so that
/// whatever was lost is noticed soon.
///
/// # Errors
///
/// Those of [`serve_with`].
pub async fn serve(name: &str) -> Result<(), Error> {
    let mut config = Config::from_env(name)?;
    config.timing.options = Duration::from_secs(10);
    config.timing.ready = Duration::from_secs(10);
    config.timing.done = Duration::from_secs(2);
    config.timing.look = Duration::from_secs(2);
    config.timing.probe = Duration::from_secs(2);
    let draining = CancellationToken::new();
    let stop = draining.clone();
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Process)?;
    tokio::spawn(async move {
        terminate.recv().await;
        stop.cancel();
    });
    serve_with(config, name, run, draining).await
}
