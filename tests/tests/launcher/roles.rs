//! With least rights: one user per role, each with a reply prefix of its own, and nothing more.

use serde_json::{Value, json};
use subrosa_client::{ClientError, LaunchError};
use subrosa_launcher::setup;
use subrosa_protocol::id::JobId;
use subrosa_tests::{checkpoint::fits, lab::patiently};
use subrosa_transport::{ConnectError, HistoryError, QueueError, RequestError};

use crate::deployment::Deployment;

#[tokio::test]
async fn a_launcher_gets_by_with_a_launchers_rights() {
    let deployment = Deployment::new().await;
    let config = deployment.config("launcher");
    let denied = setup(&config).await.unwrap_err().to_string();
    assert!(denied.contains("denies $JS.API.STREAM.CREATE.SUBROSA_QUEUE to this user"), "{denied}");
    deployment.set_up().await;

    let launcher = deployment.run(&config).await;
    let client = deployment.client().await.unwrap();
    let options = json!({ "label": "rights" });
    let job = client.job("create-proof").options_value(options).payload_value(json!({ "value": 7 }));
    let job = job.launch().await.unwrap();
    patiently(job.result::<Value>()).await.unwrap();
    let job = client.job("create-proof").payload_value(json!({ "value": 7 })).launch().await.unwrap();
    drop(job);
    patiently(client.close()).await;
    launcher.stop().await;
    let violations = deployment.violations();
    assert!(matches!(&violations[..], [setup] if setup.contains("STREAM.CREATE")), "{violations:#?}");
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

    let deployment = Deployment::without(r#", "subrosa.v1.client.FirstClientsToken.*.*""#).await;
    let error = patiently(deployment.client()).await.unwrap_err();
    let ClientError::Subscribe(error) = error else { panic!("{error}") };
    assert_eq!(denied(&error), "subrosa.v1.client.FirstClientsToken.*.*");
    deployment.stop().await;

    let deployment = Deployment::without(r#""_INBOX_client.>", "#).await;
    let error = patiently(deployment.client()).await.unwrap_err();
    let ClientError::Connect(ConnectError::Subscribe(error)) = error else { panic!("{error}") };
    assert!(fits(denied(&error), "_INBOX_client.*.*"), "{error}");
    deployment.stop().await;
}

#[tokio::test]
async fn a_worker_is_told_which_subject_it_is_denied() {
    let record = format!("subrosa.v1.record.create-proof.{}", JobId::of(b""));
    let result = format!("subrosa.v1.result.create-proof.{}.1.0", JobId::of(b""));
    for (right, subject) in [
        (r#""_INBOX_worker-create-proof.>", "#, "_INBOX_worker-create-proof.*.*"),
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
    deployment.set_up().await;
    let command = async |args: &[&str], user: &str| {
        let output = patiently(deployment.command(args, user).output()).await.unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), said)
    };
    for args in [&["jobs"][..], &["status", "12345678"], &["audit", "export", &"0".repeat(64)]] {
        let (code, said) = command(args, "client").await;
        assert_eq!(code, Some(4), "{said}");
        assert_eq!(said["error"]["code"], "denied");
        let message = said["error"]["message"].as_str().unwrap();
        assert!(message.contains("auditor's credentials"), "{message}");
        assert!(message.contains("$JS.API.STREAM.INFO.SUBROSA_RECORDS"), "{message}");
    }
    let (code, said) = command(&["jobs"], "auditor").await;
    assert_eq!((code, &said["jobs"]), (Some(0), &json!([])), "{said}");
    let (code, said) = command(&["status", "12345678"], "auditor").await;
    assert_eq!((code, &said["error"]["code"]), (Some(8), &json!("unknown_job")), "{said}");
    let (code, said) = command(&["audit", "export", &"0".repeat(64)], "auditor").await;
    assert_eq!((code, &said["error"]["code"]), (Some(8), &json!("unknown_job")), "{said}");
    // A client may listen under its own token only, and the doctor says so.
    let (code, said) = command(&["doctor", "--patience", "1"], "client").await;
    assert_eq!(code, Some(1), "{said}");
    let checks = said["checks"].as_array().unwrap();
    let bad = |name: &str| checks.iter().find(|check| check["name"] == name && check["status"] == "bad");
    assert!(bad("replies").unwrap()["advice"].as_str().unwrap().contains("--reply-token"), "{said}");
    assert!(bad("launcher").is_some(), "nobody runs one: {said}");
    assert!(bad("stream").is_none() && bad("launch").is_none(), "{said}");
}
