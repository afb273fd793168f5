//! The commands that people and scripts use, as programs of their own.

use std::{
    fs,
    path::Path,
    process::{Output, Stdio},
};

use rustix::process::Signal;
use serde_json::{Value, json};
use subrosa::local::Example;
use subrosa_tests::{
    gate::{self, Gate},
    lab::{Lab, PATIENCE, guarded, patiently},
    processes::{Process, Running, until},
};
use subrosa_transport::Connect;
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{GATED, PROGRAM};

/// How a command ended, and the JSON that it printed.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) json: Value,
    pub(crate) stderr: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).unwrap();
        let json = serde_json::from_slice(&output.stdout);
        let json = json.unwrap_or_else(|error| panic!("{error}: {:?}\n{stderr}", output.stdout));
        Self { code: output.status.code(), json, stderr }
    }

    pub(crate) fn error(&self) -> (Option<i32>, &str) {
        (self.code, self.json["error"]["code"].as_str().unwrap_or_default())
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).arg("--json").stdin(Stdio::null()).kill_on_drop(true);
    command
}

pub(crate) async fn subrosa(args: &[&str]) -> Said {
    Said::of(patiently(command(args).output()).await.unwrap())
}

/// `subrosa dev`, ready.
struct Dev {
    process: Running,
    nats: String,
    trust: String,
}

impl Dev {
    async fn start(args: &[&str]) -> Self {
        let mut command = guarded(PROGRAM, PROGRAM);
        command.args(["dev", "--port", "0", "--json"]).args(args);
        let mut process = Running::start(command);
        let ready: Value = serde_json::from_str(&process.says(r#""nats""#).await).unwrap();
        let mut members: Vec<&String> = ready.as_object().unwrap().keys().collect();
        members.sort();
        assert_eq!(members, ["nats", "trust"]);
        let text = |member: &str| ready[member].as_str().unwrap().to_owned();
        Self { nats: text("nats"), trust: text("trust"), process }
    }

    async fn run(&self, args: &[&str]) -> Said {
        let here = ["--nats", &self.nats, "--trust", &self.trust];
        subrosa(&[&["run"], args, &here].concat()).await
    }

    async fn ask(&self, args: &[&str]) -> Said {
        subrosa(&[args, &["--nats", &self.nats]].concat()).await
    }
}

#[tokio::test]
async fn a_developer_runs_jobs_and_looks_at_them() {
    let dev = Dev::start(&[]).await;
    let said = dev.run(&["echo", "--options", r#"{"o": 1}"#, "--payload", "12345678901234567890123"]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(said.json["state"], "closed");
    let id = said.json["job"].as_str().unwrap();

    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), r#"{"from": "a file"}"#).unwrap();
    let said = dev.run(&["echo", "--payload", &format!("@{}", file.path().display())]).await;
    assert_eq!(said.json["result"]["payload"], json!({ "from": "a file" }));

    let mut child = command(&["run", "echo", "--payload", "-", "--nats", &dev.nats, "--trust", &dev.trust]);
    let mut child =
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(br#""from a pipe""#).await.unwrap();
    let said = Said::of(patiently(child.wait_with_output()).await.unwrap());
    assert_eq!(said.json["result"]["payload"], "from a pipe");

    let said = dev.run(&["create-proof", "--options", r#"{"label": "x"}"#, "--payload", r#"{"value": 101}"#]);
    let said = said.await;
    assert_eq!(said.error(), (Some(6), "job_failed"), "{}", said.json);
    assert!(said.json["error"]["message"].as_str().unwrap().contains("between 0 and 100"));
    let failed = said.json["job"].as_str().unwrap().to_owned();

    let said = dev.ask(&["status", &id[..8]]).await;
    assert_eq!((said.code, &said.json["job"], &said.json["state"]), (Some(0), &json!(id), &json!("closed")));
    assert_eq!(dev.ask(&["status", id]).await.json["worker"], "echo");
    let said = dev.ask(&["status", "00000000"]).await;
    assert_eq!(said.error(), (Some(8), "unknown_job"));

    // Whoever may write records may write some of no job; nothing waits for them.
    let connection = Connect::new(&dev.nats, "junk").connect().await.unwrap();
    connection.request("subrosa.v1.record.echo.junk", None, "junk".into(), PATIENCE).await.unwrap();
    let said = dev.ask(&["jobs"]).await;
    assert_eq!(said.json["jobs"].as_array().unwrap().len(), 4);
    let refused = patiently(command(&["jobs", "--state", "over"]).output()).await.unwrap();
    assert_eq!(refused.status.code(), Some(2), "there is no such state");
    let said = dev.ask(&["jobs", "--state", "failed"]).await;
    assert_eq!(said.json["jobs"][0]["job"], failed.as_str());
    assert_eq!(said.json["jobs"].as_array().unwrap().len(), 1);
    let said = dev.ask(&["jobs", "--worker", "echo", "-n", "2", "--trust", &dev.trust]).await;
    assert_eq!(said.json["jobs"].as_array().unwrap().len(), 2);

    let workers = dev.ask(&["workers"]).await.json["workers"].clone();
    let names: Vec<&Value> = workers.as_array().unwrap().iter().map(|worker| &worker["worker"]).collect();
    assert_eq!(names, ["create-proof", "echo"]);

    let said = dev.ask(&["doctor", "--trust", &dev.trust]).await;
    assert_eq!((said.code, &said.json["good"]), (Some(0), &json!(true)), "{}", said.json);
    assert!(said.json["checks"].as_array().unwrap().len() >= 10);
    dev.process.signal(Signal::INT);
    assert_eq!(dev.process.ends().await.status.code(), Some(0));
}

#[tokio::test]
async fn where_no_jetstream_answers_is_said_by_whoever_reads_streams() {
    let dev = Dev::start(&[]).await;
    let archive = tempfile::tempdir().unwrap();
    let archive = archive.path().to_str().unwrap();
    let whole = "0".repeat(64);
    for asked in [
        &["jobs"][..],
        &["jobs", "--watch"],
        &["status", "00000000"],
        &["audit", "export", &whole],
        &["audit", "archive", "--to", archive],
    ] {
        for (option, value, said) in [
            ("--api-prefix", "no.api", "no JetStream answers under this prefix: check --api-prefix"),
            ("--domain", "nowhere", "no JetStream answers for this domain: check --domain"),
        ] {
            let answer = dev.ask(&[asked, &[option, value, "--patience", "1"]].concat()).await;
            assert_eq!(answer.error(), (Some(3), "unreachable"), "{asked:?}: {}", answer.json);
            let message = answer.json["error"]["message"].as_str().unwrap();
            assert!(message.starts_with(said), "{asked:?}: {message}");
        }
    }
    dev.process.signal(Signal::INT);
    dev.process.ends().await;
}

#[tokio::test]
async fn watching_shows_each_record_as_it_comes() {
    let dev = Dev::start(&[]).await;
    let mut watch = guarded(PROGRAM, PROGRAM);
    watch.args(["jobs", "--watch", "--json", "--nats", &dev.nats]);
    let mut watch = Running::start(watch);
    // Whether it follows already or not yet: a later record comes in either case.
    let said = dev.run(&["echo"]).await;
    let job = said.json["job"].as_str().unwrap();
    let closed = watch.says(r#""state":"closed""#).await;
    assert!(closed.contains(job), "{closed}");
    watch.signal(Signal::INT);
    let ended = watch.ends().await;
    assert_eq!(ended.status.code(), Some(130));
    assert!(!ended.text().contains(r#"{"error""#), "{}", ended.text());
}

#[tokio::test]
async fn dev_keeps_its_state_and_adds_workers_of_ones_own() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let config = directory.path().join("mine.toml");
    // As `cargo run` does, the shell starts the worker, and passes on no signal.
    let worker =
        format!("[[worker]]\nname = \"{}\"\ncommand = [\"sh\", \"-c\", \"{GATED}; true\"]\n", gate::WORKER);
    let started = format!(
        "[[worker]]\nname = \"other\"\nbackend = \"process\"\ncommand = [\"{PROGRAM}\", \"internal\", \
         \"worker\", \"echo\"]\n"
    );
    fs::write(&config, format!("max_requests = 9\n{worker}{started}")).unwrap();
    let args = ["--state-dir", state.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let dev = Dev::start(&args).await;
    let gate = Gate::new().await;
    let payload = gate.payload().to_string();
    let gated = [gate::WORKER, "--payload", &payload];
    let (said, mine) = tokio::join!(dev.run(&gated), async {
        let visitor = gate.arrival().await;
        let pid = visitor.pid;
        visitor.go_on().await;
        pid
    });
    assert_eq!((said.code, &said.json["result"]), (Some(0), &json!(1)), "{}", said.stderr);
    let names = dev.ask(&["workers"]).await.json["workers"].to_string();
    assert!(names.contains("other") && names.contains("create-proof"), "{names}");
    let all = descendants(dev.process.pid());
    assert!(all.contains(&mine) && all.len() >= 5, "server, launcher, three workers: {all:?}");
    let key = fs::read(state.join("gated.jwk")).unwrap();
    let id = said.json["job"].as_str().unwrap().to_owned();
    dev.process.signal(Signal::INT);
    assert_eq!(dev.process.ends().await.status.code(), Some(0));
    until("nothing is left", || all.iter().all(|pid| !runs(*pid))).await;

    let dev = Dev::start(&args).await;
    assert_eq!(fs::read(state.join("gated.jwk")).unwrap(), key);
    assert_eq!(dev.ask(&["status", &id[..12]]).await.json["state"], "closed");
    dev.process.signal(Signal::TERM);
    assert_eq!(dev.process.ends().await.status.code(), Some(0));

    fs::write(&config, "trust_file = \"x\"").unwrap();
    let mut refused = Command::new(PROGRAM);
    let output = patiently(refused.args(["dev", "--json"]).args(args).output()).await.unwrap();
    let said = Said::of(output);
    assert_eq!(said.error(), (Some(2), "usage"));
    assert!(said.stderr.contains("trust_file"), "{}", said.stderr);
}

fn descendants(of: u32) -> Vec<u32> {
    let all = Process::all();
    let mut found = vec![of];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(all.iter().filter(|process| process.parent == parent).map(|process| process.pid));
        at += 1;
    }
    found.remove(0);
    found
}

fn runs(pid: u32) -> bool {
    Process::all().iter().any(|process| process.pid == pid && !process.is_zombie)
}

#[tokio::test]
async fn ctrl_c_cancels_the_job() {
    let lab = Lab::new(PROGRAM, &[], &["nobody"]).await;
    let mut command = guarded(PROGRAM, PROGRAM);
    command.args(["run", "nobody", "--nats", lab.url(), "--trust"]).arg(lab.local.trust_file());
    let mut running = Running::start(command);
    let line = running.says("job ").await;
    let job = line.rsplit(' ').next().unwrap().parse().unwrap();
    running.signal(Signal::INT);
    let ended = running.ends().await;
    assert_eq!(ended.status.code(), Some(130));
    assert!(ended.text().contains("interrupted; the job was cancelled"), "{}", ended.text());
    // The program has seen to it before it ended.
    assert_eq!(lab.history("nobody", &job, "cancelled").await, ["queued", "cancelled"]);
    lab.stop().await;
}

#[tokio::test]
async fn every_failure_has_an_exit_code_of_its_own() {
    let here = ["--nats", "nats://127.0.0.1:1", "--patience", "1"];
    for asked in [&["status", "12345678"][..], &["jobs"], &["workers"]] {
        let said = subrosa(&[asked, &here].concat()).await;
        assert_eq!(said.error(), (Some(3), "unreachable"), "{asked:?} {}", said.stderr);
        assert!(said.stderr.contains("127.0.0.1:1"), "{}", said.stderr);
    }
    let lab = Lab::new(PROGRAM, &[Example::Echo], &[]).await;
    let trust = lab.local.trust_file().to_str().unwrap().to_owned();
    let run = async |args: &[&str]| {
        subrosa(&[&["run"], args, &["--nats", lab.url(), "--trust", &trust]].concat()).await
    };
    assert_eq!(run(&["unknown"]).await.error(), (Some(5), "refused"));
    // Nobody can have heard of the job: nothing is withdrawn from anybody.
    let said = run(&["echo", "--namespace", "other", "--patience", "1"]).await;
    assert_eq!(said.error(), (Some(3), "unreachable"));
    assert!(
        said.stderr.contains("nobody listens") && !said.stderr.contains("withdrawing"),
        "{}",
        said.stderr
    );
    let said = run(&["echo", "--payload", "{secret"]).await;
    assert_eq!(said.error(), (Some(2), "usage"));
    assert!(said.stderr.contains("--payload is not JSON") && !said.stderr.contains("secret"));
    assert_eq!(run(&["echo", "--payload", "@/no/such"]).await.error(), (Some(2), "usage"));
    assert_eq!(run(&["echo", "--options", "-", "--payload", "-"]).await.error(), (Some(2), "usage"));
    assert_eq!(run(&["Not A Name"]).await.error(), (Some(2), "usage"));
    let nobody = tempfile::NamedTempFile::new().unwrap();
    fs::write(nobody.path(), r#"{"keys": []}"#).unwrap();
    let nobody = nobody.path().to_str().unwrap();
    let said = subrosa(&["run", "echo", "--expires-in", "1", "--nats", lab.url(), "--trust", nobody]).await;
    assert_eq!(said.error(), (Some(7), "no_worker"), "{}", said.stderr);
    assert!(said.stderr.contains("is not trusted"), "{}", said.stderr);
    lab.stop().await;
}

#[tokio::test]
async fn keys_are_made_once_and_shown_without_their_private_half() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.jwk");
    let file = path.to_str().unwrap();
    let made = subrosa(&["key", "new", file]).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert_eq!(subrosa(&["key", "new", file]).await.error(), (Some(2), "usage"));
    let shown = subrosa(&["key", "show", file]).await.json;
    assert_eq!(shown["kty"], "OKP");
    assert_eq!(shown.get("d"), None);
    let public = directory.path().join("public.jwk");
    fs::write(&public, shown.to_string()).unwrap();
    for file in [&path, &public] {
        let said = subrosa(&["key", "thumbprint", file.to_str().unwrap()]).await;
        assert_eq!(said.json["thumbprint"], made.json["thumbprint"]);
    }
    let said = subrosa(&["key", "thumbprint"]).await;
    assert_eq!(said.error(), (Some(2), "usage"), "what is missing is said as JSON, too");
    assert!(said.stderr.contains("<FILE>"), "{}", said.stderr);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut unread = command(&["key", "thumbprint", file]);
    // `output` would put a pipe of its own in its place.
    let unread = unread.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let output = patiently(unread.wait_with_output()).await.unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(1), Vec::new()), "nobody reads it");
    loosen(&path);
    let said = subrosa(&["key", "show", file]).await;
    assert_eq!(said.error(), (Some(2), "usage"));
    assert!(said.stderr.contains("chmod 600"), "{}", said.stderr);
}

fn loosen(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;

    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

#[tokio::test]
async fn completions_and_pages_are_made_for_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = Command::new(PROGRAM).args(["completions", shell]).output().await.unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("thumbprint"), "{shell}");
    }
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(PROGRAM).args(["man", "--dir"]).arg(directory.path()).output().await.unwrap();
    assert!(output.status.success());
    for command in ["", "-dev", "-run", "-job-sign", "-status", "-jobs", "-workers", "-key-new", "-doctor"] {
        let page = fs::read_to_string(directory.path().join(format!("subrosa{command}.1"))).unwrap();
        assert!(page.contains(".SH NAME"), "{command}");
    }
    assert!(!directory.path().join("subrosa-internal.1").exists());
}
