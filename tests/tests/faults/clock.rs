//! A clock that is an hour off, at little cost: the clock of this machine is right here, and what the others have
//! written is what they write whose clocks are not. Their processes are in `shifted.rs`.

use std::time::Duration;

use serde_json::{Value, json};
use subrosa::local::Plan;
use subrosa_client::{Draft, Job, JobError, SigningKey};
use subrosa_protocol::{
    delivery::Ending,
    identity::{Certificate, Role, file},
    launch::LaunchRequest,
    record::{Event, Record},
    subject::Namespace,
};
use subrosa_tests::{
    clock::{HOUR_MS, Off},
    lab::{Lab, PATIENCE, fresh_key, patiently, serve},
    processes::Running,
    raw::{self, Refusal},
};
use subrosa_transport::{Commit, History, Live, Queue, now_ms};
use subrosa_worker::{Done, Failure, Launched};
use tokio::time::Instant;

use crate::{
    GATED, PROGRAM, scene,
    told::{DONE_AT_ONCE, ended, told},
};

const WORKER: &str = "punctual";
const MINUTE_MS: u64 = 60_000;

/// Does what a worker of these tests does.
async fn echo(job: subrosa_worker::Job<Launched>) -> Result<Done, Failure> {
    let (_, job) = job.options::<Value>(&()).await?;
    let (payload, job) = job.ready::<Value>(&()).await?;
    job.done(&payload).await
}

async fn lab() -> Lab {
    Lab::with(Plan { others: vec![WORKER.to_owned()], ..Plan::of(PROGRAM, []) }).await
}

async fn history(lab: &Lab) -> History {
    History::new(lab.connection().await, Namespace::default())
}

fn launcher_key(lab: &Lab) -> SigningKey {
    file::load(lab.local.launcher_config().with_file_name("launcher.jwk")).unwrap()
}

/// Records a job as a launcher would with a clock that says this.
async fn queued(lab: &Lab, request: &LaunchRequest, at_ms: u64) {
    let event = Event::Queued { request: request.bytes().to_vec() };
    let id = *request.job().id();
    let record = Record { job: id, at_ms, attempt: 0, prev: None, event }.sign(&launcher_key(lab));
    let connection = lab.connection().await;
    let (worker, deadline) = (WORKER.parse().unwrap(), Instant::now() + PATIENCE);
    let commit = history(lab).await.append(&worker, &id, None, record, deadline).await.unwrap();
    assert!(matches!(commit, Commit::Won(_)), "{commit:?}");
    let bytes = request.bytes().to_vec().into();
    Queue::publish(&connection, &Namespace::default(), &worker, &id, bytes, deadline).await.unwrap();
}

/// A job that was made at this time by its client's clock.
fn made(at_ms: u64, lives_ms: u64) -> Value {
    let mut job = raw::job(WORKER);
    let times = [("created_ms", at_ms), ("expires_ms", at_ms + lives_ms)];
    job.as_object_mut().unwrap().extend(times.map(|(name, ms)| (name.to_owned(), ms.into())));
    job
}

#[tokio::test]
async fn a_client_with_another_time_than_the_launcher_is_told_to_check_the_clocks() {
    let lab = lab().await;
    let connection = lab.connection().await;
    let subject = format!("subrosa.v1.launch.{WORKER}");
    let launch = async |job: Value| {
        let request = raw::request(job.to_string().as_bytes(), &[]);
        raw::ask(&connection, &subject, request.to_string()).await
    };
    for (off, code) in [(Off::Ahead, "bad_request"), (Off::Behind, "expired")] {
        let Refusal { code: found, message, .. } = launch(made(off.now_ms(), HOUR_MS / 2)).await.unwrap_err();
        assert_eq!(found, code, "{off:?}: {message}");
        assert!(message.contains("check the clocks"), "{off:?}: {message}");
    }
    // Its time is not over by either clock.
    let answer = launch(made(Off::Behind.now_ms(), 2 * HOUR_MS)).await.unwrap();
    assert_eq!(answer["state"], "queued");
    lab.stop().await;
}

/// By its own clock, there would be minutes left to wait.
#[tokio::test]
async fn a_client_whose_job_expires_before_its_time_is_told_to_check_the_clocks() {
    let lab = lab().await;
    let client = scene::client(&lab).await;
    let job = client.job(WORKER).launch().await.unwrap();
    let id = *job.id();
    // As a launcher would that is ahead.
    let (history, worker) = (history(&lab).await, WORKER.parse().unwrap());
    let deadline = Instant::now() + PATIENCE;
    let last = history.last(&worker, &id, deadline).await.unwrap().unwrap();
    let event = Ending::expired(0).into_event();
    let record = Record { job: id, at_ms: Off::Ahead.now_ms(), attempt: 0, prev: Some(last.hash()), event };
    let record = record.sign(&launcher_key(&lab));
    let commit = history.append(&worker, &id, Some(&last), record, deadline).await.unwrap();
    assert!(matches!(commit, Commit::Won(_)), "{commit:?}");
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    let (state, code, reason) = ended(&error);
    assert!((state, code) == ("expired", "expired") && reason.contains("check the clocks"), "{error}");
    assert_eq!(told(&lab, WORKER, &id, "expired").await, [("queued", 0), ("expired", 0)]);
    patiently(client.close()).await;
    lab.stop().await;
}

/// The launcher that has started it may have another time, or starting it has taken long.
#[tokio::test]
async fn a_started_worker_takes_no_job_that_is_expired_by_its_own_clock() {
    let lab = lab().await;
    let job = made(Off::Behind.now_ms(), 10 * MINUTE_MS);
    let text = raw::request(job.to_string().as_bytes(), &[]).to_string();
    let request = LaunchRequest::parse(text.as_bytes(), &Namespace::default()).unwrap();
    queued(&lab, &request, Off::Behind.now_ms()).await;
    let mut command = lab.worker_command(WORKER, GATED);
    command.arg(WORKER).env("SUBROSA_JOB", text).env("SUBROSA_ATTEMPT", "1");
    let worker = Running::start(command).ends().await;
    assert!(!worker.status.success() && worker.text().contains("the job's time is over"), "{worker:?}");
    assert_eq!(told(&lab, WORKER, request.job().id(), "expired").await, [("queued", 0), ("expired", 0)]);
    lab.stop().await;
}

/// Its records would be as late as the launcher's, when nobody believes the certificate any more.
#[tokio::test]
async fn a_worker_takes_no_job_that_its_launcher_has_dated_past_the_workers_certificate() {
    let (authority, identity) = (fresh_key(), fresh_key());
    let vouches = authority.public();
    let plan = Plan { others: vec![WORKER.to_owned()], ..Plan::of(PROGRAM, []) };
    let lab = Lab::configured(plan, move |lab, _| {
        let trust = lab.local.trust().unwrap().with_key(vouches, Role::Authority, None);
        std::fs::write(lab.local.trust_file(), trust.to_json()).unwrap();
    })
    .await;
    let issued_s = now_ms() / 1000 - 3600;
    let (worker, key) = (WORKER.parse().unwrap(), identity.public());
    let cert = Certificate { worker, key, issued_s, expires_s: issued_s + 5400, image: None };
    let mut config = lab.worker_config(WORKER);
    config.cert = Live::given(Some(cert.sign(&authority)));
    config.identity = identity;
    let _worker = serve(config, WORKER, echo);
    let client = lab.client().await;
    for (ahead_ms, taken) in [(HOUR_MS, false), (MINUTE_MS, true)] {
        let expiry = Duration::from_millis(if taken { HOUR_MS } else { 2000 });
        let draft = Draft::new(WORKER).reply_token(client.reply_token()).expires_in(expiry);
        let prepared = draft.prepare().unwrap();
        queued(&lab, &prepared.request, now_ms() + ahead_ms).await;
        let job = client.prepared(prepared.request, prepared.secrets).payload_value(json!(1));
        let job: Job = job.launch().await.unwrap();
        let id = *job.id();
        let result = patiently(job.result::<Value>()).await;
        match result {
            Ok(outcome) => assert!(taken && outcome.value == 1),
            Err(error) => assert!(!taken && matches!(error, JobError::NoWorker { .. }), "{error}"),
        }
        if taken {
            assert_eq!(told(&lab, WORKER, &id, "closed").await, DONE_AT_ONCE);
        } else {
            assert_eq!(lab.history(WORKER, &id, "cancelled").await, ["queued", "cancelled"]);
        }
    }
    lab.stop().await;
}
