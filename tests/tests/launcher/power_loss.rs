//! A queue whose last writes are lost, as by a power loss, and whose consumer is not.

use std::{fs, path::Path, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};
use subrosa_client::{Client, Job as Launched};
use subrosa_launcher::setup;
use subrosa_tests::{
    lab::{PATIENCE, guarded, patiently},
    processes::Running,
};
use subrosa_transport::Position;
use subrosa_worker::{Done, Failure, Job};
use tokio::time::Instant;

use crate::{
    PROGRAM,
    bench::{Bench, echo},
};

/// What the server keeps of the queue, but for its consumers.
const MESSAGES: &str = "jetstream/$G/streams/SUBROSA_QUEUE/msgs";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

async fn answer(job: Job<subrosa_worker::Launched>) -> Result<Done, Failure> {
    let (_, job) = job.options::<Value>(&()).await?;
    let (payload, job) = job.ready::<Value>(&()).await?;
    job.done(&payload).await
}

async fn job(client: &Client) -> Launched {
    client.job("echo").payload_value(7).launch().await.unwrap()
}

async fn position(bench: &Bench) -> Position {
    let deadline = Instant::now() + PATIENCE;
    Position::read(&bench.connection, &"subrosa".parse().unwrap(), &echo(), deadline).await.unwrap()
}

/// Lets jobs come to their end, and then the queue be as it was before them.
async fn lose_jobs(bench: &mut Bench, client: &Client, jobs: u64) {
    let store = bench.local().server.state_dir().join(MESSAGES);
    let before = tempfile::tempdir().unwrap();
    copy(&store, before.path());
    for _ in 0..jobs {
        patiently(job(client).await.result::<Value>()).await.unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    while position(bench).await.acknowledged < jobs {
        assert!(Instant::now() < deadline, "not acknowledged");
    }
    // In order, so that the consumer's position is on disk.
    bench.lab.local.server.restart().await.unwrap();
    bench.lab.local.server.kill().await.unwrap();
    fs::remove_dir_all(&store).unwrap();
    copy(before.path(), &store);
    bench.lab.local.server.restart().await.unwrap();
}

#[tokio::test]
async fn a_consumer_ahead_of_its_queue_is_said_loudly_and_mended_by_setup() {
    let mut bench = Bench::new(0).await;
    let mut command = guarded(PROGRAM, PROGRAM);
    command.args(["internal", "launcher", "--config"]).arg(bench.local().launcher_config());
    let mut launcher = Running::start(command);
    launcher.says("launcher ready").await;
    let _worker = bench.lab.serve("echo", answer);
    let client = bench.lab.client().await;
    lose_jobs(&mut bench, &client, 3).await;
    let said = launcher.says("THE CONSUMER IS AHEAD OF ITS QUEUE").await;
    assert!(said.contains("ERROR") && said.contains("--setup") && said.contains("worker=echo"), "{said}");
    assert!(position(&bench).await.is_ahead(), "the server does not mend it itself");

    let waiting = job(&client).await;
    let mut doctor = guarded(PROGRAM, PROGRAM);
    doctor.args(["--json", "doctor", "--nats", bench.lab.url()]);
    let diagnosis = Running::start(doctor).ends().await;
    assert!(!diagnosis.status.success());
    assert!(diagnosis.text().contains("the consumer of echo is ahead of its queue"), "{}", diagnosis.text());

    setup(&bench.config()).await.unwrap();
    assert_eq!(patiently(waiting.result::<Value>()).await.unwrap().value, json!(7));
    assert!(!position(&bench).await.is_ahead());
    patiently(client.close()).await;
    launcher.signal(Signal::TERM);
    launcher.ends().await;
    bench.lab.stop().await;
}

#[tokio::test]
async fn setup_mends_a_consumer_also_when_the_queue_has_grown_beyond_it() {
    let mut bench = Bench::new(0).await;
    let launcher = bench.run(bench.config()).await;
    let _worker = bench.lab.serve("echo", answer);
    let client = bench.lab.client().await;
    lose_jobs(&mut bench, &client, 1).await;
    // It takes the place of the one that was lost.
    let waiting = job(&client).await;
    let position = position(&bench).await;
    assert!(!position.is_ahead() && position.end == 1, "{position:?}");
    let namespace = "subrosa".parse().unwrap();
    let passed_over = async || {
        let deadline = Instant::now() + PATIENCE;
        position.has_passed_over(&bench.connection, &namespace, &echo(), deadline).await.unwrap()
    };
    assert!(passed_over().await);
    setup(&bench.config()).await.unwrap();
    assert_eq!(patiently(waiting.result::<Value>()).await.unwrap().value, json!(7));
    patiently(client.close()).await;
    launcher.stop().await;
    bench.lab.stop().await;
}

#[tokio::test]
async fn the_sweep_queues_anew_what_the_server_has_lost_track_of() {
    let mut bench = Bench::new(0).await;
    let mut config = bench.config();
    (config.timing.sweep, config.timing.queued_age) = (Duration::from_secs(1), Duration::from_secs(1));
    let launcher = bench.run(config).await;
    let _worker = bench.lab.serve("echo", answer);
    let client = bench.lab.client().await;
    lose_jobs(&mut bench, &client, 1).await;
    let waiting = job(&client).await;
    assert_eq!(patiently(waiting.result::<Value>()).await.unwrap().value, json!(7));
    patiently(client.close()).await;
    launcher.stop().await;
    bench.lab.stop().await;
}
