//! A deployment on a real nats-server, with workers of the test's own.

use std::{future::Future, path::Path, time::Duration};

use rand::SeedableRng as _;
use subrosa::local::{Example, Local, Plan};
use subrosa_client::{Client, SigningKey, Trust};
use subrosa_protocol::{id::JobId, identity::file, record::Record, subject::Namespace};
use subrosa_transport::{Connect, Connection, History};
use subrosa_worker::{Config, Done, Error, Failure, Job, Launched, serve_with};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

/// Nothing in these tests takes this long unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A deployment; everything of it ends with the test.
pub struct Lab {
    /// Server, launcher and example workers.
    pub local: Local,
}

/// A worker that runs in the test's own process.
pub struct Resident {
    /// Ends it.
    pub draining: CancellationToken,
    /// What it ended with.
    pub served: JoinHandle<Result<(), Error>>,
}

impl Lab {
    /// A launcher and these workers, each in a process of its own.
    pub async fn new(program: &str, examples: &[Example], others: &[&str]) -> Self {
        let others = others.iter().map(|name| (*name).to_owned()).collect();
        Self::with(Plan { others, ..Plan::of(program, examples) }).await
    }

    /// A deployment by a plan of one's own.
    pub async fn with(plan: Plan) -> Self {
        Self { local: Local::start(plan, &mut |_: &str| {}).await.unwrap() }
    }

    /// The server's URL.
    pub fn url(&self) -> &str {
        self.local.server.url()
    }

    /// A client that trusts this deployment's workers, with an identity of its own.
    pub async fn client(&self) -> Client {
        Client::connect(self.url()).identity(fresh_key()).trust(self.local.trust().unwrap()).await.unwrap()
    }

    /// An anonymous client that trusts these keys.
    pub async fn anonymous(&self, trust: Trust) -> Client {
        Client::connect(self.url()).trust(trust).await.unwrap()
    }

    /// What a worker process of this name would be configured with.
    pub fn worker_config(&self, name: &str) -> Config {
        let identity = file::load(self.local.worker_key(name)).unwrap();
        Config::new(Connect::new(self.url(), name), identity, self.local.trust().unwrap())
    }

    /// Serves a function of the test's own as the worker `name`.
    pub fn serve<F, Fut>(&self, name: &str, function: F) -> Resident
    where
        F: Fn(Job<Launched>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Done, Failure>> + Send + 'static,
    {
        serve(self.worker_config(name), name, function)
    }

    /// A plain connection, with all rights.
    pub async fn connection(&self) -> Connection {
        Connect::new(self.url(), "test").connect().await.unwrap()
    }

    /// The names of a job's records, in order, once the last of them is `end`.
    pub async fn history(&self, worker: &str, job: &JobId, end: &str) -> Vec<String> {
        self.records(worker, job, end).await.iter().map(|record| record.event.name().to_owned()).collect()
    }

    /// A job's records, in order, once the last of them is `end`.
    pub async fn records(&self, worker: &str, job: &JobId, end: &str) -> Vec<Record> {
        let history = History::new(self.connection().await, Namespace::default());
        let worker = worker.parse().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stored = history.all(&worker, job, deadline).await.unwrap();
            let records: Vec<Record> =
                stored.iter().map(|stored| Record::read_unverified(&stored.bytes).unwrap()).collect();
            let last = records.last().map(|record| record.event.name());
            if last == Some(end) {
                return records;
            }
            assert!(Instant::now() < deadline, "the last record is {last:?}, not {end}");
            tokio::task::yield_now().await;
        }
    }

    /// Stops everything.
    pub async fn stop(self) {
        self.local.stop().await.unwrap();
    }
}

/// Serves a function as this worker, in the test's own process.
pub fn serve<F, Fut>(config: Config, name: &str, function: F) -> Resident
where
    F: Fn(Job<Launched>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Done, Failure>> + Send + 'static,
{
    let draining = CancellationToken::new();
    let (stop, name) = (draining.clone(), name.to_owned());
    let served = tokio::spawn(async move { serve_with(config, &name, function, stop).await });
    Resident { draining, served }
}

/// A new identity.
pub fn fresh_key() -> SigningKey {
    SigningKey::generate(&mut rand::rngs::StdRng::from_rng(&mut rand::rng()))
}

/// Waits, but not for ever.
pub async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

/// The private seed in a key file.
pub fn seed(path: &Path) -> String {
    let jwk: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    jwk.get("d").and_then(|d| d.as_str()).unwrap().to_owned()
}
