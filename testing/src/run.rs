//! Running a worker's function for one job.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
};

use serde::Serialize;
use subrosa_client::{JobBuilder, SigningKey};
use subrosa_worker::{Done, Failure, Job, Launched};

use crate::{
    Attack, Ran,
    function::{Watched, to_value},
    peer::{Payload, Peer},
    world::World,
};

/// The worker's name; the function does not see it.
const NAME: &str = "under-test";

type Describe = Box<dyn for<'a> FnOnce(JobBuilder<'a>) -> JobBuilder<'a> + Send>;

/// A job to be run by a worker's function; awaiting it runs it.
///
/// ```
/// # use serde_json::{Value, json};
/// # use subrosa_worker::{Done, Failure, Job, Launched};
/// async fn double(job: Job<Launched>) -> Result<Done, Failure> {
///     let (_, job) = job.options::<Value>(&()).await?;
///     let (number, job) = job.ready::<u32>(&()).await?;
///     let twice = number.checked_mul(2).ok_or_else(|| Failure::bad_input("too large"))?;
///     job.progress(1.0, "doubled");
///     job.done(&twice).await
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let run = subrosa_testing::run(double).payload(21).await;
/// assert_eq!(run.result::<u32>().unwrap(), 42);
/// assert_eq!(run.progress(), [1.0]);
/// assert_eq!(run.history(), ["queued", "taken", "running", "closed"]);
///
/// let run = subrosa_testing::run(double).payload(u32::MAX).await;
/// assert_eq!(run.result::<u32>().unwrap_err().to_string(), "the worker failed: too large (bad_input)");
/// # }
/// ```
#[must_use = "awaiting it runs the job"]
pub struct Run {
    function: Watched,
    peer: Peer,
    describe: Describe,
    identity: Option<SigningKey>,
    attack: Option<Attack>,
}

/// A job for this worker's function: the very one that `subrosa_worker::serve` takes.
pub fn run<F, Fut>(function: F) -> Run
where
    F: Fn(Job<Launched>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Done, Failure>> + Send + 'static,
{
    Run {
        function: Watched::new(function),
        peer: Peer::default(),
        describe: Box::new(|job| job),
        identity: None,
        attack: None,
    }
}

impl Run {
    /// The client's options. `null` by default.
    pub fn options(mut self, options: impl Serialize) -> Self {
        self.peer.options = to_value(options);
        self
    }

    /// The client's payload. `null` by default.
    pub fn payload(mut self, payload: impl Serialize) -> Self {
        self.peer.payload = Payload::Json(to_value(payload));
        self
    }

    /// The client's payload as bytes.
    pub fn payload_bytes(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.peer.payload = Payload::Bytes(payload.into());
        self
    }

    /// The client's identity, which the function sees as the caller. Anonymous by default.
    pub fn identity(mut self, identity: SigningKey) -> Self {
        self.identity = Some(identity);
        self
    }

    /// What else the job says: its label, how long it may run, how often it may be tried.
    ///
    /// ```
    /// # use subrosa_testing::{run, values};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let run = run(values((), 1)).job(|job| job.label("invoice 4711").max_attempts(1)).await;
    /// assert_eq!(run.result::<u32>().unwrap(), 1);
    /// # }
    /// ```
    pub fn job(
        mut self,
        describe: impl for<'a> FnOnce(JobBuilder<'a>) -> JobBuilder<'a> + Send + 'static,
    ) -> Self {
        self.describe = Box::new(describe);
        self
    }

    /// Runs the job under an attack: one of [`Attack::on_worker`].
    pub fn attack(mut self, attack: Attack) -> Self {
        self.attack = Some(attack);
        self
    }

    async fn run(self) -> Ran {
        let world = World::new(self.function, self.attack);
        let client = world.client(self.identity).await;
        let heard = self.peer.heard(&world);
        let job = (self.describe)(self.peer.describe(client.job(NAME), &heard));
        let (outcome, events) = heard.follow(job).await;
        let ended = world.settled().await;
        Ran::new(world, outcome, events, heard, ended)
    }
}

impl IntoFuture for Run {
    type Output = Ran;
    type IntoFuture = Pin<Box<dyn Future<Output = Ran> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
