//! What goes on, and what ends, while the server or a launcher is out of reach.

use std::{sync::Arc, time::Duration};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use subrosa_client::JobError;
use subrosa_tests::{
    gate::{self, Gate},
    lab::{Lab, PATIENCE, patiently, serve},
    runs::Runs,
};
use subrosa_worker::Failure;
use tokio::time::Instant;

use crate::PROGRAM;

/// Waits until `holds`, letting everything else go on meanwhile.
async fn until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it does not come about");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_job_ends_at_its_deadline_although_the_server_is_gone() {
    let mut lab = Lab::new(PROGRAM, &[], &["nobody"]).await;
    let client = lab.client().await;
    let job = client.job("nobody").expires_in(Duration::from_secs(1)).launch().await.unwrap();
    lab.local.server.kill().await.unwrap();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    assert!(matches!(error, JobError::NoWorker { .. }), "{error}");
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn an_idle_worker_ends_although_the_server_is_gone() {
    let mut lab = Lab::new(PROGRAM, &[], &["idle"]).await;
    let worker = lab.serve("idle", |_job| async move { Err(Failure::new("never asked")) });
    // A job that went through says that the worker is there.
    let client = lab.client().await;
    let job = client.job("idle").launch().await.unwrap();
    let id = *job.id();
    patiently(job.result::<Value>()).await.unwrap_err();
    lab.history("idle", &id, "failed").await;
    lab.local.server.kill().await.unwrap();
    worker.draining.cancel();
    patiently(worker.served).await.unwrap().unwrap();
    lab.stop().await;
}

#[tokio::test]
async fn nothing_of_a_dropped_job_is_kept_while_no_launcher_answers() {
    let mut lab = Lab::new(PROGRAM, &[], &["nobody"]).await;
    let client = lab.client().await;
    let secret = Arc::new("a payload".to_owned());
    let held = secret.clone();
    let mut job = client
        .job("nobody")
        .payload(move |_| {
            let payload = held.clone();
            async move { Ok(json!(*payload)) }
        })
        .launch()
        .await
        .unwrap();
    let mut events = job.events();
    for launcher in &mut lab.local.launchers {
        launcher.kill().await.unwrap();
    }
    drop(job);
    until(|| Arc::strong_count(&secret) == 1).await;
    while patiently(events.next()).await.is_some() {}
    lab.stop().await;
}

#[tokio::test]
async fn jobs_outlive_their_server_queued_and_running() {
    let mut lab = Lab::new(PROGRAM, &[], &["gated"]).await;
    let client = lab.client().await;
    let runs = Runs::default();
    let mut config = lab.worker_config("gated");
    config.slots = 3;
    let counted = runs.clone();
    let _worker = serve(config, "gated", move |job| {
        counted.count(&job);
        gate::pass(job)
    });
    let gate = Gate::new().await;
    let mut jobs = Vec::new();
    for _ in 0..8 {
        jobs.push(client.job("gated").payload_value(gate.payload()).launch().await.unwrap());
    }
    let (first, second, third) = (gate.arrival().await, gate.arrival().await, gate.arrival().await);

    lab.local.server.kill().await.unwrap();
    // One function ends while there is no server, and two after it is back; five jobs are in the queue.
    first.go_on().await;
    lab.local.server.restart().await.unwrap();
    second.go_on().await;
    third.go_on().await;
    let rest = async {
        for _ in 0..5 {
            gate.arrival().await.go_on().await;
        }
    };
    let ids: Vec<_> = jobs.iter().map(|job| *job.id()).collect();
    let results = join_all(jobs.into_iter().map(|job| patiently(job.result::<u16>())));
    let (results, ()) = join(results, rest).await;
    for (id, outcome) in ids.iter().zip(results) {
        let outcome = outcome.unwrap();
        assert_eq!((outcome.value, outcome.attempt), (1, 1), "{id}");
        let history = lab.history("gated", id, "closed").await;
        assert_eq!(history, ["queued", "taken", "running", "closed"], "{id}");
    }
    let mut expected: Vec<_> = ids.into_iter().map(|id| (id, 1, 1)).collect();
    expected.sort();
    assert_eq!(runs.all(), expected);
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_closed_client_leaves_no_task_behind() {
    let lab = Lab::new(PROGRAM, &[], &["nobody"]).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    for _ in 0..3 {
        patiently(lab.client().await.close()).await;
    }
    until(|| metrics.num_alive_tasks() <= before).await;
    lab.stop().await;
}
