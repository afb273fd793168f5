//! The server is killed, or stopped in an orderly way, and started again on the same store: everybody reconnects.

use std::time::Duration;

use futures_util::future::join;
use rustix::process::Signal;
use subrosa::local::Plan;
use subrosa_tests::{
    lab::{Lab, patiently},
    processes::{Process, signal, until},
};

use crate::{
    GATED, PROGRAM,
    scene::{self, Case, Moment, Phase},
};

/// A worker of the test's own.
const RESIDENT: &str = "resident";
/// A worker that the launcher starts, one process for each job.
const STARTED: &str = "started";
/// A worker that does not wait long for its client.
const HASTY: &str = "hasty";

/// How the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    Stopped,
}

impl End {
    async fn befalls(self, lab: &mut Lab) {
        match self {
            Self::Killed => lab.local.server.kill().await.unwrap(),
            Self::Stopped => {
                let pid = lab.local.server.pid().unwrap();
                signal(pid, Signal::TERM);
                until("the server has ended", || !Process::is_running(pid)).await;
            }
        }
    }
}

/// A launcher, with a worker that it starts and two that are resident.
async fn lab() -> Lab {
    let others = [RESIDENT, STARTED, HASTY].map(str::to_owned).to_vec();
    let plan = Plan { others, ..Plan::of(PROGRAM, []) };
    Lab::configured(plan, |lab, config| {
        config.extend(toml::toml! { timing = { ack_wait = "5s", probe = "5s" } });
        let workers = config["worker"].as_array_mut().unwrap();
        let started = workers.iter_mut().find(|worker| worker["name"].as_str() == Some(STARTED)).unwrap();
        *started = lab.started(STARTED, &[GATED, STARTED]);
        let slots = i64::try_from(scene::SLOTS).unwrap();
        started.as_table_mut().unwrap().insert("max_running".to_owned(), slots.into());
    })
    .await
}

async fn survives(end: End, worker: &str) {
    let mut lab = lab().await;
    let client = scene::client(&lab).await;
    let served = (worker == RESIDENT).then(|| scene::serve_gated(lab.worker_config(worker), worker));
    let mut cases = scene::in_every_phase(&lab, &client, worker).await;
    end.befalls(&mut lab).await;
    scene::go_on(&mut cases, Moment::During).await;
    // Somebody launches a job meanwhile.
    let launched = Case::launch(&client, worker, Phase::Queued, Moment::During);
    let (launched, restarted) = join(launched, lab.local.server.restart()).await;
    restarted.unwrap();
    cases.push(launched);
    scene::go_on(&mut cases, Moment::After).await;
    scene::are_done(cases, &lab, &client, worker).await;
    patiently(client.close()).await;
    drop(served);
    lab.stop().await;
}

#[tokio::test]
async fn jobs_of_resident_workers_survive_a_killed_server() {
    survives(End::Killed, RESIDENT).await;
}

#[tokio::test]
async fn jobs_of_resident_workers_survive_a_stopped_server() {
    survives(End::Stopped, RESIDENT).await;
}

#[tokio::test]
async fn jobs_of_started_workers_survive_a_killed_server() {
    survives(End::Killed, STARTED).await;
}

#[tokio::test]
async fn jobs_of_started_workers_survive_a_stopped_server() {
    survives(End::Stopped, STARTED).await;
}

#[tokio::test]
async fn stored_results_survive_their_server() {
    let mut lab = lab().await;
    let client = scene::client(&lab).await;
    let mut config = lab.worker_config(HASTY);
    config.timing.done = Duration::from_millis(300);
    let _served = scene::serve_gated(config, HASTY);
    let mut cases = Vec::new();
    for moment in [Moment::During, Moment::After] {
        cases.push(Case::reach(&lab, &client, HASTY, Phase::Finished, moment).await);
    }
    for end in [End::Stopped, End::Killed] {
        end.befalls(&mut lab).await;
        if end == End::Killed {
            scene::go_on(&mut cases, Moment::During).await;
        }
        lab.local.server.restart().await.unwrap();
    }
    scene::go_on(&mut cases, Moment::After).await;
    for case in cases {
        case.ends(&lab).await;
    }
    patiently(client.close()).await;
    lab.stop().await;
}
