//! Each phase's time, set to little: who waits too long is told for what, and so is the history.

use std::{future::pending, time::Duration};

use rustix::process::Signal;
use serde_json::Value;
use subrosa_client::{
    Client, Event, HandlerError, Job, JobError, JobSecrets, LaunchError, LaunchRequest, PreparedJob,
    StepCode, Timing,
};
use subrosa_protocol::record::code;
use subrosa_tests::{
    gate::{self, Gate, WORKER},
    lab::{Lab, guarded, patiently, serve},
    processes::{Ended, Running, until},
};
use subrosa_transport::now_ms;

use crate::{
    GATED, PROGRAM,
    told::{DONE_AT_ONCE, ended, reason, resident, started, text, told},
    worker::successor,
};

/// What is short here.
const SHORT: Duration = Duration::from_millis(300);

async fn client(lab: &Lab, change: impl FnOnce(&mut Timing)) -> Client {
    let mut timing = Timing::default();
    change(&mut timing);
    Client::connect(lab.url()).trust(lab.local.trust().unwrap()).timing(timing).await.unwrap()
}

/// `subrosa run`, to its end.
async fn run(lab: &Lab, args: &[&str]) -> Ended {
    let mut command = guarded(PROGRAM, PROGRAM);
    let here = ["--nats", lab.url(), "--trust", text(lab.local.trust_file())];
    command.args(["run", WORKER]).args(args).args(here);
    Running::start(command).ends().await
}

fn says(ended: &Ended, exit: i32, what: &str) {
    assert!(ended.text().contains(what), "{what:?} is not in:\n{}", ended.text());
    assert_eq!(ended.status.code(), Some(exit), "{}", ended.text());
}

async fn never() -> Result<Value, HandlerError> {
    pending().await
}

#[tokio::test]
async fn admission() {
    let mut lab = resident().await;
    for mut launcher in lab.local.launchers.drain(..) {
        launcher.kill().await.unwrap();
    }
    let client = client(&lab, |timing| timing.admission = SHORT).await;
    let error = client.job(WORKER).launch().await.unwrap_err();
    assert!(matches!(error, LaunchError::NoAnswer { within: SHORT, .. }), "{error}");
    assert!(error.to_string().starts_with("no launcher answered within 300ms: "), "{error}");
    says(&run(&lab, &["--patience", "1"]).await, 3, "no launcher answered within 1s: ");
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn waiting_for_a_worker() {
    let lab = resident().await;
    let client = lab.client().await;
    let (error, said) = tokio::join!(
        async {
            let job = client.job(WORKER).expires_in(SHORT).launch().await.unwrap();
            let id = *job.id();
            let error = patiently(job.result::<Value>()).await.unwrap_err();
            // Nobody is to take it any more.
            assert_eq!(told(&lab, WORKER, &id, "cancelled").await, [("queued", 0), ("cancelled", 0)]);
            error
        },
        run(&lab, &["--expires-in", "1"])
    );
    assert_eq!(error.to_string(), "no trusted worker took the job within 300ms");
    says(&said, 7, "no trusted worker took the job within 1s");
    patiently(client.close()).await;
    lab.stop().await;
}

/// The client is lost for the first worker, and for the next one.
#[tokio::test]
async fn waiting_for_the_clients_options() {
    let lab = resident().await;
    let mut config = lab.worker_config(WORKER);
    config.timing.options = SHORT;
    let _worker = serve(config, WORKER, gate::pass);
    let client = lab.client().await;
    let mut job = client.job(WORKER).options(|_| never()).max_attempts(2).launch().await.unwrap();
    let (id, mut events) = (*job.id(), job.events());
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    let why = "the client did not answer options within 300ms";
    assert_eq!(ended(&error), ("failed", code::CLIENT_GONE, why));
    let history = [("queued", 0), ("taken", 1), ("taken", 2), ("failed", 2)];
    assert_eq!(told(&lab, WORKER, &id, "failed").await, history);
    assert_eq!(reason(&lab.records(WORKER, &id, "failed").await), (code::CLIENT_GONE, why));
    let mut attempts = Vec::new();
    while let Some(event) = events.next().await {
        if let Event::Attempt { number, max: 2, .. } = event {
            attempts.push(number);
        }
    }
    assert_eq!(attempts, [1, 2]);
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn waiting_for_the_clients_payload() {
    let seconds = toml::Table::from_iter([("SUBROSA_READY_SECONDS".to_owned(), "1".into())]);
    let lab = started(1, |worker| {
        worker.insert("env".to_owned(), seconds.into());
    })
    .await;
    let client = lab.client().await;
    let job = client.job(WORKER).payload(|_| never()).max_attempts(1).launch().await.unwrap();
    let id = *job.id();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    assert_eq!(ended(&error), ("failed", code::CLIENT_GONE, "the client did not answer ready within 1s"));
    assert_eq!(told(&lab, WORKER, &id, "failed").await, [("queued", 0), ("taken", 1), ("failed", 1)]);
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn waiting_for_the_clients_status() {
    let lab = resident().await;
    let mut config = lab.worker_config(WORKER);
    config.timing.done = SHORT;
    let _worker = serve(config, WORKER, gate::pass);
    let (client, gate) =
        (client(&lab, |timing| timing.steps = Duration::from_secs(5)).await, Gate::new().await);
    let job = client.job(WORKER).payload_value(gate.payload()).status(|_| never()).max_attempts(1);
    let job = job.expires_in(Duration::from_secs(5)).timeout(Duration::from_secs(10)).launch().await.unwrap();
    let id = *job.id();
    gate.arrival().await.go_on().await;
    // What has run is kept, and not run again.
    lab.history(WORKER, &id, "finished").await;
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    let why = "the job did not end within 20s; attempt 1 of 1 was the last one heard of";
    assert_eq!(error.to_string(), why);
    let history = [("queued", 0), ("taken", 1), ("running", 1), ("finished", 1), ("cancelled", 1)];
    assert_eq!(told(&lab, WORKER, &id, "cancelled").await, history);
    assert!(gate.is_deserted().await, "another function has run");
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn waiting_for_the_function_to_ask() {
    let lab = resident().await;
    let mut config = lab.worker_config(WORKER);
    (config.timing.options, config.timing.ready) = (Duration::from_secs(4), SHORT);
    let _worker = serve(config, WORKER, |job| async move {
        let (_, job) = job.options::<Value>(&()).await?;
        pending::<()>().await;
        job.ready::<Value>(&()).await?.1.done(&()).await
    });
    let client = lab.client().await;
    let job = client.job(WORKER).launch().await.unwrap();
    let id = *job.id();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    let JobError::Worker { code: StepCode::Timeout, message } = &error else { panic!("{error}") };
    let why = "in attempt 1 of 3, the worker's function did not ask for the payload within 8.6s";
    assert_eq!(message, why);
    assert_eq!(told(&lab, WORKER, &id, "failed").await, [("queued", 0), ("taken", 1), ("failed", 1)]);
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn one_attempts_run() {
    let lab = resident().await;
    let _worker = lab.serve(WORKER, gate::pass);
    let gate = Gate::new().await;
    let payload = gate.payload().to_string();
    let args = ["--payload", &payload, "--timeout", "1"];
    let (said, visitor) = tokio::join!(run(&lab, &args), gate.arrival());
    says(&said, 6, "attempt 1 of 3 ran longer than its timeout of 1s");
    visitor.is_gone().await;
    assert!(gate.is_deserted().await, "another function has run");
    lab.stop().await;
}

/// A job whose time is over twenty seconds after it is launched, as clocks let anybody say so, and its end.
async fn short_lived(client: &Client, gate: &Gate) -> (Job, u64) {
    let draft = subrosa_client::Draft::new(WORKER).reply_token(client.reply_token());
    let PreparedJob { request, secrets, .. } = draft.prepare().unwrap();
    let (mut job, old) = (request.job().description().clone(), *request.job().id());
    (job.created_ms, job.expires_ms) = (now_ms() - 600_000, now_ms() - 100_000);
    let over_ms = job.expires_ms + 120_000;
    let job = subrosa_protocol::job::Job::new(job).unwrap();
    let secrets = String::from_utf8(secrets.to_bytes().to_vec()).unwrap();
    let secrets = secrets.replace(&old.to_string(), &job.id().to_string());
    let secrets = JobSecrets::from_bytes(secrets.as_bytes()).unwrap();
    let request = LaunchRequest::new(job, &[]).unwrap();
    let job = client.prepared(request, secrets).payload_value(gate.payload()).launch().await.unwrap();
    (job, over_ms)
}

#[tokio::test]
async fn an_attempt_goes_on_when_the_jobs_time_is_over_and_no_other_one_starts() {
    let lab = resident().await;
    let mut worker = Running::start(lab.worker_command(WORKER, GATED));
    worker.says("worker ready").await;
    let (client, gate) = (client(&lab, |_| {}).await, Gate::new().await);
    let (kept, _) = short_lived(&client, &gate).await;
    let first = gate.arrival().await;
    let (lost, over_ms) = short_lived(&client, &gate).await;
    let second = gate.arrival().await;
    until("their time is over", || now_ms() > over_ms).await;
    first.go_on().await;
    let ids = [*kept.id(), *lost.id()];
    assert_eq!(patiently(kept.result::<u16>()).await.unwrap().attempt, 1);
    assert_eq!(told(&lab, WORKER, &ids[0], "closed").await, DONE_AT_ONCE);

    worker.signal(Signal::KILL);
    second.is_gone().await;
    let _successor = successor(&lab);
    let error = patiently(lost.result::<u16>()).await.unwrap_err();
    let why = "attempt 1 was lost with its worker, and it was too late for another one";
    assert_eq!(ended(&error), ("expired", "expired", why));
    let history = [("queued", 0), ("taken", 1), ("running", 1), ("expired", 1)];
    assert_eq!(told(&lab, WORKER, &ids[1], "expired").await, history);
    assert!(gate.is_deserted().await, "another function has run");
    patiently(client.close()).await;
    lab.stop().await;
}
