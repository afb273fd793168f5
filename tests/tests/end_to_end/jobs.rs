//! Jobs that go well.

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use subrosa::local::{Backend, Example, Plan};
use subrosa_client::{Bytes, Event, State};
use subrosa_examples::create_proof::{self, Options, Payload, Proof};
use subrosa_protocol::record;
use subrosa_tests::lab::{Lab, fresh_key, patiently};

use crate::PROGRAM;

#[tokio::test]
async fn a_resident_worker_proves_and_the_client_verifies() {
    let lab = Lab::new(PROGRAM, &[Example::CreateProof], &[]).await;
    let client = lab.client().await;
    let mut job = client
        .job("create-proof")
        .options(|_| async { Ok(Options { label: "bound".to_owned() }) })
        .payload(|_| async { Ok(Payload { value: 77 }) })
        .launch()
        .await
        .unwrap();
    let id = *job.id();
    let mut events = job.events();
    let outcome = patiently(job.result::<Proof>()).await.unwrap();
    create_proof::verify(&outcome.value, "bound").unwrap();
    assert!(create_proof::verify(&outcome.value, "another").is_err());
    assert_eq!(outcome.attempt, 1);

    let mut states = Vec::new();
    while let Some(event) = events.next().await {
        if let Event::State(state) = event {
            states.push(state);
        }
    }
    assert_eq!(states, [State::Queued, State::Taken, State::Prepared, State::Running, State::Done]);
    patiently(client.close()).await;
    assert_eq!(lab.history("create-proof", &id, "closed").await, ["queued", "taken", "running", "closed"]);
    lab.stop().await;
}

#[tokio::test]
async fn a_launcher_starts_a_process_for_each_job() {
    let plan = Plan { backend: Backend::Process, ..Plan::of(PROGRAM, [Example::Echo]) };
    let lab = Lab::with(plan).await;
    let client = lab.client().await;
    for round in 0..2 {
        let job = client.job("echo").payload_value(json!({ "round": round })).launch().await.unwrap();
        let id = *job.id();
        let outcome = patiently(job.result::<Value>()).await.unwrap();
        assert_eq!(outcome.value, json!({ "options": null, "payload": { "round": round } }));
        assert_eq!(lab.history("echo", &id, "closed").await, ["queued", "taken", "running", "closed"]);
    }
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn an_anonymous_job_has_no_caller_and_a_signed_one_has_its_owner() {
    let lab = Lab::new(PROGRAM, &[], &["whoami"]).await;
    let _worker = lab.serve("whoami", |job| async move {
        let caller = job.caller().map(ToString::to_string);
        let signers: Vec<String> = job.signers().map(ToString::to_string).collect();
        let (_, job) = job.options::<Value>(&()).await?;
        let (_, job) = job.ready::<Value>(&()).await?;
        job.done(&json!({ "caller": caller, "signers": signers })).await
    });
    let trust = lab.local.trust().unwrap();

    let anonymous = lab.anonymous(trust.clone()).await;
    let job = anonymous.job("whoami").launch().await.unwrap();
    let outcome = patiently(job.result::<Value>()).await.unwrap();
    assert_eq!(outcome.value, json!({ "caller": null, "signers": [] }));

    let (owner, other) = (fresh_key(), fresh_key());
    let (owner_name, other_name) = (owner.thumbprint().to_string(), other.thumbprint().to_string());
    let job = anonymous.job("whoami").signed_by(&other).launch().await.unwrap();
    let outcome = patiently(job.result::<Value>()).await.unwrap();
    assert_eq!(outcome.value, json!({ "caller": null, "signers": [other_name] }), "a co-signer is no owner");

    let signed = subrosa_client::Client::connect(lab.url()).identity(owner).trust(trust).await.unwrap();
    let job = signed.job("whoami").signed_by(&other).launch().await.unwrap();
    let outcome = patiently(job.result::<Value>()).await.unwrap();
    let mut signers = [owner_name.clone(), other_name];
    signers.sort();
    assert_eq!(outcome.value, json!({ "caller": owner_name, "signers": signers }));
    lab.stop().await;
}

#[tokio::test]
async fn two_hundred_jobs_at_once() {
    let lab = Lab::new(PROGRAM, &[Example::Echo], &[]).await;
    let client = lab.client().await;
    let results: Vec<Value> = stream::iter(0..200)
        .map(|n| {
            let client = client.clone();
            async move {
                let job = client.job("echo").payload_value(json!(n)).launch().await.unwrap();
                patiently(job.result::<Value>()).await.unwrap().value
            }
        })
        .buffer_unordered(200)
        .collect()
        .await;
    let mut numbers: Vec<u64> = results.iter().map(|value| value["payload"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn bytes_travel_as_they_are() {
    let lab = Lab::new(PROGRAM, &[], &["reverse"]).await;
    let _worker = lab.serve("reverse", |job| async move {
        let (_, job) = job.options::<Value>(&()).await?;
        let (mut bytes, job) = job.ready_bytes(&()).await?;
        bytes.reverse();
        job.done_bytes(bytes).await
    });
    let client = lab.client().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let job = client.job("reverse").payload_bytes(Bytes(bytes.clone())).launch().await.unwrap();
    let outcome = patiently(job.result_bytes()).await.unwrap();
    assert!(outcome.value.iter().eq(bytes.iter().rev()));
    lab.stop().await;
}

#[tokio::test]
async fn progress_and_log_lines_arrive_in_order() {
    let lab = Lab::new(PROGRAM, &[], &["talkative"]).await;
    let _worker = lab.serve("talkative", |job| async move {
        let (_, job) = job.options::<Value>(&()).await?;
        let (_, job) = job.ready::<Value>(&()).await?;
        for n in 0..10 {
            job.progress(f64::from(n) / 10.0, "counting");
        }
        job.log(subrosa_worker::LogLevel::Info, "counted");
        job.done(&()).await
    });
    let client = lab.client().await;
    let mut job = client.job("talkative").launch().await.unwrap();
    let mut events = job.events();
    patiently(job.result::<()>()).await.unwrap();
    let mut fractions = Vec::new();
    let mut lines = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Event::Progress { fraction, .. } => fractions.push(fraction),
            Event::Log { line, .. } => lines.push(line),
            _ => {}
        }
    }
    assert_eq!(fractions, (0..10).map(|n| f64::from(n) / 10.0).collect::<Vec<_>>());
    assert_eq!(lines, ["counted"]);
    lab.stop().await;
}

#[tokio::test]
async fn a_closed_record_shows_the_times_of_each_step() {
    let lab = Lab::new(PROGRAM, &[Example::Echo], &[]).await;
    let client = lab.client().await;
    let job = client.job("echo").launch().await.unwrap();
    let id = *job.id();
    patiently(job.result::<Value>()).await.unwrap();
    let records = lab.records("echo", &id, "closed").await;
    let record::Event::Closed { times, .. } = &records.last().unwrap().event else { panic!("not closed") };
    let steps = [times.taken_ms, times.options_ms, times.payload_ms, times.done_ms, times.closed_ms];
    let steps: Vec<u64> = steps.into_iter().map(|time| time.unwrap().get()).collect();
    assert!(steps.is_sorted(), "{steps:?}");
    assert!(records.iter().all(|record| record.attempt == u16::from(record.event.name() != "queued")));
    lab.stop().await;
}
