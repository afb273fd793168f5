//! Receipts: kept, verified by others, and asked for by every client. And payloads that a job binds.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use subrosa::local::{Example, Plan};
use subrosa_client::{JobError, SigningKey, StepCode, Trust};
use subrosa_protocol::{
    id::{Attempt, Instance},
    identity::file,
    launch::LaunchRequest,
    receipt::{Evidence, ReceiptError, Salt, check},
    session::worker::{Answer, Issue, Offer, Setup},
    subject::Namespace,
    wire::{ErrorMember, Json},
};
use subrosa_tests::lab::{Lab, PATIENCE, fresh_key, patiently};
use subrosa_transport::{Connection, now_ms};
use subrosa_worker::{Done, Failure, Job, Launched};
use tokio::process::Command;

use crate::PROGRAM;

/// How a command ended: its exit code, and what it printed.
async fn subrosa(args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(PROGRAM);
    let output = patiently(command.args(args).env_remove("SUBROSA_TRUST_FILE").output()).await.unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// `subrosa verify receipt` with everything that a job left in this folder, and one option with another value.
async fn verify(folder: &Path, other: Option<(&str, PathBuf)>) -> (Option<i32>, Value) {
    let at = |name: &str| folder.join(name);
    let mut options = vec![
        ("--trust", at("trust.json")),
        ("--cert", at("job.receipt.cert")),
        ("--salt-file", at("job.receipt.salt")),
        ("--result", at("result.json")),
        ("--options", at("options.json")),
        ("--payload", at("payload.json")),
    ];
    if let Some((name, value)) = other {
        options.retain(|(option, _)| *option != name);
        options.push((name, value));
    }
    let receipt = at("job.receipt");
    let mut args = vec!["verify", "receipt", receipt.to_str().unwrap(), "--json"];
    args.extend(options.iter().flat_map(|(name, value)| [*name, value.to_str().unwrap()]));
    let (code, said) = subrosa(&args).await;
    (code, serde_json::from_str(said.lines().next().unwrap()).unwrap_or_else(|_| panic!("{said}")))
}

/// The names of what was checked, and of what of that does not hold.
fn names(report: &Value, good: bool) -> Vec<&str> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks.filter(|check| check["good"] == good).map(|check| check["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_receipt_is_kept_and_verified_offline() {
    let lab = Lab::with(Plan { authority: true, ..Plan::of(PROGRAM, [Example::Echo]) }).await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(at(name), text).unwrap();
    write("options.json", "{ \"loud\": true }\n");
    write("payload.json", "77");
    std::fs::copy(lab.local.trust_file(), at("trust.json")).unwrap();
    let key = at("owner.jwk");
    subrosa(&["key", "new", key.to_str().unwrap()]).await;
    let argument = |name: &str| format!("@{}", at(name).display());
    let (options, payload) = (argument("options.json"), argument("payload.json"));
    let (receipt, trust) = (at("job.receipt"), at("trust.json"));
    let run = [
        &["run", "echo", "--nats", lab.url(), "--quiet", "--bind-input"],
        &["--options", &options, "--payload", &payload][..],
        &["--receipt", receipt.to_str().unwrap(), "--trust", trust.to_str().unwrap()],
        &["--key", key.to_str().unwrap()],
    ]
    .concat();
    let (code, result) = subrosa(&run).await;
    assert_eq!(code, Some(0), "{result}");
    write("result.json", &result);
    let (code, said) = subrosa(&run).await;
    assert_eq!(code, Some(2), "an existing receipt is not overwritten: {said}");
    lab.stop().await;

    // Everything is gone but these files.
    let (code, report) = verify(folder.path(), None).await;
    assert_eq!((code, &report["good"]), (Some(0), &json!(true)), "{report}");
    assert_eq!(names(&report, true), ["signature", "worker", "result", "input"]);
    let owner = file::load(&key).unwrap().thumbprint().to_string();
    assert_eq!(report["receipt"]["client"], json!(owner));
    assert_eq!(report["receipt"]["signers"], json!([owner]));
    assert_eq!((&report["receipt"]["worker"], &report["receipt"]["attempt"]), (&json!("echo"), &json!(1)));

    write("other.json", "78");
    write("other.salt", SALT);
    write("nobody.json", r#"{"keys":[]}"#);
    write("revoked", report["signer"].as_str().unwrap());
    for (option, file, wrong) in [
        ("--result", "other.json", &["result"][..]),
        ("--options", "other.json", &["input"]),
        ("--payload", "other.json", &["input"]),
        ("--salt-file", "other.salt", &["result", "input"]),
        ("--trust", "nobody.json", &["worker"]),
        ("--revoked", "revoked", &["worker"]),
    ] {
        let (code, report) = verify(folder.path(), Some((option, at(file)))).await;
        assert_eq!((code, names(&report, false).as_slice()), (Some(1), wrong), "{option}");
        assert_eq!(report["error"]["code"], "failure");
    }
    let text = std::fs::read_to_string(&receipt).unwrap();
    write("job.receipt", &text.replacen('.', ".A", 1));
    let (code, report) = verify(folder.path(), None).await;
    assert_eq!((code, names(&report, false)), (Some(1), vec!["signature"]));
}

/// The salt of another receipt.
const SALT: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

async fn increment(job: Job<Launched>) -> Result<Done, Failure> {
    let (_, job) = job.options::<Value>(&()).await?;
    let (value, job) = job.ready::<u32>(&()).await?;
    job.done(&(value + 1)).await
}

#[tokio::test]
async fn an_outcome_has_a_receipt_that_others_can_check() {
    let lab = Lab::new(PROGRAM, &[], &["adds-one"]).await;
    let _worker = lab.serve("adds-one", increment);
    let (client, controller) = (lab.client().await, fresh_key());
    let job = client.job("adds-one").payload_value(77).signed_by(&controller).launch().await.unwrap();
    let id = *job.id();
    let outcome = patiently(job.result::<u32>()).await.unwrap();
    let receipt = &outcome.receipt;
    assert_eq!((receipt.receipt.job, receipt.receipt.attempt.get()), (id, outcome.attempt));
    assert_eq!(receipt.receipt.signers.len(), 2);
    assert!(receipt.receipt.signers.contains(&controller.thumbprint()));
    assert!(receipt.receipt.started_ms <= receipt.receipt.finished_ms);

    let trust = lab.local.trust().unwrap();
    let shared: Salt = receipt.salt.reveal().parse().unwrap();
    let evidence = |result| Evidence {
        trust: &trust,
        cert: receipt.cert.as_deref(),
        salt: Some(&shared),
        result: Some(result),
        input: Some((b"null", b"77")),
    };
    let checked = check(&receipt.jws, &evidence(b"78"));
    assert!(checked.holds(), "{:?}", checked.findings);
    assert_eq!(checked.receipt.unwrap().1.thumbprint(), outcome.worker);
    assert!(!check(&receipt.jws, &evidence(b"79")).holds());
    lab.stop().await;
}

#[tokio::test]
async fn another_payload_than_the_bound_one_is_refused() {
    let lab = Lab::new(PROGRAM, &[], &["adds-one"]).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let _worker = lab.serve("adds-one", move |job: Job<Launched>| {
        let runs = counted.clone();
        async move {
            let (_, job) = job.options::<Value>(&()).await?;
            let (value, job) = job.ready::<u32>(&()).await?;
            runs.fetch_add(1, Ordering::SeqCst);
            job.done(&(value + 1)).await
        }
    });
    let client = lab.client().await;
    let bound = || client.job("adds-one").bind_input(&77);

    // What signers approved is a hash in the job, and not the payload.
    let job = bound().payload_value(77).launch().await.unwrap();
    let id = *job.id();
    assert_eq!(patiently(job.result::<u32>()).await.unwrap().value, 78);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    lab.history("adds-one", &id, "closed").await;

    let job = bound().payload_value(78).launch().await.unwrap();
    let id = *job.id();
    let error = patiently(job.result::<u32>()).await.unwrap_err();
    assert!(matches!(error, JobError::Worker { code: StepCode::BadInput, .. }), "{error}");
    assert_eq!(lab.history("adds-one", &id, "failed").await, ["queued", "taken", "failed"]);
    assert_eq!(runs.load(Ordering::SeqCst), 1, "the function never saw it");
    patiently(client.close()).await;
    lab.stop().await;
}

/// A worker by hand, with the right key: what its client answers to a `done` that this other key signed for.
async fn misstate(lab: &Lab, request: &LaunchRequest, signer: &SigningKey) -> ErrorMember {
    let connection = lab.connection().await;
    let identity = file::load(lab.local.worker_key("forger")).unwrap();
    let setup = Setup {
        job: request.job(),
        signers: &request.verify().unwrap(),
        attempt: Attempt::FIRST,
        identity: &identity,
        cert: None,
        instance: Instance::random(&mut rand::rng()),
        max_envelope_bytes: connection.max_payload(),
    };
    let sent = Offer::new(&setup, &mut rand::rng()).unwrap().options(Json(())).unwrap();
    let reply = ask(&connection, request, "options", sent.envelope).await;
    let Answer::Accepted { next, .. } = sent.next.receive(reply).unwrap() else { panic!() };
    let sent = next.ready(Json(())).unwrap();
    let reply = ask(&connection, request, "ready", sent.envelope).await;
    let Answer::Accepted { next, .. } = sent.next.receive(reply).unwrap() else { panic!() };
    let salt = Salt::random(&mut rand::rng());
    let issue = Issue { identity: signer, salt, started_ms: now_ms(), finished_ms: now_ms() };
    let sent = next.done(Json("trust me"), issue).unwrap();
    let reply = ask(&connection, request, "done", sent.envelope).await;
    match sent.next.receive(reply).unwrap() {
        Answer::Failed(error) => error,
        Answer::Accepted { .. } => panic!("it was taken"),
    }
}

/// Sends a step to the client, and waits for the answer.
async fn ask(connection: &Connection, request: &LaunchRequest, step: &str, envelope: Vec<u8>) -> Vec<u8> {
    let job = request.job();
    let subject = job.description().reply.subject(job.id(), step);
    let answer = connection.request(&subject, None, envelope.into(), PATIENCE).await.unwrap();
    answer.payload.into()
}

#[tokio::test]
async fn a_result_whose_receipt_does_not_hold_is_not_taken() {
    let lab = Lab::new(PROGRAM, &[], &["forger"]).await;
    let worker = file::load_public(lab.local.worker_key("forger"));
    let worker = worker.or_else(|_| file::load(lab.local.worker_key("forger")).map(|key| key.public()));
    let (worker, other) = (worker.unwrap(), fresh_key());
    // The other key is trusted as well: it is not the one that served.
    let client = lab.anonymous(Trust::pinned([worker.clone(), other.public()])).await;
    let judged = Arc::new(AtomicUsize::new(0));
    let handler = judged.clone();
    let status = move |_| {
        handler.fetch_add(1, Ordering::SeqCst);
        async { Ok(()) }
    };
    let job = client.job("forger").payload_value("secret").status(status).launch().await.unwrap();
    let request =
        LaunchRequest::parse(&lab.request("forger", job.id()).await, &Namespace::default()).unwrap();
    let (error, told) = tokio::join!(patiently(job.result::<Value>()), misstate(&lab, &request, &other));
    let error = error.unwrap_err();
    let expected = ReceiptError::Signer { signer: other.thumbprint(), worker: worker.thumbprint() };
    assert!(matches!(&error, JobError::Receipt(reason) if *reason == expected), "{error}");
    assert_eq!((told.code, told.message), (StepCode::BadInput, expected.to_string()));
    assert_eq!(judged.load(Ordering::SeqCst), 0, "no handler saw the result");
    patiently(client.close()).await;
    lab.stop().await;
}
