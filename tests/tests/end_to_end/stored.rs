//! Results that outlive a client that is away: stored sealed, read when it comes back, and never made twice.

use std::time::Duration;

use serde_json::Value;
use subrosa_client::{Client, Job, JobError, Timing};
use subrosa_protocol::record::{Event, Record};
use subrosa_tests::{
    checkpoint::Checkpoint,
    gate::{self, Gate, Visitor},
    lab::{Lab, PATIENCE, fresh_key, patiently, serve},
    runs::Runs,
};
use tokio::time::Instant;

use crate::PROGRAM;

/// A client that can be cut off, and a worker that does not wait long for it.
struct Away {
    lab: Lab,
    checkpoint: Checkpoint,
    client: Client,
    gate: Gate,
    runs: Runs,
}

impl Away {
    async fn new() -> Self {
        let lab = Lab::new(PROGRAM, &[], &[gate::WORKER]).await;
        let checkpoint = Checkpoint::before(lab.url()).await;
        let mut timing = Timing::default();
        timing.status = Duration::from_millis(200);
        timing.settle = Duration::from_millis(200);
        let client = Client::connect(checkpoint.url()).identity(fresh_key()).timing(timing);
        let client = client.trust(lab.local.trust().unwrap()).await.unwrap();
        let runs = Runs::default();
        let mut config = lab.worker_config(gate::WORKER);
        config.timing.done = Duration::from_millis(500);
        config.timing.record = Duration::from_secs(2);
        let counted = runs.clone();
        serve(config, gate::WORKER, move |job| {
            counted.count(&job);
            gate::pass(job)
        });
        Self { lab, checkpoint, client, gate: Gate::new().await, runs }
    }

    /// A job whose function waits, and whose client does not hear how it ends.
    async fn cut_off(&self) -> (Job, Visitor) {
        let job = self.client.job(gate::WORKER).payload_value(self.gate.payload()).launch().await.unwrap();
        let visitor = self.gate.arrival().await;
        self.checkpoint.close();
        (job, visitor)
    }

    /// How many messages the store of results has.
    async fn stored(&self) -> u64 {
        let connection = self.lab.connection().await;
        let api = "$JS.API.STREAM.INFO.SUBROSA_RESULTS";
        let answer = connection.request(api, None, "".into(), PATIENCE).await.unwrap();
        let info: Value = serde_json::from_slice(&answer.payload).unwrap();
        info["state"]["messages"].as_u64().unwrap()
    }

    async fn ends(self, job: subrosa_client::JobId) {
        assert_eq!(self.runs.all(), [(job, 1, 1)], "nothing runs twice");
        patiently(self.client.close()).await;
        self.lab.stop().await;
    }
}

fn code(records: &[Record]) -> &str {
    let Event::Failed(reason) = &records.last().unwrap().event else { panic!("not failed") };
    &reason.code
}

#[tokio::test]
async fn a_client_that_comes_back_gets_the_stored_result_and_closes_the_job() {
    let away = Away::new().await;
    let (job, visitor) = away.cut_off().await;
    let id = *job.id();
    visitor.go_on().await;
    let history = away.lab.history(gate::WORKER, &id, "finished").await;
    assert_eq!(history, ["queued", "taken", "running", "finished"]);
    assert_eq!(away.stored().await, 2);

    away.checkpoint.open();
    let outcome = patiently(job.result::<u16>()).await.unwrap();
    assert_eq!((outcome.value, outcome.attempt), (1, 1));
    assert_eq!((outcome.receipt.receipt.job, outcome.receipt.receipt.attempt.get()), (id, 1));
    let history = away.lab.history(gate::WORKER, &id, "closed").await;
    assert_eq!(history, ["queued", "taken", "running", "finished", "closed"]);
    let deadline = Instant::now() + PATIENCE;
    while away.stored().await > 0 {
        assert!(Instant::now() < deadline, "what was taken is still stored");
    }
    away.ends(id).await;
}

#[tokio::test]
async fn a_client_that_comes_back_learns_in_the_workers_words_why_its_job_has_failed() {
    let away = Away::new().await;
    let (job, visitor) = away.cut_off().await;
    let id = *job.id();
    visitor.fail().await;
    assert_eq!(code(&away.lab.records(gate::WORKER, &id, "failed").await), "handler_failed");

    away.checkpoint.open();
    let error = patiently(job.result::<u16>()).await.unwrap_err();
    let JobError::Worker { message, .. } = &error else { panic!("{error}") };
    assert_eq!(message, "it was sent away");
    away.ends(id).await;
}

#[tokio::test]
async fn a_client_whose_last_answer_was_lost_closes_what_the_worker_has_stored() {
    let away = Away::new().await;
    let job = away.client.job(gate::WORKER).payload_value(away.gate.payload());
    let mut checkpoint = away.checkpoint;
    let job = job.launch().await.unwrap();
    let id = *job.id();
    let visitor = away.gate.arrival().await;
    // All that the client says is held up from here on; it still hears everything.
    checkpoint.stop_at("subrosa.v1.status");
    let held = checkpoint.stopped().await;
    visitor.go_on().await;
    let finished = away.lab.history(gate::WORKER, &id, "finished").await;
    assert_eq!(finished, ["queued", "taken", "running", "finished"]);
    drop(held);
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().value, 1);
    let closed = away.lab.history(gate::WORKER, &id, "closed").await;
    assert_eq!(closed, ["queued", "taken", "running", "finished", "closed"]);
    assert_eq!(away.runs.all(), [(id, 1, 1)]);
    patiently(away.client.close()).await;
    away.lab.stop().await;
}

#[tokio::test]
async fn what_may_not_be_stored_is_gone_with_its_client_and_is_not_run_again() {
    let away = Away::new().await;
    let (job, visitor) = away.cut_off().await;
    let id = *job.id();
    let connection = away.lab.connection().await;
    let api = "$JS.API.STREAM.DELETE.SUBROSA_RESULTS";
    connection.request(api, None, "".into(), PATIENCE).await.unwrap();
    visitor.go_on().await;
    assert_eq!(code(&away.lab.records(gate::WORKER, &id, "failed").await), "client_gone");

    away.checkpoint.open();
    let error = patiently(job.result::<u16>()).await.unwrap_err();
    let JobError::Ended { state, code, .. } = &error else { panic!("{error}") };
    assert_eq!((state.as_str(), code.as_deref()), ("failed", Some("client_gone")));
    away.ends(id).await;
}
