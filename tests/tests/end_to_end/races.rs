//! Workers that race for a job: one claims it, and its function runs once.

use futures_util::future::{join, join_all};
use serde_json::Value;
use subrosa::local::Plan;
use subrosa_client::{Client, Job};
use subrosa_protocol::record::Record;
use subrosa_tests::{
    checkpoint::Checkpoint,
    gate::{self, Gate},
    lab::{Lab, patiently, serve},
    processes::Running,
    runs::Runs,
};
use subrosa_worker::{Done, Failure, Launched, OneJob};

use crate::{GATED, PROGRAM, impatient};

/// A function that counts itself, and returns its payload.
async fn counted(runs: Runs, job: subrosa_worker::Job<Launched>) -> Result<Done, Failure> {
    runs.count(&job);
    let (_, job) = job.options::<Value>(&()).await?;
    let (payload, job) = job.ready::<Value>(&()).await?;
    job.done(&payload).await
}

fn names(records: &[Record]) -> Vec<(&'static str, u16)> {
    records.iter().map(|record| (record.event.name(), record.attempt)).collect()
}

/// The history of a job that one worker has taken, once.
const TAKEN_ONCE: [(&str, u16); 4] = [("queued", 0), ("taken", 1), ("running", 1), ("closed", 1)];

async fn gated(client: &Client, worker: &str, gate: &Gate) -> Job {
    client.job(worker).payload_value(gate.payload()).launch().await.unwrap()
}

#[tokio::test]
async fn of_three_processes_for_one_attempt_one_claims_it() {
    let lab = Lab::new(PROGRAM, &[], &[gate::WORKER]).await;
    let client = lab.client().await;
    for _ in 0..3 {
        let gate = Gate::new().await;
        let job = gated(&client, gate::WORKER, &gate).await;
        let (id, request) = (*job.id(), lab.request(gate::WORKER, job.id()).await);
        let processes = [(); 3].map(|()| {
            let mut command = lab.worker_command(gate::WORKER, GATED);
            command
                .env("SUBROSA_ATTEMPT", "1")
                .env("SUBROSA_JOB", String::from_utf8(request.clone()).unwrap());
            Running::start(command)
        });
        let pids = processes.each_ref().map(Running::pid);
        let visitor = gate.arrival().await;
        let winner = pids.iter().position(|pid| *pid == visitor.pid).unwrap();
        visitor.go_on().await;
        assert_eq!(patiently(job.result::<u16>()).await.unwrap().value, 1);
        let ended = join_all(processes.map(Running::ends)).await;
        for (n, ended) in ended.iter().enumerate() {
            assert_eq!(ended.status.success(), n == winner, "{}", ended.text());
            let lost = ended.text().contains("its attempt is not the next one, or the job is over");
            assert_eq!(lost, n != winner, "{}", ended.text());
        }
        assert_eq!(names(&lab.records(gate::WORKER, &id, "closed").await), TAKEN_ONCE);
        assert!(gate.is_deserted().await, "another function has run");
    }
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn of_three_in_one_process_for_one_attempt_one_claims_it() {
    let lab = Lab::new(PROGRAM, &[], &["counted"]).await;
    let client = lab.client().await;
    for round in 0..5 {
        let job = client.job("counted").payload_value(round).launch().await.unwrap();
        let id = *job.id();
        let request = String::from_utf8(lab.request("counted", &id).await).unwrap();
        let runs = Runs::default();
        let workers = [(); 3].map(|()| {
            let mut config = lab.worker_config("counted");
            config.one_job = Some(OneJob { request: request.clone(), attempt: "1".parse().unwrap() });
            let runs = runs.clone();
            serve(config, "counted", move |job| counted(runs.clone(), job)).served
        });
        assert_eq!(patiently(job.result::<i32>()).await.unwrap().value, round);
        let served = patiently(join_all(workers)).await;
        let closed = served.into_iter().filter(|served| served.as_ref().unwrap().is_ok()).count();
        assert_eq!(closed, 1);
        assert_eq!(runs.all(), [(id, 1, 1)]);
        assert_eq!(names(&lab.records("counted", &id, "closed").await), TAKEN_ONCE);
    }
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn three_resident_workers_share_the_jobs_and_run_each_once() {
    let lab = Lab::new(PROGRAM, &[], &["counted"]).await;
    let client = lab.client().await;
    let runs = Runs::default();
    let _workers = [(); 3].map(|()| {
        let runs = runs.clone();
        lab.serve("counted", move |job| counted(runs.clone(), job))
    });
    let jobs = (0..30).map(async |n| {
        let job = client.job("counted").payload_value(n).launch().await.unwrap();
        let id = *job.id();
        assert_eq!(patiently(job.result::<i32>()).await.unwrap().value, n);
        assert_eq!(names(&lab.records("counted", &id, "closed").await), TAKEN_ONCE);
        (id, 1, 1)
    });
    let mut expected = join_all(jobs).await;
    expected.sort();
    assert_eq!(runs.all(), expected);
    patiently(client.close()).await;
    lab.stop().await;
}

/// A worker with one slot; its process, if that is not the test's own.
async fn racer(lab: &Lab, name: &str, url: &str, in_one_process: bool) -> Option<Running> {
    if in_one_process {
        let mut config = lab.worker_config(name);
        config.nats.url = url.to_owned();
        config.slots = 1;
        serve(config, name, gate::pass);
        return None;
    }
    let mut command = lab.worker_command(name, GATED);
    command.arg(name).env("SUBROSA_NATS_URL", url).env("SUBROSA_SLOTS", "1");
    Some(Running::start(command))
}

/// Two workers are held up on their way to claim a job, one after the other, so that it is delivered to the
/// third one too; and then they come to claim it.
async fn race(lab: &Lab, client: &Client, name: &str, in_one_process: bool) {
    let gate = Gate::new().await;
    let job = gated(client, name, &gate).await;
    let id = *job.id();
    let mut late = Vec::new();
    for _ in 0..2 {
        let mut checkpoint = Checkpoint::before(lab.url()).await;
        checkpoint.stop_at(&format!("subrosa.v1.record.{name}.{id}"));
        let process = racer(lab, name, checkpoint.url(), in_one_process).await;
        late.push((checkpoint.stopped().await, checkpoint, process));
    }
    let third = racer(lab, name, lab.url(), in_one_process).await;
    let visitor = gate.arrival().await;
    assert_eq!(visitor.pid, third.as_ref().map_or(std::process::id(), Running::pid));
    let mut checkpoints = Vec::new();
    for (stopped, checkpoint, process) in late {
        stopped.pass();
        checkpoints.push((checkpoint, process));
    }
    // The two learn that they have lost, and ask the third whether it is alive.
    for (checkpoint, _process) in &mut checkpoints {
        checkpoint.passes(0, &format!("subrosa.v1.control.{name}.*.{id}.alive")).await;
    }
    visitor.go_on().await;
    let outcome = patiently(job.result::<u16>()).await.unwrap();
    assert_eq!((outcome.value, outcome.attempt), (1, 1));
    assert_eq!(names(&lab.records(name, &id, "closed").await), TAKEN_ONCE);
    assert!(gate.is_deserted().await, "another function has run");
}

#[tokio::test]
async fn a_job_that_was_delivered_to_three_is_taken_by_one() {
    let plan = Plan { others: vec!["apart".to_owned(), "together".to_owned()], ..Plan::of(PROGRAM, []) };
    let lab = Lab::configured(plan, |_, config| impatient(config)).await;
    let client = lab.client().await;
    join(race(&lab, &client, "apart", false), race(&lab, &client, "together", true)).await;
    patiently(client.close()).await;
    lab.stop().await;
}
