//! A deployment on a real nats-server, with workers of the test's own.

use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::pin,
    process::Stdio,
    task::Poll,
    time::Duration,
};

use futures_util::poll;
use rand::SeedableRng as _;
use subrosa::{
    local::{Backend, Example, Local, Plan},
    server::Server,
};
use subrosa_client::{Client, SigningKey, Trust};
use subrosa_launcher::Guard;
use subrosa_protocol::{
    id::JobId,
    identity::file,
    record::{Event, Record},
    subject::Namespace,
};
use subrosa_transport::{Connect, Connection, History};
use subrosa_worker::{Config, Done, Error, Failure, Job, Launched, serve_with};
use tokio::{process::Command, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::container::Nats;

/// Nothing in these tests takes this long unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A deployment; everything of it ends with the test.
pub struct Lab {
    /// Server, launcher and example workers.
    pub local: Local,
    program: PathBuf,
    /// The server, if it is not the deployment's own.
    container: Option<Nats>,
    /// Where the servers are, if they are somebody else's.
    elsewhere: Option<String>,
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
        match Nats::if_wanted(&plan.program).await {
            Some(container) => Self::on(container, plan).await,
            None => Self::on_its_own(plan).await,
        }
    }

    async fn on_its_own(plan: Plan) -> Self {
        let program = plan.program.clone();
        let local = Local::start(plan, &mut |_: &str| {}).await.unwrap();
        Self { local, program, container: None, elsewhere: None }
    }

    /// A deployment on servers elsewhere, without example workers, whose launchers are configured in another way
    /// than the plan says. Its own server stays idle.
    pub async fn at(url: &str, mut plan: Plan, change: impl FnOnce(&Self, &mut toml::Table)) -> Self {
        let launchers = std::mem::take(&mut plan.launchers);
        let mut lab = Self::on_its_own(plan).await;
        lab.elsewhere = Some(url.to_owned());
        lab.configure(|config| _ = config.insert("nats".to_owned(), toml::toml! { url = url }.into()));
        lab.launched(launchers, change).await
    }

    /// A deployment on a server of the test's own, whose launchers are configured in another way than the plan says.
    pub async fn on_server(
        server: Server,
        mut plan: Plan,
        change: impl FnOnce(&Self, &mut toml::Table),
    ) -> Self {
        let (launchers, program) = (std::mem::take(&mut plan.launchers), plan.program.clone());
        let local = Local::on(server, plan).await.unwrap();
        Self { local, program, container: None, elsewhere: None }.launched(launchers, change).await
    }

    /// A deployment on the server in this container.
    pub async fn on(container: Nats, plan: Plan) -> Self {
        let Plan { workers, mut others, backend, launchers, replicas, program, .. } = plan;
        let examples: Vec<&str> = workers.iter().map(|worker| worker.name()).collect();
        others.extend(examples.iter().map(|name| (*name).to_owned()));
        // Its own server stays idle.
        let mut lab = Self::on_its_own(Plan { others, launchers: 0, ..Plan::of(&program, []) }).await;
        let url = container.url().to_owned();
        lab.container = Some(container);
        let program = program.to_str().unwrap();
        let command = |name| ["internal", "worker", name];
        lab.configure(|config| {
            config.insert("nats".to_owned(), toml::toml! { url = url }.into());
            let Some(workers) = config.get_mut("worker").and_then(toml::Value::as_array_mut) else { return };
            for worker in workers {
                let example = examples.iter().find(|name| worker["name"].as_str() == Some(name));
                if let (Backend::Process, Some(name)) = (backend, example) {
                    *worker = lab.started(name, &[&[program], &command(name)[..]].concat());
                }
            }
        });
        lab.set_up().await;
        for _ in 0..launchers {
            lab.local.start_launcher().unwrap();
        }
        let resident = examples.iter().filter(|_| backend == Backend::Resident);
        for name in resident.flat_map(|name| std::iter::repeat_n(name, replicas)) {
            let mut worker = lab.worker_command(name, program);
            worker.args(command(name)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            lab.local.workers.push(worker.spawn().unwrap());
        }
        lab
    }

    /// A deployment whose launchers are configured in another way than the plan says.
    pub async fn configured(mut plan: Plan, change: impl FnOnce(&Self, &mut toml::Table)) -> Self {
        let launchers = std::mem::take(&mut plan.launchers);
        Self::with(plan).await.launched(launchers, change).await
    }

    /// The same with its launchers, after a change of their configuration.
    async fn launched(mut self, launchers: usize, change: impl FnOnce(&Self, &mut toml::Table)) -> Self {
        self.configure(|config| change(&self, config));
        self.set_up().await;
        for _ in 0..launchers {
            self.local.start_launcher().unwrap();
        }
        self
    }

    /// Changes the launchers' configuration file.
    pub fn configure(&self, change: impl FnOnce(&mut toml::Table)) {
        let path = self.local.launcher_config();
        let mut config = std::fs::read_to_string(path).unwrap().parse().unwrap();
        change(&mut config);
        std::fs::write(path, config.to_string()).unwrap();
    }

    /// Makes the streams and consumers as the launchers' configuration file says.
    pub async fn set_up(&self) {
        let config = subrosa_launcher::Config::from_file(self.local.launcher_config()).unwrap();
        subrosa_launcher::setup(&config).await.unwrap();
    }

    /// The configuration of a worker that the launchers start, one process per job.
    pub fn started(&self, name: &str, command: &[&str]) -> toml::Value {
        let mut worker = toml::Table::new();
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        worker.insert("name".to_owned(), name.into());
        worker.insert("backend".to_owned(), "process".into());
        worker.insert("command".to_owned(), command.to_vec().into());
        worker.insert("key_file".to_owned(), path(&self.local.worker_key(name)).into());
        worker.insert("trust_file".to_owned(), path(self.local.trust_file()).into());
        worker.into()
    }

    /// A program that is told by its environment to be this worker, resident.
    pub fn worker_command(&self, name: &str, program: &str) -> Command {
        let mut command = guarded(&self.program, program);
        command
            .env("SUBROSA_NATS_URL", self.url())
            .env("SUBROSA_KEY_FILE", self.local.worker_key(name))
            .env("SUBROSA_TRUST_FILE", self.local.trust_file());
        command
    }

    /// The server's URL.
    pub fn url(&self) -> &str {
        let elsewhere = self.elsewhere.as_deref().unwrap_or(self.local.server.url());
        self.container.as_ref().map_or(elsewhere, Nats::url)
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

    /// The launch request in the record that a job's history begins with.
    pub async fn request(&self, worker: &str, job: &JobId) -> Vec<u8> {
        let mut records = self.records(worker, job, "queued").await;
        let Event::Queued { request } = records.remove(0).event else { panic!("not queued") };
        request
    }

    /// Stops everything.
    pub async fn stop(self) {
        if let Some(container) = self.stop_all_but_container().await {
            container.stop().await;
        }
    }

    /// Stops everything but the container that it is on, if it is on one.
    pub async fn stop_all_but_container(self) -> Option<Nats> {
        self.local.stop().await.unwrap();
        self.container
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
    let served = tokio::spawn(async move {
        let mut served = pin!(serve_with(config, &name, function, stop));
        let begun = poll!(&mut served);
        // A worker hides what panics say. Those of the tests in this process are to be read.
        drop(std::panic::take_hook());
        match begun {
            Poll::Ready(ended) => ended,
            Poll::Pending => served.await,
        }
    });
    Resident { draining, served }
}

/// A command whose process dies with this test; `guard` is the program that sees to it.
pub fn guarded(guard: impl Into<PathBuf>, program: &str) -> Command {
    Guard::new(guard.into()).command(program)
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
