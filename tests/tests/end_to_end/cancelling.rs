//! Cancelling a job: over its session, by a launcher for its token, by the operator. In each phase, the worker's
//! function ends, and everybody tells the same story.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use rustix::process::Signal;
use serde_json::Value;
use subrosa::local::Plan;
use subrosa_client::{Client, HandlerError, Job, JobError, Timing};
use subrosa_protocol::{
    id::JobId,
    identity::Thumbprint,
    record::{Event, Record},
    subject::{Control, Namespace},
};
use subrosa_tests::{
    gate::{self, Gate, WORKER},
    lab::{Lab, PATIENCE, guarded, patiently},
    processes::{Process, Running, until},
};
use subrosa_transport::{History, RequestError};
use tokio::{sync::Notify, time::Instant};

use crate::{GATED, LAUNCHER, PROGRAM, commands::subrosa, impatient};

async fn lab() -> Lab {
    let plan = Plan { others: vec![WORKER.to_owned()], ..Plan::of(PROGRAM, []) };
    Lab::configured(plan, |_, config| impatient(config)).await
}

/// A client that gives the worker so much time before it goes to a launcher.
async fn client(lab: &Lab, cancel: Duration) -> Client {
    let mut timing = Timing::default();
    timing.cancel = cancel;
    Client::connect(lab.url()).trust(lab.local.trust().unwrap()).timing(timing).await.unwrap()
}

/// A client that leaves it to the worker: a launcher would come too late for these tests.
async fn trusting(lab: &Lab) -> Client {
    client(lab, 2 * PATIENCE).await
}

/// The names of the job's records, and who has signed that it is cancelled, with or without the token.
async fn cancelled(lab: &Lab, id: &JobId) -> (Vec<String>, Thumbprint, bool) {
    let names = lab.history(WORKER, id, "cancelled").await;
    let history = History::new(lab.connection().await, Namespace::default());
    let (worker, deadline) = (WORKER.parse().unwrap(), Instant::now() + PATIENCE);
    let last = history.all(&worker, id, deadline).await.unwrap().pop().unwrap();
    let verified = Record::verify(&last.bytes, id, &worker, &lab.local.trust().unwrap()).unwrap();
    let Event::Cancelled { cancel, .. } = verified.record.event else { panic!("not cancelled") };
    (names, verified.signer, cancel.is_some())
}

fn worker_key(lab: &Lab) -> Thumbprint {
    subrosa_protocol::identity::file::load(lab.local.worker_key(WORKER)).unwrap().thumbprint()
}

async fn is_cancelled(job: Job) -> Option<String> {
    match patiently(job.result::<Value>()).await.unwrap_err() {
        JobError::Cancelled { reason } => reason,
        error => panic!("{error}"),
    }
}

/// A handler of the client's that is never done.
fn stuck(asked: &Arc<Notify>) -> impl Future<Output = Result<Value, HandlerError>> + Send + use<> {
    asked.notify_one();
    std::future::pending()
}

#[tokio::test]
async fn a_job_that_is_still_queued_never_starts() {
    let lab = lab().await;
    let (client, gate) = (trusting(&lab).await, Gate::new().await);
    let job = client.job(WORKER).payload_value(gate.payload()).launch().await.unwrap();
    let id = *job.id();
    job.canceller().cancel();
    assert_eq!(is_cancelled(job).await.as_deref(), Some("the client cancelled the job"));
    let (names, _, by_token) = cancelled(&lab, &id).await;
    assert_eq!((names, by_token), (vec!["queued".to_owned(), "cancelled".to_owned()], true));

    let _worker = lab.serve(WORKER, gate::pass);
    let next = client.job(WORKER).payload_value(gate.payload()).launch().await.unwrap();
    gate.arrival().await.go_on().await;
    assert_eq!(patiently(next.result::<u16>()).await.unwrap().value, 1);
    assert!(gate.is_deserted().await);
    assert_eq!(lab.history(WORKER, &id, "cancelled").await, ["queued", "cancelled"]);
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn the_worker_is_told_over_the_session_in_each_of_its_phases() {
    let lab = lab().await;
    let _worker = lab.serve(WORKER, gate::pass);
    let (client, gate) = (trusting(&lab).await, Gate::new().await);
    for phase in ["options", "payload", "running", "done"] {
        let asked = Arc::new(Notify::new());
        let (at_options, at_payload, at_status) = (asked.clone(), asked.clone(), asked.clone());
        let job = client.job(WORKER).payload_value(gate.payload());
        let job = match phase {
            "options" => job.options(move |_| stuck(&at_options)),
            "payload" => job.payload(move |_| stuck(&at_payload)),
            "done" => job.status(move |_| stuck(&at_status)),
            _ => job,
        };
        let job = job.launch().await.unwrap();
        let (id, canceller) = (*job.id(), job.canceller());
        let visitor = match phase {
            "running" => Some(gate.arrival().await),
            "done" => {
                gate.arrival().await.go_on().await;
                None
            }
            _ => None,
        };
        if phase != "running" {
            patiently(asked.notified()).await;
        }
        canceller.cancel();
        assert_eq!(is_cancelled(job).await.as_deref(), Some("the client cancelled the job"), "{phase}");
        if let Some(visitor) = visitor {
            visitor.is_gone().await;
        }
        let (names, signer, by_token) = cancelled(&lab, &id).await;
        let open: &[&str] = match phase {
            "options" | "payload" => &["queued", "taken"],
            _ => &["queued", "taken", "running"],
        };
        assert_eq!(names, [open, &["cancelled"]].concat(), "{phase}");
        assert_eq!((signer, by_token), (worker_key(&lab), true), "{phase}: by the worker, with its proof");
    }
    assert!(gate.is_deserted().await);
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn where_the_worker_does_not_answer_the_launcher_ends_the_job() {
    let lab = lab().await;
    for signal in [Signal::STOP, Signal::KILL] {
        let (client, gate) = (client(&lab, Duration::from_millis(300)).await, Gate::new().await);
        let mut worker = Running::start(lab.worker_command(WORKER, GATED));
        worker.says("worker ready").await;
        let job = client.job(WORKER).payload_value(gate.payload()).launch().await.unwrap();
        let id = *job.id();
        let visitor = gate.arrival().await;
        worker.signal(signal);
        until("the worker stands still", || Process::is_still(worker.pid())).await;
        job.canceller().cancel();
        assert_eq!(is_cancelled(job).await.as_deref(), Some("the client cancelled the job"));
        let (names, signer, by_token) = cancelled(&lab, &id).await;
        assert_eq!((names.len(), by_token), (4, true), "{names:?}");
        assert_ne!(signer, worker_key(&lab), "by the launcher");
        if signal == Signal::STOP {
            // It finds out, and has nothing to say any more.
            worker.signal(Signal::CONT);
            visitor.is_gone().await;
            worker.signal(Signal::TERM);
        }
        worker.ends().await;
        assert_eq!(lab.history(WORKER, &id, "cancelled").await, names);
        patiently(client.close()).await;
    }
    lab.stop().await;
}

#[tokio::test]
async fn nobody_without_the_token_cancels_over_the_session() {
    let lab = lab().await;
    let _worker = lab.serve(WORKER, gate::pass);
    let (client, gate) = (trusting(&lab).await, Gate::new().await);
    let job = client.job(WORKER).payload_value(gate.payload()).launch().await.unwrap();
    let visitor = gate.arrival().await;
    let records = lab.records(WORKER, job.id(), "running").await;
    let Event::Running { instance } = records[2].event else { panic!("not running") };
    let subject =
        Namespace::default().control(&WORKER.parse().unwrap(), &instance, job.id(), Control::Cancel);
    let attacker = lab.connection().await;
    for junk in [vec![], vec![0; 60], [&[1, 0x84, 0, 1][..], &[0; 300]].concat(), b"{}".to_vec()] {
        let asked = attacker.request(&subject, None, junk.into(), Duration::from_millis(50)).await;
        assert!(matches!(asked, Err(RequestError::Timeout { .. })), "{asked:?}");
    }
    visitor.go_on().await;
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().value, 1);
    patiently(client.close()).await;
    lab.stop().await;
}

async fn launcher(lab: &Lab, job: &str) -> (Option<i32>, String) {
    let mut command = guarded(PROGRAM, LAUNCHER);
    command.args(["cancel", job, "--config"]).arg(lab.local.launcher_config()).env_remove("RUST_LOG");
    let ended = Running::start(command).ends().await;
    (ended.status.code(), ended.text())
}

#[tokio::test]
async fn an_operator_cancels_with_the_launchers_key() {
    let lab = lab().await;
    let _worker = lab.serve(WORKER, gate::pass);
    let (client, gate) = (trusting(&lab).await, Gate::new().await);
    let job = client.job(WORKER).payload_value(gate.payload()).launch().await.unwrap();
    let id = *job.id();
    let visitor = gate.arrival().await;
    for _ in 0..2 {
        let (code, said) = launcher(&lab, &id.to_string()).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&format!("{id}: cancelled")), "{said}");
    }
    assert_eq!(is_cancelled(job).await.as_deref(), Some("the operator cancelled the job"));
    visitor.is_gone().await;
    let (names, signer, by_token) = cancelled(&lab, &id).await;
    assert_eq!((names.len(), by_token), (4, false), "{names:?}");
    assert_ne!(signer, worker_key(&lab));

    let job = client.job(WORKER).payload_value(gate.payload()).launch().await.unwrap();
    let closed = *job.id();
    gate.arrival().await.go_on().await;
    patiently(job.result::<u16>()).await.unwrap();
    lab.history(WORKER, &closed, "closed").await;
    let (code, said) = launcher(&lab, &closed.to_string()).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("the job had ended before: closed"), "{said}");
    let (code, said) = launcher(&lab, &JobId::of(b"another job").to_string()).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("there is no such job"), "{said}");
    patiently(client.close()).await;
    lab.stop().await;
}

/// `subrosa run`, whose function waits at the gate.
fn run(lab: &Lab, gate: &Gate, more: &[&str]) -> Running {
    let mut command = guarded(PROGRAM, PROGRAM);
    let payload = gate.payload().to_string();
    command.args(["run", WORKER, "--nats", lab.url(), "--payload", &payload, "--trust"]);
    command.arg(lab.local.trust_file()).args(more);
    Running::start(command)
}

#[tokio::test]
async fn whoever_has_the_cancel_token_cancels_on_the_command_line() {
    let lab = lab().await;
    let _worker = lab.serve(WORKER, gate::pass);
    let (gate, directory) = (Gate::new().await, tempfile::tempdir().unwrap());
    let file = directory.path().join("job.cancel");
    let token_file = file.to_str().unwrap();
    let process = run(&lab, &gate, &["--json", "--cancel-token", token_file]);
    let visitor = gate.arrival().await;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let jobs = subrosa(&["jobs", "--nats", lab.url()]).await;
    let id = jobs.json["jobs"][0]["job"].as_str().unwrap().to_owned();
    let cancel = |token: [&str; 2]| {
        let args = ["cancel", &id, "--nats", lab.url(), token[0], token[1]].map(str::to_owned);
        async move { subrosa(&args.each_ref().map(String::as_str)).await }
    };
    let wrong = cancel(["--token", &"A".repeat(43)]).await;
    assert_eq!(wrong.error(), (Some(5), "refused"), "{}", wrong.json);
    let none = cancel(["--token", "abc"]).await;
    assert_eq!(none.error(), (Some(2), "usage"), "{}", none.json);
    let said = cancel(["--token-file", token_file]).await;
    assert_eq!((said.code, &said.json["state"]), (Some(0), &"cancelled".into()), "{}", said.stderr);
    visitor.is_gone().await;
    let ended = process.ends().await;
    assert_eq!(ended.status.code(), Some(6), "{}", ended.text());
    assert!(ended.text().contains("the job was cancelled"), "{}", ended.text());
    let again = cancel(["--token-file", token_file]).await;
    assert_eq!(again.code, Some(0), "it is cancelled");

    // A token is never written over.
    let refused = run(&lab, &gate, &["--cancel-token", token_file]).ends().await;
    assert_eq!(refused.status.code(), Some(2), "{}", refused.text());
    lab.stop().await;
}

#[tokio::test]
async fn ctrl_c_cancels_over_the_session() {
    let lab = lab().await;
    let _worker = lab.serve(WORKER, gate::pass);
    let gate = Gate::new().await;
    let mut process = run(&lab, &gate, &[]);
    let visitor = gate.arrival().await;
    process.signal(Signal::INT);
    visitor.is_gone().await;
    process.says("interrupted").await;
    assert_eq!(process.ends().await.status.code(), Some(130));
    let jobs = subrosa(&["jobs", "--nats", lab.url()]).await;
    let id: JobId = jobs.json["jobs"][0]["job"].as_str().unwrap().parse().unwrap();
    let (names, signer, by_token) = cancelled(&lab, &id).await;
    assert_eq!((names.len(), signer, by_token), (4, worker_key(&lab), true), "{names:?}");
    lab.stop().await;
}
