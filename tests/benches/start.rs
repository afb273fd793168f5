//! How long a job that is queued waits until a worker has begun with it:
//!
//! ```console
//! $ cargo bench -p subrosa-tests --bench start
//! $ cargo bench -p subrosa-tests --bench start -- 500
//! ```
//!
//! The second asks for so many jobs of each kind.
//!
//! The time is from the job's message in the queue until the worker's `options`, both as a third party on the same
//! server sees them pass by. Baselines are taken in turn with the jobs, and seen by the same third party:
//!
//! - for a worker that is started for the job: from starting a bare program until its only message is there, which
//!   it sends as soon as it is connected;
//! - for a resident worker: a request that one of a queue group answers.
//!
//! `docs/measured.md` has figures.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement that cannot go on says so")]

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use subrosa::local::Plan;
use subrosa_client::Client;
use subrosa_tests::{
    lab::{Lab, guarded, patiently},
    processes::Running,
};
use subrosa_transport::{Connection, Subscription};

const PROGRAM: &str = env!("CARGO_BIN_EXE_subrosa-under-test");
const WORKER: &str = env!("CARGO_BIN_EXE_chores-worker");
const BARE: &str = env!("CARGO_BIN_EXE_bare-answer");

/// Jobs of each kind.
const ROUNDS: usize = 200;
/// What is not counted, as it is slow the first time.
const WARM_UP: usize = 10;

/// Sees messages pass by, and when.
struct Watcher(Subscription);

impl Watcher {
    async fn new(connection: &Connection, subject: &str) -> Self {
        Self(connection.subscribe(subject).await.unwrap())
    }

    /// Forgets what has passed by so far: a step may be sent twice.
    fn forget(&mut self) {
        while self.0.next().now_or_never().flatten().is_some() {}
    }

    async fn next(&mut self) -> Instant {
        patiently(self.0.next()).await.unwrap();
        Instant::now()
    }
}

/// Times, shortest first once they are all there.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn sorted(mut self) -> Self {
        self.0.drain(..WARM_UP);
        self.0.sort();
        self
    }

    fn at(&self, percent: usize) -> Duration {
        self.0[(self.0.len() - 1) * percent / 100]
    }
}

/// From a job's message in the queue until its worker's `options`.
async fn queue_to_start(
    client: &Client,
    worker: &str,
    queue: &mut Watcher,
    options: &mut Watcher,
) -> Duration {
    let job = client.job(worker).payload_value(json!({ "work_ms": 0, "end": "Done" }));
    queue.forget();
    options.forget();
    let (job, queued, started) = tokio::join!(job.launch(), queue.next(), options.next());
    patiently(job.unwrap().result::<Value>()).await.unwrap();
    started - queued
}

fn row(what: &str, times: &Times, baseline: Option<&Times>) {
    let ratio = |percent| match baseline {
        Some(baseline) => {
            format!("{:.2}", times.at(percent).as_secs_f64() / baseline.at(percent).as_secs_f64())
        }
        None => "1".to_owned(),
    };
    println!("| {what} | {:.2?} | {} | {:.2?} | {} |", times.at(50), ratio(50), times.at(95), ratio(95));
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let rounds = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(ROUNDS);
    let others = ["resident", "started"].map(str::to_owned).to_vec();
    let lab = Lab::configured(Plan { others, ..Plan::of(PROGRAM, []) }, |lab, config| {
        let workers = config["worker"].as_array_mut().unwrap();
        let started = workers.iter_mut().find(|worker| worker["name"].as_str() == Some("started"));
        *started.unwrap() = lab.started("started", &[WORKER, "started"]);
    })
    .await;
    let mut resident = lab.worker_command("resident", WORKER);
    resident.arg("resident");
    let mut resident = Running::start(resident);
    resident.says("worker ready").await;
    let mut answering = guarded(PROGRAM, BARE);
    answering.args([lab.url(), "bare.request", "group"]);
    let _answering = Running::start(answering);

    let (client, connection) = (lab.client().await, lab.connection().await);
    let mut queue = Watcher::new(&connection, "subrosa.v1.queue.*.*").await;
    let mut options = Watcher::new(&connection, "subrosa.v1.client.*.*.options").await;
    let mut bare = Watcher::new(&connection, "bare.started").await;
    let [mut spawned, mut started, mut asked, mut pulled] = [(); 4].map(|()| Times::default());
    for _ in 0..WARM_UP + rounds {
        let start = Instant::now();
        let mut child = tokio::process::Command::new(BARE).args([lab.url(), "bare.started"]).spawn().unwrap();
        spawned.0.push(bare.next().await - start);
        child.wait().await.unwrap();
        started.0.push(queue_to_start(&client, "started", &mut queue, &mut options).await);
        let start = Instant::now();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        connection.request_until("bare.request", None, "x".into(), deadline).await.unwrap();
        asked.0.push(start.elapsed());
        pulled.0.push(queue_to_start(&client, "resident", &mut queue, &mut options).await);
    }
    let [spawned, started, asked, pulled] = [spawned, started, asked, pulled].map(Times::sorted);
    println!("\n{rounds} of each:\n\n| what | median | ratio | 95 % | ratio |\n|---|---|---|---|---|");
    row("a bare program, from its start to its message", &spawned, None);
    row("process: queue to start", &started, Some(&spawned));
    row("a request to a queue group", &asked, None);
    row("resident: queue to start", &pulled, Some(&asked));
    client.close().await;
    lab.stop().await;
}
