//! A clock that is an hour off. Only how clocks differ can be seen: so the clock of this machine is right here, and
//! what the others have written is what they write whose clocks are not.

use std::time::Duration;

use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use subrosa::local::Plan;
use subrosa_client::{Draft, Job, JobError, SigningKey};
use subrosa_protocol::{
    audit,
    identity::{Certificate, Role, file},
    launch::LaunchRequest,
    record::{Event, Record},
    subject::Namespace,
};
use subrosa_tests::{
    lab::{Lab, PATIENCE, fresh_key, patiently, serve},
    raw::{self, Refusal},
};
use subrosa_transport::{Commit, History, Live, Queue, now_ms};
use subrosa_worker::{Done, Failure, Launched};
use tokio::time::Instant;

use crate::PROGRAM;

const WORKER: &str = "punctual";
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// How somebody's clock differs.
#[derive(Clone, Copy, Debug)]
enum Off {
    Ahead,
    Behind,
}

impl Off {
    fn now_ms(self) -> u64 {
        match self {
            Self::Ahead => now_ms() + HOUR_MS,
            Self::Behind => now_ms() - HOUR_MS,
        }
    }
}

/// Does what a worker of these tests does.
async fn echo(job: subrosa_worker::Job<Launched>) -> Result<Done, Failure> {
    let (_, job) = job.options::<Value>(&()).await?;
    let (payload, job) = job.ready::<Value>(&()).await?;
    job.done(&payload).await
}

async fn lab(launchers: usize) -> Lab {
    Lab::with(Plan { launchers, others: vec![WORKER.to_owned()], ..Plan::of(PROGRAM, []) }).await
}

/// Records a job as a launcher would with a clock that says this.
async fn queued(lab: &Lab, request: &LaunchRequest, at_ms: u64) {
    let key: SigningKey = file::load(lab.local.launcher_config().with_file_name("launcher.jwk")).unwrap();
    let event = Event::Queued { request: request.bytes().to_vec() };
    let id = *request.job().id();
    let record = Record { job: id, at_ms, attempt: 0, prev: None, event }.sign(&key);
    let connection = lab.connection().await;
    let (worker, deadline) = (WORKER.parse().unwrap(), Instant::now() + PATIENCE);
    let history = History::new(connection.clone(), Namespace::default());
    let commit = history.append(&worker, &id, None, record, deadline).await.unwrap();
    assert!(matches!(commit, Commit::Won(_)), "{commit:?}");
    let bytes = request.bytes().to_vec().into();
    Queue::publish(&connection, &Namespace::default(), &worker, &id, bytes, deadline).await.unwrap();
}

/// Whether an auditor finds nothing wrong with a job's history.
async fn is_good(lab: &Lab, job: &subrosa_client::JobId) -> bool {
    let history = History::new(lab.connection().await, Namespace::default());
    let messages = history.all(&WORKER.parse().unwrap(), job, Instant::now() + PATIENCE).await.unwrap();
    let messages: Vec<_> = messages.iter().map(|stored| audit::Message::new(&*stored.bytes)).collect();
    let judged = audit::History::judge(&messages, Some(*job), &lab.local.trust().unwrap());
    judged.is_good() && judged.is_finished()
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
    let lab = lab(1).await;
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

/// It is the same with a worker that is an hour behind. A launcher that is behind refuses the jobs of the others.
#[tokio::test]
async fn a_job_runs_and_its_history_is_good_although_its_launcher_is_an_hour_ahead() {
    let lab = lab(1).await;
    let client = lab.client().await;
    let worker = lab.serve(WORKER, echo);
    let draft = Draft::new(WORKER).reply_token(client.reply_token());
    let prepared = draft.expires_in(Duration::from_millis(2 * HOUR_MS)).prepare().unwrap();
    queued(&lab, &prepared.request, Off::Ahead.now_ms()).await;
    let job = client.prepared(prepared.request, prepared.secrets).payload_value(json!("punctual"));
    let job: Job = job.launch().await.unwrap();
    let id = *job.id();
    assert_eq!(patiently(job.result::<Value>()).await.unwrap().value, "punctual");
    lab.history(WORKER, &id, "closed").await;
    assert!(is_good(&lab, &id).await);
    worker.draining.cancel();
    patiently(worker.served).await.unwrap().unwrap();
    patiently(client.close()).await;
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
            lab.history(WORKER, &id, "closed").await;
            assert!(is_good(&lab, &id).await);
        } else {
            assert_eq!(lab.history(WORKER, &id, "cancelled").await, ["queued", "cancelled"]);
        }
    }
    lab.stop().await;
}

#[tokio::test]
async fn a_job_whose_time_is_over_for_its_worker_expires_and_says_to_check_the_clocks() {
    let lab = lab(0).await;
    let worker = lab.serve(WORKER, async |_: subrosa_worker::Job<_>| panic!("it is too late"));
    let mut rng = StdRng::from_rng(&mut rand::rng());
    let owner = SigningKey::generate(&mut rng);
    // For the others, it was launched just now.
    let job = made(Off::Behind.now_ms(), 10 * MINUTE_MS);
    let request = raw::request(job.to_string().as_bytes(), &[&owner]).to_string();
    let request = LaunchRequest::parse(request.as_bytes(), &Namespace::default()).unwrap();
    queued(&lab, &request, Off::Behind.now_ms()).await;
    let id = *request.job().id();
    let records = lab.records(WORKER, &id, "expired").await;
    let Event::Expired(reason) = &records.last().unwrap().event else { panic!("not expired") };
    assert!(reason.text.contains("check the clocks"), "{}", reason.text);
    assert!(is_good(&lab, &id).await);
    worker.draining.cancel();
    patiently(worker.served).await.unwrap().unwrap();
    lab.stop().await;
}
