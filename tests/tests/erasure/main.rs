//! That keys are overwritten when a job is over, by whatever path it ends: looked for in the memory of a
//! client and a worker that live on.
//!
//! The two are built apart, with the feature `danger-expose-keys`, by which they tell each key at its birth,
//! masked. With the same feature the overwriting can be left out: then the keys must be found.
//!
//! What is not looked for: the workers' and clients' signing keys, which are not a job's; the close token of
//! a job that was closed and the cancel token of one that was cancelled, which stand in its history then, for
//! all to read.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on says so")]

mod site;

use std::{fs, path::Path};

use rustix::process::Signal;
use subrosa_tests::{gate::Visitor, memory::Secret};

use self::site::{Probe, Site, WORKER, probe};

/// The program that users run.
const PROGRAM: &str = env!("CARGO_BIN_EXE_subrosa-under-test");
/// The launcher by itself, as operators run it.
const LAUNCHER: &str = env!("CARGO_BIN_EXE_subrosa-launcher-under-test");

/// How a job is made to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The function is let go on.
    GoOn,
    /// The function returns an error.
    Fail,
    /// The function panics.
    Panic,
    /// The client drops the job's handle.
    Drop,
    /// The client cancels the job.
    Cancel,
    /// Nothing is done: the function runs out of time.
    Wait,
    /// A handler of the client's ends the job before the function is reached.
    Before,
}

/// The paths on which a job ends: what it is, the client's arguments, and what the test does.
const PATHS: [(&str, &[&str], End); 12] = [
    ("a result", &[], End::GoOn),
    ("the function fails", &[], End::Fail),
    ("the function panics", &[], End::Panic),
    ("the function takes too long", &["--timeout-ms=300"], End::Wait),
    ("the client drops the job", &[], End::Drop),
    ("the client cancels the job", &[], End::Cancel),
    ("the handler of the options fails", &["--breaks=options", "--how=fails"], End::Before),
    ("the handler of the payload fails", &["--breaks=payload", "--how=fails"], End::Before),
    ("the handler of the status fails", &["--breaks=status", "--how=fails"], End::GoOn),
    ("the handler of the options panics", &["--breaks=options", "--how=panics"], End::Before),
    ("the handler of the payload panics", &["--breaks=payload", "--how=panics"], End::Before),
    ("the handler of the status panics", &["--breaks=status", "--how=panics"], End::GoOn),
];

/// What a client holds of a job while its function runs: both bodies, as another attempt may ask for them.
const CLIENT_LIVE: [&str; 7] = [
    "cancel token",
    "client's private key",
    "close token",
    "key to the client",
    "key to the worker",
    "options",
    "payload",
];
/// What a worker holds then; its function has put the options away.
const WORKER_LIVE: [&str; 3] = ["key to the client", "key to the worker", "payload"];

/// What a worker tells of a session: its private key, the Diffie-Hellman result, four steps of derivation,
/// and three exports. A client tells all but the first.
const SESSION: usize = 1 + 1 + 4 + 3;

/// What was found that should not be, or not found that should be.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    /// Looks for these secrets in a process. Only `allowed` may be there; the rest is gone.
    async fn only(&mut self, what: &str, process: &Probe, secrets: &[Secret], allowed: &[&str]) {
        let mut found = process.holds(secrets).await;
        found.retain(|name, _| !allowed.contains(&name.as_str()));
        if !found.is_empty() {
            self.0.push(format!("{what}: {found:?}"));
        }
    }

    /// The same, and everything that may be there is.
    async fn just(&mut self, what: &str, process: &Probe, secrets: &[Secret], live: &[&str]) {
        let found = process.holds(secrets).await;
        if !found.keys().eq(live) {
            self.0.push(format!("{what}: {found:?}"));
        }
    }

    #[track_caller]
    fn are_none(self) {
        assert!(self.0.is_empty(), "{}", self.0.join("\n"));
    }
}

/// What both have told up to now.
fn told_so_far(client: &Probe, worker: &Probe) -> Vec<Secret> {
    let mut secrets = client.secrets();
    secrets.extend(worker.secrets());
    secrets
}

/// What both have told, once each has had the session's keys.
fn told(client: &Probe, worker: &Probe) -> Vec<Secret> {
    let secrets = told_so_far(client, worker);
    // The client's key pair and two tokens, two bodies, and the session twice.
    assert!(secrets.len() >= 3 + 2 + 2 * SESSION - 1, "{secrets:?}");
    secrets
}

async fn end(end: End, client: &Probe, visitor: Visitor) {
    match end {
        End::GoOn => visitor.go_on().await,
        End::Fail => visitor.fail().await,
        End::Panic => visitor.panic().await,
        End::Drop => client.process.signal(Signal::USR1),
        End::Cancel => client.process.signal(Signal::USR2),
        End::Wait | End::Before => visitor.is_gone().await,
    }
}

#[tokio::test]
async fn no_key_outlives_its_job_by_whatever_path_it_ends() {
    let site = Site::new(true).await;
    let mut faults = Faults::default();
    for (path, args, how) in PATHS {
        let mut worker = site.worker(&[]).await;
        let mut client = site.client(WORKER, args);
        if how != End::Before {
            end(how, &client, site.gate.arrival().await).await;
        }
        client.process.says("over").await;
        // The worker may not have had the client's last answer yet.
        let secrets = told_so_far(&client, &worker);
        // The one token with which the launcher can be told, unless the end is known already.
        let kept = if path == "a result" { "close token" } else { "cancel token" };
        // What an app gives up is over for it before anything is done about that.
        if how != End::Drop {
            faults.only(&format!("{path}, client, over"), &client, &secrets, &[kept]).await;
        }
        client.process.says("forgotten").await;
        worker.process.says("job left").await;
        let secrets = told(&client, &worker);
        let public: &[&str] = match how {
            End::GoOn if path == "a result" => &["close token"],
            End::Drop | End::Cancel => &["cancel token"],
            _ => &[],
        };
        // It was shown in the open if the client did not learn of the end otherwise: the scan before has held
        // it up.
        faults.only(&format!("{path}, client, forgotten"), &client, &secrets, &[kept]).await;
        faults.only(&format!("{path}, worker"), &worker, &secrets, public).await;
    }
    site.lab.stop().await;
    faults.are_none();
}

#[tokio::test]
async fn while_a_job_runs_just_the_keys_that_it_needs_are_there() {
    let site = Site::new(true).await;
    let (worker, client) = (site.worker(&[]).await, site.client(WORKER, &[]));
    let visitor = site.gate.arrival().await;
    let secrets = told(&client, &worker);
    let mut faults = Faults::default();
    faults.just("client", &client, &secrets, &CLIENT_LIVE).await;
    faults.just("worker", &worker, &secrets, &WORKER_LIVE).await;
    visitor.go_on().await;
    site.lab.stop().await;
    faults.are_none();
}

#[tokio::test]
async fn without_the_overwriting_the_keys_are_found() {
    let site = Site::new(false).await;
    let mut worker = site.worker(&[]).await;
    let mut client = site.client(WORKER, &[]);
    site.gate.arrival().await.go_on().await;
    client.process.says("forgotten").await;
    worker.process.says("job left").await;
    let secrets = told(&client, &worker);
    for probe in [&client, &worker] {
        // What the allocator has not given to others meanwhile.
        let mut found = probe.holds(&secrets).await;
        found.remove("close token");
        assert!(!found.is_empty(), "nothing is found");
    }
    site.lab.stop().await;
}

#[tokio::test]
async fn an_attempt_that_is_overtaken_leaves_no_key_on_either_side() {
    let site = Site::new(true).await;
    let mut frozen = site.worker(&[]).await;
    let mut client = site.client(WORKER, &[]);
    let first = site.gate.arrival().await;
    let old = told(&client, &frozen);
    frozen.process.signal(Signal::STOP);
    let mut successor = site.worker(&[]).await;
    let visitor = site.gate.arrival().await;
    let mut faults = Faults::default();
    let kept = ["cancel token", "client's private key", "close token", "options", "payload"];
    faults.just("client, the old attempt", &client, &old, &kept).await;
    let new = successor.secrets();
    faults.just("client, the new attempt", &client, &new, &WORKER_LIVE[..2]).await;
    frozen.process.signal(Signal::CONT);
    first.is_gone().await;
    frozen.process.says("outcome=Overtaken").await;
    faults.only("the old worker", &frozen, &old, &[]).await;
    visitor.go_on().await;
    client.process.says("forgotten").await;
    successor.process.says("job left").await;
    for (name, probe) in [("client", &client), ("the new worker", &successor)] {
        for secrets in [&old, &new] {
            faults.only(&format!("{name}, at the end"), probe, secrets, &["close token"]).await;
        }
    }
    site.lab.stop().await;
    faults.are_none();
}

#[tokio::test]
async fn a_worker_whose_client_is_gone_keeps_no_key() {
    let site = Site::new(true).await;
    let mut worker = site.worker(&["--done-ms=300"]).await;
    let client = site.client(WORKER, &[]);
    let visitor = site.gate.arrival().await;
    let secrets = told(&client, &worker);
    drop(client);
    visitor.go_on().await;
    let mut faults = Faults::default();
    worker.process.says("outcome=Finished").await;
    faults.only("its answer to done is missing", &worker, &secrets, &[]).await;
    drop(worker);

    let mut worker = site.worker(&["--ready-ms=300"]).await;
    let mut client = site.client(WORKER, &["--breaks=payload", "--how=hangs"]);
    client.process.says("hangs").await;
    let mut secrets = worker.secrets();
    // Another attempt may have begun.
    secrets.truncate(SESSION);
    worker.process.says("outcome=LetGo").await;
    faults.only("its payload is missing", &worker, &secrets, &[]).await;
    site.lab.stop().await;
    faults.are_none();
}

#[tokio::test]
async fn a_client_that_has_left_keeps_no_key_beside_its_ticket() {
    let site = Site::new(true).await;
    let mut worker = site.worker(&["--done-ms=300"]).await;
    let mut client = site.client(WORKER, &["--leaves"]);
    let visitor = site.gate.arrival().await;
    client.process.says("forgotten").await;
    let secrets = told(&client, &worker);
    let mut faults = Faults::default();
    faults.only("the client, its ticket dropped", &client, &secrets, &[]).await;
    faults.just("the worker, which runs on", &worker, &secrets, &WORKER_LIVE).await;
    visitor.go_on().await;
    worker.process.says("outcome=Finished").await;
    faults.only("the worker, its result stored", &worker, &secrets, &[]).await;
    site.lab.stop().await;
    faults.are_none();
}

#[tokio::test]
async fn a_job_that_is_refused_leaves_no_key() {
    let site = Site::new(true).await;
    let mut client = site.client("nobody", &[]);
    client.process.says("over").await;
    let secrets = client.secrets();
    assert_eq!(secrets.len(), 3 + 2, "{secrets:?}");
    let mut faults = Faults::default();
    faults.only("client", &client, &secrets, &[]).await;
    site.lab.stop().await;
    faults.are_none();
}

#[test]
fn programs_of_ours_tell_no_keys() {
    let tells = |program: &Path| {
        // The standard library searches texts fast, also in tests that are not optimised.
        String::from_utf8_lossy(&fs::read(program).unwrap()).contains("SUBROSA_DANGER_")
    };
    assert!(tells(probe()));
    for program in [PROGRAM, LAUNCHER] {
        assert!(!tells(Path::new(program)), "{program}");
    }
}
