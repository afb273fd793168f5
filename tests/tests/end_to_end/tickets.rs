//! Jobs that are left once they run, and whose results are fetched later, by another process.

mod office;
mod programs;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use rustix::process::Signal;
use serde_json::json;
use subrosa::local::Plan;
use subrosa_tests::{checkpoint::Checkpoint, gate, lab::Lab, processes::Running};
use tokio::process::Command;

use self::office::Office;
use crate::{
    GATED, PROGRAM,
    commands::{Said, subrosa},
    impatient,
    job_files::RECIPIENT,
};

async fn say(args: &[String]) -> Said {
    subrosa(&args.iter().map(String::as_str).collect::<Vec<_>>()).await
}

const LIFE: [&str; 5] = ["queued", "taken", "running", "finished", "closed"];

#[tokio::test]
async fn the_result_of_a_job_that_was_left_is_fetched_by_another_process_and_once() {
    let office = Office::new().await;
    let (job, visitor) = office.leave(&["--recipient", RECIPIENT]).await;
    assert_eq!(fs::metadata(office.path("ticket")).unwrap().permissions().mode() & 0o7777, 0o600);
    fs::copy(office.path("ticket"), office.path("copy")).unwrap();
    visitor.go_on().await;
    // Nobody answers the old session: its result is stored.
    assert_eq!(office.history(&job, "finished").await, LIFE[..4]);
    office.stored(2).await;

    let receipt = office.file("receipt");
    let said = office.result("ticket", &["--receipt", &receipt]).await;
    assert_eq!((said.code, &said.json["result"]), (Some(0), &json!(1)), "{}", said.stderr);
    assert_eq!((&said.json["job"], &said.json["attempt"]), (&json!(job), &json!(1)));
    assert_eq!(office.history(&job, "closed").await, LIFE);
    office.stored(0).await;
    let worker = said.json["worker"].as_str().unwrap();

    // The receipt is for what was sent by the process before.
    fs::write(office.path("value"), "1").unwrap();
    let (value, payload, salt) = (office.file("value"), office.file("payload"), office.file("receipt.salt"));
    fs::write(office.path("options"), "null").unwrap();
    let options = office.file("options");
    let shown = ["verify", "receipt", &receipt, "--trust", office.trust(), "--salt-file", &salt];
    let with = ["--result", &value, "--options", &options, "--payload", &payload];
    let said = subrosa(&[&shown[..], &with].concat()).await;
    assert_eq!((said.code, &said.json["signer"]), (Some(0), &json!(worker)), "{}", said.json);

    // A ticket is good for one result, and a copy is no better.
    assert!(!office.path("ticket").exists());
    let said = office.result("ticket", &[]).await;
    assert_eq!(said.error(), (Some(2), "usage"));
    assert!(said.stderr.contains("removed when it is used"), "{}", said.stderr);
    let said = office.result("copy", &[]).await;
    assert_eq!(said.error(), (Some(6), "job_failed"), "{}", said.stderr);
    assert!(said.stderr.contains("fetched before"), "{}", said.stderr);
    assert!(!office.path("copy").exists());
    assert_eq!(office.runs.all(), [(job, 1, 1)]);
    office.lab.stop().await;
}

#[tokio::test]
async fn who_waits_for_the_result_does_not_answer_the_old_session() {
    let office = Office::new().await;
    let (job, visitor) = office.leave(&["--ticket-key", &office.file("identity")]).await;
    let mut checkpoint = Checkpoint::before(office.lab.url()).await;
    checkpoint.stop_at("subrosa.v1.status");
    let mut command = Command::new(PROGRAM);
    command.args(["result", &office.file("ticket"), "--identity-file", &office.file("identity")]);
    command.args(["--nats", checkpoint.url(), "--trust", office.trust(), "--quiet"]);
    let waiting = Running::start(command);
    // It listens for the job by now, and hears every `done`.
    checkpoint.stopped().await.pass();
    visitor.go_on().await;
    let ended = waiting.ends().await;
    assert!(ended.status.success(), "{}", ended.text());
    assert_eq!(ended.said, ["1"]);
    // Answered, it would have been closed by the worker, and never stored.
    assert_eq!(office.history(&job, "closed").await, LIFE);
    office.stored(0).await;
    office.lab.stop().await;
}

#[tokio::test]
async fn a_further_attempt_is_answered_with_what_the_ticket_keeps() {
    let lab =
        Lab::configured(Plan { others: vec![gate::WORKER.to_owned()], ..Plan::of(PROGRAM, []) }, |_, it| {
            impatient(it);
        });
    let office = Office::without_worker(lab.await).await;
    let worker = || async {
        let mut process = Running::start(office.lab.worker_command(gate::WORKER, GATED));
        process.says("worker ready").await;
        process
    };
    let lost = worker().await;
    let (job, _visitor) = office.leave(&["--recipient", RECIPIENT]).await;
    lost.signal(Signal::KILL);
    let other = worker().await;
    let (said, ()) = tokio::join!(office.result("ticket", &[]), async {
        // It was told the way to the gate anew.
        let visitor = office.gate.arrival().await;
        assert_eq!(visitor.pid, other.pid());
        visitor.go_on().await;
    });
    assert_eq!((said.code, &said.json["result"]), (Some(0), &json!(2)), "{}", said.stderr);
    assert_eq!(said.json["attempt"], 2);
    let history = office.history(&job, "closed").await;
    assert_eq!(history, ["queued", "taken", "running", "taken", "running", "closed"]);
    assert!(!office.path("ticket").exists());
    office.lab.stop().await;
}

#[tokio::test]
async fn a_job_that_has_failed_meanwhile_says_so_in_the_workers_words() {
    let office = Office::new().await;
    let (job, visitor) = office.leave(&["--recipient", RECIPIENT]).await;
    visitor.fail().await;
    assert_eq!(office.history(&job, "failed").await.last().unwrap(), "failed");
    let said = office.result("ticket", &[]).await;
    assert_eq!((said.error(), &said.json["job"]), ((Some(6), "job_failed"), &json!(job)));
    assert!(said.stderr.contains("it was sent away"), "{}", said.stderr);
    assert!(!office.path("ticket").exists(), "there is nothing left that it could open");
    office.lab.stop().await;
}

#[tokio::test]
async fn a_job_that_was_left_is_cancelled_with_its_ticket() {
    let office = Office::new().await;
    let (job, visitor) = office.leave(&["--recipient", RECIPIENT]).await;
    fs::copy(office.path("ticket"), office.path("copy")).unwrap();
    let identity = office.file("identity");
    let cancel = async |more: &[&str]| {
        let opened = ["--identity-file", &identity];
        let said = office.with(&["cancel", "--ticket"], "ticket", &[&opened, more].concat()).await;
        assert_eq!((said.code, &said.json["state"]), (Some(0), &json!("cancelled")), "{}", said.stderr);
        said.stderr
    };
    // A launcher may say so of any job.
    assert!(cancel(&[]).await.contains("ticket stays: without --trust"));
    visitor.is_gone().await;
    let strangers = office.trust_without("launcher");
    let strangers = cancel(&["--trust", &strangers]).await;
    assert!(strangers.contains("ticket stays: nobody who is trusted has signed"), "{strangers}");
    assert!(office.path("ticket").exists());
    assert_eq!(cancel(&["--trust", office.trust()]).await, "");
    assert!(!office.path("ticket").exists());
    let said = office.result("copy", &[]).await;
    assert_eq!((said.error(), &said.json["job"]), ((Some(6), "job_failed"), &json!(job)));
    assert!(said.stderr.contains("cancelled"), "{}", said.stderr);
    office.lab.stop().await;
}

#[tokio::test]
async fn a_ticket_opens_for_whom_it_is_sealed_and_only_as_it_was_written() {
    let office = Office::new().await;
    let (_, visitor) = office.leave(&["--recipient", RECIPIENT]).await;
    visitor.go_on().await;
    let ticket = fs::read(office.path("ticket")).unwrap();
    let (identity, wrong, right) = (office.file("identity"), office.file("wrong"), office.file("passphrase"));
    let trust = ["--trust", office.trust()];
    let opened =
        async |opening: &[&str]| office.with(&["result"], "ticket", &[&trust, opening].concat()).await;
    for (opening, why) in [
        (&["--identity-file", wrong.as_str()][..], "non-identity data"),
        (&["--passphrase-file", &right], "sealed for an age recipient"),
        (&[], "--identity-file"),
    ] {
        let said = opened(opening).await;
        assert_eq!(said.error(), (Some(2), "usage"));
        assert!(said.stderr.contains(why), "{}", said.stderr);
    }
    for (what, at) in [("its beginning", 3), ("what is sealed", ticket.len() - 1)] {
        let mut altered = ticket.clone();
        altered[at] ^= 1;
        fs::write(office.path("ticket"), &altered).unwrap();
        let said = opened(&["--identity-file", &identity]).await;
        assert_eq!(said.error(), (Some(2), "usage"), "{what}");
        assert_eq!(fs::read(office.path("ticket")).unwrap(), altered, "it is left as it is");
    }
    fs::write(office.path("ticket"), &ticket).unwrap();
    let said = opened(&["--identity-file", &identity]).await;
    assert_eq!((said.code, &said.json["result"]), (Some(0), &json!(1)), "{}", said.stderr);
    office.lab.stop().await;
}

#[tokio::test]
async fn a_job_without_a_place_for_its_ticket_is_cancelled_and_no_file_is_overwritten() {
    let office = Office::new().await;
    let mut checkpoint = Checkpoint::before(office.lab.url()).await;
    let said = say(&office.leaving(office.lab.url(), &["--recipient", RECIPIENT, "--ticket-key", "x"])).await;
    assert_eq!(said.error(), (Some(2), "usage"), "one of the two");
    let said = say(&office.leaving(office.lab.url(), &[])).await;
    assert_eq!(said.error(), (Some(2), "usage"));
    assert!(said.stderr.contains("--ticket-passphrase-file"), "nobody can be asked: {}", said.stderr);

    checkpoint.stop_at("subrosa.v1.status");
    let leaving = office.leaving(checkpoint.url(), &["--recipient", RECIPIENT]);
    let (said, visitor) = tokio::join!(say(&leaving), async {
        let stopped = checkpoint.stopped().await;
        fs::write(office.path("ticket"), "somebody else's").unwrap();
        stopped.pass();
        office.gate.arrival().await
    });
    assert_eq!(said.error(), (Some(1), "failure"), "{}", said.stderr);
    assert!(said.stderr.contains("there is no ticket, and the job is cancelled"), "{}", said.stderr);
    visitor.is_gone().await;
    assert_eq!(fs::read_to_string(office.path("ticket")).unwrap(), "somebody else's");
    let named = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with(".subrosa");
    let left =
        fs::read_dir(office.desk.path()).unwrap().filter(|entry| named(&entry.as_ref().unwrap().path()));
    assert_eq!(left.count(), 0, "half a ticket");

    let said = say(&office.leaving(office.lab.url(), &["--recipient", RECIPIENT])).await;
    assert_eq!(said.error(), (Some(2), "usage"), "it is seen before anything is launched");
    assert!(said.stderr.contains("exists already"), "{}", said.stderr);
    office.lab.stop().await;
}

#[tokio::test]
async fn a_ticket_stays_until_somebody_who_is_trusted_has_ended_its_job() {
    let office = Office::new().await;
    let (job, visitor) = office.leave(&["--recipient", RECIPIENT]).await;
    visitor.go_on().await;
    office.stored(2).await;
    assert_eq!(office.history(&job, "finished").await, LIFE[..4]);
    let identity = office.file("identity");
    let result = async |trust: &str| {
        office.with(&["result"], "ticket", &["--identity-file", &identity, "--trust", trust]).await
    };
    let said = result(&office.trust_without("worker")).await;
    assert_eq!((said.error(), &said.json["job"]), ((Some(1), "failure"), &json!(job)), "{}", said.stderr);
    assert!(said.stderr.contains("is not trusted"), "{}", said.stderr);
    assert!(office.path("ticket").exists());
    assert_eq!(office.history(&job, "finished").await, LIFE[..4]);
    fs::copy(office.path("ticket"), office.path("copy")).unwrap();
    let said = office.with(&["cancel", "--ticket"], "copy", &["--identity-file", &identity]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    // A launcher may say so of any job.
    let said = result(&office.trust_without("launcher")).await;
    assert_eq!((said.error(), &said.json["job"]), ((Some(1), "failure"), &json!(job)), "{}", said.stderr);
    assert!(said.stderr.contains("cancelled, but nobody who is trusted"), "{}", said.stderr);
    assert!(office.path("ticket").exists());
    let said = result(office.trust()).await;
    assert_eq!(said.error(), (Some(6), "job_failed"), "{}", said.stderr);
    assert!(!office.path("ticket").exists());
    office.lab.stop().await;
}

#[tokio::test]
async fn a_ticket_stays_until_its_job_is_seen_to_be_closed() {
    let office = Office::new().await;
    let (job, visitor) = office.leave(&["--recipient", RECIPIENT]).await;
    visitor.go_on().await;
    assert_eq!(office.history(&job, "finished").await, LIFE[..4]);
    let mut checkpoint = Checkpoint::before(office.lab.url()).await;
    checkpoint.stop_at("subrosa.v1.close");
    let mut command = Command::new(PROGRAM);
    command.args(["result", &office.file("ticket"), "--identity-file", &office.file("identity")]);
    command.args(["--nats", checkpoint.url(), "--trust", office.trust(), "--quiet"]);
    let ended = Running::start(command).ends().await;
    drop(checkpoint.stopped().await);
    assert_eq!((ended.status.code(), &ended.said[..1]), (Some(3), &["1".to_owned()][..]), "{}", ended.text());
    assert!(ended.text().contains("the ticket stays"), "{}", ended.text());
    assert_eq!(office.history(&job, "finished").await, LIFE[..4]);

    let said = office.result("ticket", &[]).await;
    assert_eq!((said.code, &said.json["result"]), (Some(0), &json!(1)), "{}", said.stderr);
    assert_eq!(office.history(&job, "closed").await, LIFE);
    assert!(!office.path("ticket").exists());
    office.lab.stop().await;
}
