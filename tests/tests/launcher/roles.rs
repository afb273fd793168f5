//! With least rights: one user per role, each with a reply prefix of its own, and nothing more.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use subrosa::server::{self, Options, Server};
use subrosa_client::{Client, ClientError, LaunchError, Trust};
use subrosa_launcher::{Config, Guard, Launcher, setup};
use subrosa_protocol::{
    id::JobId,
    identity::{Role, file},
};
use subrosa_tests::{
    checkpoint::fits,
    lab::{fresh_key, patiently},
};
use subrosa_transport::{Connect, ConnectError, HistoryError, QueueError, RequestError};
use subrosa_worker::{Failure, serve_with};
use tokio::{process::Command, sync::oneshot};
use tokio_util::sync::CancellationToken;

use crate::PROGRAM;

const USERS: &str = include_str!("../../../deploy/roles.conf");

struct Deployment {
    server: Server,
    directory: tempfile::TempDir,
    trust: Trust,
}

impl Deployment {
    async fn new() -> Self {
        Self::with(USERS).await
    }

    /// Whose users have all their rights but this one, which stands in their table as it is here.
    async fn without(right: &str) -> Self {
        assert!(USERS.contains(right), "nobody has the right {right}");
        let deployment = Self::with(&USERS.replace(right, "")).await;
        setup(&deployment.config("admin", "admin")).await.unwrap();
        deployment
    }

    async fn with(users: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("nats.conf"), users).unwrap();
        let options = Options { config: Some(at("nats.conf")), ..Options::new(Guard::new(PROGRAM.into())) };
        let server = server::start(options, &mut |_: &str| {}).await.unwrap();
        let mut trust = Trust::default();
        for (name, role) in [("launcher", Role::Launcher), ("create-proof", Role::Worker)] {
            let key = fresh_key();
            trust = trust.with_key(key.public().clone(), role, None);
            file::create(at(&format!("{name}.jwk")), &key).unwrap();
        }
        fs::write(at("trust.json"), trust.to_json()).unwrap();
        Self { server, directory, trust }
    }

    fn url(&self, user: &str, password: &str) -> String {
        self.server.url().replace("nats://", &format!("nats://{user}:{password}@"))
    }

    fn config(&self, user: &str, password: &str) -> Config {
        let text = format!(
            r#"
            key_file = "launcher.jwk"
            trust_file = "trust.json"
            [nats]
            url = "{}"
            inbox_prefix = "_INBOX_{user}"
            [[worker]]
            name = "create-proof"
            backend = "process"
            command = ["{PROGRAM}", "internal", "worker", "create-proof"]
            key_file = "create-proof.jwk"
            trust_file = "trust.json"
            nats_url = "{}"
            inbox_prefix = "_INBOX_j-create-proof"
            "#,
            self.url(user, password),
            self.url("j-create-proof", "job"),
        );
        let path = self.directory.path().join("launcher.toml");
        fs::write(&path, text).unwrap();
        let mut config = Config::from_file(&path).unwrap();
        config.timing.sweep = Duration::from_millis(50);
        config.timing.queued_age = Duration::from_millis(100);
        config
    }

    async fn client(&self) -> Result<Client, ClientError> {
        Client::connect(self.url("alice", "client"))
            .inbox_prefix("_INBOX_alice")
            .reply_token("AliceAliceAlice01")
            .trust(self.trust.clone())
            .await
    }

    /// Serves jobs until it is told why that cannot be.
    async fn serve(&self) -> subrosa_worker::Error {
        let mut nats = Connect::new(self.url("w-create-proof", "worker"), "worker");
        nats.inbox_prefix = Some("_INBOX_w-create-proof".to_owned());
        let identity = file::load(self.directory.path().join("create-proof.jwk")).unwrap();
        let config = subrosa_worker::Config::new(nats, identity, self.trust.clone());
        let function = |_| async { Err(Failure::new("never asked")) };
        let served = serve_with(config, "create-proof", function, CancellationToken::new());
        patiently(served).await.unwrap_err()
    }

    async fn launch(&self) -> subrosa_launcher::Error {
        let config = self.config("launcher", "launcher");
        let launcher = patiently(Launcher::start(&config, &Guard::new(PROGRAM.into()))).await;
        launcher.map(drop).unwrap_err()
    }

    async fn stop(self) {
        self.server.stop().await.unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string::<&Path>(self.server.log().as_ref()).unwrap()
    }
}

#[tokio::test]
async fn a_launcher_gets_by_with_a_launchers_rights() {
    let deployment = Deployment::new().await;
    let config = deployment.config("launcher", "launcher");
    let denied = setup(&config).await.unwrap_err().to_string();
    assert!(denied.contains("denies $JS.API.STREAM.CREATE.SUBROSA_QUEUE to this user"), "{denied}");
    setup(&deployment.config("admin", "admin")).await.unwrap();

    let config = deployment.config("launcher", "launcher");
    let launcher = Launcher::start(&config, &Guard::new(PROGRAM.into())).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(launcher.serve(async move {
        let _ = stopped.await;
    }));
    let client = deployment.client().await.unwrap();
    let options = json!({ "label": "rights" });
    let job = client.job("create-proof").options_value(options).payload_value(json!({ "value": 7 }));
    let job = job.launch().await.unwrap();
    patiently(job.result::<Value>()).await.unwrap();
    let job = client.job("create-proof").payload_value(json!({ "value": 7 })).launch().await.unwrap();
    drop(job);
    patiently(client.close()).await;
    let _ = stop.send(());
    patiently(served).await.unwrap();
    // A round trip is a message to an inbox of one's own; that it is denied does as well.
    let inbox = |line: &&str| line.contains("Subject \"_INBOX_");
    let log = deployment.log();
    let violations = log.lines().filter(|line| line.contains("Violation") && !inbox(line));
    let violations: Vec<&str> = violations.collect();
    assert!(matches!(violations[..], [setup] if setup.contains("STREAM.CREATE")), "{violations:#?}");
    deployment.stop().await;
}

/// The subject of a denial, whatever part has come upon it.
fn denied(error: &RequestError) -> &str {
    let RequestError::Denied { subject } = error else { panic!("{error}") };
    assert!(error.to_string().contains(&format!("denies {subject} to this user")), "{error}");
    subject
}

#[tokio::test]
async fn a_client_is_told_which_subject_it_is_denied() {
    let deployment = Deployment::without(r#""subrosa.v1.launch.*", "#).await;
    let client = deployment.client().await.unwrap();
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let error = patiently(client.job("create-proof").launch()).await.unwrap_err();
    let LaunchError::NoLauncher(error) = error else { panic!("{error}") };
    assert_eq!(denied(&error), "subrosa.v1.launch.create-proof");
    assert_eq!(metrics.num_alive_tasks(), before, "there is nothing to be cancelled");
    deployment.stop().await;

    let deployment = Deployment::without(r#", "subrosa.v1.client.AliceAliceAlice01.*.*""#).await;
    let error = patiently(deployment.client()).await.unwrap_err();
    let ClientError::Subscribe(error) = error else { panic!("{error}") };
    assert_eq!(denied(&error), "subrosa.v1.client.AliceAliceAlice01.*.*");
    deployment.stop().await;

    let deployment = Deployment::without(r#""_INBOX_alice.>", "#).await;
    let error = patiently(deployment.client()).await.unwrap_err();
    let ClientError::Connect(ConnectError::Subscribe(error)) = error else { panic!("{error}") };
    assert!(fits(denied(&error), "_INBOX_alice.*.*"), "{error}");
    deployment.stop().await;
}

#[tokio::test]
async fn a_worker_is_told_which_subject_it_is_denied() {
    let record = format!("subrosa.v1.record.create-proof.{}", JobId::of(b""));
    let result = format!("subrosa.v1.result.create-proof.{}.1.0", JobId::of(b""));
    for (right, subject) in [
        (r#""_INBOX_w-create-proof.>", "#, "_INBOX_w-create-proof.*.*"),
        ("\"subrosa.v1.client.*.*.*\"\n", "subrosa.v1.client.*.*.options"),
        (r#""subrosa.v1.control.create-proof.*.*.alive""#, "subrosa.v1.control.create-proof.*.*.alive"),
        (r#", "subrosa.v1.control.create-proof.*.*.*""#, "subrosa.v1.control.create-proof.*.*.*"),
        (
            r#""$JS.API.CONSUMER.INFO.SUBROSA_QUEUE.create-proof""#,
            "$JS.API.CONSUMER.INFO.SUBROSA_QUEUE.create-proof",
        ),
        (
            r#""$JS.API.CONSUMER.MSG.NEXT.SUBROSA_QUEUE.create-proof", "#,
            "$JS.API.CONSUMER.MSG.NEXT.SUBROSA_QUEUE.create-proof",
        ),
        (r#""subrosa.v1.record.create-proof.*", "#, &record),
        (r#", "subrosa.v1.result.create-proof.*.*.*""#, &result),
        (
            r#""$JS.API.DIRECT.GET.SUBROSA_RECORDS.subrosa.v1.record.create-proof.*""#,
            &format!("$JS.API.DIRECT.GET.SUBROSA_RECORDS.{record}"),
        ),
    ] {
        let deployment = Deployment::without(right).await;
        let error = deployment.serve().await;
        let error = match &error {
            subrosa_worker::Error::Connect(ConnectError::Subscribe(error))
            | subrosa_worker::Error::Request(error)
            | subrosa_worker::Error::Queue(QueueError::Request(error))
            | subrosa_worker::Error::History(HistoryError::Request(error)) => error,
            other => panic!("without {right}: {other}"),
        };
        assert!(fits(denied(error), subject), "without {right}: {error}");
        deployment.stop().await;
    }
}

#[tokio::test]
async fn a_launcher_is_told_which_subject_it_is_denied() {
    let job = JobId::of(b"");
    for (right, subject) in [
        (r#", "subrosa.v1.record.*.*""#, format!("subrosa.v1.record.create-proof.{job}")),
        (r#""subrosa.v1.queue.*.*", "#, format!("subrosa.v1.queue.create-proof.{job}")),
        (
            r#""$JS.API.DIRECT.GET.SUBROSA_RECORDS", "$JS.API.DIRECT.GET.SUBROSA_RECORDS.>", "#,
            "$JS.API.DIRECT.GET.SUBROSA_RECORDS".to_owned(),
        ),
        (r#""$JS.API.STREAM.INFO.SUBROSA_QUEUE", "#, "$JS.API.STREAM.INFO.SUBROSA_QUEUE".to_owned()),
        (
            r#", "$JS.API.DIRECT.GET.SUBROSA_RESULTS.>""#,
            format!("$JS.API.DIRECT.GET.SUBROSA_RESULTS.subrosa.v1.result.create-proof.{job}.1.0"),
        ),
        (r#""$JS.API.STREAM.PURGE.SUBROSA_RESULTS" "#, "$JS.API.STREAM.PURGE.SUBROSA_RESULTS".to_owned()),
        (r#""subrosa.v1.client.*.*.ended""#, "subrosa.v1.client.*.*.ended".to_owned()),
        (r#""$JS.API.STREAM.PURGE.SUBROSA_QUEUE""#, "$JS.API.STREAM.PURGE.SUBROSA_QUEUE".to_owned()),
        (r#""subrosa.v1.control.*.*.*.stop", "#, "subrosa.v1.control.create-proof.*.*.stop".to_owned()),
        (r#", "subrosa.v1.control.*.*.*.alive""#, "subrosa.v1.control.create-proof.*.*.alive".to_owned()),
        (r#""subrosa.v1.launch.* subrosa-launcher", "#, "subrosa.v1.launch.*".to_owned()),
    ] {
        let deployment = Deployment::without(right).await;
        let error = deployment.launch().await;
        let error = match &error {
            subrosa_launcher::Error::Request(error)
            | subrosa_launcher::Error::Queue(QueueError::Request(error))
            | subrosa_launcher::Error::History(HistoryError::Request(error))
            | subrosa_launcher::Error::Streams(subrosa_launcher::StreamsError::Request(error)) => error,
            other => panic!("without {right}: {other}"),
        };
        assert!(fits(denied(error), &subject), "without {right}: {error}");
        deployment.stop().await;
    }
}

#[tokio::test]
async fn the_list_of_jobs_is_for_auditors() {
    let deployment = Deployment::new().await;
    setup(&deployment.config("admin", "admin")).await.unwrap();
    let command = async |args: &[&str], user: &str, password: &str| {
        let mut command = Command::new(PROGRAM);
        command.args(args).args(["--nats", &deployment.url(user, password)]);
        command.args(["--inbox-prefix", &format!("_INBOX_{user}"), "--json"]).kill_on_drop(true);
        let output = patiently(command.output()).await.unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), said)
    };
    for args in [&["jobs"][..], &["status", "12345678"], &["audit", "export", &"0".repeat(64)]] {
        let (code, said) = command(args, "alice", "client").await;
        assert_eq!(code, Some(4), "{said}");
        assert_eq!(said["error"]["code"], "denied");
        let message = said["error"]["message"].as_str().unwrap();
        assert!(message.contains("auditor's credentials"), "{message}");
        assert!(message.contains("$JS.API.STREAM.INFO.SUBROSA_RECORDS"), "{message}");
    }
    let (code, said) = command(&["jobs"], "auditor", "audit").await;
    assert_eq!((code, &said["jobs"]), (Some(0), &json!([])), "{said}");
    let (code, said) = command(&["status", "12345678"], "auditor", "audit").await;
    assert_eq!((code, &said["error"]["code"]), (Some(8), &json!("unknown_job")), "{said}");
    let (code, said) = command(&["audit", "export", &"0".repeat(64)], "auditor", "audit").await;
    assert_eq!((code, &said["error"]["code"]), (Some(8), &json!("unknown_job")), "{said}");
    // A client may listen under its own token only, and the doctor says so.
    let (code, said) = command(&["doctor", "--patience", "1"], "alice", "client").await;
    assert_eq!(code, Some(1), "{said}");
    let checks = said["checks"].as_array().unwrap();
    let bad = |name: &str| checks.iter().find(|check| check["name"] == name && check["status"] == "bad");
    assert!(bad("replies").unwrap()["advice"].as_str().unwrap().contains("--reply-token"), "{said}");
    assert!(bad("launcher").is_some(), "nobody runs one: {said}");
    assert!(bad("stream").is_none() && bad("launch").is_none(), "{said}");
}
