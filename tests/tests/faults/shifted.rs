//! One party whose clock is an hour ahead or behind, in a process of its own, while all others' clocks are right.
//!
//! In each test something that this party has dated shows that its clock is off: none can pass without its fault.

use std::{path::Path, time::Duration};

use rustix::process::Signal;
use subrosa::local::{Example, Plan};
use subrosa_client::{Client, Job, JobId, LaunchError, LaunchRequest, Outcome};
use subrosa_protocol::record::{Event, Record};
use subrosa_tests::{
    clock::{ENV, Off, Shift},
    gate::{self, Gate, WORKER},
    lab::{Lab, PATIENCE, guarded, patiently, serve},
    processes::Running,
};
use subrosa_transport::History;
use tokio::{process::Command, time::Instant};

use crate::{
    GATED, PROGRAM,
    told::{DONE_AT_ONCE, ended, impatient, text, told},
};

/// What is said where clocks differ too much.
const WORDS: &str = "check the clocks";
/// How long a job may wait for its worker, by default.
const TEN_MINUTES: Duration = Duration::from_secs(600);
/// So long that a clock may be an hour off.
const TWO_HOURS: Duration = Duration::from_secs(7200);

fn shift() -> Option<Shift> {
    Shift::load(Path::new(env!("CARGO_TARGET_TMPDIR")))
}

/// A deployment with the gated worker, which the launchers start if there is a command for it.
async fn lab(launchers: usize, command: Option<Vec<&str>>) -> Lab {
    let plan = Plan { launchers, others: vec![WORKER.to_owned()], ..Plan::of(PROGRAM, []) };
    Lab::configured(plan, |lab, config| {
        impatient(config);
        config["timing"].as_table_mut().unwrap().insert("sweep".to_owned(), "1s".into());
        if let Some(command) = command {
            config.insert("worker".to_owned(), vec![lab.started(WORKER, &command)].into());
        }
    })
    .await
}

/// Starts what comes to be ready.
async fn started(command: Command, ready: &str) -> Running {
    let mut running = Running::start(command);
    running.says(ready).await;
    running
}

/// A launcher whose clock is off.
async fn launcher(lab: &Lab, shift: &Shift, off: Off) -> Running {
    let mut command = guarded(PROGRAM, ENV);
    command.args(shift.args(off)).args([PROGRAM, "internal", "launcher", "--config"]);
    command.arg(lab.local.launcher_config());
    started(command, "launcher ready").await
}

/// Has it end in order, so that it leaves nothing behind.
async fn stop(running: Running) {
    running.signal(Signal::TERM);
    let ended = running.ends().await;
    assert!(ended.status.success(), "{}", ended.text());
}

async fn launch(client: &Client, gate: &Gate, wait: Duration) -> Result<Job, LaunchError> {
    client.job(WORKER).expires_in(wait).payload_value(gate.payload()).launch().await
}

/// The record that a job's history begins with.
async fn first(lab: &Lab, job: &JobId) -> Record {
    let history = History::new(lab.connection().await, Default::default());
    let first = history.first(&WORKER.parse().unwrap(), job, Instant::now() + PATIENCE).await.unwrap();
    Record::read_unverified(&first.unwrap().bytes).unwrap()
}

/// The job was done at once, and its history is good.
async fn is_done(lab: &Lab, job: Job) -> (Outcome<u16>, Vec<Record>) {
    let id = *job.id();
    let outcome = patiently(job.result::<u16>()).await.unwrap();
    assert_eq!(told(lab, WORKER, &id, "closed").await, DONE_AT_ONCE);
    (outcome, lab.records(WORKER, &id, "closed").await)
}

/// The job has expired by a clock that is ahead, long before its time, and its client is told what may be wrong.
async fn expires(lab: &Lab, job: Job) {
    let id = *job.id();
    let error = patiently(job.result::<u16>()).await.unwrap_err();
    let (state, code, reason) = ended(&error);
    assert!((state, code) == ("expired", "expired") && reason.contains(WORDS), "{error}");
    assert_eq!(told(lab, WORKER, &id, "expired").await, [("queued", 0), ("expired", 0)]);
    let records = lab.records(WORKER, &id, "expired").await;
    assert!(!Off::Ahead.has_told(records[0].at_ms) && Off::Ahead.has_told(records[1].at_ms));
}

#[tokio::test]
async fn a_launcher_an_hour_ahead_takes_jobs_with_time_enough_and_one_behind_takes_none() {
    let Some(shift) = shift() else { return };
    for off in Off::BOTH {
        let lab = lab(0, None).await;
        let launcher = launcher(&lab, &shift, off).await;
        let _worker = lab.serve(WORKER, gate::pass);
        let (client, gate) = (lab.client().await, Gate::new().await);
        let refused = launch(&client, &gate, TEN_MINUTES).await.unwrap_err().to_string();
        assert!(refused.contains(WORDS), "{off:?}: {refused}");
        match (off, launch(&client, &gate, TWO_HOURS).await) {
            (Off::Ahead, job) => {
                gate.arrival().await.go_on().await;
                let (_, records) = is_done(&lab, job.unwrap()).await;
                assert!(off.has_told(records[0].at_ms), "{records:?}");
            }
            (Off::Behind, job) => {
                let refused = job.unwrap_err().to_string();
                assert!(refused.contains(WORDS), "{refused}");
            }
        }
        assert!(gate.is_deserted().await, "{off:?}: another function has run");
        patiently(client.close()).await;
        stop(launcher).await;
        lab.stop().await;
    }
}

#[tokio::test]
async fn no_job_is_lost_although_one_of_two_launchers_is_an_hour_off() {
    let Some(shift) = shift() else { return };
    for off in Off::BOTH {
        let lab = lab(1, None).await;
        let wrong = launcher(&lab, &shift, off).await;
        let mut config = lab.worker_config(WORKER);
        config.slots = 1;
        let _worker = serve(config, WORKER, gate::pass);
        let (client, gate) = (lab.client().await, Gate::new().await);
        let (mut jobs, mut heard, mut tries) = (Vec::new(), [false; 2], 0..64);
        while heard != [true; 2] {
            assert!(tries.next().is_some(), "{off:?}: one of them is never asked: {heard:?}");
            let by_the_wrong_one = match launch(&client, &gate, TWO_HOURS).await {
                Ok(job) => {
                    let first = first(&lab, job.id()).await;
                    jobs.push(job);
                    off.has_told(first.at_ms)
                }
                Err(error) => {
                    assert!(off == Off::Behind && error.to_string().contains(WORDS), "{off:?}: {error}");
                    true
                }
            };
            heard[usize::from(by_the_wrong_one)] = true;
        }
        lab.history(WORKER, jobs[0].id(), "running").await;
        if off == Off::Ahead {
            // Whoever has launched it, the one that is ahead looks at all that lies about.
            let brief = loop {
                assert!(tries.next().is_some(), "the right one is never asked");
                match launch(&client, &gate, TEN_MINUTES).await {
                    Ok(job) => break job,
                    Err(error) => assert!(error.to_string().contains(WORDS), "{error}"),
                }
            };
            expires(&lab, brief).await;
        }
        for _ in &jobs {
            gate.arrival().await.go_on().await;
        }
        for job in jobs {
            is_done(&lab, job).await;
        }
        assert!(gate.is_deserted().await, "{off:?}: another function has run");
        patiently(client.close()).await;
        stop(wrong).await;
        lab.stop().await;
    }
}

#[tokio::test]
async fn a_resident_worker_an_hour_off_does_what_has_time_enough() {
    let Some(shift) = shift() else { return };
    for off in Off::BOTH {
        let lab = lab(1, None).await;
        let mut command = lab.worker_command(WORKER, ENV);
        command.args(shift.args(off)).arg(GATED);
        let worker = started(command, "worker ready").await;
        does_what_has_time_enough(&lab, off).await;
        stop(worker).await;
        lab.stop().await;
    }
}

#[tokio::test]
async fn a_started_worker_an_hour_off_does_what_has_time_enough() {
    let Some(shift) = shift() else { return };
    for off in Off::BOTH {
        let args = shift.args(off);
        let lab = lab(1, Some([&[ENV], &args.each_ref().map(String::as_str)[..], &[GATED]].concat())).await;
        does_what_has_time_enough(&lab, off).await;
        lab.stop().await;
    }
}

/// Launches jobs for a worker whose clock is off.
async fn does_what_has_time_enough(lab: &Lab, off: Off) {
    let (client, gate) = (lab.client().await, Gate::new().await);
    for wait in [TWO_HOURS, TEN_MINUTES] {
        let job = launch(&client, &gate, wait).await.unwrap();
        if (off, wait) == (Off::Ahead, TEN_MINUTES) {
            expires(lab, job).await;
            continue;
        }
        gate.arrival().await.go_on().await;
        let (outcome, _) = is_done(lab, job).await;
        let receipt = &outcome.receipt.receipt;
        assert!(off.has_told(receipt.started_ms) && off.has_told(receipt.finished_ms), "{receipt:?}");
    }
    assert!(gate.is_deserted().await, "{off:?}: another function has run");
    patiently(client.close()).await;
}

/// A command of `subrosa` by a clock that is off.
fn subrosa(lab: &Lab, (shift, off): (&Shift, Off), args: &[&str]) -> Running {
    let mut command = guarded(PROGRAM, ENV);
    command.args(shift.args(off)).arg(PROGRAM).args(args);
    command.args(["--nats", lab.url(), "--trust", text(lab.local.trust_file())]);
    Running::start(command)
}

/// The job of which this line tells.
fn told_of(line: &str) -> JobId {
    line.strip_prefix("job ").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_client_an_hour_behind_has_jobs_with_time_enough_and_one_ahead_has_none() {
    let Some(shift) = shift() else { return };
    for off in Off::BOTH {
        let lab = lab(1, None).await;
        let _worker = lab.serve(WORKER, gate::pass);
        let gate = Gate::new().await;
        let (payload, clock) = (gate.payload().to_string(), (&shift, off));
        let doctor = subrosa(&lab, clock, &["doctor"]).ends().await;
        let found = doctor.said.iter().find(|line| line.contains("s off the server's"));
        assert!(found.is_some() && !doctor.status.success(), "{off:?}: {}", doctor.text());
        for wait in ["600", "7200"] {
            let mut client =
                subrosa(&lab, clock, &["run", WORKER, "--payload", &payload, "--expires-in", wait]);
            if (off, wait) == (Off::Behind, "7200") {
                let job = told_of(&client.says("job ").await);
                gate.arrival().await.go_on().await;
                let ended = client.ends().await;
                assert_eq!(ended.status.code(), Some(0), "{}", ended.text());
                assert_eq!(told(&lab, WORKER, &job, "closed").await, DONE_AT_ONCE);
                let Event::Queued { request } = first(&lab, &job).await.event else { panic!("not queued") };
                let request = LaunchRequest::parse(&request, &Default::default()).unwrap();
                assert!(off.has_told(request.job().description().created_ms));
            } else {
                // Nothing else is wrong with it.
                let ended = client.ends().await;
                assert_eq!(ended.status.code(), Some(5), "{}", ended.text());
                assert!(ended.text().contains(WORDS), "{}", ended.text());
            }
        }
        assert!(gate.is_deserted().await, "{off:?}: another function has run");
        lab.stop().await;
    }
}

/// A certificate that was issued just now is not good yet for who is behind.
#[tokio::test]
async fn who_is_behind_does_not_believe_a_new_certificate_and_says_why() {
    let Some(shift) = shift() else { return };
    let clock = (&shift, Off::Behind);
    let plan = Plan { authority: true, ..Plan::of(PROGRAM, [Example::Echo]) };
    let lab = Lab::with(plan).await;
    let mut client = subrosa(&lab, clock, &["run", "echo", "--expires-in", "7200"]);
    let job = told_of(&client.says("job ").await);
    let said = client.says("not trusted").await;
    assert!(said.contains(WORDS), "{said}");
    client.signal(Signal::INT);
    assert_eq!(client.ends().await.status.code(), Some(130));
    told(&lab, "echo", &job, "cancelled").await;

    let mut command = guarded(PROGRAM, ENV);
    command.args(shift.args(Off::Behind)).args([PROGRAM, "internal", "worker", "echo"]);
    command.envs(lab.local.environment("echo"));
    let ended = Running::start(command).ends().await;
    assert!(!ended.status.success() && ended.text().contains(WORDS), "{ended:?}");
    lab.stop().await;
}
