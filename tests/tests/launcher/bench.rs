//! Jobs and requests made by hand.

use std::path::Path;

use bytes::Bytes;
use rand::SeedableRng as _;
use serde_json::{Value, json};
use subrosa::local::{Local, Plan};
use subrosa_launcher::Config;
use subrosa_protocol::{
    encoding::b64u,
    hpke::RecipientKey,
    id::{Instance, JobId, Sha256Hash, WorkerName},
    identity::{SigningKey, file},
    job::{Description, Job},
    launch::LaunchRequest,
    record::{Event, Record},
    subject::{Namespace, Service},
};
use subrosa_tests::{
    lab::{Lab, PATIENCE, patiently},
    launcher::InProcess,
};
use subrosa_transport::{Commit, Connection, History, Message, Stored, now_ms};
use tokio::time::Instant;

use crate::PROGRAM;

/// A server with the worker `echo`, which nobody serves.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    pub(crate) connection: Connection,
    pub(crate) history: History,
}

/// A job, and what only its client knows.
pub(crate) struct Made {
    pub(crate) id: JobId,
    pub(crate) request: LaunchRequest,
    pub(crate) cancel: [u8; 32],
    pub(crate) close: [u8; 32],
    pub(crate) reply: String,
}

pub(crate) fn echo() -> WorkerName {
    "echo".parse().unwrap()
}

impl Bench {
    /// With so many launchers.
    pub(crate) async fn new(launchers: usize) -> Self {
        let others = vec!["echo".to_owned()];
        let lab = Lab::with(Plan { launchers, others, ..Plan::of(PROGRAM, []) }).await;
        let connection = lab.connection().await;
        let history = History::new(connection.clone(), Namespace::default());
        let bench = Self { lab, connection, history };
        if launchers > 0 {
            // The launchers may still be on their way.
            while bench.ask(Service::Workers, json!({})).await.is_err() {}
        }
        bench
    }

    pub(crate) fn local(&self) -> &Local {
        &self.lab.local
    }

    /// The configuration that the launchers have.
    pub(crate) fn config(&self) -> Config {
        Config::from_file(self.local().launcher_config()).unwrap()
    }

    /// A launcher with this configuration.
    pub(crate) async fn run(&self, config: Config) -> InProcess {
        InProcess::start(&config, PROGRAM).await.unwrap()
    }

    /// Sends a request until somebody answers.
    pub(crate) async fn request(&self, subject: &str, payload: impl Into<Bytes>) -> Result<Value, String> {
        let deadline = Instant::now() + PATIENCE;
        let answer = self.connection.request_until(subject, None, payload.into(), deadline).await;
        outcome(&answer.map_err(|error| error.to_string())?)
    }

    /// Hands in a job; again while the launcher has not counted yet.
    pub(crate) async fn launch(&self, made: &Made) -> Result<Value, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.request("subrosa.v1.launch.echo", made.request.bytes().to_vec()).await {
                Err(refused) if refused.contains("still counts") => assert!(Instant::now() < deadline),
                outcome => return outcome,
            }
        }
    }

    pub(crate) async fn ask(&self, service: Service, question: Value) -> Result<Value, String> {
        self.request(&Namespace::default().service(service), question.to_string()).await
    }

    pub(crate) async fn state(&self, job: &JobId) -> String {
        let status = self.ask(Service::Status, json!({ "job": job })).await.unwrap();
        status["state"].as_str().unwrap().to_owned()
    }

    /// Waits until the job's last record is this one.
    pub(crate) async fn until(&self, job: &JobId, state: &str) -> Vec<Record> {
        self.lab.records("echo", job, state).await
    }

    /// How many messages the queue has.
    pub(crate) async fn queued(&self) -> u64 {
        let info = self.request("$JS.API.STREAM.INFO.SUBROSA_QUEUE", "").await.unwrap();
        info["state"]["messages"].as_u64().unwrap()
    }

    pub(crate) async fn until_queued(&self, expected: u64) {
        patiently(async {
            while self.queued().await != expected {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub(crate) async fn purge_queue(&self) {
        self.request("$JS.API.STREAM.PURGE.SUBROSA_QUEUE", "").await.unwrap();
    }

    /// Appends anything to a job's history.
    pub(crate) async fn append(&self, job: &JobId, prev: Option<&Stored>, bytes: Vec<u8>) -> Stored {
        let deadline = Instant::now() + PATIENCE;
        match self.history.append(&echo(), job, prev, bytes, deadline).await.unwrap() {
            Commit::Won(stored) => stored,
            Commit::Lost(last) => panic!("another record came first: {last:?}"),
        }
    }

    /// The job's first record.
    pub(crate) fn record(&self, made: &Made, at_ms: u64, event: Event) -> Record {
        Record { job: made.id, at_ms, attempt: 0, prev: None, event }
    }

    /// The same, as a launcher would have written it at this time.
    pub(crate) async fn append_queued(&self, made: &Made, at_ms: u64) -> Stored {
        let record = self.record(made, at_ms, Event::Queued { request: made.request.bytes().to_vec() });
        let key = self.local().launcher_config().with_file_name("launcher.jwk");
        self.append(&made.id, None, record.sign(&key_in(&key))).await
    }

    /// A history that ends in a `taken` by this key.
    pub(crate) async fn append_taken(&self, made: &Made, at_ms: u64, key: &SigningKey) {
        let queued = self.append_queued(made, at_ms).await;
        let event = Event::Taken { instance: Instance::random(&mut rand::rng()) };
        let record = Record { job: made.id, at_ms, attempt: 1, prev: Some(queued.hash()), event };
        self.append(&made.id, Some(&queued), record.sign(key)).await;
    }

    /// A history whose result is stored, which was at this time.
    pub(crate) async fn append_finished(&self, made: &Made, at_ms: u64) {
        let mut last = self.append_queued(made, at_ms).await;
        let key = key_in(&self.local().worker_key("echo"));
        let instance = Instance::random(&mut rand::rng());
        for event in [Event::Taken { instance }, Event::Running { instance }, Event::Finished] {
            let record = Record { job: made.id, at_ms, attempt: 1, prev: Some(last.hash()), event };
            last = self.append(&made.id, Some(&last), record.sign(&key)).await;
        }
    }

    pub(crate) async fn last(&self, job: &JobId) -> Stored {
        let deadline = Instant::now() + PATIENCE;
        self.history.last(&echo(), job, deadline).await.unwrap().unwrap()
    }
}

pub(crate) fn key_in(path: &Path) -> SigningKey {
    file::load(path).unwrap()
}

/// What a service answered: its body, or the code word of its refusal.
fn outcome(answer: &Message) -> Result<Value, String> {
    let header = |name| answer.headers.as_ref().and_then(|headers| headers.get(name));
    match header("Nats-Service-Error") {
        None => Ok(serde_json::from_slice(&answer.payload).unwrap()),
        Some(code) => {
            let body: Value = serde_json::from_str(header("Subrosa-Error").unwrap().as_str()).unwrap();
            assert_eq!(body["code"], code.as_str());
            assert!(header("Nats-Service-Error-Code").unwrap().as_str().parse::<u16>().unwrap() >= 400);
            Err(format!("{}: {}", code.as_str(), body["message"].as_str().unwrap()))
        }
    }
}

/// A job for `echo`, after some changes.
pub(crate) fn made_with(change: impl FnOnce(&mut Description)) -> Made {
    made_by(&[], change)
}

pub(crate) fn made() -> Made {
    made_with(|_| {})
}

/// The same, signed.
pub(crate) fn made_by(signers: &[&SigningKey], change: impl FnOnce(&mut Description)) -> Made {
    let mut rng = rand::rngs::StdRng::from_rng(&mut rand::rng());
    let (cancel, close): ([u8; 32], [u8; 32]) = rand::random();
    let reply = Namespace::default().reply("AliceAliceAlice01").unwrap();
    let mut description = Description {
        worker: echo(),
        client: None,
        label: None,
        client_key: *RecipientKey::generate(&mut rng).public(),
        psk_id: None,
        reply: reply.clone(),
        created_ms: now_ms(),
        expires_ms: now_ms() + 600_000,
        timeout_ms: 60_000,
        max_attempts: 3,
        cancel: Sha256Hash::of(cancel),
        close: Sha256Hash::of(Sha256Hash::of(close).0),
        input: None,
    };
    change(&mut description);
    let job = Job::new(description).unwrap();
    let id = *job.id();
    Made {
        id,
        request: LaunchRequest::new(job, signers).unwrap(),
        cancel,
        close,
        reply: reply.subject(&id, "ended"),
    }
}

/// Bytes as they travel in JSON.
pub(crate) fn token(bytes: [u8; 32]) -> String {
    b64u(bytes)
}
