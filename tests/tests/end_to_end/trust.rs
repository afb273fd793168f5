//! Who is trusted, and what those get who are not.

use std::time::Duration;

use serde_json::{Value, json};
use subrosa::local::Plan;
use subrosa_client::{
    Client, Code, Event, EventStream, JobError, JobId, LaunchError, SigningKey, Trust, UntrustedWorker,
};
use subrosa_protocol::{
    id::{Attempt, Instance},
    identity::{Role, Untrusted, file},
    launch::LaunchRequest,
    session::worker::{Offer, Setup},
    subject::Namespace,
    wire::Json,
};
use subrosa_tests::lab::{Lab, PATIENCE, fresh_key, patiently, serve};
use subrosa_worker::{Config, Done, Failure, Job, Launched};

use crate::PROGRAM;

pub(crate) async fn answer(job: Job<Launched>) -> Result<Done, Failure> {
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
        .expires_in(Duration::from_secs(1))
        .launch()
        .await
        .unwrap();
    let mut events = job.events();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    let JobError::NoWorker { untrusted, .. } = error else { panic!("{error}") };
    assert_eq!(untrusted.len(), 1);
    let mut reported = 0;
    while let Some(event) = events.next().await {
        reported += usize::from(matches!(event, Event::Untrusted(_)));
    }
    assert_eq!(reported, 1, "reported once, however often it answers");
    assert!(!asked.load(std::sync::atomic::Ordering::SeqCst));
    lab.stop().await;
}

/// Answers a job as somebody who was not asked, before anyone else can: with `options` for its last attempt.
pub(crate) async fn answer_first(lab: &Lab, job: &JobId, identity: &SigningKey, cert: Option<&str>) {
    let request = LaunchRequest::parse(&lab.request("wanted", job).await, &Namespace::default()).unwrap();
    let connection = lab.connection().await;
    let setup = Setup {
        job: request.job(),
        signers: &request.verify().unwrap(),
        attempt: Attempt::new(request.job().description().max_attempts).unwrap(),
        identity,
        cert,
        instance: Instance::random(&mut rand::rng()),
        max_envelope_bytes: connection.max_payload(),
    };
    let offer = Offer::new(&setup, &mut rand::rng()).unwrap();
    let options = offer.options(Json(())).unwrap_or_else(|_| panic!("not sealed")).envelope;
    let subject = request.job().description().reply.subject(job, "options");
    let inbox = connection.inbox();
    connection.publish(&subject, Some(inbox.subject()), options.into()).await.unwrap();
    connection.round_trip(PATIENCE).await.unwrap();
}

/// Waits until the client has heard of a worker that it does not trust.
pub(crate) async fn untrusted(events: &mut EventStream) -> UntrustedWorker {
    loop {
        if let Event::Untrusted(worker) = patiently(events.next()).await.unwrap() {
            return worker;
        }
    }
}

#[tokio::test]
async fn who_answers_first_and_is_not_trusted_keeps_the_job_from_nobody() {
    let lab = Lab::new(PROGRAM, &[], &["wanted"]).await;
    let client = lab.client().await;
    let mut job = client.job("wanted").payload_value(json!("for the trusted one")).launch().await.unwrap();
    let mut events = job.events();
    let impostor = fresh_key();
    answer_first(&lab, job.id(), &impostor, None).await;
    let reason = Untrusted::Unknown { key: impostor.thumbprint(), role: Role::Worker };
    let seen = UntrustedWorker { worker: impostor.thumbprint(), reason };
    assert_eq!(untrusted(&mut events).await, seen);

    let _worker = lab.serve("wanted", answer);
    let outcome = patiently(job.result::<Value>()).await.unwrap();
    assert_eq!((outcome.value, outcome.attempt), (json!("for the trusted one"), 1));
    assert_ne!(outcome.worker, seen.worker);
    lab.stop().await;
}

/// A worker that the launchers know, and that the client does not trust.
fn stranger(lab: &Lab, identity: SigningKey) -> Config {
    let mut config = lab.worker_config("wanted");
    config.identity = identity;
    // It is told to end, and lets go of its job at once.
    config.timing.drain = Duration::ZERO;
    config
}

#[tokio::test]
async fn a_job_that_a_stranger_has_taken_comes_to_the_trusted_worker() {
    let identity = fresh_key();
    let plan = Plan { others: vec!["wanted".to_owned()], ..Plan::of(PROGRAM, []) };
    let known = identity.public().clone();
    let lab = Lab::configured(plan, move |lab, _| {
        let trust = lab.local.trust().unwrap().with_key(known, Role::Worker, None);
        std::fs::write(lab.local.trust_file(), trust.to_json()).unwrap();
    })
    .await;
    let seen = identity.thumbprint();
    let own = file::load(lab.local.worker_key("wanted")).unwrap().public().clone();
    let client = lab.anonymous(Trust::pinned([own])).await;
    let stranger = serve(stranger(&lab, identity), "wanted", answer);
    let mut job = client.job("wanted").payload_value(json!(1)).launch().await.unwrap();
    let id = *job.id();
    let mut events = job.events();
    assert_eq!(untrusted(&mut events).await.worker, seen);
    stranger.draining.cancel();

    let _worker = lab.serve("wanted", answer);
    let outcome = patiently(job.result::<Value>()).await.unwrap();
    assert_eq!((outcome.value, outcome.attempt), (json!(1), 2));
    let history = lab.history("wanted", &id, "closed").await;
    assert_eq!(history, ["queued", "taken", "taken", "running", "closed"], "the stranger ran nothing");
    lab.stop().await;
}

#[tokio::test]
async fn at_the_deadline_the_error_says_who_was_not_trusted_and_why() {
    let lab = Lab::new(PROGRAM, &[], &["wanted"]).await;
    let client = lab.client().await;
    let mut job = client.job("wanted").expires_in(Duration::from_secs(2)).launch().await.unwrap();
    let mut events = job.events();
    let launcher = file::load(lab.local.launcher_config().with_file_name("launcher.jwk")).unwrap();
    let mut expected = Vec::new();
    for (identity, role) in [(fresh_key(), None), (launcher, Some(Role::Launcher))] {
        answer_first(&lab, job.id(), &identity, None).await;
        let (key, wanted) = (identity.thumbprint(), Role::Worker);
        let reason = match role {
            None => Untrusted::Unknown { key, role: wanted },
            Some(_) => Untrusted::Role { key, role: wanted },
        };
        let worker = UntrustedWorker { worker: key, reason };
        assert_eq!(untrusted(&mut events).await, worker);
        expected.push(worker);
    }
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    let text = error.to_string();
    let JobError::NoWorker { untrusted, .. } = error else { panic!("{error}") };
    assert_eq!(untrusted, expected);
    for UntrustedWorker { worker, reason } in expected {
        assert!(text.contains(&format!("{worker} answered and is not trusted: {reason}")), "{text}");
    }
    lab.stop().await;
}

#[tokio::test]
async fn a_trusted_key_for_another_name_is_not_trusted() {
    let lab = Lab::new(PROGRAM, &[], &["one", "two"]).await;
    // The launcher and the queue do not mind; the client does.
    let config = {
        let identity = file::load(lab.local.worker_key("two")).unwrap();
        let trust = lab.local.trust().unwrap().with_key(identity.public().clone(), Role::Worker, None);
        let mut config = lab.worker_config("one");
        config.identity = identity;
        config.trust = trust.into();
        config
    };
    let _worker = serve(config, "one", answer);
    let client = lab.client().await;
    let job = client.job("one").expires_in(Duration::from_secs(1)).launch().await.unwrap();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    assert!(matches!(&error, JobError::NoWorker { untrusted, .. } if untrusted.len() == 1), "{error}");
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
    let job = client.job("nobody").expires_in(Duration::from_secs(1)).launch().await.unwrap();
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
