//! Workers and launchers that stand still for longer than the ack wait, and go on. By then another one has their job.
//!
//! A worker that is stopped while its function runs is in `end_to_end/overtaken.rs`.

use rustix::process::Signal;
use subrosa_client::{Client, Event, Job};
use subrosa_tests::{
    checkpoint::Checkpoint,
    gate::{self, Gate, Visitor, WORKER},
    lab::{Lab, patiently, serve},
    processes::{Process, Running, signal, until},
};

use crate::{
    GATED,
    told::{DONE_AGAIN, DONE_AT_ONCE, resident, started, told},
    worker::successor,
};

/// A worker that will be stopped, and its job.
struct Stopped {
    lab: Lab,
    client: Client,
    gate: Gate,
    checkpoint: Checkpoint,
    worker: Running,
}

impl Stopped {
    async fn new() -> Self {
        let lab = resident().await;
        let checkpoint = Checkpoint::before(lab.url()).await;
        let mut command = lab.worker_command(WORKER, GATED);
        command.env("SUBROSA_NATS_URL", checkpoint.url()).env("SUBROSA_SLOTS", "1");
        command.env("SUBROSA_LOOK_SECONDS", "1");
        let mut worker = Running::start(command);
        worker.says("worker ready").await;
        Self { client: lab.client().await, lab, gate: Gate::new().await, checkpoint, worker }
    }

    async fn launch(&self) -> Job {
        self.client.job(WORKER).payload_value(self.gate.payload()).launch().await.unwrap()
    }

    async fn stop(&self) {
        stand_still(self.worker.pid()).await;
    }

    /// The second attempt goes on to its end, which the first one's worker has not touched.
    async fn second(
        mut self,
        mut job: Job,
        second: Visitor,
        attempts: &[u16],
        history: &[(&'static str, u16)],
    ) {
        let (id, mut events) = (*job.id(), job.events());
        assert_eq!(second.pid, std::process::id());
        let left = self.worker.says("job left").await;
        assert!(left.contains("Overtaken"), "{left}");
        second.go_on().await;
        let outcome = patiently(job.result::<u16>()).await.unwrap();
        assert_eq!((outcome.value, outcome.attempt), (2, 2));
        let mut told_of = Vec::new();
        while let Some(event) = events.next().await {
            if let Event::Attempt { number, .. } = event {
                told_of.push(number);
            }
        }
        assert_eq!(told_of, attempts);
        assert_eq!(told(&self.lab, WORKER, &id, "closed").await, history);
        assert!(self.gate.is_deserted().await, "another function has run");
        patiently(self.client.close()).await;
        self.lab.stop().await;
    }
}

/// Stops a process.
async fn stand_still(pid: u32) {
    signal(pid, Signal::STOP);
    until("the process stands still", || Process::is_still(pid)).await;
}

#[tokio::test]
async fn the_late_options_of_a_stopped_worker_are_ignored() {
    let mut stopped = Stopped::new().await;
    stopped.checkpoint.stop_at("subrosa.v1.client.*.*.options");
    let job = stopped.launch().await;
    // Its `taken` is recorded.
    let options = stopped.checkpoint.stopped().await;
    stopped.stop().await;
    let _successor = successor(&stopped.lab);
    let second = stopped.gate.arrival().await;
    options.pass();
    stopped.worker.signal(Signal::CONT);
    let history = [("queued", 0), ("taken", 1), ("taken", 2), ("running", 2), ("closed", 2)];
    stopped.second(job, second, &[2], &history).await;
}

#[tokio::test]
async fn the_late_result_of_a_stopped_worker_is_ignored() {
    let stopped = Stopped::new().await;
    let job = stopped.launch().await;
    let first = stopped.gate.arrival().await;
    stopped.stop().await;
    let _successor = successor(&stopped.lab);
    let second = stopped.gate.arrival().await;
    // Its function returns as soon as it can go on.
    first.go_on().await;
    stopped.worker.signal(Signal::CONT);
    stopped.second(job, second, &[1, 2], &DONE_AGAIN).await;
}

/// The client knows nothing of the next attempt yet, and takes the result of the one that it knows.
#[tokio::test]
async fn a_result_that_comes_before_the_next_attempt_is_heard_of_is_taken() {
    let mut stopped = Stopped::new().await;
    let job = stopped.launch().await;
    let id = *job.id();
    let first = stopped.gate.arrival().await;
    // Its result is on the way, before anything that it could learn from.
    stopped.checkpoint.stop_at("subrosa.v1.client.*.*.done");
    first.go_on().await;
    let done = stopped.checkpoint.stopped().await;
    stopped.stop().await;
    let mut before_second = Checkpoint::before(stopped.lab.url()).await;
    // Of this job: a worker that begins asks whether it may publish there at all.
    before_second.stop_at(&format!("subrosa.v1.client.*.{id}.options"));
    let mut config = stopped.lab.worker_config(WORKER);
    config.nats.url = before_second.url().to_owned();
    config.timing.probe = std::time::Duration::from_secs(1);
    let _second = serve(config, WORKER, gate::pass);
    let options = before_second.stopped().await;
    done.pass();
    stopped.worker.signal(Signal::CONT);
    let outcome = patiently(job.result::<u16>()).await.unwrap();
    assert_eq!((outcome.value, outcome.attempt), (1, 1));
    let left = stopped.worker.says("job left").await;
    assert!(left.contains("Overtaken") || left.contains("Ended"), "{left}");
    options.pass();
    // The first worker may write nothing any more; a launcher does, for the client's token.
    let history = [("queued", 0), ("taken", 1), ("running", 1), ("taken", 2), ("closed", 2)];
    assert_eq!(told(&stopped.lab, WORKER, &id, "closed").await, history);
    assert!(stopped.gate.is_deserted().await, "another function has run");
    patiently(stopped.client.close()).await;
    stopped.lab.stop().await;
}

#[tokio::test]
async fn a_stopped_launcher_keeps_neither_its_child_nor_the_next_job_from_ending() {
    let lab = started(2, |_| {}).await;
    let (client, gate) = (lab.client().await, Gate::new().await);
    let launchers: Vec<u32> = lab.local.launchers.iter().map(|launcher| launcher.id().unwrap()).collect();
    let launch = async || client.job(WORKER).payload_value(gate.payload()).launch().await.unwrap();

    let job = launch().await;
    let id = *job.id();
    let visitor = gate.arrival().await;
    let parent =
        launchers.iter().find(|pid| Process::children_of(**pid).iter().any(|c| c.pid == visitor.pid));
    let parent = *parent.unwrap();
    stand_still(parent).await;
    // The other one has the message in the end, and leaves the child that lives its job.
    let connection = lab.connection().await;
    let mut asked = connection.subscribe(&format!("subrosa.v1.control.{WORKER}.*.{id}.alive")).await.unwrap();
    patiently(asked.next()).await.unwrap();
    visitor.go_on().await;
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().attempt, 1);
    assert_eq!(told(&lab, WORKER, &id, "closed").await, DONE_AT_ONCE);

    let next = launch().await;
    let next_id = *next.id();
    gate.arrival().await.go_on().await;
    assert_eq!(patiently(next.result::<u16>()).await.unwrap().value, 1);
    signal(parent, Signal::CONT);
    assert_eq!(told(&lab, WORKER, &next_id, "closed").await, DONE_AT_ONCE);
    until("the child is reaped", || Process::children_of(parent).is_empty()).await;
    assert!(gate.is_deserted().await, "another function has run");
    patiently(client.close()).await;
    lab.stop().await;
}
