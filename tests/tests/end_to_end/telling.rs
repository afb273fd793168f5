//! What processes log, at the finest level, and which traces they export: nothing of what is sealed, and nothing that
//! is secret.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
    sync::{Arc, Mutex},
};

use rustix::process::Signal;
use serde_json::{Value, json};
use subrosa::local::Plan;
use subrosa_client::{Client, Event, HandlerError, JobId, State, Trust};
use subrosa_protocol::{
    encoding::{b64u, b64u_array},
    id::Sha256Hash,
    record,
};
use subrosa_tests::{
    collector::Collector,
    eavesdropper::{encodings, find},
    lab::{Lab, guarded, patiently, seed},
    processes::{signal, until},
    raw,
    teller::{self, BLAB, FAILURE, LEAK, LOG, PANIC, PARAMETERS, PROGRESS, RESULT},
};
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
};

use crate::{GATED, LAUNCHER, PROGRAM, impatient};

const OPTIONS: &str = "options: a \"striped\" bag for the coins";
const PAYLOAD: &str = "payload: the second key is under the mat";
const STATUS: &str = "status: every coin was counted twice";
const REFUSAL: &str = "refusal: the bank is closed on Sundays";
const JUNK: &str = "junk: what a stranger puts into a queue";
const PASSPHRASE: &str = "passphrase of a ticket";
/// Of a user of NATS.
const PASSWORD: &str = "password-in-a-url";
/// The same of one who has credentials: a token, and the seed of a key. The server here minds neither.
const TOKEN: &str = "e30.VGhlIHRva2VuIG9mIGEgdXNlcg.c2lnbmF0dXJl";
const SEED: &str = "SUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY";

/// What this test's own thread logs: the client library's part.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A process that logs into a file: nobody has to read while it writes.
struct Logging {
    child: Child,
    file: NamedTempFile,
}

impl Logging {
    /// Starts it, and waits until it says this.
    async fn start(mut command: Command, ready: &str) -> Self {
        let file = NamedTempFile::new().unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file.reopen().unwrap()).kill_on_drop(true);
        let logging = Self { child: command.spawn().unwrap(), file };
        logging.says(ready).await;
        logging
    }

    async fn says(&self, text: &str) {
        until(text, || String::from_utf8_lossy(&self.said()).contains(text)).await;
    }

    fn said(&self) -> Vec<u8> {
        fs::read(self.file.path()).unwrap()
    }

    /// Ends it, and gives back what it has said.
    async fn end(mut self) -> Vec<u8> {
        signal(self.child.id().unwrap(), Signal::TERM);
        let status = patiently(self.child.wait()).await.unwrap();
        let said = self.said();
        assert!(status.success(), "{}", String::from_utf8_lossy(&said));
        said
    }
}

/// Everything that can be said by a launcher and a worker, in processes of their own.
pub(crate) struct Site {
    lab: Lab,
    collector: Collector,
    launcher: Logging,
    worker: Logging,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let plan = Plan { others: vec![teller::WORKER.to_owned()], launchers: 0, ..Plan::of(PROGRAM, []) };
        let lab = Lab::configured(plan, |lab, config| {
            impatient(config);
            let credentials = credentials(lab);
            let text = format!(
                "-----BEGIN NATS USER JWT-----\n{TOKEN}\n------END NATS USER JWT------\n\
                 -----BEGIN USER NKEY SEED-----\n{SEED}\n------END USER NKEY SEED------\n"
            );
            fs::write(&credentials, text).unwrap();
            let nats = toml::toml! { url = (url(lab))
            credentials = credentials };
            config.insert("nats".to_owned(), nats.into());
        });
        let lab = lab.await;
        let collector = Collector::new().await;
        let mut command = guarded(PROGRAM, LAUNCHER);
        command.arg("--config").arg(lab.local.launcher_config());
        let launcher = Logging::start(talkative(command, &collector), "launcher ready").await;
        let mut command = lab.worker_command(teller::WORKER, GATED);
        command.arg(teller::WORKER).env("SUBROSA_NATS_URL", url(&lab));
        command.env("SUBROSA_NATS_CREDS", credentials(&lab));
        let worker = Logging::start(talkative(command, &collector), "worker ready").await;
        Self { lab, collector, launcher, worker }
    }

    /// `subrosa run` with this payload. What it says on standard error, when it has ended well.
    pub(crate) async fn run(&self, payload: &Value) -> Vec<u8> {
        let (result, said) = self.run_with(payload, &[]).await;
        assert!(find(&[result], RESULT.as_bytes()).is_some());
        said
    }

    /// The same with more arguments: what it says on standard output and on standard error.
    async fn run_with(&self, payload: &Value, more: &[&str]) -> (Vec<u8>, Vec<u8>) {
        let mut command = guarded(PROGRAM, PROGRAM);
        let options = json!(OPTIONS).to_string();
        command
            .args(["run", teller::WORKER, "--quiet", "--nats", &url(&self.lab), "--options", &options])
            .args(["--payload", &payload.to_string(), "--trust"])
            .arg(self.lab.local.trust_file())
            .args(["--creds", &credentials(&self.lab)])
            .args(more)
            .stdin(Stdio::null());
        let output = patiently(talkative(command, &self.collector).output()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (output.stdout, output.stderr)
    }

    /// Leaves a job that hangs, with a ticket, and cancels it with its token on the command line. What was said,
    /// and which job it was.
    async fn leave_and_cancel(&self) -> (Vec<u8>, JobId) {
        let file = |name| self.lab.local.trust_file().with_file_name(name).to_str().unwrap().to_owned();
        let (ticket, passphrase, token) = (file("ticket"), file("passphrase"), file("token"));
        fs::write(&passphrase, PASSPHRASE).unwrap();
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
        let more = ["--detach", "--ticket", &ticket, "--ticket-passphrase-file", &passphrase];
        let more = [&more[..], &["--cancel-token", &token, "--json"]].concat();
        let (left, said) = self.run_with(&json!({ "then": "hang" }), &more).await;
        let left: Value = serde_json::from_slice(&left).unwrap();
        let job = left["job"].as_str().unwrap();
        let token = fs::read_to_string(token).unwrap();
        let mut command = guarded(PROGRAM, PROGRAM);
        command.args(["cancel", job, "--token", token.trim(), "--nats", &url(&self.lab)]);
        let output = patiently(talkative(command, &self.collector).output()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        ([said, output.stderr].concat(), job.parse().unwrap())
    }

    /// Ends both processes. What they have said, each, and what was exported.
    pub(crate) async fn end(self) -> (Vec<Vec<u8>>, Collector) {
        let mut said = Vec::new();
        for process in [self.launcher, self.worker] {
            said.push(process.end().await);
        }
        self.lab.stop().await;
        (said, self.collector)
    }
}

/// Where the server is, and as whom to connect: it asks nobody.
fn url(lab: &Lab) -> String {
    lab.url().replacen("://", &format!("://somebody:{PASSWORD}@"), 1)
}

/// A file with credentials, for all but the client in this process.
fn credentials(lab: &Lab) -> String {
    lab.local.trust_file().with_file_name("user.creds").to_str().unwrap().to_owned()
}

/// Has a program log all that it can, and export its traces.
fn talkative(mut command: Command, collector: &Collector) -> Command {
    command.env("RUST_LOG", "trace").envs(collector.variables());
    command
}

/// Runs jobs that end in every way, as a client in this process. Those that were closed, and cancelled: by the worker,
/// and by a launcher.
async fn jobs_of_every_end(lab: &Lab) -> (JobId, [JobId; 2]) {
    let client = lab.client().await;
    let job = |then: &str| {
        let payload = json!({ "then": then, "text": PAYLOAD });
        client.job(teller::WORKER).options_value(OPTIONS).payload_value(payload).status_value(STATUS)
    };
    let done = job("done").launch().await.unwrap();
    let closed = *done.id();
    let done = patiently(done.result::<Value>()).await.unwrap();
    assert_eq!(done.value["result"], RESULT);
    for (then, why) in [("fail", FAILURE), ("panic", PANIC)] {
        let error = patiently(job(then).launch().await.unwrap().result::<Value>()).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let refuse = |_| async { Err::<Value, _>(HandlerError::new(REFUSAL)) };
    let refused = client.job(teller::WORKER).options(refuse).launch().await.unwrap();
    patiently(refused.result::<Value>()).await.unwrap_err();
    let mut hangs = job("hang").launch().await.unwrap();
    let mut events = hangs.events();
    while patiently(events.next()).await.unwrap() != Event::State(State::Running) {}
    hangs.canceller().cancel();
    let by_worker = *hangs.id();
    patiently(hangs.result::<Value>()).await.unwrap_err();
    patiently(client.close()).await;

    // A client that trusts nobody is shown a worker.
    let stranger: Client = lab.anonymous(Trust::default()).await;
    let mut unheard = stranger.job(teller::WORKER).payload_value(PAYLOAD).launch().await.unwrap();
    let mut events = unheard.events();
    while !matches!(patiently(events.next()).await.unwrap(), Event::Untrusted(_)) {}
    unheard.canceller().cancel();
    let by_launcher = *unheard.id();
    patiently(unheard.result::<Value>()).await.unwrap_err();
    patiently(stranger.close()).await;
    (closed, [by_worker, by_launcher])
}

/// The token that a job's end shows, and has made public: a log holds it nevertheless no more than before.
async fn token(lab: &Lab, job: &JobId, end: &str) -> [u8; 32] {
    match lab.records(teller::WORKER, job, end).await.pop().unwrap().event {
        record::Event::Closed { close, .. } => close,
        record::Event::Cancelled { cancel, .. } => cancel.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Shows a launcher a job's token, as clients do whose worker is gone. The answer is the state of the job.
async fn show(lab: &Lab, service: &str, job: &JobId, token: &[u8; 32]) -> String {
    let question = json!({ "job": job, "token": b64u(token) }).to_string();
    let answer = raw::ask(&lab.connection().await, &format!("subrosa.v1.{service}"), question).await;
    answer.unwrap()["state"].as_str().unwrap().to_owned()
}

/// Shows a launcher what the stored result of a job is read with. It knows the token for right, and has none.
async fn fetch(lab: &Lab, job: &JobId, hash: &[u8; 32]) {
    let question = json!({ "job": job, "token": b64u(hash), "from": 1 }).to_string();
    let refusal = raw::ask(&lab.connection().await, "subrosa.v1.result", question).await.unwrap_err();
    assert_eq!(refusal.code, "not_stored");
}

/// Sends what is no job wherever one could come.
async fn junk(lab: &Lab) {
    let connection = lab.connection().await;
    let launched = raw::ask(&connection, "subrosa.v1.launch.teller", JUNK).await;
    assert_eq!(launched.unwrap_err().code, "bad_request");
    for service in ["status", "cancel", "close", "result"] {
        let subject = format!("subrosa.v1.{service}");
        let asked = raw::ask(&connection, &subject, json!({ "job": JUNK }).to_string()).await;
        assert_eq!(asked.unwrap_err().code, "bad_request");
    }
    let deadline = tokio::time::Instant::now() + subrosa_tests::lab::PATIENCE;
    for subject in ["subrosa.v1.queue.teller.junk", "subrosa.v1.record.teller.junk"] {
        connection.request_until(subject, None, JUNK.into(), deadline).await.unwrap();
    }
}

#[tokio::test]
async fn logs_and_traces_hold_nothing_that_is_sealed() {
    let log = Log::default();
    let writer = log.clone();
    // As the documentation has it for programs with a subscriber of their own.
    let levels = Targets::new().with_default(LevelFilter::INFO).with_target("subrosa", LevelFilter::TRACE);
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(levels));
    let site = Site::new().await;
    let lab = &site.lab;
    let (closed, [by_worker, by_launcher]) = {
        // The client's tasks run on this thread.
        let _logging = tracing::subscriber::set_default(subscriber);
        jobs_of_every_end(lab).await
    };
    junk(lab).await;
    let command = site.run(&json!({ "then": "done", "text": PAYLOAD })).await;
    let (left, by_command) = site.leave_and_cancel().await;
    site.worker.says("deliveries refused").await;

    let close = token(lab, &closed, "closed").await;
    let read = Sha256Hash::of(close).0;
    assert_eq!(show(lab, "close", &closed, &close).await, "closed");
    fetch(lab, &closed, &read).await;
    let mut secrets = vec![close, read];
    for job in [by_worker, by_launcher, by_command] {
        let cancel = token(lab, &job, "cancelled").await;
        assert_eq!(show(lab, "cancel", &job, &cancel).await, "cancelled");
        secrets.push(cancel);
    }
    for name in [teller::WORKER, "launcher"] {
        secrets.push(b64u_array(seed(&lab.local.worker_key(name))).unwrap());
    }

    let (mut said, collector) = site.end().await;
    said.extend([command, log.0.lock().unwrap().clone(), left]);
    for (said, word) in
        said.iter().zip(["launcher ready", "worker ready", "exporting traces", "a worker is not trusted"])
    {
        assert!(find(std::slice::from_ref(said), word.as_bytes()).is_some(), "it logs: {word}");
        let text = String::from_utf8_lossy(said);
        assert!(text.contains("TRACE") || text.contains("DEBUG"), "it is not talkative");
    }
    let exported = collector.bodies();
    assert!(find(&exported, b"subrosa-launcher").is_some());
    let heard = [said, exported].concat();
    let texts = [
        OPTIONS, PAYLOAD, STATUS, REFUSAL, JUNK, PASSPHRASE, PASSWORD, TOKEN, SEED, PARAMETERS, LOG,
        PROGRESS, RESULT, FAILURE, PANIC, LEAK,
    ];
    for secret in texts {
        assert_eq!(find(&heard, secret.as_bytes()), None, "{secret}");
    }
    for (number, secret) in secrets.iter().enumerate() {
        assert_eq!(find(&heard, secret), None, "number {number} of tokens and seeds");
    }
}

#[tokio::test]
async fn what_libraries_would_give_away_is_found_and_not_logged() {
    // In the log of a program that has them say everything.
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(false);
    let lab = Lab::new(PROGRAM, &[], &[teller::WORKER]).await;
    {
        let subscriber = subscriber.with_writer(move || writer.clone()).finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        let connection = lab.connection().await;
        let mut heard = connection.subscribe("open.subject").await.unwrap();
        connection.publish("open.subject", None, JUNK.into()).await.unwrap();
        patiently(heard.next()).await.unwrap();
    }
    lab.stop().await;
    assert_eq!(find(&[log.0.lock().unwrap().clone()], JUNK.as_bytes()), Some("raw"));

    let site = Site::new().await;
    site.run(&json!({ "then": "leak" })).await;
    let (said, _) = site.end().await;
    assert!(find(&said, LEAK.as_bytes()).is_some());
    assert_eq!(find(&said, BLAB.as_bytes()), None);
}

#[tokio::test]
async fn what_is_given_away_would_be_found_in_logs_and_traces() {
    let site = Site::new().await;
    site.run(&json!({ "then": "leak" })).await;
    let (said, collector) = site.end().await;
    assert_eq!(find(&said[..1], LEAK.as_bytes()), None, "the launcher has not heard it");
    assert!(find(&said[1..], LEAK.as_bytes()).is_some());
    assert!(find(&collector.bodies(), LEAK.as_bytes()).is_some());
    for (name, encoded) in encodings(LEAK.as_bytes()) {
        assert!(find(&[encoded], LEAK.as_bytes()).is_some(), "{name}");
    }
}
