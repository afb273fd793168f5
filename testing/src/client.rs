//! A client whose jobs run in memory.

use std::{
    future::{Future, IntoFuture},
    ops::Deref,
    pin::Pin,
    sync::Arc,
};

use subrosa_client::{Client, JobError, JobId, SigningKey};
use subrosa_worker::{Done, Failure, Job, Launched};

use crate::{Attack, Weakness, function::Watched, verdict, world::World};

/// A client to be made; awaiting it makes it.
#[must_use = "awaiting it makes the client"]
pub struct Connect {
    function: Watched,
    identity: Option<SigningKey>,
    attack: Option<Attack>,
}

/// A client whose jobs this function runs in memory, whatever the worker's name.
///
/// ```
/// # use serde_json::{Value, json};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = subrosa_testing::client(|job| async move {
///     let (options, job) = job.options::<Value>(&json!({ "version": 1 })).await?;
///     let (payload, job) = job.ready::<Value>(&()).await?;
///     job.done(&json!([options, payload])).await
/// })
/// .await;
/// let job = client
///     .job("echo")
///     .options(|parameters| async move { Ok(json!({ "of": parameters.json::<Value>()? })) })
///     .payload_value(77)
///     .launch()
///     .await?;
/// let outcome = job.result::<Value>().await?;
/// assert_eq!(outcome.value, json!([{ "of": { "version": 1 } }, 77]));
/// # Ok(())
/// # }
/// ```
pub fn client<F, Fut>(function: F) -> Connect
where
    F: Fn(Job<Launched>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Done, Failure>> + Send + 'static,
{
    Connect { function: Watched::new(function), identity: None, attack: None }
}

impl Connect {
    /// Jobs are this identity's. Anonymous by default.
    pub fn identity(mut self, identity: SigningKey) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Runs all jobs under an attack: one of [`Attack::on_client`].
    pub fn attack(mut self, attack: Attack) -> Self {
        self.attack = Some(attack);
        self
    }
}

impl IntoFuture for Connect {
    type Output = TestClient;
    type IntoFuture = Pin<Box<dyn Future<Output = TestClient> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let world = World::new(self.function, self.attack);
            TestClient { client: world.client(self.identity).await, world }
        })
    }
}

/// A [`Client`] whose jobs run in memory. What takes a client takes a reference to it, or a clone of what it
/// stands for.
///
/// ```
/// # use subrosa_client::{Client, JobError};
/// # use subrosa_testing::{Attack, Odd, client, values};
/// async fn price(client: &Client) -> Result<u32, JobError> {
///     let job = client.job("pricing").payload_value("apples").launch().await.unwrap();
///     Ok(job.result().await?.value)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let fair = client(values((), 3)).await;
/// assert_eq!(price(&fair).await.unwrap(), 3);
///
/// let odd = client(values((), 3)).attack(Attack::Result(Odd::Text)).await;
/// let price = price(&odd).await;
/// assert!(matches!(price, Err(JobError::Result(_))));
/// odd.withstood(&price).unwrap();
/// # }
/// ```
pub struct TestClient {
    client: Client,
    world: Arc<World>,
}

impl TestClient {
    /// The names of a job's records so far: `queued`, `taken`, `running` and `closed`, if all goes well.
    pub fn history(&self, job: &JobId) -> Vec<&'static str> {
        self.world.records_of(job).iter().map(|record| record.event.name()).collect()
    }

    /// Waits until the end of every job is recorded and its worker is gone, for 30 s at most.
    pub async fn close(self) {
        self.client.close().await;
        self.world.settled().await;
    }

    /// How many hostile messages were read by a peer.
    pub fn reached(&self) -> usize {
        self.world.reached.get()
    }

    /// Says whether the attack has done any harm that shows in a job's result: see [`Weakness`]. Whether a
    /// result is right only the test can tell.
    ///
    /// # Errors
    ///
    /// The first weakness.
    pub fn withstood<T>(&self, result: &Result<T, JobError>) -> Result<(), Weakness> {
        verdict::judge(&self.world, result.as_ref().err())
    }
}

impl Deref for TestClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
