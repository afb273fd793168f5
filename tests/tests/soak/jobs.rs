//! The jobs: what each is told to do, and what its client hears of it.

use std::{fmt, time::Duration};

use rand::{RngExt as _, rngs::StdRng};
use subrosa_client::{Client, HandlerError, Job, JobError, JobId};
use subrosa_tests::chores::{Chore, End};
use tokio::time::{Instant, sleep_until};

use crate::site::Site;

/// What the client does with a job once it is launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Waits,
    /// Cancels it after a while, and waits.
    Cancels(Duration),
    /// Drops it after a while.
    Drops(Duration),
    /// Has no payload to give.
    Fails,
}

/// A job to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    worker: &'static str,
    chore: Chore,
    client: Manner,
    max_attempts: u16,
    timeout: Duration,
}

/// A job as its client knows it.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) plan: Plan,
    pub(crate) id: JobId,
    pub(crate) outcome: Outcome,
}

/// What became of it for its client.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A result, made in this attempt.
    Done(u16),
    /// None, and why.
    Failed(JobError),
    /// The client did not want to know.
    Dropped,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(attempt) => write!(f, "done, attempt {attempt}"),
            Self::Failed(error) => error.fmt(f),
            Self::Dropped => f.write_str("dropped"),
        }
    }
}

impl Plan {
    /// A job that is done at once.
    pub(crate) fn simple(worker: &'static str) -> Self {
        let chore = Chore { work_ms: 0, end: End::Done };
        Self { worker, chore, client: Manner::Waits, max_attempts: 3, timeout: Duration::from_secs(60) }
    }

    /// Any job.
    pub(crate) fn any(rng: &mut StdRng) -> Self {
        let workers: Vec<_> = Site::workers().collect();
        let worker = workers[rng.random_range(0..workers.len())];
        let moment = Duration::from_millis(rng.random_range(0..3_000));
        let mut plan = Self::simple(worker);
        plan.chore.work_ms = rng.random_range(0..1_500);
        plan.max_attempts = [1, 3, 3, 3, 3, 3, 3, 10, 10, 10][rng.random_range(0..10)];
        match rng.random_range(0..100) {
            0..70 => {}
            70..76 => plan.chore.end = End::Fail,
            76..78 => plan.chore.end = End::Panic,
            78..81 => (plan.chore.work_ms, plan.timeout) = (60_000, Duration::from_millis(500)),
            81..84 => plan.client = Manner::Fails,
            84..96 => plan.client = Manner::Cancels(moment),
            _ => plan.client = Manner::Drops(moment),
        }
        plan
    }

    /// Launches it, and waits for what becomes of it.
    pub(crate) async fn run(self, client: Client) -> Heard {
        let chore = self.chore;
        let builder = client.job(self.worker).max_attempts(self.max_attempts).timeout(self.timeout);
        let builder = match self.client {
            Manner::Fails => {
                builder.payload(|_| async { Err::<Chore, _>(HandlerError::new("there is none")) })
            }
            _ => builder.payload_value(chore),
        };
        let job = builder.launch().await.unwrap_or_else(|error| panic!("not launched: {self:?}: {error}"));
        let id = *job.id();
        let outcome = match self.client {
            Manner::Waits | Manner::Fails => result(job).await,
            Manner::Cancels(after) => {
                let (canceller, at) = (job.canceller(), Instant::now() + after);
                let cancel = async {
                    sleep_until(at).await;
                    canceller.cancel();
                };
                tokio::join!(result(job), cancel).0
            }
            Manner::Drops(after) => {
                sleep_until(Instant::now() + after).await;
                drop(job);
                Outcome::Dropped
            }
        };
        Heard { plan: self, id, outcome }
    }

    pub(crate) fn worker(&self) -> &'static str {
        self.worker
    }
}

async fn result(job: Job) -> Outcome {
    match job.result::<u16>().await {
        Ok(outcome) => {
            assert_eq!(outcome.value, outcome.attempt);
            Outcome::Done(outcome.attempt)
        }
        Err(error) => Outcome::Failed(error),
    }
}
