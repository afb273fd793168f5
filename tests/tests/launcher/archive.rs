//! Histories that outlive the stream, and a deployment that lives on from a backup.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use subrosa_client::{Client, Timing};
use subrosa_protocol::subject::Service;
use subrosa_tests::{
    lab::{guarded, patiently},
    processes::{Ended, Running},
};
use subrosa_worker::{Done, Failure, Job, Launched};

use crate::{
    PROGRAM,
    bench::{Bench, Made, made, token},
};

async fn subrosa(args: &[&str]) -> Ended {
    let mut command = guarded(PROGRAM, PROGRAM);
    command.args(args);
    Running::start(command).ends().await
}

/// Archives, and returns how many histories were written and how many had not changed.
async fn archive(bench: &Bench, to: &Path) -> (Value, Value) {
    let to = to.to_str().unwrap();
    let ended = subrosa(&["--json", "audit", "archive", "--nats", bench.lab.url(), "--to", to]).await;
    assert!(ended.status.success(), "{}", ended.text());
    let done: Value = serde_json::from_str(&ended.text()).unwrap();
    (done["written"].clone(), done["unchanged"].clone())
}

/// Judges an archived history without any server.
async fn verify(bench: &Bench, archive: &Path, made: &Made) -> Value {
    let file = archive.join("echo").join(format!("{}.jsonl", made.id));
    let (file, trust) = (file.to_str().unwrap(), bench.local().trust_file().to_str().unwrap());
    let id = made.id.to_string();
    let ended = subrosa(&["--json", "audit", "verify", file, "--trust", trust, "--job", &id]).await;
    assert!(ended.status.success(), "{}", ended.text());
    serde_json::from_str(&ended.text()).unwrap()
}

#[tokio::test]
async fn archived_histories_are_verified_offline_and_only_new_ones_are_written_again() {
    let bench = Bench::new(1).await;
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("archive");
    let (first, second) = (made(), made());
    bench.launch(&first).await.unwrap();
    bench.launch(&second).await.unwrap();
    assert_eq!(archive(&bench, &to).await, (json!(2), json!(0)));
    assert_eq!(verify(&bench, &to, &first).await["finished"], false);
    assert_eq!(archive(&bench, &to).await, (json!(0), json!(2)));

    let question = json!({ "job": first.id, "token": token(first.cancel) });
    bench.ask(Service::Cancel, question).await.unwrap();
    assert_eq!(archive(&bench, &to).await, (json!(1), json!(1)));
    let history = verify(&bench, &to, &first).await;
    assert_eq!((&history["state"], &history["finished"]), (&json!("cancelled"), &json!(true)));
    assert_eq!(verify(&bench, &to, &second).await["state"], "queued");

    // An archive of another stream is not gone on with.
    let args = ["audit", "archive", "--nats", bench.lab.url(), "--to", to.to_str().unwrap()];
    for other in [r#"{"sequence": 1000}"#, r#"{"sequence": 1, "made": "2026-01-01T00:00:00Z"}"#] {
        fs::write(to.join("archive.json"), other).unwrap();
        let ended = subrosa(&args).await;
        assert!(!ended.status.success() && ended.text().contains("use --all"), "{}", ended.text());
    }
    assert!(subrosa(&[&args[..], &["--all"]].concat()).await.status.success());
    bench.lab.stop().await;
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

async fn answer(job: Job<Launched>) -> Result<Done, Failure> {
    let (_, job) = job.options::<Value>(&()).await?;
    let (payload, job) = job.ready::<Value>(&()).await?;
    job.done(&payload).await
}

#[tokio::test]
async fn a_deployment_goes_on_from_a_backup_of_its_store() {
    let mut bench = Bench::new(0).await;
    let launcher = bench.run(bench.config()).await;
    // Who waits asks for the state by and by.
    let mut timing = Timing::default();
    timing.status = Duration::from_secs(1);
    let client = Client::connect(bench.lab.url()).trust(bench.local().trust().unwrap()).timing(timing);
    let client = client.await.unwrap();
    let saved = client.job("echo").payload_value("saved").launch().await.unwrap();
    // A backup is a copy of the store while the server is stopped.
    let store = bench.local().server.state_dir().join("jetstream");
    let backup = tempfile::tempdir().unwrap();
    bench.lab.local.server.restart().await.unwrap();
    bench.lab.local.server.kill().await.unwrap();
    copy(&store, backup.path());
    bench.lab.local.server.restart().await.unwrap();
    let unsaved = client.job("echo").payload_value("unsaved").launch().await.unwrap();

    bench.lab.local.server.kill().await.unwrap();
    fs::remove_dir_all(&store).unwrap();
    copy(backup.path(), &store);
    bench.lab.local.server.restart().await.unwrap();
    let _worker = bench.lab.serve("echo", answer);
    assert_eq!(patiently(saved.result::<Value>()).await.unwrap().value, json!("saved"));
    // There is no such job any more, and so its client launches it again.
    assert_eq!(patiently(unsaved.result::<Value>()).await.unwrap().value, json!("unsaved"));
    patiently(client.close()).await;
    launcher.stop().await;
    bench.lab.stop().await;
}
