//! Functions and handlers that fail: their job fails with a sealed error, and nothing else.

use serde_json::{Value, json};
use subrosa::local::Example;
use subrosa_client::{HandlerError, JobError, StepCode};
use subrosa_examples::create_proof::{Options, Payload, Proof};
use subrosa_protocol::record::Event;
use subrosa_tests::lab::{Lab, patiently};
use subrosa_worker::Failure;

use crate::PROGRAM;

#[tokio::test]
async fn a_function_that_fails_fails_its_job_alone() {
    let lab = Lab::new(PROGRAM, &[], &["moody"]).await;
    let _worker = lab.serve("moody", |job| async move {
        let (_, job) = job.options::<Value>(&()).await?;
        let (payload, job) = job.ready::<Value>(&()).await?;
        match payload.as_str() {
            Some("fail") => Err(Failure::new("it said fail")),
            Some("panic") => panic!("it said panic"),
            _ => job.done(&payload).await,
        }
    });
    let client = lab.client().await;
    for (payload, message) in
        [("fail", "it said fail"), ("panic", "the worker's function panicked: it said panic")]
    {
        let job = client.job("moody").payload_value(payload).launch().await.unwrap();
        let id = *job.id();
        let error = patiently(job.result::<Value>()).await.unwrap_err();
        let JobError::Worker { code: StepCode::HandlerFailed, message: text } = &error else {
            panic!("{error}")
        };
        assert_eq!(text, message);
        let records = lab.records("moody", &id, "failed").await;
        let Event::Failed(reason) = &records.last().unwrap().event else { panic!("not failed") };
        assert_eq!(reason.code, "handler_failed");
        assert!(!reason.text.contains("said"), "the public reason holds nothing of the job");
    }
    let job = client.job("moody").payload_value("go on").launch().await.unwrap();
    assert_eq!(patiently(job.result::<Value>()).await.unwrap().value, json!("go on"));
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_function_may_fail_before_it_has_asked_for_anything() {
    let lab = Lab::new(PROGRAM, &[], &["early", "middle"]).await;
    let _early = lab.serve("early", |_job| async move { Err(Failure::new("not today")) });
    let _middle = lab.serve("middle", |job| async move {
        let (_, _job) = job.options::<Value>(&()).await?;
        Err(Failure::bad_input("not with these options"))
    });
    let client = lab.client().await;
    let job = client.job("early").launch().await.unwrap();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    assert!(matches!(&error, JobError::Worker { message, .. } if message == "not today"), "{error}");
    let job = client.job("middle").launch().await.unwrap();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    assert!(matches!(&error, JobError::Worker { code: StepCode::BadInput, .. }), "{error}");
    lab.stop().await;
}

#[tokio::test]
async fn a_handler_that_fails_or_panics_fails_its_job_alone() {
    let lab = Lab::new(PROGRAM, &[Example::Echo], &[]).await;
    let client = lab.client().await;

    let job = client
        .job("echo")
        .options(|_| async { Err::<Value, _>(HandlerError::new("no options today")) })
        .launch()
        .await
        .unwrap();
    let id = *job.id();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    let JobError::Handler { step: "options", message, .. } = &error else { panic!("{error}") };
    assert_eq!(message, "no options today");
    lab.history("echo", &id, "failed").await;

    let job = client
        .job("echo")
        .payload(|_| async {
            if true {
                panic!("a secret panic");
            }
            Ok(Value::Null)
        })
        .launch()
        .await
        .unwrap();
    let id = *job.id();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    assert!(matches!(&error, JobError::Handler { step: "payload", .. }), "{error}");
    lab.history("echo", &id, "failed").await;

    let job = client
        .job("echo")
        .status(|_| async { Err::<Value, _>(HandlerError::bad_input("not what was asked for")) })
        .launch()
        .await
        .unwrap();
    let id = *job.id();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    assert!(matches!(&error, JobError::Handler { step: "status", .. }), "{error}");
    lab.history("echo", &id, "failed").await;

    let job = client.job("echo").payload_value(1).launch().await.unwrap();
    assert_eq!(patiently(job.result::<Value>()).await.unwrap().value["payload"], 1);
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_value_out_of_range_is_a_failed_job_with_a_clear_error() {
    let lab = Lab::new(PROGRAM, &[Example::CreateProof], &[]).await;
    let client = lab.client().await;
    for value in [101, -1, i64::MAX, i64::MIN] {
        let job = client
            .job("create-proof")
            .options_value(Options { label: "bound".to_owned() })
            .payload_value(Payload { value })
            .launch()
            .await
            .unwrap();
        let error = patiently(job.result::<Proof>()).await.unwrap_err();
        let JobError::Worker { message, .. } = &error else { panic!("{error}") };
        assert!(message.contains("between 0 and 100"), "{message}");
    }
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn answers_that_do_not_fit_one_message_fail_with_their_size() {
    let lab = Lab::new(PROGRAM, &[], &["large"]).await;
    let _worker = lab.serve("large", |job| async move {
        let (_, job) = job.options::<Value>(&()).await?;
        let (bytes, job) = job.ready::<usize>(&()).await?;
        job.done(&"x".repeat(bytes)).await
    });
    let client = lab.client().await;
    let job = client.job("large").payload_value(2_000_000).launch().await.unwrap();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    assert!(matches!(&error, JobError::Worker { code: StepCode::TooLarge, .. }), "{error}");

    let job = client.job("large").payload(|_| async { Ok("x".repeat(2_000_000)) }).launch().await.unwrap();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    assert!(matches!(&error, JobError::Handler { code: StepCode::TooLarge, .. }), "{error}");

    let job = client.job("large").payload_value(10).launch().await.unwrap();
    assert_eq!(patiently(job.result::<String>()).await.unwrap().value.len(), 10);
    lab.stop().await;
}

#[tokio::test]
async fn input_of_another_type_is_bad_input() {
    let lab = Lab::new(PROGRAM, &[Example::CreateProof], &[]).await;
    let client = lab.client().await;
    let job = client.job("create-proof").options_value(json!(7)).launch().await.unwrap();
    let error = patiently(job.result::<Proof>()).await.unwrap_err();
    assert!(matches!(&error, JobError::Worker { code: StepCode::BadInput, .. }), "{error}");
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_ended() {
    let lab = Lab::new(PROGRAM, &[], &["slow"]).await;
    let _worker = lab.serve("slow", |job| async move {
        let (_, job) = job.options::<Value>(&()).await?;
        let (_, job) = job.ready::<Value>(&()).await?;
        std::future::pending::<()>().await;
        job.done(&()).await
    });
    let client = lab.client().await;
    let job = client.job("slow").timeout(std::time::Duration::from_millis(200)).launch().await.unwrap();
    let id = *job.id();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    assert!(matches!(&error, JobError::Worker { code: StepCode::Timeout, .. }), "{error}");
    lab.history("slow", &id, "failed").await;
    lab.stop().await;
}

#[tokio::test]
async fn a_job_that_is_dropped_is_cancelled() {
    let lab = Lab::new(PROGRAM, &[], &["nobody-serves"]).await;
    let client = lab.client().await;
    let job = client.job("nobody-serves").launch().await.unwrap();
    let id = *job.id();
    drop(job);
    assert_eq!(lab.history("nobody-serves", &id, "cancelled").await, ["queued", "cancelled"]);
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_function_may_panic_before_its_first_await() {
    let lab = Lab::new(PROGRAM, &[], &["hasty"]).await;
    let _worker = lab.serve("hasty", |job| {
        assert!(job.label() != Some("panic"), "no such label");
        async move {
            let (_, job) = job.options::<Value>(&()).await?;
            let (payload, job) = job.ready::<Value>(&()).await?;
            job.done(&payload).await
        }
    });
    let client = lab.client().await;
    let job = client.job("hasty").label("panic").launch().await.unwrap();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    assert!(error.to_string().contains("no such label"), "{error}");
    let job = client.job("hasty").payload_value(1).launch().await.unwrap();
    assert_eq!(patiently(job.result::<Value>()).await.unwrap().value, 1);
    lab.stop().await;
}

#[tokio::test]
async fn an_error_of_many_quotes_and_control_characters_arrives_cut() {
    let lab = Lab::new(PROGRAM, &[], &["loud"]).await;
    let _worker = lab.serve("loud", |job| async move {
        let (text, _job) = job.options::<String>(&()).await?;
        Err(Failure::new(text.repeat(9000)))
    });
    let client = lab.client().await;
    for text in ["\"", "\u{1}", "\u{7f}", "ä"] {
        let job = client.job("loud").options_value(text).launch().await.unwrap();
        let error = patiently(job.result::<Value>()).await.unwrap_err();
        let JobError::Worker { message, .. } = &error else { panic!("{error}") };
        assert!(message.starts_with(text) && message.len() < 9000, "{}", message.len());
    }
    lab.stop().await;
}
