//! A worker's process is killed, in each phase of its job: another worker makes the next attempt, or the client
//! is told that there is none.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all};
use rustix::process::Signal;
use subrosa::local::Plan;
use subrosa_client::{Client, Event, EventStream, HandlerError, Job, JobError, Parameters};
use subrosa_protocol::record::code;
use subrosa_tests::{
    checkpoint::Checkpoint,
    gate::{self, Gate},
    lab::{Lab, Resident, patiently, serve},
    processes::Running,
};
use tokio::sync::Notify;

use crate::{GATED, PROGRAM, impatient};

/// When the worker is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// It has the delivery, and its `taken` never arrives.
    BeforeTaken,
    /// Its `taken` counts, and its `options` never arrive.
    BeforeOptions,
    /// The client has its `options`, and has not answered.
    BeforeAnswer,
    /// It has the client's options, and its `ready` never arrives.
    BeforeReady,
    /// The client has its `ready`, and has not answered.
    BeforePayload,
    /// It has the payload, and its `running` never arrives.
    BeforeRunning,
    /// It has the payload, and its function runs.
    Running,
    /// Its function has run, and its `done` never arrives.
    BeforeDone,
    /// The client has its result, and has not answered.
    BeforeStatus,
}

impl Death {
    const ALL: [Self; 9] = [
        Self::BeforeTaken,
        Self::BeforeOptions,
        Self::BeforeAnswer,
        Self::BeforeReady,
        Self::BeforePayload,
        Self::BeforeRunning,
        Self::Running,
        Self::BeforeDone,
        Self::BeforeStatus,
    ];

    /// A worker's name, so that each death has a queue of its own.
    fn worker(self, attempts: u16) -> String {
        let name = match self {
            Self::BeforeTaken => "before-taken",
            Self::BeforeOptions => "before-options",
            Self::BeforeAnswer => "before-answer",
            Self::BeforeReady => "before-ready",
            Self::BeforePayload => "before-payload",
            Self::BeforeRunning => "before-running",
            Self::Running => "running",
            Self::BeforeDone => "before-done",
            Self::BeforeStatus => "before-status",
        };
        format!("{name}-{attempts}")
    }

    /// Where the worker's last message goes, which nobody gets.
    fn last_message(self) -> Option<&'static str> {
        match self {
            Self::BeforeTaken | Self::BeforeRunning => Some("subrosa.v1.record.*.*"),
            Self::BeforeOptions => Some("subrosa.v1.client.*.*.options"),
            Self::BeforeReady => Some("subrosa.v1.client.*.*.ready"),
            Self::BeforeDone => Some("subrosa.v1.client.*.*.done"),
            Self::BeforeAnswer | Self::BeforePayload | Self::Running | Self::BeforeStatus => None,
        }
    }

    /// The attempts that the client hears of.
    fn told(self) -> &'static [u16] {
        match self {
            Self::BeforeTaken => &[1],
            Self::BeforeOptions => &[2],
            _ => &[1, 2],
        }
    }

    /// The job's records, with their attempts, when a second worker has finished it.
    fn records(self) -> Vec<(&'static str, u16)> {
        let first: &[_] = match self {
            Self::BeforeTaken => return vec![("queued", 0), ("taken", 1), ("running", 1), ("closed", 1)],
            Self::BeforeOptions
            | Self::BeforeAnswer
            | Self::BeforeReady
            | Self::BeforePayload
            | Self::BeforeRunning => &[("queued", 0), ("taken", 1)],
            Self::Running | Self::BeforeDone | Self::BeforeStatus => {
                &[("queued", 0), ("taken", 1), ("running", 1)]
            }
        };
        [first, &[("taken", 2), ("running", 2), ("closed", 2)]].concat()
    }
}

/// A worker that is dead, and its job.
struct Lost {
    job: Job,
    events: EventStream,
    worker: String,
    gate: Gate,
}

impl Lost {
    /// Launches a job, and kills its worker when the time has come.
    async fn new(lab: &Lab, client: &Client, death: Death, attempts: u16) -> Self {
        let worker = death.worker(attempts);
        let mut checkpoint = Checkpoint::before(lab.url()).await;
        let mut command = lab.worker_command(&worker, GATED);
        command.arg(&worker).env("SUBROSA_NATS_URL", checkpoint.url());
        let mut process = Running::start(command);
        process.says("worker ready").await;

        let (gate, held) = (Gate::new().await, Held::default());
        let job = client.job(&worker).payload_value(gate.payload()).max_attempts(attempts);
        let job = match death {
            Death::BeforeAnswer => job.options(held.at_first(())),
            Death::BeforePayload | Death::BeforeRunning => job.payload(held.at_first(gate.payload())),
            Death::BeforeStatus => job.status(held.at_first(())),
            _ => job,
        };
        let last = death.last_message();
        if let Some(subject) = last.filter(|_| death != Death::BeforeRunning) {
            checkpoint.stop_at(subject);
        }
        let mut job = job.launch().await.unwrap();
        let events = job.events();
        // Kept until it is dead: the function fails if it is let go otherwise.
        let mut visitor = None;
        match death {
            Death::Running => visitor = Some(gate.arrival().await),
            Death::BeforeDone | Death::BeforeStatus => gate.arrival().await.go_on().await,
            _ => {}
        }
        assert!(visitor.as_ref().is_none_or(|visitor| visitor.pid == process.pid()));
        match death {
            Death::BeforeAnswer | Death::BeforePayload | Death::BeforeStatus => {
                patiently(held.asked.notified()).await;
            }
            Death::BeforeRunning => {
                patiently(held.asked.notified()).await;
                // Its `taken` has passed.
                checkpoint.stop_at("subrosa.v1.record.*.*");
                held.go_on.notify_one();
            }
            _ => {}
        }
        let stopped = match last {
            Some(_) => Some(checkpoint.stopped().await),
            None => None,
        };
        process.signal(Signal::KILL);
        assert_eq!(process.ends().await.status.code(), None, "{death:?}: it was killed");
        drop((stopped, visitor));
        Self { job, events, worker, gate }
    }

    /// Starts another worker.
    fn successor(&self, lab: &Lab) -> Resident {
        let mut config = lab.worker_config(&self.worker);
        config.timing.probe = Duration::from_secs(1);
        serve(config, &self.worker, gate::pass)
    }
}

/// Holds up the client's first answer to a step. Clones are the same.
#[derive(Clone, Default)]
struct Held {
    /// The step has come.
    asked: Arc<Notify>,
    /// It may be answered.
    go_on: Arc<Notify>,
}

impl Held {
    /// A handler that is held up when it is asked for the first time, and not again.
    fn at_first<T: Clone + Send + Sync + 'static>(
        &self,
        answer: T,
    ) -> impl Fn(Parameters) -> BoxFuture<'static, Result<T, HandlerError>> + Send + Sync + 'static {
        let (held, again) = (self.clone(), AtomicBool::new(false));
        move |_| {
            let (held, again, answer) = (held.clone(), again.swap(true, Ordering::SeqCst), answer.clone());
            Box::pin(async move {
                if !again {
                    held.asked.notify_one();
                    held.go_on.notified().await;
                }
                Ok(answer)
            })
        }
    }
}

/// A deployment with a worker for each death.
async fn lab(attempts: u16) -> Lab {
    let others = Death::ALL.iter().map(|death| death.worker(attempts)).collect();
    Lab::configured(Plan { others, ..Plan::of(PROGRAM, []) }, |_, config| impatient(config)).await
}

#[tokio::test]
async fn whenever_a_worker_dies_another_one_makes_the_next_attempt() {
    let lab = lab(2).await;
    let client = lab.client().await;
    let deaths = Death::ALL.map(async |death| {
        let mut lost = Lost::new(&lab, &client, death, 2).await;
        let _successor = lost.successor(&lab);
        let visitor = lost.gate.arrival().await;
        assert_eq!(visitor.pid, std::process::id(), "{death:?}");
        visitor.go_on().await;
        let id = *lost.job.id();
        let outcome = patiently(lost.job.result::<u16>()).await.unwrap();
        let mut told = Vec::new();
        while let Some(event) = lost.events.next().await {
            if let Event::Attempt { number, max, .. } = event {
                assert_eq!(max, 2);
                told.push(number);
            }
        }
        assert_eq!(told, death.told(), "{death:?}");
        assert_eq!(Some(&outcome.value), told.last(), "{death:?}");
        assert_eq!(Some(&outcome.attempt), told.last(), "{death:?}");
        let records = lab.records(&lost.worker, &id, "closed").await;
        let records: Vec<_> = records.iter().map(|record| (record.event.name(), record.attempt)).collect();
        assert_eq!(records, death.records(), "{death:?}");
    });
    join_all(deaths).await;
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn when_the_last_attempt_is_lost_with_its_worker_the_client_is_told_so() {
    let lab = lab(1).await;
    let client = lab.client().await;
    // Who dies before its `taken` has used up no attempt.
    let deaths = Death::ALL.iter().filter(|death| **death != Death::BeforeTaken).map(async |death| {
        let lost = Lost::new(&lab, &client, *death, 1).await;
        let _successor = lost.successor(&lab);
        let id = *lost.job.id();
        let error = patiently(lost.job.result::<u16>()).await.unwrap_err();
        let JobError::Ended { state, code: Some(code), .. } = &error else { panic!("{death:?}: {error}") };
        assert_eq!((state.as_str(), code.as_str()), ("failed", code::ATTEMPTS_USED_UP), "{death:?}");
        let records = lab.records(&lost.worker, &id, "failed").await;
        assert_eq!(records.iter().filter(|record| record.event.name() == "taken").count(), 1, "{death:?}");
    });
    join_all(deaths).await;
    patiently(client.close()).await;
    lab.stop().await;
}
