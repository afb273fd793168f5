//! Workers that are killed when the client has answered for the last time; and what is never tried again.
//!
//! The deaths in all earlier phases are in `end_to_end/deaths.rs`.

use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::Value;
use subrosa::local::Plan;
use subrosa_client::{Client, JobError, StepCode, Timing};
use subrosa_tests::{
    checkpoint::Checkpoint,
    gate::{self, Gate, WORKER},
    lab::{Lab, fresh_key, guarded, patiently, serve},
    processes::{Process, Running, signal, until},
};

use crate::{
    GATED, PROGRAM,
    told::{DONE_AGAIN, DONE_AT_ONCE, resident, started, text, told},
};

/// What a worker that is killed has not got rid of, or not got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// It knows that the client has the result, and its `closed` never arrives.
    Closed,
    /// The client's answer to `done` never arrives.
    Reply,
}

/// A worker, by the name of which it is told whether a launcher has started it.
fn name(lost: Lost, is_started: bool) -> String {
    format!("{lost:?}-{is_started}").to_lowercase()
}

const CASES: [(Lost, bool); 4] =
    [(Lost::Closed, false), (Lost::Closed, true), (Lost::Reply, false), (Lost::Reply, true)];

/// Launches a job that has one attempt, and kills its worker when the client has answered for the last time.
async fn kill_at_the_end(lab: &Lab, lost: Lost, is_started: bool, mut before_worker: Checkpoint) {
    let (name, gate) = (name(lost, is_started), Gate::new().await);
    let mut resident = None;
    if !is_started {
        let mut command = lab.worker_command(&name, GATED);
        command.arg(&name).env("SUBROSA_NATS_URL", before_worker.url());
        let mut process = Running::start(command);
        process.says("worker ready").await;
        resident = Some(process);
    }
    let mut before_client = Checkpoint::before(lab.url()).await;
    let mut timing = Timing::default();
    timing.settle = Duration::from_millis(100);
    let client = Client::connect(before_client.url()).identity(fresh_key()).timing(timing);
    let client = client.trust(lab.local.trust().unwrap()).await.unwrap();

    let job = client.job(&name).payload_value(gate.payload()).max_attempts(1).launch().await.unwrap();
    let id = *job.id();
    let visitor = gate.arrival().await;
    let pid = visitor.pid;
    match lost {
        Lost::Closed => before_worker.stop_at("subrosa.v1.record.*.*"),
        Lost::Reply => before_client.stop_at("_INBOX.>"),
    }
    visitor.go_on().await;
    let stopped = match lost {
        Lost::Closed => before_worker.stopped().await,
        Lost::Reply => before_client.stopped().await,
    };
    signal(pid, Signal::KILL);
    until("the worker is dead", || !Process::is_running(pid)).await;
    drop(stopped);
    let outcome = patiently(job.result::<u16>()).await.unwrap();
    assert_eq!((outcome.value, outcome.attempt), (1, 1), "{name}");
    // By a launcher, to which the client has shown its token.
    assert_eq!(told(lab, &name, &id, "closed").await, DONE_AT_ONCE, "{name}");
    assert!(gate.is_deserted().await, "{name}: another function has run");
    patiently(client.close()).await;
    drop(resident);
}

#[tokio::test]
async fn what_the_client_has_is_closed_although_its_worker_dies() {
    let others = CASES.map(|(lost, is_started)| name(lost, is_started)).to_vec();
    let plan = Plan { others, launchers: 0, ..Plan::of(PROGRAM, []) };
    let mut lab = Lab::with(plan).await;
    let mut checkpoints = Vec::new();
    for _ in CASES {
        checkpoints.push(Checkpoint::before(lab.url()).await);
    }
    lab.configure(|config| {
        let worker = |(lost, is_started), checkpoint: &Checkpoint| {
            let name = name(lost, is_started);
            if !is_started {
                return toml::toml! { name = name backend = "resident" }.into();
            }
            let toml::Value::Table(mut worker) = lab.started(&name, &[GATED, &name]) else { unreachable!() };
            worker.insert("nats_url".to_owned(), checkpoint.url().into());
            toml::Value::Table(worker)
        };
        let workers: Vec<_> =
            CASES.iter().zip(&checkpoints).map(|(case, checkpoint)| worker(*case, checkpoint)).collect();
        config.insert("worker".to_owned(), workers.into());
    });
    lab.local.start_launcher().unwrap();
    let kills = CASES.into_iter().zip(checkpoints);
    join_all(
        kills.map(|((lost, is_started), checkpoint)| kill_at_the_end(&lab, lost, is_started, checkpoint)),
    )
    .await;
    lab.stop().await;
}

#[tokio::test]
async fn what_a_function_has_returned_is_never_tried_again() {
    let lab = resident().await;
    let _worker = lab.serve(WORKER, gate::pass);
    let client = lab.client().await;
    for how in ["fails", "panics", "hangs"] {
        let gate = Gate::new().await;
        let limit = if how == "hangs" { Duration::from_millis(300) } else { Duration::from_secs(600) };
        let job = client.job(WORKER).payload_value(gate.payload()).timeout(limit).max_attempts(3);
        let job = job.launch().await.unwrap();
        let id = *job.id();
        let visitor = gate.arrival().await;
        let waiting = match how {
            "fails" => {
                visitor.fail().await;
                None
            }
            "panics" => {
                visitor.panic().await;
                None
            }
            _ => Some(visitor),
        };
        let error = patiently(job.result::<Value>()).await.unwrap_err();
        let JobError::Worker { code, message } = &error else { panic!("{how}: {error}") };
        match how {
            "fails" => assert_eq!((*code, message.as_str()), (StepCode::HandlerFailed, "it was sent away")),
            "panics" => assert_eq!(*code, StepCode::HandlerFailed),
            _ => {
                let text = "attempt 1 of 3 ran longer than its timeout of 300ms";
                assert_eq!((*code, message.as_str()), (StepCode::Timeout, text));
            }
        }
        if let Some(visitor) = waiting {
            visitor.is_gone().await;
        }
        let history = [("queued", 0), ("taken", 1), ("running", 1), ("failed", 1)];
        assert_eq!(told(&lab, WORKER, &id, "failed").await, history, "{how}");
        assert!(gate.is_deserted().await, "{how}: another function has run");
    }
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_function_that_never_yields_costs_its_own_job_alone() {
    let lab = resident().await;
    let client = lab.client().await;
    let mut command = lab.worker_command(WORKER, GATED);
    command.env("TOKIO_WORKER_THREADS", "2");
    let mut worker = Running::start(command);
    worker.says("worker ready").await;
    let gate = Gate::new().await;
    let job = client.job(WORKER).payload_value(gate.payload()).timeout(Duration::from_secs(1));
    let job = job.launch().await.unwrap();
    let id = *job.id();
    gate.arrival().await.hang().await;
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    assert!(matches!(&error, JobError::Worker { code: StepCode::Timeout, .. }), "{error}");
    let history = [("queued", 0), ("taken", 1), ("running", 1), ("failed", 1)];
    assert_eq!(told(&lab, WORKER, &id, "failed").await, history);

    let job = client.job(WORKER).payload_value(gate.payload()).launch().await.unwrap();
    let visitor = gate.arrival().await;
    assert_eq!(visitor.pid, worker.pid());
    visitor.go_on().await;
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().attempt, 1);
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_worker_whose_threads_are_all_lost_takes_no_job_from_others() {
    let lab = resident().await;
    let client = lab.client().await;
    let mut command = lab.worker_command(WORKER, GATED);
    command.env("TOKIO_WORKER_THREADS", "1").env("SUBROSA_SLOTS", "2");
    let mut worker = Running::start(command);
    worker.says("worker ready").await;
    let gate = Gate::new().await;
    let hanging = client.job(WORKER).payload_value(gate.payload()).launch().await.unwrap();
    gate.arrival().await.hang().await;

    let job = client.job(WORKER).payload_value(gate.payload()).launch().await.unwrap();
    let id = *job.id();
    worker.says("NOT TAKEN").await;
    let _successor = successor(&lab);
    let visitor = gate.arrival().await;
    assert_eq!(visitor.pid, std::process::id());
    visitor.go_on().await;
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().attempt, 1);
    assert_eq!(told(&lab, WORKER, &id, "closed").await, DONE_AT_ONCE);
    drop(hanging);
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn the_command_tells_of_a_further_attempt_and_of_the_last_one() {
    let lab = started(1, |_| {}).await;
    let gate = Gate::new().await;
    for attempts in ["2", "1"] {
        let mut command = guarded(PROGRAM, PROGRAM);
        let payload = gate.payload().to_string();
        let here = ["--nats", lab.url(), "--trust", text(lab.local.trust_file())];
        command.args(["run", WORKER, "--payload", &payload, "--attempts", attempts]).args(here);
        let mut running = Running::start(command);
        let id = running.says("job ").await.rsplit(' ').next().unwrap().parse().unwrap();
        let lost = gate.arrival().await;
        signal(lost.pid, Signal::KILL);
        lost.is_gone().await;
        if attempts == "2" {
            running.says("attempt 2 of 2 by ").await;
            gate.arrival().await.go_on().await;
            assert_eq!(running.ends().await.status.code(), Some(0));
            assert_eq!(told(&lab, WORKER, &id, "closed").await, DONE_AGAIN);
        } else {
            let ended = running.ends().await;
            assert_eq!(ended.status.code(), Some(6), "{}", ended.text());
            let why = "failed, the only attempt was lost with its worker (attempts_used_up)";
            assert!(ended.text().contains(why), "{}", ended.text());
            let history = [("queued", 0), ("taken", 1), ("running", 1), ("failed", 1)];
            assert_eq!(told(&lab, WORKER, &id, "failed").await, history);
        }
    }
    lab.stop().await;
}

/// A worker of the test's own does the next attempt.
pub(crate) fn successor(lab: &Lab) -> subrosa_tests::lab::Resident {
    let mut config = lab.worker_config(WORKER);
    config.timing.probe = Duration::from_secs(1);
    serve(config, WORKER, gate::pass)
}
