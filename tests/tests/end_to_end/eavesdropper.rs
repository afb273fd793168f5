//! What the broker carries holds nothing of a job's content, in any encoding.

use serde_json::{Value, json};
use subrosa::local::Example;
use subrosa_client::{JobError, StepCode};
use subrosa_tests::{
    eavesdropper::{Eavesdropper, encodings, find},
    lab::{Lab, patiently, seed},
};
use subrosa_worker::Failure;

use crate::PROGRAM;

const OPTIONS: &str = "options: quince \"marmalade\" on Ümläut toast";
const PAYLOAD: &str = "payload: the combination is 36-24-36";
const RESULT: &str = "result: it opened at the third try";
const STATUS: &str = "status: the client is content with it";
const PROGRESS: &str = "progress: turning the second wheel";
const LOG: &str = "log: heard a click behind the door";
const FAILURE: &str = "failure: the alarm went off at noon";
const PARAMETERS: &str = "parameters: locksmith number seventeen";
const REFUSAL: &str = "refusal: the client has changed its mind";
const LABEL: &str = "label: everyone may read this one";

#[tokio::test]
async fn nothing_that_is_sealed_is_heard_and_what_is_not_is() {
    let lab = Lab::new(PROGRAM, &[Example::Echo], &["safe"]).await;
    let _worker = lab.serve("safe", |job| async move {
        let (_, job) = job.options::<Value>(&PARAMETERS).await?;
        job.log(subrosa_worker::LogLevel::Info, LOG);
        let (payload, job) = job.ready::<Value>(&PARAMETERS).await?;
        job.progress(0.5, PROGRESS);
        if payload["fail"] == true {
            return Err(Failure::new(FAILURE));
        }
        job.done(&RESULT).await
    });
    let ear = Eavesdropper::new(lab.connection().await).await;
    let client = lab.client().await;

    let job = client
        .job("safe")
        .options_value(OPTIONS)
        .payload_value(json!({ "text": PAYLOAD }))
        .status_value(STATUS)
        .label(LABEL)
        .launch()
        .await
        .unwrap();
    assert_eq!(patiently(job.result::<String>()).await.unwrap().value, RESULT);

    let job =
        client.job("safe").payload_value(json!({ "text": PAYLOAD, "fail": true })).launch().await.unwrap();
    let error = patiently(job.result::<String>()).await.unwrap_err();
    assert!(matches!(&error, JobError::Worker { message, .. } if message == FAILURE), "{error}");

    let job = client
        .job("safe")
        .options(|_| async { Err::<Value, _>(subrosa_client::HandlerError::new(REFUSAL)) })
        .launch()
        .await
        .unwrap();
    let error = patiently(job.result::<String>()).await.unwrap_err();
    assert!(matches!(&error, JobError::Handler { code: StepCode::HandlerFailed, .. }), "{error}");

    let job = client.job("echo").options_value(OPTIONS).payload_value(PAYLOAD).launch().await.unwrap();
    assert_eq!(patiently(job.result::<Value>()).await.unwrap().value["payload"], PAYLOAD);
    patiently(client.close()).await;

    let heard = ear.stop().await;
    assert!(heard.len() > 40, "only {} messages were heard", heard.len());
    for secret in [OPTIONS, PAYLOAD, RESULT, STATUS, PROGRESS, LOG, FAILURE, PARAMETERS, REFUSAL] {
        assert_eq!(find(&heard, secret.as_bytes()), None, "{secret}");
    }
    for name in ["safe", "echo", "launcher"] {
        let text = seed(&lab.local.worker_key(name));
        let bytes: [u8; 32] = subrosa_protocol::encoding::b64u_array(&text).unwrap();
        assert_eq!(find(&heard, &bytes), None, "the private key of {name}");
    }
    // The counter-test: the label travels openly, in a base64 job within a base64 record. The same
    // detector finds it.
    assert!(find(&heard, LABEL.as_bytes()).is_some(), "the detector is deaf");
    lab.stop().await;
}

#[tokio::test]
async fn the_detector_finds_whatever_is_not_sealed() {
    let lab = Lab::new(PROGRAM, &[], &["open"]).await;
    for (name, encoded) in encodings(PAYLOAD.as_bytes()) {
        let ear = Eavesdropper::new(lab.connection().await).await;
        let sender = lab.connection().await;
        sender.publish("open.subject", None, encoded.into()).await.unwrap();
        sender.round_trip(subrosa_tests::lab::PATIENCE).await.unwrap();
        assert!(find(&ear.stop().await, PAYLOAD.as_bytes()).is_some(), "{name}");
    }
    // In a stream of JetStream's: a worker that did not seal its result would be heard so.
    let ear = Eavesdropper::new(lab.connection().await).await;
    let sender = lab.connection().await;
    let worker = "open".parse().unwrap();
    let job = subrosa_protocol::id::JobId::of(b"a job");
    let subject = subrosa_protocol::subject::Namespace::default().queue(&worker, &job);
    sender.request(&subject, None, PAYLOAD.into(), subrosa_tests::lab::PATIENCE).await.unwrap();
    assert!(find(&ear.stop().await, PAYLOAD.as_bytes()).is_some());
    lab.stop().await;
}
