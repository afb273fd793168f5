//! What each user of `deploy/nats.conf` may do, and that nobody may do more: every subject that anybody uses is
//! tried by everybody, and each role does all of its own work.

use std::{collections::BTreeSet, fs, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use serde_json::{Value, json};
use subrosa_client::{JobError, Timing};
use subrosa_examples::create_proof::{self, Options, Payload, Proof};
use subrosa_launcher::Config;
use subrosa_tests::{
    checkpoint::Checkpoint,
    gate::{self, Gate},
    lab::{patiently, serve},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::deployment::{Deployment, ROLES};

/// A letter for each user: administrator, launcher, the two workers resident (capitals: `create-proof`) and started
/// for one job, client, auditor.
fn letter(role: &str) -> char {
    match role {
        "admin" => 'A',
        "launcher" => 'L',
        "worker-create-proof" => 'W',
        "worker-echo" => 'w',
        "job-create-proof" => 'J',
        "job-echo" => 'j',
        "client" => 'C',
        "auditor" => 'U',
        other => panic!("who is {other}?"),
    }
}

/// Who may publish there.
const PUBLISH: &[(&str, &str)] = &[
    ("subrosa.v1.launch.create-proof", "C"),
    ("subrosa.v1.launch.echo", "C"),
    ("subrosa.v1.status", "C"),
    ("subrosa.v1.cancel", "C"),
    ("subrosa.v1.workers", "C"),
    ("subrosa.v1.result", "C"),
    ("subrosa.v1.close", "C"),
    ("subrosa.v1.queue.create-proof.JOB", "L"),
    ("subrosa.v1.queue.echo.JOB", "L"),
    ("subrosa.v1.record.create-proof.JOB", "LWJ"),
    ("subrosa.v1.record.echo.JOB", "Lwj"),
    ("subrosa.v1.result.create-proof.JOB.1.0", "WJ"),
    ("subrosa.v1.result.echo.JOB.1.0", "wj"),
    ("subrosa.v1.control.create-proof.INSTANCE.JOB.stop", "L"),
    ("subrosa.v1.control.create-proof.INSTANCE.JOB.alive", "LW"),
    ("subrosa.v1.control.create-proof.INSTANCE.JOB.cancel", "C"),
    ("subrosa.v1.control.create-proof.INSTANCE.JOB.pull", "C"),
    ("subrosa.v1.control.create-proof.INSTANCE.JOB.other", ""),
    ("subrosa.v1.control.echo.INSTANCE.JOB.stop", "L"),
    ("subrosa.v1.control.echo.INSTANCE.JOB.alive", "Lw"),
    ("subrosa.v1.control.echo.INSTANCE.JOB.cancel", "C"),
    ("subrosa.v1.control.echo.INSTANCE.JOB.pull", "C"),
    ("subrosa.v1.client.FirstClientsToken.JOB.options", "WJwj"),
    ("subrosa.v1.client.FirstClientsToken.JOB.ended", "LWJwj"),
    ("subrosa.v1.client.AnotherClientsToken.JOB.options", "WJwj"),
    ("subrosa.v1.other", ""),
    ("subrosa.v2.launch.echo", ""),
    ("$JS.API.INFO", "A"),
    ("$JS.API.STREAM.NAMES", "A"),
    ("$JS.API.STREAM.CREATE.SUBROSA_QUEUE", "A"),
    ("$JS.API.STREAM.CREATE.SUBROSA_OTHER", "A"),
    ("$JS.API.STREAM.UPDATE.SUBROSA_RECORDS", "A"),
    ("$JS.API.STREAM.DELETE.SUBROSA_QUEUE", "A"),
    ("$JS.API.STREAM.DELETE.SUBROSA_RECORDS", "A"),
    ("$JS.API.STREAM.DELETE.SUBROSA_RESULTS", "A"),
    ("$JS.API.STREAM.INFO.SUBROSA_QUEUE", "AL"),
    ("$JS.API.STREAM.INFO.SUBROSA_RECORDS", "ALU"),
    ("$JS.API.STREAM.INFO.SUBROSA_RESULTS", "AL"),
    ("$JS.API.STREAM.PURGE.SUBROSA_QUEUE", "AL"),
    ("$JS.API.STREAM.PURGE.SUBROSA_RECORDS", "A"),
    ("$JS.API.STREAM.PURGE.SUBROSA_RESULTS", "AL"),
    ("$JS.API.STREAM.MSG.GET.SUBROSA_QUEUE", "A"),
    ("$JS.API.STREAM.MSG.GET.SUBROSA_RECORDS", "A"),
    ("$JS.API.STREAM.MSG.GET.SUBROSA_RESULTS", "A"),
    ("$JS.API.STREAM.MSG.DELETE.SUBROSA_RECORDS", "A"),
    ("$JS.API.STREAM.SNAPSHOT.SUBROSA_RECORDS", "A"),
    ("$JS.API.STREAM.RESTORE.SUBROSA_RECORDS", "A"),
    ("$JS.API.CONSUMER.CREATE.SUBROSA_QUEUE.new", "A"),
    ("$JS.API.CONSUMER.DURABLE.CREATE.SUBROSA_QUEUE.echo", "A"),
    ("$JS.API.CONSUMER.DELETE.SUBROSA_QUEUE.echo", "A"),
    ("$JS.API.CONSUMER.INFO.SUBROSA_QUEUE.create-proof", "ALW"),
    ("$JS.API.CONSUMER.INFO.SUBROSA_QUEUE.echo", "ALw"),
    ("$JS.API.CONSUMER.MSG.NEXT.SUBROSA_QUEUE.create-proof", "ALW"),
    ("$JS.API.CONSUMER.MSG.NEXT.SUBROSA_QUEUE.echo", "ALw"),
    ("$JS.API.CONSUMER.CREATE.SUBROSA_RECORDS.new.subrosa.v1.record.>", "ALU"),
    ("$JS.API.CONSUMER.MSG.NEXT.SUBROSA_RECORDS.new", "ALU"),
    ("$JS.API.CONSUMER.INFO.SUBROSA_RECORDS.new", "ALU"),
    ("$JS.API.CONSUMER.DELETE.SUBROSA_RECORDS.new", "AL"),
    ("$JS.API.CONSUMER.CREATE.SUBROSA_RESULTS.new", "A"),
    ("$JS.API.DIRECT.GET.SUBROSA_QUEUE", "A"),
    ("$JS.API.DIRECT.GET.SUBROSA_RECORDS", "ALU"),
    ("$JS.API.DIRECT.GET.SUBROSA_RECORDS.subrosa.v1.record.create-proof.JOB", "ALWJU"),
    ("$JS.API.DIRECT.GET.SUBROSA_RECORDS.subrosa.v1.record.echo.JOB", "ALwjU"),
    ("$JS.API.DIRECT.GET.SUBROSA_RESULTS", "A"),
    ("$JS.API.DIRECT.GET.SUBROSA_RESULTS.subrosa.v1.result.echo.JOB.1.0", "AL"),
    ("$JS.ACK.SUBROSA_QUEUE.create-proof.1.1.1.1.0", "ALW"),
    ("$JS.ACK.SUBROSA_QUEUE.echo.1.1.1.1.0", "ALw"),
    ("$JS.ACK.SUBROSA_RECORDS.new.1.1.1.1.0", "A"),
    ("$SRV.PING", "A"),
    ("$SRV.INFO.subrosa-launcher", "A"),
    ("$SYS.REQ.SERVER.PING", ""),
    ("$KV.any.key", ""),
    // Nobody speaks into another's inbox unasked.
    ("_INBOX.any.1", ""),
    ("_INBOX_launcher.any.1", ""),
    ("_INBOX_worker-echo.any.1", ""),
    ("_INBOX_client.any.1", ""),
];

/// Who may listen there; a second word is a queue group.
const LISTEN: &[(&str, &str)] = &[
    (">", ""),
    ("*", ""),
    ("subrosa.>", ""),
    ("subrosa.v1.queue.>", ""),
    ("subrosa.v1.record.>", ""),
    ("subrosa.v1.record.echo.*", ""),
    ("subrosa.v1.result.>", ""),
    ("subrosa.v1.control.>", ""),
    ("subrosa.v1.control.*.*.*.*", ""),
    ("subrosa.v1.control.create-proof.*.*.*", "WJ"),
    ("subrosa.v1.control.echo.*.*.*", "wj"),
    ("subrosa.v1.client.>", ""),
    ("subrosa.v1.client.*.*.*", ""),
    ("subrosa.v1.client.FirstClientsToken.*.*", "C"),
    ("subrosa.v1.client.AnotherClientsToken.*.*", ""),
    ("subrosa.v1.launch.* subrosa-launcher", "L"),
    ("subrosa.v1.status subrosa-launcher", "L"),
    ("subrosa.v1.cancel subrosa-launcher", "L"),
    ("subrosa.v1.workers subrosa-launcher", "L"),
    ("subrosa.v1.result subrosa-launcher", "L"),
    ("subrosa.v1.close subrosa-launcher", "L"),
    ("subrosa.v1.launch.*", ""),
    ("subrosa.v1.launch.* another-group", ""),
    ("$SRV.>", "L"),
    ("$JS.EVENT.ADVISORY.>", "A"),
    ("$JS.API.>", ""),
    ("$JS.ACK.>", ""),
    ("$SYS.>", ""),
    ("_INBOX.>", ""),
    ("_INBOX_admin.>", "A"),
    ("_INBOX_launcher.>", "L"),
    ("_INBOX_worker-create-proof.>", "W"),
    ("_INBOX_worker-echo.>", "w"),
    ("_INBOX_job-create-proof.>", "J"),
    ("_INBOX_job-echo.>", "j"),
    ("_INBOX_client.>", "C"),
    ("_INBOX_auditor.>", "U"),
];

/// Tries all of it at once, and returns what the server has denied.
async fn denied(deployment: &Deployment, user: &str) -> BTreeSet<String> {
    let address = deployment.server.url().strip_prefix("nats://").unwrap();
    let mut server = BufReader::new(TcpStream::connect(address).await.unwrap());
    let mut line = String::new();
    patiently(server.read_line(&mut line)).await.unwrap();
    let info: Value = serde_json::from_str(line.strip_prefix("INFO ").unwrap()).unwrap();
    let key = KeyPair::from_seed(fs::read_to_string(deployment.credentials(user)).unwrap().trim()).unwrap();
    let signature = key.sign(info["nonce"].as_str().unwrap().as_bytes()).unwrap();
    let connect = json!({
        "verbose": false, "pedantic": false, "nkey": key.public_key(), "sig": URL_SAFE_NO_PAD.encode(signature),
    });
    let mut said = format!("CONNECT {connect}\r\n");
    for (subject, _) in PUBLISH {
        said += &format!("PUB {subject} 0\r\n\r\n");
    }
    for (number, (subject, _)) in LISTEN.iter().enumerate() {
        said += &format!("SUB {subject} {number}\r\n");
    }
    said += "PING\r\n";
    server.write_all(said.as_bytes()).await.unwrap();
    let mut denied = BTreeSet::new();
    loop {
        line.clear();
        assert!(patiently(server.read_line(&mut line)).await.unwrap() > 0, "{user}: {denied:?}");
        if line.starts_with("PONG") {
            return denied;
        }
        if let Some(error) = line.strip_prefix("-ERR ") {
            let error = error.trim().trim_matches('\'');
            denied.insert(error.strip_prefix("Permissions Violation for ").unwrap_or(error).to_owned());
        }
    }
}

#[tokio::test]
async fn every_role_is_tried_on_each_subject_of_the_others() {
    let deployment = Deployment::new().await;
    for role in ROLES {
        let is_denied = |(_, may): &&(&str, &str)| !may.contains(letter(role));
        let publish =
            PUBLISH.iter().filter(is_denied).map(|(subject, _)| format!("Publish to \"{subject}\""));
        let listen = LISTEN.iter().filter(is_denied).map(|(subject, _)| match subject.split_once(' ') {
            Some((subject, group)) => format!("Subscription to \"{subject}\" using queue \"{group}\""),
            None => format!("Subscription to \"{subject}\""),
        });
        let expected: BTreeSet<String> = publish.chain(listen).collect();
        let denied = denied(&deployment, role).await;
        let more: Vec<_> = denied.difference(&expected).collect();
        let less: Vec<_> = expected.difference(&denied).collect();
        assert!(more.is_empty() && less.is_empty(), "{role} lacks {more:#?}, and may {less:#?}");
    }
    deployment.stop().await;
}

#[test]
fn the_launchers_of_a_deployment_are_configured_for_these_rights() {
    let one_machine = Config::from_toml(include_str!("../../../deploy/launcher.toml")).unwrap();
    let cluster = Config::from_toml(include_str!("../../../deploy/kubernetes/launcher.toml")).unwrap();
    for config in [&one_machine, &cluster] {
        assert_eq!(config.nats.inbox_prefix.as_deref(), Some("_INBOX_launcher"));
        assert!(config.nats.credentials.is_some());
    }
    let streams = &cluster.streams;
    let replicas = [&streams.queue, &streams.records, &streams.results].map(|stream| stream.replicas);
    assert_eq!(replicas, [3; 3]);
}

#[tokio::test]
async fn strangers_are_kept_out() {
    let deployment = Deployment::new().await;
    let mut stranger = deployment.connect("client");
    for credentials in [None, Some(deployment.at("stranger.nk"))] {
        fs::write(deployment.at("stranger.nk"), KeyPair::new_user().seed().unwrap()).unwrap();
        stranger.credentials = credentials;
        let error = patiently(stranger.connect()).await.map(drop).unwrap_err().to_string();
        assert!(error.ends_with("refuses the credentials"), "{error}");
    }
    fs::write(deployment.at("stranger.nk"), "no key").unwrap();
    let error = patiently(stranger.connect()).await.map(drop).unwrap_err().to_string();
    assert!(error.contains("stranger.nk cannot be used"), "{error}");
    deployment.stop().await;
}

#[tokio::test]
async fn every_role_does_all_of_its_work_with_its_rights() {
    let deployment = Deployment::new().await;
    let workers = ["create-proof", "echo"];
    let workers =
        workers.map(|name| format!("[[worker]]\nname = \"{name}\"\nbackend = \"resident\"\n")).concat();
    subrosa_launcher::setup(&deployment.config_with("admin", &workers)).await.unwrap();
    let config = deployment.config_with("launcher", &workers);
    let launcher = deployment.run(&config).await;
    let prover = serve(deployment.worker_config("create-proof"), "create-proof", create_proof::run);
    let client = deployment.client().await.unwrap();
    let job = client.job("create-proof").options_value(Options { label: "rights".to_owned() });
    let job = job.payload_value(Payload { value: 7 }).launch().await.unwrap();
    let done = *job.id();
    create_proof::verify(&patiently(job.result::<Proof>()).await.unwrap().value, "rights").unwrap();

    // Cancelled: still queued, by the client over the session, by the operator.
    let gate = Gate::new().await;
    let job = client.job("echo").payload_value(gate.payload()).launch().await.unwrap();
    job.canceller().cancel();
    is_cancelled(job).await;
    let mut worker = deployment.worker_config("echo");
    worker.timing.done = Duration::from_millis(500);
    let worker = serve(worker, "echo", gate::pass);
    let job = client.job("echo").payload_value(gate.payload()).launch().await.unwrap();
    let visitor = gate.arrival().await;
    job.canceller().cancel();
    is_cancelled(job).await;
    visitor.is_gone().await;
    let job = client.job("echo").payload_value(gate.payload()).launch().await.unwrap();
    let visitor = gate.arrival().await;
    assert_eq!(patiently(subrosa_launcher::cancel(&config, job.id())).await.unwrap(), "cancelled");
    is_cancelled(job).await;
    visitor.is_gone().await;

    // Stored, and taken by the client when it is back.
    let checkpoint = Checkpoint::before(deployment.server.url()).await;
    let mut timing = Timing::default();
    timing.status = Duration::from_millis(200);
    timing.settle = Duration::from_millis(200);
    let mut nats = deployment.connect("client");
    nats.url = checkpoint.url().to_owned();
    patiently(client.close()).await;
    let client = subrosa_client::Client::connect_with(nats).reply_token(crate::deployment::TOKEN);
    let client = client.trust(deployment.trust.clone()).timing(timing).await.unwrap();
    let job = client.job("echo").payload_value(gate.payload()).launch().await.unwrap();
    let (stored, visitor) = (*job.id(), gate.arrival().await);
    checkpoint.close();
    visitor.go_on().await;
    until(&deployment, &stored.to_string(), "finished").await;
    checkpoint.open();
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().value, 1);
    patiently(client.close()).await;

    // The auditor has seen it all.
    let export = deployment.command(&["audit", "export", &done.to_string()], "auditor").output();
    let export = patiently(export).await.unwrap();
    assert!(export.status.success(), "{export:?}");
    let jobs = patiently(deployment.command(&["jobs"], "auditor").output()).await.unwrap();
    let jobs: Value = serde_json::from_slice(&jobs.stdout).unwrap();
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 5, "{jobs}");

    for resident in [prover, worker] {
        resident.draining.cancel();
        patiently(resident.served).await.unwrap().unwrap();
    }
    launcher.stop().await;
    assert_eq!(deployment.violations(), [""; 0]);
    deployment.stop().await;
}

async fn is_cancelled(job: subrosa_client::Job) {
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    assert!(matches!(error, JobError::Cancelled { .. }), "{error}");
}

/// Waits until a launcher says that the job is in this state.
async fn until(deployment: &Deployment, job: &str, state: &str) {
    patiently(async {
        loop {
            let output = deployment.command(&["status", job], "client").output().await.unwrap();
            let said: Value = serde_json::from_slice(&output.stdout).unwrap();
            if said["state"] == state {
                return;
            }
        }
    })
    .await;
}
