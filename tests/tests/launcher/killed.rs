//! A launcher that is killed, or held up, between a job's record and its message in the queue; and two launchers
//! that are asked for the same job.

use std::time::Duration;

use futures_util::future::join;
use rustix::process::Signal;
use serde_json::{Value, json};
use subrosa_tests::{
    checkpoint::{Checkpoint, Stopped},
    lab::{PATIENCE, guarded, patiently},
    processes,
};

use crate::{
    PROGRAM,
    bench::{Bench, Made, made},
};

const LAUNCH: &str = "subrosa.v1.launch.echo";

/// A launcher in a process of its own, that reaches the server through a checkpoint.
async fn launcher(bench: &Bench, checkpoint: &Checkpoint) -> processes::Running {
    let path = bench.local().launcher_config();
    let mut config: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    config.insert(
        "nats".to_owned(),
        toml::Table::from_iter([("url".to_owned(), checkpoint.url().into())]).into(),
    );
    // As long as it may be held up for.
    config.insert("timing".to_owned(), toml::Table::from_iter([("request".to_owned(), "10m".into())]).into());
    let own = path.with_file_name("checked.toml");
    std::fs::write(&own, config.to_string()).unwrap();
    let mut command = guarded(PROGRAM, PROGRAM);
    command.args(["internal", "launcher", "--config"]).arg(own);
    let mut launcher = processes::Running::start(command);
    launcher.says("launcher ready").await;
    launcher
}

/// Kills a launcher that has recorded this job, and not queued it.
async fn kill(bench: &Bench, launcher: processes::Running, stopped: Stopped, made: &Made) {
    assert_eq!(stopped.subject, format!("subrosa.v1.queue.echo.{}", made.id));
    launcher.signal(Signal::KILL);
    assert_eq!(launcher.ends().await.status.code(), None, "it was killed");
    drop(stopped);
    assert_eq!(bench.until(&made.id, "queued").await.len(), 1);
    assert_eq!(bench.queued().await, 0);
}

#[tokio::test]
async fn what_a_killed_launcher_has_not_queued_another_one_queues_when_it_is_asked() {
    let bench = Bench::new(0).await;
    let mut checkpoint = Checkpoint::before(bench.local().server.url()).await;
    let first = launcher(&bench, &checkpoint).await;
    checkpoint.stop_at("subrosa.v1.queue.*.*");
    let made = made();
    // Nobody answers, and so it is asked again, as every client does.
    let replaced = async {
        let stopped = checkpoint.stopped().await;
        kill(&bench, first, stopped, &made).await;
        // It sweeps for nothing that is younger than half a minute.
        bench.run(bench.config()).await
    };
    let (launched, second) = join(bench.launch(&made), replaced).await;
    assert_eq!(launched.unwrap(), json!({ "job": made.id, "state": "queued" }));
    assert_eq!(bench.queued().await, 1);
    assert_eq!(bench.until(&made.id, "queued").await.len(), 1);
    second.stop().await;
    bench.lab.stop().await;
}

#[tokio::test]
async fn what_a_killed_launcher_has_not_queued_the_sweep_queues() {
    let bench = Bench::new(0).await;
    let mut checkpoint = Checkpoint::before(bench.local().server.url()).await;
    let first = launcher(&bench, &checkpoint).await;
    checkpoint.stop_at("subrosa.v1.queue.*.*");
    let made = made();
    // It is asked once; its client is gone.
    let request = made.request.bytes().to_vec();
    bench.connection.publish(LAUNCH, Some("_INBOX.nobody"), request.into()).await.unwrap();
    let stopped = checkpoint.stopped().await;
    kill(&bench, first, stopped, &made).await;
    let mut config = bench.config();
    config.timing.sweep = Duration::from_millis(50);
    config.timing.queued_age = Duration::from_millis(100);
    let second = bench.run(config).await;
    bench.until_queued(1).await;
    assert_eq!(bench.until(&made.id, "queued").await.len(), 1);
    second.stop().await;
    bench.lab.stop().await;
}

#[tokio::test]
async fn two_launchers_that_admit_the_same_job_give_the_same_answer() {
    let bench = Bench::new(0).await;
    let mut checkpoint = Checkpoint::before(bench.local().server.url()).await;
    let _first = launcher(&bench, &checkpoint).await;
    checkpoint.stop_at("subrosa.v1.record.*.*");
    let made = made();
    let mut inbox = bench.connection.inbox();
    let request = made.request.bytes().to_vec();
    bench.connection.publish(LAUNCH, Some(inbox.subject()), request.into()).await.unwrap();
    // The first one has found the job good, and its record is on the way.
    let stopped = checkpoint.stopped().await;
    let second = bench.run(bench.config()).await;
    // Either is asked; the one that is held up does not answer, and so the other one is in the end.
    let queued = json!({ "job": made.id, "state": "queued" });
    assert_eq!(bench.launch(&made).await.unwrap(), queued);
    let written = bench.last(&made.id).await;
    stopped.pass();
    let answer = patiently(inbox.next()).await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&answer.payload).unwrap(), queued);
    assert_eq!(bench.last(&made.id).await, written);
    assert_eq!(bench.until(&made.id, "queued").await.len(), 1);
    bench.connection.round_trip(PATIENCE).await.unwrap();
    assert_eq!(bench.queued().await, 1);
    second.stop().await;
    bench.lab.stop().await;
}
