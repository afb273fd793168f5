//! A worker that was thought dead, and comes back when another one has made the next attempt: it does that one
//! no harm, lets go, and goes on to other jobs.

use std::time::Duration;

use rustix::process::Signal;
use subrosa::local::Plan;
use subrosa_client::{Client, Job, JobId};
use subrosa_tests::{
    checkpoint::{Checkpoint, fits},
    gate::{self, Gate},
    lab::{Lab, Resident, patiently, serve},
    processes::Running,
};

use crate::{GATED, PROGRAM, impatient};

/// A worker that will be thought dead, and the one after it.
struct Pair {
    lab: Lab,
    client: Client,
    gate: Gate,
    checkpoint: Checkpoint,
    worker: Running,
}

impl Pair {
    async fn new() -> Self {
        let plan = Plan { others: vec![gate::WORKER.to_owned()], ..Plan::of(PROGRAM, []) };
        let lab = Lab::configured(plan, |_, config| impatient(config)).await;
        let checkpoint = Checkpoint::before(lab.url()).await;
        // With one slot it asks for nothing more while it has a job: what is delivered is not for it.
        let mut command = lab.worker_command(gate::WORKER, GATED);
        command.env("SUBROSA_NATS_URL", checkpoint.url()).env("SUBROSA_SLOTS", "1");
        let mut worker = Running::start(command);
        worker.says("worker ready").await;
        Self { client: lab.client().await, lab, gate: Gate::new().await, checkpoint, worker }
    }

    async fn launch(&self) -> Job {
        let job = self.client.job(gate::WORKER).payload_value(self.gate.payload());
        job.launch().await.unwrap()
    }

    fn successor(&self) -> Resident {
        let mut config = self.lab.worker_config(gate::WORKER);
        config.timing.probe = Duration::from_secs(1);
        serve(config, gate::WORKER, gate::pass)
    }

    /// Waits until the worker has let go of its attempt; it must not have touched the job or its message since
    /// it had said so much.
    async fn lets_go(&mut self, job: &JobId, since: usize) -> Vec<String> {
        let left = self.worker.says("job left").await;
        assert!(left.contains("Overtaken"), "{left}");
        // It asks for another job when it is done with this one. What it says after that may be about the very
        // same message, which it can be given again, and is no harm.
        let asks = "$JS.API.CONSUMER.MSG.NEXT.*.*";
        self.checkpoint.passes(since, asks).await;
        let said = self.checkpoint.passed().split_off(since);
        let said: Vec<_> = said.into_iter().take_while(|subject| !fits(subject, asks)).collect();
        let record = format!(".record.{}.{job}", gate::WORKER);
        let harm = |subject: &&String| {
            subject.starts_with("$JS.ACK.") || (subject.contains(&record) && !subject.contains("DIRECT.GET"))
        };
        assert_eq!(said.iter().find(harm), None, "{said:#?}");
        said
    }

    /// The second attempt goes on to its end, and the first one's worker serves the next job.
    async fn goes_on(self, job: Job, second: gate::Visitor, successor: Resident) {
        let id = *job.id();
        second.go_on().await;
        let outcome = patiently(job.result::<u16>()).await.unwrap();
        assert_eq!((outcome.value, outcome.attempt), (2, 2));
        let records = self.lab.records(gate::WORKER, &id, "closed").await;
        let records: Vec<_> = records.iter().map(|record| (record.event.name(), record.attempt)).collect();
        let taken = [("taken", 1), ("running", 1), ("taken", 2), ("running", 2)];
        assert_eq!(records, [&[("queued", 0)], &taken[..], &[("closed", 2)]].concat());

        successor.draining.cancel();
        patiently(successor.served).await.unwrap().unwrap();
        let next = self.launch().await;
        let visitor = self.gate.arrival().await;
        assert_eq!(visitor.pid, self.worker.pid());
        visitor.go_on().await;
        assert_eq!(patiently(next.result::<u16>()).await.unwrap().attempt, 1);
        patiently(self.client.close()).await;
        self.lab.stop().await;
    }
}

#[tokio::test]
async fn a_worker_that_was_stopped_lets_go_of_what_another_has_taken() {
    let mut pair = Pair::new().await;
    let job = pair.launch().await;
    let first = pair.gate.arrival().await;
    pair.worker.signal(Signal::STOP);
    let successor = pair.successor();
    let second = pair.gate.arrival().await;
    assert_eq!((first.pid, second.pid), (pair.worker.pid(), std::process::id()));
    let since = pair.checkpoint.passed().len();
    pair.worker.signal(Signal::CONT);
    // Its function is dropped in the middle.
    first.is_gone().await;
    pair.lets_go(job.id(), since).await;
    pair.goes_on(job, second, successor).await;
}

#[tokio::test]
async fn a_result_that_comes_after_the_next_attempt_has_begun_is_not_taken() {
    let mut pair = Pair::new().await;
    let job = pair.launch().await;
    let first = pair.gate.arrival().await;
    pair.checkpoint.stop_at("subrosa.v1.client.*.*.done");
    first.go_on().await;
    // Whatever it says from now on is held up, that it is alive included.
    let done = pair.checkpoint.stopped().await;
    let successor = pair.successor();
    let second = pair.gate.arrival().await;
    assert_eq!(second.pid, std::process::id());
    let since = pair.checkpoint.passed().len();
    done.pass();
    let said = pair.lets_go(job.id(), since).await;
    assert!(said.iter().any(|subject| fits(subject, "subrosa.v1.client.*.*.done")), "{said:#?}");
    pair.goes_on(job, second, successor).await;
}
