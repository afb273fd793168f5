//! The launcher's own program: what it says of a configuration, a server or streams that will not do, and
//! how the tools of NATS see it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use serde_json::{Value, json};
use subrosa::{
    local::{Example, Plan},
    server,
};
use subrosa_client::{SigningKey, Trust};
use subrosa_launcher::Guard;
use subrosa_protocol::{
    encoding::hex,
    identity::{Role, file},
};
use subrosa_tests::{
    lab::{Lab, PATIENCE, fresh_key, guarded},
    processes::{Ended, Running},
    raw::ask_once,
    skipped::skipped,
};
use subrosa_transport::Connect;
use tempfile::TempDir;

use crate::{LAUNCHER, PROGRAM};

/// The launcher's program with these arguments.
fn launcher(args: &[&str]) -> Running {
    let mut command = guarded(PROGRAM, LAUNCHER);
    command.args(args).env_remove("RUST_LOG");
    Running::start(command)
}

/// A launcher on this configuration, and how it ends.
async fn ends(config: &Path, args: &[&str]) -> Ended {
    launcher(&[&["--config", config.to_str().unwrap()], args].concat()).ends().await
}

/// It fails, and says why in this way.
async fn fails(config: &Path, args: &[&str], said: &[&str]) {
    let ended = ends(config, args).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.text());
    for text in said {
        assert!(ended.text().contains(text), "{text:?} is not in:\n{}", ended.text());
    }
}

/// It does what it is to do.
async fn succeeds(config: &Path, args: &[&str]) -> String {
    let ended = ends(config, args).await;
    assert!(ended.status.success(), "{}", ended.text());
    ended.text()
}

/// The files of a launcher.
struct Files {
    directory: TempDir,
    key: SigningKey,
}

impl Files {
    fn new() -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap(), key: fresh_key() };
        file::create(files.at("launcher.jwk"), &files.key).unwrap();
        files.trust(Trust::default().with_key(files.key.public().clone(), Role::Launcher, None));
        files
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn trust(&self, trust: Trust) {
        fs::write(self.at("trust.json"), trust.to_json()).unwrap();
    }

    /// A configuration with this at its end.
    fn config(&self, more: &str) -> PathBuf {
        let head = "key_file = \"launcher.jwk\"\ntrust_file = \"trust.json\"\n";
        let worker = "[[worker]]\nname = \"echo\"\nbackend = \"resident\"\n";
        let path = self.at("launcher.toml");
        fs::write(&path, format!("{head}{worker}{more}")).unwrap();
        path
    }
}

#[tokio::test]
async fn a_good_configuration_is_checked_without_a_server() {
    let files = Files::new();
    let config = files.config("[nats]\nurl = \"nats://127.0.0.1:1\"\n");
    let said = succeeds(&config, &["--check"]).await;
    assert!(said.contains(config.to_str().unwrap()), "{said}");
    assert!(said.contains(&files.key.thumbprint().to_string()), "{said}");
}

#[tokio::test]
async fn what_is_wrong_in_a_configuration_is_said_with_its_place() {
    let files = Files::new();
    for (more, said) in [
        ("= 1\n", &["launcher.toml", "line 6"][..]),
        ("[nats\nurl = 1", &["launcher.toml", "line 6"]),
        ("[nats]\nurl = 7\n", &["line 7", "string"]),
        ("[timing]\n\nack_weight = \"5s\"\n", &["line 8", "ack_weight"]),
        ("colour = \"red\"\n", &["line 6", "colour"]),
        ("[timing]\nack_wait = \"5\"\n", &["line 7", "a number and a unit"]),
        ("[timing]\nack_wait = \"1s\"\n", &["`timing.ack_wait`", "\"5s\" to \"3600s\""]),
        ("[[worker]]\nname = \"echo\"\nbackend = \"resident\"\n", &["`worker.name`", "twice", "echo"]),
        ("[[worker]]\nname = \"Echo\"\nbackend = \"resident\"\n", &["line 7", "a-z"]),
        ("[[worker]]\nname = \"b\"\nbackend = \"magic\"\n", &["line 8", "magic"]),
        ("[[worker]]\nname = \"b\"\nbackend = \"process\"\n", &["`worker.command of b`", "missing"]),
        ("[streams.records]\nreplicas = 6\n", &["`streams.records.replicas`", "1 to 5"]),
    ] {
        fails(&files.config(more), &["--check"], said).await;
        // Nor does it start with it.
        fails(&files.config(more), &[], said).await;
    }
    fs::write(files.at("launcher.toml"), "key_file = \"launcher.jwk\"\n").unwrap();
    fails(&files.at("launcher.toml"), &["--check"], &["trust_file"]).await;
    fs::write(files.at("launcher.toml"), b"\xff\xfe").unwrap();
    fails(&files.at("launcher.toml"), &["--check"], &["launcher.toml"]).await;
    fails(&files.at("none.toml"), &["--check"], &["none.toml", "No such file"]).await;
}

#[tokio::test]
async fn key_and_trust_files_that_will_not_do_are_named() {
    let files = Files::new();
    let config = files.config("");
    let key = files.at("launcher.jwk");
    let set_mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();

    for mode in [0o644, 0o640, 0o604, 0o660] {
        set_mode(mode);
        let said = [key.to_str().unwrap(), &format!("{mode:04o}"), &format!("chmod 600 {}", key.display())];
        fails(&config, &["--check"], &said).await;
        fails(&config, &[], &said).await;
    }
    set_mode(0o400);
    succeeds(&config, &["--check"]).await;
    set_mode(0o600);

    let text = fs::read_to_string(&key).unwrap();
    let seed: Value = serde_json::from_str(&text).unwrap();
    let seed = seed["d"].as_str().unwrap();
    for bad in [text.replacen('{', "", 1), text.replace("Ed25519", "X25519"), "x".repeat(16_385)] {
        fs::write(&key, &bad).unwrap();
        let ended = ends(&config, &["--check"]).await;
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.text().contains(key.to_str().unwrap()), "{}", ended.text());
        assert!(!ended.text().contains(seed), "the key is repeated");
    }
    fs::remove_file(&key).unwrap();
    fails(&config, &["--check"], &["no key file", key.to_str().unwrap()]).await;

    fs::write(&key, &text).unwrap();
    set_mode(0o600);
    files.trust(Trust::pinned([files.key.public().clone()]));
    fails(&config, &["--check"], &["does not trust the key in", "launcher.jwk"]).await;
    fs::write(files.at("trust.json"), "{}").unwrap();
    fails(&config, &["--check"], &["trust.json", "keys"]).await;
    fs::remove_file(files.at("trust.json")).unwrap();
    fails(&config, &["--check"], &["trust.json"]).await;
}

#[tokio::test]
async fn the_command_line_explains_itself() {
    for (args, code, said) in [
        (&[][..], 2, "--config"),
        (&["--check"], 2, "--config"),
        (&["--config"], 2, "--config"),
        (&["--config", "x", "--check", "--setup"], 2, "--setup"),
        (&["--version"], 0, env!("CARGO_PKG_VERSION")),
        (&["--help"], 0, "--check"),
    ] {
        let ended = launcher(args).ends().await;
        assert_eq!(ended.status.code(), Some(code), "{args:?}: {}", ended.text());
        assert!(ended.text().contains(said), "{args:?}: {}", ended.text());
    }
}

#[tokio::test]
async fn a_server_without_jetstream_is_named_as_such() {
    // In an account that has none, on a server that has.
    let files = Files::new();
    let path = files.at("nats.conf");
    fs::write(
        &path,
        r#"accounts {
            WITH { jetstream: enabled, users: [{ user: with, password: a }] }
            WITHOUT { users: [{ user: without, password: a }] }
        }"#,
    )
    .unwrap();
    let mut options = server::Options::new(Guard::new(PROGRAM.into()));
    options.config = Some(path);
    let server = server::start(options, &mut |_: &str| {}).await.unwrap();
    let url = |user: &str| server.url().replace("://", &format!("://{user}:s3cr3t@")).replace("s3cr3t", "a");
    let config = files.config(&format!("[nats]\nurl = \"{}\"\n", url("without")));
    for args in [&[][..], &["--setup"]] {
        fails(&config, args, &["has no JetStream", "`-js`"]).await;
    }
    // Wrong credentials are told at once, and not repeated.
    let config = files.config(&format!("[nats]\nurl = \"{}\"\n", url("stranger")));
    fails(&config, &[], &["refuses the credentials"]).await;
    // With JetStream, but without streams.
    let config = files.config(&format!("[nats]\nurl = \"{}\"\n", url("with")));
    fails(
        &config,
        &[],
        &[
            "--setup",
            "stream SUBROSA_QUEUE does not exist",
            "stream SUBROSA_RECORDS does not exist",
            "consumer echo of SUBROSA_QUEUE does not exist",
        ],
    )
    .await;
    succeeds(&config, &["--setup"]).await;
    succeeds(&config, &["--setup"]).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_was_started_without_jetstream_is_named_as_such() {
    // The program that the tests run on, started by hand.
    let server = server::start(server::Options::new(Guard::new(PROGRAM.into())), &mut |_: &str| {}).await;
    let server = server.unwrap();
    let program = fs::read_link(format!("/proc/{}/exe", server.pid().unwrap())).unwrap();
    server.stop().await.unwrap();
    if !program.ends_with("nats-server") {
        skipped("the nats-server of the tests is no program of this machine");
        return;
    }
    let mut command = guarded(PROGRAM, program.to_str().unwrap());
    command.args(["-a", "127.0.0.1", "-p", "-1"]);
    let mut bare = Running::start(command);
    let line = bare.says("Listening for client connections on").await;
    bare.says("Server is ready").await;
    let address = line.rsplit(' ').next().unwrap();
    let files = Files::new();
    let config = files.config(&format!("[nats]\nurl = \"nats://{address}\"\n"));
    for args in [&[][..], &["--setup"]] {
        fails(&config, args, &[&format!("nats://{address} has no JetStream"), "`-js`"]).await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for_and_missed_once() {
    let files = Files::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = files.config(&format!("[nats]\nurl = \"nats://127.0.0.1:{port}\"\n"));
    let mut early = launcher(&["--config", config.to_str().unwrap(), "--setup"]);
    let line = early.says("no NATS server answers").await;
    assert!(line.contains(&format!("nats://127.0.0.1:{port}")), "{line}");
    let mut options = server::Options::new(Guard::new(PROGRAM.into()));
    options.port = Some(port);
    let mut server = server::start(options, &mut |_: &str| {}).await.unwrap();
    let ended = early.ends().await;
    assert!(ended.status.success(), "{}", ended.text());
    assert_eq!(ended.text().matches("no NATS server answers").count(), 1, "{}", ended.text());

    // A launcher that runs outlives its server, and ends when it is told to.
    let mut running = launcher(&["--config", config.to_str().unwrap()]);
    running.says("launcher ready").await;
    server.kill().await.unwrap();
    running.says("disconnected from NATS").await;
    server.restart().await.unwrap();
    let connection = Connect::new(server.url(), "test").connect().await.unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let workers = connection.request_until("subrosa.v1.workers", None, "{}".into(), deadline).await.unwrap();
    assert!(workers.payload.starts_with(b"{\"workers\""));
    running.signal(Signal::TERM);
    let ended = running.ends().await;
    assert!(ended.status.success(), "{}", ended.text());
    assert_eq!(ended.text().matches("disconnected from NATS").count(), 1, "{}", ended.text());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_never_comes_is_an_error_with_its_address() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut connect = Connect::new(format!("nats://me:s3cr3t@127.0.0.1:{port}"), "test");
    connect.deadline = Some(std::time::Duration::from_millis(300));
    let error = connect.connect().await.unwrap_err().to_string();
    assert!(error.contains(&format!("no NATS server answers at nats://127.0.0.1:{port}")), "{error}");
    assert!(!error.contains("s3cr3t"), "{error}");
    for url in [
        "://",
        "http://127.0.0.1",
        "nats://127.0.0.1:99999",
        "nats://127.0.0.1:1,://",
        "",
        "nats://",
        "nats://127.0.0.1:1,",
    ] {
        let error = Connect::new(url, "test").connect().await.unwrap_err().to_string();
        assert!(error.contains("is not the URL of a NATS server"), "{url:?}: {error}");
    }
}

#[tokio::test]
async fn streams_that_differ_are_refused_and_mended_by_setup() {
    let lab = Lab::with(Plan { launchers: 0, ..Plan::of(PROGRAM, [Example::Echo]) }).await;
    let config = lab.local.launcher_config();
    let connection = lab.connection().await;
    let change = async |stream: &str, change: Value| {
        let info = ask_once(&connection, &format!("$JS.API.STREAM.INFO.{stream}")).await;
        let mut config = info["config"].clone();
        config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let subject = format!("$JS.API.STREAM.UPDATE.{stream}");
        let answer = connection.request(&subject, None, config.to_string().into(), PATIENCE).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert!(answer["error"].is_null(), "{answer}");
    };
    change("SUBROSA_QUEUE", json!({ "max_age": 3_600_000_000_000_u64, "discard_new_per_subject": false }))
        .await;
    change("SUBROSA_RESULTS", json!({ "max_msgs_per_subject": 7 })).await;
    let differences = [
        "--setup",
        "stream SUBROSA_QUEUE: `max_age` is 3600s, expected no limit",
        "stream SUBROSA_QUEUE: `discard_new_per_subject` is off, expected true",
        "stream SUBROSA_RESULTS: `max_msgs_per_subject` is 7, expected 1",
    ];
    fails(config, &[], &differences).await;
    succeeds(config, &["--setup"]).await;
    // And the other way round: it is the configuration that has changed.
    lab.configure(|config| config.extend(toml::toml! { timing = { ack_wait = "7s" } }));
    fails(config, &[], &["consumer echo of SUBROSA_QUEUE: `ack_wait` is 30s, expected 7s"]).await;
    succeeds(config, &["--setup"]).await;
    let mut running = launcher(&["--config", config.to_str().unwrap()]);
    running.says("launcher ready").await;
    running.signal(Signal::INT);
    assert!(running.ends().await.status.success());
    // Some things cannot be changed, and the server says so.
    lab.configure(|config| config.extend(toml::toml! { streams = { records = { storage = "memory" } } }));
    fails(config, &[], &["stream SUBROSA_RECORDS: `storage` is \"file\", expected \"memory\""]).await;
    fails(config, &["--setup"], &["refuses to set up stream SUBROSA_RECORDS"]).await;
    lab.stop().await;
}

#[tokio::test]
async fn the_tools_of_nats_see_a_service() {
    let lab = Lab::new(PROGRAM, &[Example::Echo], &[]).await;
    let connection = lab.connection().await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    connection.request_until("subrosa.v1.workers", None, "{}".into(), deadline).await.unwrap();

    for subject in ["$SRV.PING", "$SRV.PING.subrosa-launcher"] {
        let ping = ask_once(&connection, subject).await;
        assert_eq!(ping["name"], "subrosa-launcher");
        assert_eq!(ping["version"], env!("CARGO_PKG_VERSION"));
        assert!(!ping["id"].as_str().unwrap().is_empty());
    }
    let info = ask_once(&connection, "$SRV.INFO.subrosa-launcher").await;
    assert!(!info["description"].as_str().unwrap().is_empty());
    let stats = ask_once(&connection, "$SRV.STATS.subrosa-launcher").await;
    for endpoints in [&info["endpoints"], &stats["endpoints"]] {
        let endpoints = endpoints.as_array().unwrap();
        let names: Vec<&str> = endpoints.iter().map(|endpoint| endpoint["name"].as_str().unwrap()).collect();
        assert_eq!(names.len(), 6, "{names:?}");
        for (name, subject) in [
            ("launch", "subrosa.v1.launch.*"),
            ("status", "subrosa.v1.status"),
            ("cancel", "subrosa.v1.cancel"),
            ("result", "subrosa.v1.result"),
            ("close", "subrosa.v1.close"),
            ("workers", "subrosa.v1.workers"),
        ] {
            let endpoint = endpoints.iter().find(|endpoint| endpoint["name"] == name).unwrap();
            assert_eq!(endpoint["subject"], subject);
            assert_eq!(endpoint["queue_group"], "subrosa-launcher");
        }
    }
    let count = |stats: &Value, name: &str, what: &str| {
        let endpoints = stats["endpoints"].as_array().unwrap();
        endpoints.iter().find(|endpoint| endpoint["name"] == name).unwrap()[what].as_u64().unwrap()
    };
    assert!(count(&stats, "workers", "num_requests") >= 1, "{stats}");
    assert_eq!(count(&stats, "status", "num_errors"), 0, "{stats}");
    let unknown = json!({ "job": hex([7; 32]) }).to_string();
    connection.request("subrosa.v1.status", None, unknown.into(), PATIENCE).await.unwrap();
    let stats = ask_once(&connection, "$SRV.STATS.subrosa-launcher").await;
    assert_eq!(count(&stats, "status", "num_requests"), 1, "{stats}");
    assert_eq!(count(&stats, "status", "num_errors"), 1, "{stats}");
    lab.stop().await;
}
