//! How processes begin and end, and what happens to a job when one of them is lost.

use std::{fs, time::Duration};

use rustix::process::Signal;
use serde_json::Value;
use subrosa::local::{Backend, Example, Plan};
use subrosa_client::{Client, Job, JobError};
use subrosa_examples::create_proof::{Options, Payload, Proof};
use subrosa_protocol::record::{Event, Record};
use subrosa_tests::{
    gate::{self, Gate},
    lab::{Lab, guarded, patiently, serve},
    processes::{Ended, Process, Running, signal, until},
};
use tokio::process::Command;

use crate::{GATED, PROGRAM, impatient};

/// A launcher that starts the gated worker, one process per job.
async fn with_gated_children() -> Lab {
    let plan = Plan { others: vec![gate::WORKER.to_owned()], ..Plan::of(PROGRAM, []) };
    Lab::configured(plan, |lab, config| {
        impatient(config);
        config.insert("worker".to_owned(), vec![lab.started(gate::WORKER, &[GATED])].into());
    })
    .await
}

async fn gated(client: &Client, gate: &Gate) -> Job {
    client.job(gate::WORKER).payload_value(gate.payload()).launch().await.unwrap()
}

fn reason(records: &[Record]) -> (&str, &str) {
    let Event::Failed(reason) = &records.last().unwrap().event else { panic!("not failed") };
    (&reason.code, &reason.text)
}

#[tokio::test]
async fn a_resident_worker_finishes_what_runs_and_takes_nothing_new() {
    let plan = Plan { others: vec![gate::WORKER.to_owned()], ..Plan::of(PROGRAM, []) };
    let lab = Lab::configured(plan, |_, config| impatient(config)).await;
    let client = lab.client().await;
    let gate = Gate::new().await;
    let mut worker = Running::start(lab.worker_command(gate::WORKER, GATED));
    worker.says("worker ready").await;

    let first = gated(&client, &gate).await;
    let visitor = gate.arrival().await;
    assert_eq!(visitor.pid, worker.pid());
    worker.signal(Signal::TERM);
    worker.says("stopping").await;
    let second = gated(&client, &gate).await;
    let (first_id, second_id) = (*first.id(), *second.id());
    visitor.go_on().await;
    assert_eq!(patiently(first.result::<u16>()).await.unwrap().value, 1);
    let ended = worker.ends().await;
    assert!(ended.status.success(), "{}", ended.text());
    assert_eq!(
        lab.history(gate::WORKER, &first_id, "closed").await,
        ["queued", "taken", "running", "closed"]
    );
    assert_eq!(lab.history(gate::WORKER, &second_id, "queued").await, ["queued"], "it was left alone");

    let successor = lab.serve(gate::WORKER, gate::pass);
    gate.arrival().await.go_on().await;
    assert_eq!(patiently(second.result::<u16>()).await.unwrap().attempt, 1);
    successor.draining.cancel();
    patiently(successor.served).await.unwrap().unwrap();
    lab.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_idle_ends_at_once() {
    let lab = Lab::new(PROGRAM, &[], &[gate::WORKER]).await;
    for end in [Signal::TERM, Signal::INT] {
        let mut worker = Running::start(lab.worker_command(gate::WORKER, GATED));
        worker.says("worker ready").await;
        worker.signal(end);
        let ended = worker.ends().await;
        assert!(ended.status.success(), "{end:?}: {}", ended.text());
        // Also where it has nobody to work for yet.
        let mut worker = lab.worker_command(gate::WORKER, GATED);
        worker.env("SUBROSA_NATS_URL", "nats://127.0.0.1:1");
        let mut worker = Running::start(worker);
        worker.says("no NATS server answers").await;
        worker.signal(end);
        let ended = worker.ends().await;
        assert!(ended.status.success(), "{end:?}: {}", ended.text());
    }
    lab.stop().await;
}

#[tokio::test]
async fn a_lost_worker_is_followed_by_another_and_the_client_answers_it() {
    let plan = Plan { others: vec![gate::WORKER.to_owned()], ..Plan::of(PROGRAM, []) };
    let lab = Lab::configured(plan, |_, config| impatient(config)).await;
    let client = lab.client().await;
    let gate = Gate::new().await;
    let worker = Running::start(lab.worker_command(gate::WORKER, GATED));
    let job = gated(&client, &gate).await;
    let id = *job.id();
    let visitor = gate.arrival().await;
    worker.signal(Signal::KILL);
    visitor.is_gone().await;
    assert_eq!(worker.ends().await.status.code(), None, "it was killed");

    let mut config = lab.worker_config(gate::WORKER);
    config.timing.probe = Duration::from_secs(1);
    let _successor = serve(config, gate::WORKER, gate::pass);
    let visitor = gate.arrival().await;
    assert_eq!(visitor.pid, std::process::id());
    visitor.go_on().await;
    let outcome = patiently(job.result::<u16>()).await.unwrap();
    assert_eq!((outcome.value, outcome.attempt), (2, 2));
    let records = lab.records(gate::WORKER, &id, "closed").await;
    let told: Vec<_> = records.iter().map(|record| (record.event.name(), record.attempt)).collect();
    assert_eq!(
        told,
        [("queued", 0), ("taken", 1), ("running", 1), ("taken", 2), ("running", 2), ("closed", 2)]
    );
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_child_that_is_killed_is_followed_by_another_as_often_as_the_job_allows() {
    let lab = with_gated_children().await;
    let client = lab.client().await;
    let gate = Gate::new().await;

    let job = gated(&client, &gate).await;
    let first = gate.arrival().await;
    signal(first.pid, Signal::KILL);
    let lost = first.pid;
    first.is_gone().await;
    let second = gate.arrival().await;
    assert_ne!(second.pid, lost);
    second.go_on().await;
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().attempt, 2);

    let job = client.job(gate::WORKER).payload_value(gate.payload()).max_attempts(1).launch().await.unwrap();
    let id = *job.id();
    let only = gate.arrival().await;
    signal(only.pid, Signal::KILL);
    only.is_gone().await;
    let error = patiently(job.result::<u16>()).await.unwrap_err();
    let JobError::Ended { state, code, .. } = &error else { panic!("{error}") };
    assert_eq!((state.as_str(), code.as_deref()), ("failed", Some("attempts_used_up")));
    let records = lab.records(gate::WORKER, &id, "failed").await;
    assert_eq!(reason(&records).0, "attempts_used_up");
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn children_die_with_their_launcher_and_another_launcher_goes_on() {
    let mut lab = with_gated_children().await;
    let client = lab.client().await;
    let gate = Gate::new().await;
    let job = gated(&client, &gate).await;
    let visitor = gate.arrival().await;
    let child = visitor.pid;
    let mut launcher = lab.local.launchers.remove(0);
    assert_eq!(Process::children_of(launcher.id().unwrap()).len(), 1);
    launcher.start_kill().unwrap();
    visitor.is_gone().await;
    until("the child is gone", || !Process::is_running(child)).await;
    patiently(launcher.wait()).await.unwrap();

    lab.local.start_launcher().unwrap();
    gate.arrival().await.go_on().await;
    let outcome = patiently(job.result::<u16>()).await.unwrap();
    assert_eq!((outcome.value, outcome.attempt), (2, 2));
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_launcher_that_is_told_to_end_lets_its_children_finish() {
    let mut lab = with_gated_children().await;
    let client = lab.client().await;
    let gate = Gate::new().await;
    let job = gated(&client, &gate).await;
    let visitor = gate.arrival().await;
    let mut launcher = lab.local.launchers.remove(0);
    signal(launcher.id().unwrap(), Signal::TERM);
    until("the launcher says so", || {
        fs::read_to_string(lab.local.log("launcher")).unwrap().contains("about to end")
    })
    .await;
    visitor.go_on().await;
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().attempt, 1);
    assert!(patiently(launcher.wait()).await.unwrap().success());
    lab.stop().await;
}

#[tokio::test]
async fn a_launcher_leaves_no_zombies() {
    let plan = Plan { backend: Backend::Process, ..Plan::of(PROGRAM, [Example::Echo]) };
    let lab = Lab::with(plan).await;
    let client = lab.client().await;
    let jobs = (0..6).map(|n| {
        let job = client.job("echo").payload_value(n);
        async move { patiently(job.launch().await.unwrap().result::<Value>()).await.unwrap().value }
    });
    let results = futures_util::future::join_all(jobs).await;
    assert!((0..6).all(|n| results[n]["payload"] == n), "{results:?}");
    let launcher = lab.local.launchers[0].id().unwrap();
    until("the launcher has no children", || Process::children_of(launcher).is_empty()).await;
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_child_that_does_not_even_begin_fails_its_job() {
    let names = ["missing", "content", "failing", "silent"];
    let plan = Plan { others: names.map(str::to_owned).to_vec(), ..Plan::of(PROGRAM, []) };
    let lab = Lab::configured(plan, |lab, config| {
        let workers = vec![
            // Without a slash it is looked for when it is started.
            lab.started("missing", &["there-is-no-such-program"]),
            lab.started("content", &["true"]),
            lab.started("failing", &["false"]),
            // Served under another name: it refuses the job, and says so in its log only.
            lab.started("silent", &[PROGRAM, "internal", "worker", "echo"]),
        ];
        config.insert("worker".to_owned(), workers.into());
    })
    .await;
    let client = lab.client().await;
    for name in names {
        let job = client.job(name).launch().await.unwrap();
        let id = *job.id();
        let error = patiently(job.result::<Value>()).await.unwrap_err();
        let JobError::Ended { state, code, .. } = &error else { panic!("{name}: {error}") };
        assert_eq!((state.as_str(), code.as_deref()), ("failed", Some("start_failed")), "{name}");
        let records = lab.records(name, &id, "failed").await;
        assert_eq!(records.len(), 2, "{name}");
        assert_eq!(reason(&records).0, "start_failed", "{name}");
    }
    patiently(client.close()).await;
    lab.stop().await;
}

/// A worker that is started by hand for one job, as a launcher would.
fn by_hand(lab: &Lab, name: &str, request: &[u8], attempt: &str) -> Command {
    let mut command = lab.worker_command(name, PROGRAM);
    command.args(["internal", "worker", name]).env("SUBROSA_ATTEMPT", attempt);
    command.env("SUBROSA_JOB", String::from_utf8(request.to_vec()).unwrap());
    command
}

async fn ends(command: Command) -> Ended {
    Running::start(command).ends().await
}

fn failed(ended: &Ended, said: &str) {
    assert_eq!(ended.status.code(), Some(1), "{}", ended.text());
    assert!(ended.text().contains(said), "{said:?} is not in:\n{}", ended.text());
}

#[tokio::test]
async fn a_worker_for_one_job_exits_with_0_only_if_it_was_closed() {
    let lab = Lab::new(PROGRAM, &[], &["echo", "create-proof"]).await;
    let client = lab.client().await;

    let job = client.job("echo").payload_value("by hand").launch().await.unwrap();
    let (id, request_bytes) = (*job.id(), lab.request("echo", job.id()).await);
    // Not the next attempt.
    for attempt in ["2", "10"] {
        failed(
            &ends(by_hand(&lab, "echo", &request_bytes, attempt)).await,
            "its attempt is not the next one",
        );
    }
    assert_eq!(lab.history("echo", &id, "queued").await, ["queued"], "it has written nothing");
    // Another's job.
    failed(&ends(by_hand(&lab, "create-proof", &request_bytes, "1")).await, "the worker refuses it");
    let (ended, outcome) =
        tokio::join!(ends(by_hand(&lab, "echo", &request_bytes, "1")), patiently(job.result::<Value>()));
    assert_eq!(outcome.unwrap().value["payload"], "by hand");
    assert!(ended.status.success(), "{}", ended.text());
    let history = ["queued", "taken", "running", "closed"];
    assert_eq!(lab.history("echo", &id, "closed").await, history);
    // It is over now, whatever the attempt.
    for attempt in ["1", "2"] {
        failed(&ends(by_hand(&lab, "echo", &request_bytes, attempt)).await, "the job is over");
    }
    assert_eq!(lab.history("echo", &id, "closed").await, history);

    // The function fails.
    let job = client
        .job("create-proof")
        .options_value(Options { label: "bound".to_owned() })
        .payload_value(Payload { value: 101 })
        .launch()
        .await
        .unwrap();
    let (id, request_bytes) = (*job.id(), lab.request("create-proof", job.id()).await);
    let (ended, outcome) = tokio::join!(
        ends(by_hand(&lab, "create-proof", &request_bytes, "1")),
        patiently(job.result::<Proof>())
    );
    assert!(matches!(outcome.unwrap_err(), JobError::Worker { .. }));
    failed(&ended, "the job was not closed");
    lab.history("create-proof", &id, "failed").await;

    // The client's handler fails.
    let job = client
        .job("echo")
        .payload(|_| async { Err::<Value, _>(subrosa_client::HandlerError::new("no payload")) })
        .launch()
        .await
        .unwrap();
    let (id, request_bytes) = (*job.id(), lab.request("echo", job.id()).await);
    let (ended, outcome) =
        tokio::join!(ends(by_hand(&lab, "echo", &request_bytes, "1")), patiently(job.result::<Value>()));
    assert!(matches!(outcome.unwrap_err(), JobError::Handler { .. }));
    failed(&ended, "the job was not closed");
    lab.history("echo", &id, "failed").await;
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn an_environment_that_does_not_fit_is_named() {
    let lab = Lab::new(PROGRAM, &[], &["echo"]).await;
    let client = lab.client().await;
    let job = client.job("echo").launch().await.unwrap();
    let request = lab.request("echo", job.id()).await;
    let with = |name: &str, value: &str| {
        let mut command = by_hand(&lab, "echo", &request, "1");
        command.env(name, value);
        command
    };
    let large = "x".repeat(64 * 1024 + 1);
    let loose = lab.local.worker_key("echo").with_extension("loose");
    fs::copy(lab.local.worker_key("echo"), &loose).unwrap();
    fs::set_permissions(&loose, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    for (name, value, said) in [
        ("SUBROSA_JOB", "garbage", "SUBROSA_JOB holds no launch request"),
        ("SUBROSA_JOB", "{}", "SUBROSA_JOB holds no launch request"),
        ("SUBROSA_JOB", &large, "SUBROSA_JOB is over 64 KiB"),
        ("SUBROSA_ATTEMPT", "", "SUBROSA_ATTEMPT"),
        ("SUBROSA_ATTEMPT", "0", "SUBROSA_ATTEMPT"),
        ("SUBROSA_ATTEMPT", "11", "SUBROSA_ATTEMPT"),
        ("SUBROSA_ATTEMPT", "-1", "SUBROSA_ATTEMPT"),
        ("SUBROSA_ATTEMPT", "first", "SUBROSA_ATTEMPT"),
        ("SUBROSA_KEY_FILE", "", "SUBROSA_KEY_FILE"),
        ("SUBROSA_KEY_FILE", "/nonexistent/key.jwk", "no key file /nonexistent/key.jwk"),
        ("SUBROSA_KEY_FILE", loose.to_str().unwrap(), "chmod 600"),
        ("SUBROSA_TRUST_FILE", "", "SUBROSA_TRUST_FILE"),
        ("SUBROSA_TRUST_FILE", "/nonexistent/trust.json", "/nonexistent/trust.json"),
        ("SUBROSA_NAMESPACE", "No Name", "SUBROSA_NAMESPACE"),
        ("SUBROSA_SLOTS", "0", "SUBROSA_SLOTS"),
        ("SUBROSA_SLOTS", "many", "SUBROSA_SLOTS"),
        ("SUBROSA_DRAIN_SECONDS", "-1", "SUBROSA_DRAIN_SECONDS"),
        ("SUBROSA_NATS_URL", "http://127.0.0.1", "is not the URL of a NATS server"),
        ("SUBROSA_NATS_CREDS", "/nonexistent/creds", "/nonexistent/creds"),
        ("SUBROSA_INBOX_PREFIX", "answers", "answers"),
    ] {
        failed(&ends(with(name, value)).await, said);
    }
    let mut bare = guarded(PROGRAM, PROGRAM);
    bare.args(["internal", "worker", "echo"]).env_clear();
    failed(&ends(bare).await, "SUBROSA_KEY_FILE");
    assert_eq!(lab.history("echo", job.id(), "queued").await, ["queued"]);
    drop(job);
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn ctrl_c_leaves_nothing_of_the_demo_behind() {
    for (args, moment) in [
        (&[][..], "A proof about"),
        (&[], "nats-server"),
        (&[], "the client knows"),
        (&["--process"], "launcher"),
        (&["--process"], "queued"),
    ] {
        // On a busy machine the demo may be done before the signal arrives.
        let mut codes = Vec::new();
        while codes.len() < 10 && !codes.contains(&Some(130)) {
            codes.push(interrupt_demo(args, moment).await);
        }
        assert_eq!(codes.pop(), Some(Some(130)), "{moment}");
        assert!(codes.iter().all(|code| *code == Some(0)), "{moment}: {codes:?}");
    }
}

/// Interrupts a demo when it says `moment`; how it ended. Nothing may be left of it.
async fn interrupt_demo(args: &[&str], moment: &str) -> Option<i32> {
    let directory = tempfile::tempdir().unwrap();
    let mut command = guarded(PROGRAM, PROGRAM);
    // Whatever it starts has a path in here in its arguments or environment.
    command.arg("demo").args(args).env("TMPDIR", directory.path());
    let mut demo = Running::start(command);
    demo.says(moment).await;
    demo.signal(Signal::INT);
    let ended = demo.ends().await;
    let code = ended.status.code();
    assert_eq!(ended.text().contains("interrupted"), code == Some(130), "{moment}: {}", ended.text());
    // What was killed on the way out may take a moment to be gone.
    until(moment, || Process::that_know(directory.path()).is_empty()).await;
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{moment}: {left:?}");
    code
}

#[tokio::test]
async fn the_parts_of_a_demo_can_be_found() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = guarded(PROGRAM, PROGRAM);
    command.arg("demo").env("TMPDIR", directory.path());
    let mut demo = Running::start(command);
    demo.says("nats-server").await;
    // Or the tests that look for what is left would find nothing, whatever is left. What is being started
    // shows neither arguments nor environment for a moment.
    let server = || Process::that_know(directory.path()).iter().any(|process| process.name == "nats-server");
    until("the server is found", server).await;
    demo.signal(Signal::KILL);
    until("nothing is found", || Process::that_know(directory.path()).is_empty()).await;
}

#[tokio::test]
async fn nothing_is_left_of_a_demo_that_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = guarded(PROGRAM, PROGRAM);
    command.arg("demo").env("TMPDIR", directory.path());
    let mut demo = Running::start(command);
    demo.says("nats-server").await;
    demo.signal(Signal::KILL);
    assert_eq!(demo.ends().await.status.code(), None);
    // Only its files stay, in the directory for temporary ones.
    until("its processes are gone", || Process::that_know(directory.path()).is_empty()).await;
    assert!(fs::read_dir(directory.path()).unwrap().count() > 0);
}
