//! Launchers that are killed, one of several and the only one, in each phase of a job.
//!
//! What a killed launcher has recorded and not queued is in `launcher/killed.rs`, too.

use futures_util::future::join;
use rustix::process::Signal;
use subrosa_client::Client;
use subrosa_tests::{
    checkpoint::Checkpoint,
    gate::{self, Gate, WORKER},
    lab::{Lab, guarded, patiently},
    processes::{Process, Running, signal, until},
};

use crate::{
    PROGRAM,
    scene::{self, Case, Moment, Phase},
    told::{DONE_AGAIN, DONE_AT_ONCE, resident, started, told},
};

/// A launcher in a process of its own, that reaches the server through a checkpoint.
async fn launcher(lab: &Lab, checkpoint: &Checkpoint) -> Running {
    let path = lab.local.launcher_config();
    let mut config: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let nats = toml::Table::from_iter([("url".to_owned(), checkpoint.url().into())]);
    config.insert("nats".to_owned(), nats.into());
    let own = path.with_file_name("checked.toml");
    std::fs::write(&own, config.to_string()).unwrap();
    let mut command = guarded(PROGRAM, PROGRAM);
    command.args(["internal", "launcher", "--config"]).arg(own);
    let mut launcher = Running::start(command);
    launcher.says("launcher ready").await;
    launcher
}

/// The only launcher dies on the way, and another one is started: the client, which asks again, has its job queued
/// once.
#[tokio::test]
async fn a_job_is_admitted_although_its_launcher_dies_at_any_step() {
    // Before the record, between the record and the queue, and before the answer.
    for step in ["subrosa.v1.record.*.*", "subrosa.v1.queue.*.*", "_INBOX.>"] {
        let mut lab = resident().await;
        kill_all(&mut lab).await;
        let _worker = lab.serve(WORKER, gate::pass);
        let (client, gate) = (lab.client().await, Gate::new().await);
        let mut checkpoint = Checkpoint::before(lab.url()).await;
        let first = launcher(&lab, &checkpoint).await;
        checkpoint.stop_at(step);
        let launched = client.job(WORKER).payload_value(gate.payload()).launch();
        let replaced = async {
            let stopped = checkpoint.stopped().await;
            first.signal(Signal::KILL);
            assert_eq!(first.ends().await.status.code(), None, "it was killed");
            drop(stopped);
            lab.local.start_launcher().unwrap();
        };
        let (job, ()) = join(launched, replaced).await;
        let job = job.unwrap();
        let id = *job.id();
        gate.arrival().await.go_on().await;
        assert_eq!(patiently(job.result::<u16>()).await.unwrap().attempt, 1, "{step}");
        assert_eq!(told(&lab, WORKER, &id, "closed").await, DONE_AT_ONCE, "{step}");
        assert!(gate.is_deserted().await, "{step}: another function has run");
        patiently(client.close()).await;
        lab.stop().await;
    }
}

/// Kills all launchers of a deployment.
async fn kill_all(lab: &mut Lab) {
    for mut launcher in lab.local.launchers.drain(..) {
        launcher.kill().await.unwrap();
    }
}

async fn launch(client: &Client, gate: &Gate) -> subrosa_client::Job {
    client.job(WORKER).payload_value(gate.payload()).launch().await.unwrap()
}

#[tokio::test]
async fn what_resident_workers_run_and_what_they_take_needs_no_launcher() {
    let mut lab = resident().await;
    let client = scene::client(&lab).await;
    let _worker = scene::serve_gated(lab.worker_config(WORKER), WORKER);
    let mut cases = scene::in_every_phase(&lab, &client, WORKER).await;
    kill_all(&mut lab).await;
    for moment in [Moment::During, Moment::After] {
        scene::go_on(&mut cases, moment).await;
    }
    for case in cases {
        case.ends(&lab).await;
    }
    lab.local.start_launcher().unwrap();
    scene::goes_on(&lab, &client, WORKER).await;
    patiently(client.close()).await;
    lab.stop().await;
}

/// All of its children die with a launcher; the other one, or the one that is started afterwards, starts others. What
/// the client has by then is in `worker.rs`.
#[tokio::test]
async fn jobs_are_started_again_in_whatever_phase_their_launcher_is_killed() {
    let phases = [Phase::Options, Phase::Payload, Phase::Running];
    for is_alone in [true, false] {
        let mut lab = started(1, |worker| {
            worker.insert("max_running".to_owned(), i64::try_from(phases.len()).unwrap().into());
        })
        .await;
        let client = scene::client(&lab).await;
        let mut cases = Vec::new();
        for phase in phases {
            cases.push(Case::reach(&lab, &client, WORKER, phase, Moment::After).await);
        }
        let checkpoint = Checkpoint::before(lab.url()).await;
        let other = if is_alone { None } else { Some(launcher(&lab, &checkpoint).await) };
        kill_all(&mut lab).await;
        if is_alone {
            lab.local.start_launcher().unwrap();
        }
        for case in cases {
            case.ends_again(&lab).await;
        }
        scene::goes_on(&lab, &client, WORKER).await;
        patiently(client.close()).await;
        drop(other);
        lab.stop().await;
    }
}

/// The child dies with its launcher: the other launcher, or the one that is started afterwards, starts the next one.
#[tokio::test]
async fn a_job_whose_launcher_is_killed_is_started_again_by_another() {
    for launchers in [1, 2] {
        let mut lab = started(launchers, |worker| {
            worker.insert("max_running".to_owned(), 1.into());
        })
        .await;
        let (client, gate) = (lab.client().await, Gate::new().await);
        let running = launch(&client, &gate).await;
        let first = gate.arrival().await;
        let is_parent = |pid: u32| Process::children_of(pid).iter().any(|child| child.pid == first.pid);
        let parent =
            lab.local.launchers.iter().position(|launcher| is_parent(launcher.id().unwrap())).unwrap();
        let mut parent = lab.local.launchers.remove(parent);
        let child = first.pid;
        signal(parent.id().unwrap(), Signal::KILL);
        first.is_gone().await;
        until("the child is gone", || !Process::is_running(child)).await;
        patiently(parent.wait()).await.unwrap();
        if launchers == 1 {
            lab.local.start_launcher().unwrap();
        }
        // Whatever its message goes through, a job that is launched meanwhile is not held up for ever.
        let queued = launch(&client, &gate).await;
        let ids = [*running.id(), *queued.id()];
        for _ in ids {
            gate.arrival().await.go_on().await;
        }
        assert_eq!(patiently(running.result::<u16>()).await.unwrap().attempt, 2, "{launchers}");
        assert_eq!(patiently(queued.result::<u16>()).await.unwrap().attempt, 1, "{launchers}");
        assert_eq!(told(&lab, WORKER, &ids[0], "closed").await, DONE_AGAIN, "{launchers}");
        assert_eq!(told(&lab, WORKER, &ids[1], "closed").await, DONE_AT_ONCE, "{launchers}");
        assert!(gate.is_deserted().await, "{launchers}: another function has run");
        patiently(client.close()).await;
        lab.stop().await;
    }
}
