//! Who is trusted, and what those get who are not.

use serde_json::{Value, json};
use subrosa_client::{Client, Code, Event, JobError, LaunchError, Trust};
use subrosa_tests::lab::{Lab, fresh_key, patiently, serve};
use subrosa_worker::{Done, Failure, Job, Launched};

use crate::PROGRAM;

async fn answer(job: Job<Launched>) -> Result<Done, Failure> {
    let (_, job) = job.options::<Value>(&()).await?;
    let (payload, job) = job.ready::<Value>(&()).await?;
    job.done(&payload).await
}

#[tokio::test]
async fn a_worker_with_another_key_is_not_trusted_and_learns_nothing() {
    let lab = Lab::new(PROGRAM, &[], &["guess"]).await;
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let _worker = lab.serve("guess", answer);
    let client = lab.anonymous(Trust::pinned([fresh_key().public().clone()])).await;
    let handler = asked.clone();
    let mut job = client
        .job("guess")
        .options(move |_| {
            handler.store(true, std::sync::atomic::Ordering::SeqCst);
            async { Ok(json!("never sent")) }
        })
        .expires_in(std::time::Duration::from_secs(1))
        .launch()
        .await
        .unwrap();
    let mut events = job.events();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    let JobError::NoWorker { untrusted } = error else { panic!("{error}") };
    assert_eq!(untrusted.len(), 1);
    let mut reported = 0;
    while let Some(event) = events.next().await {
        reported += usize::from(matches!(event, Event::Untrusted(_)));
    }
    assert_eq!(reported, 1, "reported once, however often it answers");
    assert!(!asked.load(std::sync::atomic::Ordering::SeqCst));
    lab.stop().await;
}

#[tokio::test]
async fn a_trusted_key_for_another_name_is_not_trusted() {
    let lab = Lab::new(PROGRAM, &[], &["one", "two"]).await;
    // The launcher and the queue do not mind; the client does.
    let config = {
        let identity = subrosa_protocol::identity::file::load(lab.local.worker_key("two")).unwrap();
        let trust = lab.local.trust().unwrap().with_key(
            identity.public().clone(),
            subrosa_protocol::identity::Role::Worker,
            None,
        );
        let mut config = lab.worker_config("one");
        config.identity = identity;
        config.trust = trust;
        config
    };
    let _worker = serve(config, "one", answer);
    let client = lab.client().await;
    let job = client.job("one").expires_in(std::time::Duration::from_secs(1)).launch().await.unwrap();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    assert!(matches!(&error, JobError::NoWorker { untrusted } if untrusted.len() == 1), "{error}");
    lab.stop().await;
}

#[tokio::test]
async fn the_dangerous_call_trusts_anyone() {
    let lab = Lab::new(PROGRAM, &[], &["anyone"]).await;
    let _worker = lab.serve("anyone", answer);
    let client = lab.anonymous(Trust::danger_trust_any_worker()).await;
    let job = client.job("anyone").payload_value(json!(1)).launch().await.unwrap();
    assert_eq!(patiently(job.result::<Value>()).await.unwrap().value, json!(1));
    lab.stop().await;
}

#[tokio::test]
async fn without_trust_nobody_is_trusted() {
    let lab = Lab::new(PROGRAM, &[], &["nobody"]).await;
    let _worker = lab.serve("nobody", answer);
    let client = Client::connect(lab.url()).await.unwrap();
    let job = client.job("nobody").expires_in(std::time::Duration::from_secs(1)).launch().await.unwrap();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    assert!(matches!(error, JobError::NoWorker { .. }), "{error}");
    lab.stop().await;
}

#[tokio::test]
async fn an_unknown_worker_is_refused() {
    let lab = Lab::new(PROGRAM, &[], &["known"]).await;
    let client = lab.client().await;
    let error = patiently(client.job("unknown").launch()).await.unwrap_err();
    assert!(matches!(error, LaunchError::Refused { code: Code::UnknownWorker, .. }), "{error}");
    let error = patiently(client.job("no worker's name").launch()).await.unwrap_err();
    assert!(matches!(error, LaunchError::Worker(_)), "{error}");
    lab.stop().await;
}

#[tokio::test]
async fn a_label_that_is_too_long_is_refused_by_the_client_itself() {
    let lab = Lab::new(PROGRAM, &[], &["known"]).await;
    let client = lab.client().await;
    let error = patiently(client.job("known").label("x".repeat(1025)).launch()).await.unwrap_err();
    assert!(error.to_string().contains("`label`"), "{error}");
    lab.stop().await;
}
