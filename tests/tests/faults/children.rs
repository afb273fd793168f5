//! Processes that a launcher starts for one job each, and that die or hang.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use subrosa::local::Plan;
use subrosa_client::{JobError, StepCode};
use subrosa_tests::{
    gate::{Gate, WORKER},
    lab::{Lab, patiently},
    processes::{Process, signal, until},
};
use subrosa_transport::Connect;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::Instant,
};

use crate::{
    GATED, PROGRAM,
    told::{DONE_AGAIN, DONE_AT_ONCE, ended, started, told},
};

/// A launcher whose child is this command.
async fn with_child(command: &[&str]) -> Lab {
    let command = command.to_vec();
    started(1, |worker| {
        worker.insert("command".to_owned(), command.into());
    })
    .await
}

#[tokio::test]
async fn a_child_that_dies_or_hangs_before_it_has_taken_its_job_fails_it() {
    // The second one does not even mind SIGTERM.
    for command in [&["false"][..], &["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]] {
        let lab = with_child(command).await;
        let client = lab.client().await;
        let job = client.job(WORKER).launch().await.unwrap();
        let id = *job.id();
        let error = patiently(job.result::<Value>()).await.unwrap_err();
        let text = "the worker's process ended before it took the job";
        assert_eq!(ended(&error), ("failed", "start_failed", text), "{command:?}");
        assert_eq!(told(&lab, WORKER, &id, "failed").await, [("queued", 0), ("failed", 0)], "{command:?}");
        let launcher = lab.local.launchers[0].id().unwrap();
        until("the child is gone", || Process::children_of(launcher).is_empty()).await;
        patiently(client.close()).await;
        lab.stop().await;
    }
}

/// It takes longer than anybody else would try to connect.
#[tokio::test]
async fn a_child_waits_for_the_server_as_long_as_its_job_does() {
    let way = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plan = Plan { others: vec![WORKER.to_owned()], ..Plan::of(PROGRAM, []) };
    let lab = Lab::configured(plan, |lab, config| {
        let toml::Value::Table(mut worker) = lab.started(WORKER, &[GATED]) else { unreachable!() };
        worker.insert("nats_url".to_owned(), format!("nats://{}", way.local_addr().unwrap()).into());
        config.insert("worker".to_owned(), vec![worker].into());
    })
    .await;
    let (client, gate) = (lab.client().await, Gate::new().await);
    let job = client.job(WORKER).payload_value(gate.payload()).launch().await.unwrap();
    let id = *job.id();
    let limit = Connect::new(lab.url(), "test").deadline.unwrap();
    let (first, _) = patiently(way.accept()).await.unwrap();
    drop(first);
    let since = Instant::now();
    let mut child = loop {
        let (child, _) = patiently(way.accept()).await.unwrap();
        if since.elapsed() > limit {
            break child;
        }
    };
    let mut server = TcpStream::connect(lab.url().strip_prefix("nats://").unwrap()).await.unwrap();
    let passing = tokio::spawn(async move { copy_bidirectional(&mut child, &mut server).await });
    patiently(gate.arrival()).await.go_on().await;
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().attempt, 1);
    assert_eq!(told(&lab, WORKER, &id, "closed").await, DONE_AT_ONCE);
    patiently(client.close()).await;
    lab.stop().await;
    passing.abort();
}

#[tokio::test]
async fn a_child_that_stands_still_is_ended_and_followed_by_another() {
    let lab = started(1, |_| {}).await;
    let (client, gate) = (lab.client().await, Gate::new().await);
    let job = client.job(WORKER).payload_value(gate.payload()).launch().await.unwrap();
    let id = *job.id();
    let first = gate.arrival().await;
    let child = first.pid;
    signal(child, Signal::STOP);
    first.is_gone().await;
    until("the child is gone", || !Process::is_running(child)).await;
    let second = gate.arrival().await;
    assert_ne!(second.pid, child);
    second.go_on().await;
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().attempt, 2);
    assert_eq!(told(&lab, WORKER, &id, "closed").await, DONE_AGAIN);
    assert!(gate.is_deserted().await, "another function has run");
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_child_whose_function_never_yields_is_ended_with_its_job() {
    let lab = started(1, |_| {}).await;
    let (client, gate) = (lab.client().await, Gate::new().await);
    let job = client.job(WORKER).payload_value(gate.payload()).timeout(Duration::from_secs(1));
    let job = job.launch().await.unwrap();
    let id = *job.id();
    let visitor = gate.arrival().await;
    let child = visitor.pid;
    visitor.hang().await;
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    assert!(matches!(&error, JobError::Worker { code: StepCode::Timeout, .. }), "{error}");
    let history = [("queued", 0), ("taken", 1), ("running", 1), ("failed", 1)];
    assert_eq!(told(&lab, WORKER, &id, "failed").await, history);
    until("the child is gone", || !Process::is_running(child)).await;
    assert!(gate.is_deserted().await, "another function has run");
    patiently(client.close()).await;
    lab.stop().await;
}
