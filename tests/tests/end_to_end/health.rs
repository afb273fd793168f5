//! Health checks of a launcher and a resident worker, in processes of their own.

use rustix::process::Signal;
use subrosa::local::Plan;
use subrosa_tests::{
    gate::{self, Gate},
    lab::{Lab, PATIENCE, guarded, patiently},
    metrics::Endpoint,
    processes::Running,
};

use crate::{GATED, LAUNCHER, PROGRAM, guarded_launcher, impatient};

const LISTEN: &str = "127.0.0.1:0";

/// A deployment whose launcher is not started yet, and answers health checks when it is.
async fn lab() -> Lab {
    let plan = Plan { others: vec![gate::WORKER.to_owned()], launchers: 0, ..Plan::of(PROGRAM, []) };
    Lab::configured(plan, |_, config| {
        impatient(config);
        config.extend(toml::toml! { health = { listen = "127.0.0.1:0", sample = "100ms" } });
    })
    .await
}

async fn worker(lab: &Lab) -> (Running, Endpoint) {
    let mut command = lab.worker_command(gate::WORKER, GATED);
    command.env("SUBROSA_HEALTH_LISTEN", LISTEN);
    let mut worker = Running::start(command);
    let endpoint = Endpoint::of(&mut worker).await;
    (worker, endpoint)
}

async fn launcher(lab: &Lab) -> (Running, Endpoint) {
    let mut launcher = guarded_launcher(lab);
    let endpoint = Endpoint::of(&mut launcher).await;
    (launcher, endpoint)
}

/// What the program says that images have in place of a shell.
async fn checked(endpoint: Endpoint, more: &[&str]) -> (bool, String) {
    let mut command = guarded(PROGRAM, LAUNCHER);
    command.args(["health", "--address", &endpoint.0.to_string()]).args(more);
    let ended = Running::start(command).ends().await;
    (ended.status.success(), ended.text())
}

#[tokio::test]
async fn who_has_lost_the_server_is_alive_and_not_ready_until_it_is_back() {
    let mut lab = lab().await;
    let (launcher, at_launcher) = launcher(&lab).await;
    let (worker, at_worker) = worker(&lab).await;
    for endpoint in [at_launcher, at_worker] {
        endpoint.until(200, "ready").await;
        assert_eq!(checked(endpoint, &[]).await, (true, String::new()));
    }
    lab.local.server.kill().await.unwrap();
    for endpoint in [at_launcher, at_worker] {
        endpoint.until(503, "not ready: it is not connected to NATS").await;
        let alive = endpoint.ask("GET", "/healthz").await;
        assert_eq!((alive.status, alive.body.as_str()), (200, "alive\n"));
        let (is_ready, reason) = checked(endpoint, &[]).await;
        assert!(!is_ready && reason.contains("not connected to NATS"), "{reason}");
        assert_eq!(checked(endpoint, &["--live"]).await, (true, String::new()));
    }
    lab.local.server.restart().await.unwrap();
    for endpoint in [at_launcher, at_worker] {
        endpoint.until(200, "ready").await;
    }
    for process in [launcher, worker] {
        process.signal(Signal::TERM);
        let ended = process.ends().await;
        assert!(ended.status.success(), "{}", ended.text());
    }
    let (is_ready, reason) = checked(at_launcher, &[]).await;
    assert!(!is_ready && reason.contains("no answer from"), "{reason}");
    lab.stop().await;
}

#[tokio::test]
async fn who_waits_for_the_server_is_alive_and_says_that_it_is_starting() {
    let mut lab = lab().await;
    lab.local.server.kill().await.unwrap();
    let (launcher, at_launcher) = launcher(&lab).await;
    let (worker, at_worker) = worker(&lab).await;
    for endpoint in [at_launcher, at_worker] {
        endpoint.until(503, "not ready: it is starting").await;
        assert_eq!(endpoint.ask("GET", "/healthz").await.status, 200);
    }
    lab.local.server.restart().await.unwrap();
    for endpoint in [at_launcher, at_worker] {
        endpoint.until(200, "ready").await;
    }
    drop((launcher, worker));
    lab.stop().await;
}

#[tokio::test]
async fn a_worker_that_drains_is_alive_and_takes_nothing_more() {
    let lab = lab().await;
    let (_launcher, at_launcher) = launcher(&lab).await;
    let (worker, endpoint) = worker(&lab).await;
    at_launcher.until(200, "ready").await;
    let (client, gate) = (lab.client().await, Gate::new().await);
    let job = client.job(gate::WORKER).payload_value(gate.payload()).launch().await.unwrap();
    let visitor = gate.arrival().await;
    endpoint.until(200, "ready").await;
    worker.signal(Signal::TERM);
    endpoint.until(503, "not ready: it is about to end").await;
    assert_eq!(endpoint.ask("GET", "/healthz").await.status, 200);
    visitor.go_on().await;
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().value, 1);
    assert!(worker.ends().await.status.success());
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_launcher_whose_workers_consumer_is_gone_is_not_ready_until_it_is_made_again() {
    let lab = lab().await;
    let (_launcher, endpoint) = launcher(&lab).await;
    endpoint.until(200, "ready").await;
    let connection = lab.connection().await;
    let delete = format!("$JS.API.CONSUMER.DELETE.SUBROSA_QUEUE.{}", gate::WORKER);
    connection.request(&delete, None, "".into(), PATIENCE).await.unwrap();
    let said = format!("not ready: the server knows no queue of the worker {}", gate::WORKER);
    endpoint.until(503, &said).await;
    assert_eq!(endpoint.ask("GET", "/healthz").await.status, 200);
    lab.set_up().await;
    endpoint.until(200, "ready").await;
    lab.stop().await;
}

#[tokio::test]
async fn who_is_not_trusted_any_more_is_not_ready() {
    let lab = lab().await;
    let revoked = lab.local.trust_file().with_file_name("revoked.txt");
    std::fs::write(&revoked, "").unwrap();
    lab.configure(|config| {
        config.insert("revoked_file".to_owned(), revoked.to_str().unwrap().into());
    });
    let (_launcher, at_launcher) = launcher(&lab).await;
    let mut command = lab.worker_command(gate::WORKER, GATED);
    command.env("SUBROSA_HEALTH_LISTEN", LISTEN).env("SUBROSA_REVOKED_FILE", &revoked);
    let mut worker = Running::start(command);
    let at_worker = Endpoint::of(&mut worker).await;
    for endpoint in [at_launcher, at_worker] {
        endpoint.until(200, "ready").await;
    }
    let keys: Vec<String> = [gate::WORKER, "launcher"]
        .iter()
        .map(|name| {
            let key = subrosa_protocol::identity::file::load(lab.local.worker_key(name)).unwrap();
            key.thumbprint().to_string()
        })
        .collect();
    let new = revoked.with_extension("new");
    std::fs::write(&new, keys.join("\n")).unwrap();
    std::fs::rename(new, &revoked).unwrap();
    for endpoint in [at_launcher, at_worker] {
        endpoint.until(503, "revoked").await;
    }
    lab.stop().await;
}

#[tokio::test]
async fn without_being_told_nobody_listens_for_health_checks() {
    let lab = Lab::new(PROGRAM, &[], &[gate::WORKER]).await;
    let mut worker = Running::start(lab.worker_command(gate::WORKER, GATED));
    worker.says("worker ready").await;
    assert!(!listens(worker.pid()));
    drop(worker);
    // The same look finds one that does.
    let (worker, _) = self::worker(&lab).await;
    assert!(listens(worker.pid()));
    lab.stop().await;
}

/// Whether a process listens for TCP connections.
fn listens(pid: u32) -> bool {
    let sockets = sockets_of(pid);
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    // The fourth column is the state, of which 0A is listening; the tenth is the socket's inode.
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    table.lines().map(columns).any(|line| line[3] == "0A" && sockets.contains(&line[9]))
}

/// The inodes of a process's sockets.
fn sockets_of(pid: u32) -> Vec<String> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().filter_map(Result::ok);
    let names = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    let inode = |name: std::path::PathBuf| {
        let name = name.to_str()?.to_owned();
        Some(name.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    names.filter_map(inode).collect()
}

#[tokio::test]
async fn only_what_is_offered_is_answered() {
    let lab = lab().await;
    let (_launcher, endpoint) = launcher(&lab).await;
    endpoint.until(200, "ready").await;
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/healthz/", 404),
        ("GET", "/metrics?x=1", 200),
        ("POST", "/metrics", 405),
        ("DELETE", "/healthz", 405),
        ("POST", "/other", 404),
    ] {
        let answer = endpoint.ask(method, path).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert_eq!(status == 405, answer.head.contains("allow: get, head"));
    }
    let head = endpoint.ask("HEAD", "/metrics").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    // What is too large, or no HTTP, is turned away, and what is asked next is answered.
    for bad in [
        format!("GET /healthz HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(100_000)),
        format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000)),
        format!("GET /healthz HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1000)),
        "\u{1}\u{2}\r\n\r\n".to_owned(),
    ] {
        let answer = endpoint.send(bad.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    // Those who say nothing do not keep others from being answered.
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(patiently(tokio::net::TcpStream::connect(endpoint.0)).await.unwrap());
    }
    assert_eq!(endpoint.ask("GET", "/healthz").await.status, 200);
    drop(silent);
    lab.stop().await;
}

#[tokio::test]
async fn the_numbers_move_with_the_jobs() {
    let lab = lab().await;
    lab.configure(|config| {
        config["timing"].as_table_mut().unwrap().insert("sweep".to_owned(), "1s".into());
    });
    let (_launcher, at_launcher) = launcher(&lab).await;
    let mut command = lab.worker_command(gate::WORKER, GATED);
    command.env("SUBROSA_HEALTH_LISTEN", LISTEN).env("SUBROSA_SLOTS", "1");
    let mut first = Running::start(command);
    let at_first = Endpoint::of(&mut first).await;
    at_launcher.until(200, "ready").await;
    at_first.until(200, "ready").await;
    let (client, gate) = (lab.client().await, Gate::new().await);
    let launch = async || client.job(gate::WORKER).payload_value(gate.payload()).launch().await.unwrap();

    // One job runs, and another one waits.
    let (runs, visitor) = (launch().await, gate.arrival().await);
    let waits = launch().await;
    let (runs_id, waits_id) = (*runs.id(), *waits.id());
    let gated = [r#"worker="gated""#];
    let queue = at_launcher.numbers_once("a job waits", |numbers| {
        let is = |name: &str, value: f64| numbers.sum(name, &gated) == value;
        is("subrosa_queue_pending", 1.0)
            && is("subrosa_queue_in_flight", 1.0)
            && numbers.sum("subrosa_jobs_open", &[]) == 2.0
            && numbers.sum("subrosa_queue_oldest_age_seconds", &gated) > 0.0
    });
    let queue = queue.await;
    assert_eq!(queue.sum("subrosa_launcher_records_total", &[r#"state="queued""#]), 2.0);
    assert_eq!(queue.sum("subrosa_launcher_request_duration_seconds_count", &[r#"service="launch""#]), 2.0);
    assert_eq!(queue.sum("subrosa_nats_connected", &[]), 1.0);
    let numbers = at_first.numbers().await;
    assert_eq!(numbers.sum("subrosa_worker_in_flight", &gated), 1.0);
    assert_eq!(numbers.sum("subrosa_worker_slots", &gated), 1.0);

    // The worker is lost with its job, and another one takes it over, as well as the one that waits.
    first.signal(Signal::KILL);
    visitor.is_gone().await;
    first.ends().await;
    let (_second, at_second) = worker(&lab).await;
    gate.arrival().await.go_on().await;
    gate.arrival().await.go_on().await;
    let attempts = [runs, waits].map(|job| patiently(job.result::<u16>()));
    let [runs, waits] = attempts;
    assert_eq!((runs.await.unwrap().attempt, waits.await.unwrap().attempt), (2, 1));
    patiently(client.close()).await;
    let numbers = at_second.numbers_once("both are closed", |numbers| {
        numbers.sum("subrosa_worker_attempts_total", &[r#"outcome="closed""#]) == 2.0
    });
    let numbers = numbers.await;
    for (name, labels, expected) in [
        ("subrosa_worker_takeovers_total", "", 1.0),
        ("subrosa_worker_in_flight", "", 0.0),
        ("subrosa_worker_records_total", r#"state="closed""#, 2.0),
        ("subrosa_worker_phase_duration_seconds_count", r#"phase="queue""#, 1.0),
        ("subrosa_worker_phase_duration_seconds_count", r#"phase="options""#, 2.0),
        ("subrosa_worker_phase_duration_seconds_count", r#"phase="ready""#, 2.0),
        ("subrosa_worker_phase_duration_seconds_count", r#"phase="run""#, 2.0),
        ("subrosa_worker_phase_duration_seconds_count", r#"phase="done""#, 2.0),
    ] {
        assert_eq!(numbers.sum(name, &[labels]), expected, "{name} {labels}: {numbers:#?}");
    }
    assert!(numbers.sum("subrosa_worker_deliveries_total", &[]) >= 2.0);
    assert!(numbers.sum("subrosa_worker_redeliveries_total", &[]) >= 1.0);

    // A launch that is refused is counted, and named by its code only.
    let connection = lab.connection().await;
    let refused = subrosa_tests::raw::ask(&connection, "subrosa.v1.launch.gated", "no request").await;
    assert_eq!(refused.unwrap_err().code, "bad_request");
    let told = at_launcher.numbers_once("the queue is empty", |numbers| {
        numbers.sum("subrosa_queue_pending", &gated) == 0.0 && numbers.sum("subrosa_jobs_open", &[]) == 0.0
    });
    let told = told.await;
    assert_eq!(told.sum("subrosa_launcher_requests_refused_total", &[r#"code="bad_request""#]), 1.0);
    assert!(!told.has("subrosa_queue_oldest_age_seconds"), "nothing waits");
    for numbers in [&told, &numbers] {
        for value in numbers.label_values() {
            for id in [runs_id, waits_id].map(|id| id.to_string()) {
                assert!(!value.contains(&id[..8]), "{value}");
            }
        }
    }
    lab.stop().await;
}

#[tokio::test]
async fn children_are_counted_and_takeovers() {
    let lab = lab().await;
    lab.configure(|config| {
        let workers = vec![lab.started(gate::WORKER, &[GATED])];
        config.insert("worker".to_owned(), workers.into());
    });
    let (_launcher, endpoint) = launcher(&lab).await;
    endpoint.until(200, "ready").await;
    let (client, gate) = (lab.client().await, Gate::new().await);
    let job = client.job(gate::WORKER).payload_value(gate.payload()).launch().await.unwrap();
    let first = gate.arrival().await;
    let gated = [r#"worker="gated""#];
    assert_eq!(endpoint.numbers().await.sum("subrosa_launcher_children", &gated), 1.0);
    subrosa_tests::processes::signal(first.pid, Signal::KILL);
    first.is_gone().await;
    gate.arrival().await.go_on().await;
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().attempt, 2);
    patiently(client.close()).await;
    let numbers = endpoint
        .numbers_once("no child is left", |numbers| numbers.sum("subrosa_launcher_children", &gated) == 0.0);
    let numbers = numbers.await;
    assert_eq!(numbers.sum("subrosa_launcher_starts_total", &gated), 2.0);
    assert_eq!(numbers.sum("subrosa_launcher_takeovers_total", &gated), 1.0);
    assert_eq!(numbers.sum("subrosa_launcher_start_failures_total", &gated), 0.0);
    lab.stop().await;
}
