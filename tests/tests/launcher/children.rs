//! Workers that the launcher starts, and that do not do what they should.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use subrosa_launcher::{Config, config::Backend};
use subrosa_protocol::{
    identity::{Signature, Typ},
    record::Event,
    subject::Service,
};
use subrosa_tests::lab::{PATIENCE, fresh_key, patiently};
use subrosa_transport::now_ms;

use crate::{
    PROGRAM,
    bench::{Bench, made, token},
};

/// The configuration with `echo` started by the launcher, as this command.
fn starting(bench: &Bench, command: &[&str]) -> Config {
    Config::from_toml(&configuration(bench, command)).unwrap()
}

fn configuration(bench: &Bench, command: &[&str]) -> String {
    let toml = fs::read_to_string(bench.local().launcher_config()).unwrap();
    let mut config: toml::Table = toml.parse().unwrap();
    let worker = toml::toml! {
        name = "echo"
        backend = "process"
        max_running = 2
    };
    let worker = worker.into_iter().chain([
        ("command".to_owned(), toml::Value::from(command.to_vec())),
        ("key_file".to_owned(), bench.local().worker_key("echo").to_str().unwrap().into()),
        ("trust_file".to_owned(), bench.local().trust_file().to_str().unwrap().into()),
    ]);
    config.insert("worker".to_owned(), vec![worker.collect::<toml::Table>()].into());
    config.to_string()
}

/// The processes whose command line has this text.
fn processes_with(text: &str) -> Vec<String> {
    let is_alive = |process: &Path| {
        let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty())
    };
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            fs::read(path.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(text))
        })
        .filter(|path| is_alive(path))
        .map(|path| path.display().to_string())
        .collect()
}

async fn until_processes(text: &str, count: usize) {
    patiently(async {
        while processes_with(text).len() != count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_process_that_does_not_begin_fails_its_job() {
    let bench = Bench::new(0).await;
    let no_program = bench.local().trust_file().to_str().unwrap().to_owned();
    for command in ["false", &no_program] {
        let launcher = bench.run(starting(&bench, &[command])).await;
        let made = made();
        bench.launch(&made).await.unwrap();
        let records = bench.until(&made.id, "failed").await;
        let Event::Failed(reason) = &records.last().unwrap().event else { panic!() };
        assert_eq!((reason.code.as_str(), records.len()), ("start_failed", 2));
        bench.until_queued(0).await;
        launcher.stop().await;
    }
    bench.lab.stop().await;
}

/// As a resident worker does: launcher and worker judge what is delivered in one and the same way.
#[tokio::test]
async fn a_delivery_that_is_the_job_and_cannot_be_read_fails_it() {
    let bench = Bench::new(0).await;
    let launcher = bench.run(starting(&bench, &["false"])).await;
    let signer = fresh_key();
    let made = made();
    bench.append_queued(&made, now_ms()).await;
    let mut request: Value = serde_json::from_slice(made.request.bytes()).unwrap();
    let payload = request["payload"].as_str().unwrap().to_owned();
    let signature = Signature::sign(&signer, Typ::Job, &payload);
    request["signatures"] = vec![serde_json::to_value(&signature).unwrap(); 17].into();
    let subject = format!("subrosa.v1.queue.echo.{}", made.id);
    bench.request(&subject, request.to_string()).await.unwrap();
    let records = bench.until(&made.id, "failed").await;
    let Event::Failed(reason) = &records.last().unwrap().event else { panic!() };
    assert_eq!((reason.code.as_str(), records.len()), ("bad_request", 2));
    bench.until_queued(0).await;
    launcher.stop().await;
    bench.lab.stop().await;
}

#[tokio::test]
async fn a_job_that_ends_takes_its_process_with_it() {
    let bench = Bench::new(0).await;
    // It answers nothing, and does not mind SIGTERM.
    let mark = format!("4{}", std::process::id());
    let script = format!("trap '' TERM; while :; do sleep 0.{mark}; done");
    let launcher = bench.run(starting(&bench, &["sh", "-c", &script])).await;
    let made = made();
    bench.launch(&made).await.unwrap();
    until_processes(&script, 1).await;
    bench.ask(Service::Cancel, json!({ "job": made.id, "token": token(made.cancel) })).await.unwrap();
    until_processes(&script, 0).await;
    bench.until_queued(0).await;
    launcher.stop().await;
    bench.lab.stop().await;
}

#[tokio::test]
async fn a_launcher_that_ends_leaves_no_process_and_gives_the_job_away() {
    let bench = Bench::new(0).await;
    let mark = format!("5{}", std::process::id());
    let seconds = format!("600.{mark}");
    let mut config = starting(&bench, &["sleep", &seconds]);
    config.timing.drain = Duration::from_millis(100);
    let first = bench.run(config.clone()).await;
    let made = made();
    bench.launch(&made).await.unwrap();
    until_processes(&seconds, 1).await;
    first.stop().await;
    assert_eq!(processes_with(&seconds).len(), 0);
    assert_eq!(bench.last(&made.id).await.sequence, 1, "nothing was written of it");
    let second = bench.run(config).await;
    until_processes(&seconds, 1).await;
    second.stop().await;
    bench.lab.stop().await;
}

#[tokio::test]
async fn no_more_run_at_once_than_allowed() {
    let bench = Bench::new(0).await;
    let seconds = format!("600.6{}", std::process::id());
    let mut config = starting(&bench, &["sleep", &seconds]);
    config.timing.drain = Duration::ZERO;
    let Backend::Process(process) = &config.workers[0].backend else { panic!() };
    assert_eq!(process.per_job.max_running, 2);
    let launcher = bench.run(config).await;
    for _ in 0..5 {
        bench.launch(&made()).await.unwrap();
    }
    until_processes(&seconds, 2).await;
    let deadline = tokio::time::Instant::now() + Duration::from_millis(300).min(PATIENCE);
    while tokio::time::Instant::now() < deadline {
        assert!(processes_with(&seconds).len() <= 2);
        tokio::task::yield_now().await;
    }
    launcher.stop().await;
    bench.lab.stop().await;
}

#[tokio::test]
async fn no_process_outlives_a_launcher_that_is_killed() {
    let bench = Bench::new(0).await;
    let seconds = format!("600.7{}", std::process::id());
    let path = bench.local().launcher_config().with_file_name("killed.toml");
    fs::write(&path, configuration(&bench, &["sleep", &seconds])).unwrap();
    let mut launcher = tokio::process::Command::new(PROGRAM)
        .args(["internal", "launcher", "--config"])
        .arg(&path)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    bench.launch(&made()).await.unwrap();
    until_processes(&seconds, 1).await;
    launcher.kill().await.unwrap();
    until_processes(&seconds, 0).await;
    bench.lab.stop().await;
}
