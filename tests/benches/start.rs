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
//! For workers in containers, `tests/tests/containers/start.rs` measures the same. `docs/measured.md` has figures.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on says so")]

use std::time::{Duration, Instant};

use subrosa::local::Plan;
use subrosa_tests::{
    lab::{Lab, guarded},
    processes::Running,
    start::{Jobs, TABLE, Times, WARM_UP, Watcher},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_subrosa-under-test");
const WORKER: &str = env!("CARGO_BIN_EXE_chores-worker");
const BARE: &str = env!("CARGO_BIN_EXE_bare-answer");

/// Jobs of each kind.
const ROUNDS: usize = 200;

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
    let mut jobs = Jobs::new(&connection).await;
    let mut bare = Watcher::new(&connection, "bare.started").await;
    let [mut spawned, mut started, mut asked, mut pulled] = [(); 4].map(|()| Times::default());
    for _ in 0..WARM_UP + rounds {
        let start = Instant::now();
        let mut child = tokio::process::Command::new(BARE).args([lab.url(), "bare.started"]).spawn().unwrap();
        spawned.push(bare.next().await - start);
        child.wait().await.unwrap();
        started.push(jobs.run(&client, "started").await);
        let start = Instant::now();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        connection.request_until("bare.request", None, "x".into(), deadline).await.unwrap();
        asked.push(start.elapsed());
        pulled.push(jobs.run(&client, "resident").await);
    }
    println!("\n{rounds} of each:\n\n{TABLE}");
    println!("{}", spawned.row("a bare program, from its start to its message", &spawned));
    println!("{}", started.row("process: queue to start", &spawned));
    println!("{}", asked.row("a request to a queue group", &asked));
    println!("{}", pulled.row("resident: queue to start", &asked));
    client.close().await;
    lab.stop().await;
}
