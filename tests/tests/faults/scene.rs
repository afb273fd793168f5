//! Jobs that have come to each of their phases, for a fault to strike; and what they must come to after it.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use subrosa_client::{Client, HandlerError, Job, JobId, Parameters, Timing};
use subrosa_tests::{
    gate::{self, Gate, Visitor},
    lab::{Lab, Resident, fresh_key, patiently, serve},
};
use subrosa_worker::Config;
use tokio::sync::watch;

use crate::told::told;

/// A client that soon sees to it that its jobs are closed.
pub(crate) async fn client(lab: &Lab) -> Client {
    let mut timing = Timing::default();
    timing.status = Duration::from_millis(200);
    timing.settle = Duration::from_millis(200);
    let client = Client::connect(lab.url()).identity(fresh_key()).timing(timing);
    client.trust(lab.local.trust().unwrap()).await.unwrap()
}

/// Where a job is when a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// In the queue: no slot is free.
    Queued,
    /// Taken, and the client is answering `options`.
    Options,
    /// The client is answering `ready`.
    Payload,
    /// The function runs.
    Running,
    /// The function has run, and the client is answering `done`.
    Done,
    /// The client did not answer `done` in time, and the result is stored.
    Finished,
}

impl Phase {
    /// Those of a job that a worker holds.
    pub(crate) const HELD: [Self; 4] = [Self::Options, Self::Payload, Self::Running, Self::Done];
}

/// When what a job waits for comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// While the fault lasts.
    During,
    /// When it is mended.
    After,
}

/// A client's handler that waits until the test lets it answer.
#[derive(Clone)]
struct Latch(Arc<(watch::Sender<u32>, watch::Sender<bool>)>);

impl Latch {
    fn new(open: bool) -> Self {
        Self(Arc::new((watch::Sender::default(), watch::Sender::new(open))))
    }

    fn open(&self) {
        self.0.1.send_replace(true);
    }

    async fn reached(&self) {
        patiently(self.0.0.subscribe().wait_for(|asked| *asked > 0)).await.unwrap();
    }

    fn asked(&self) -> u32 {
        *self.0.0.borrow()
    }

    /// The handler, whose answer is this.
    fn handler(
        &self,
        answer: Value,
    ) -> impl Fn(Parameters) -> futures_util::future::BoxFuture<'static, Result<Value, HandlerError>>
    + Send
    + Sync
    + 'static {
        let latch = self.clone();
        move |_| {
            let (latch, answer) = (latch.clone(), answer.clone());
            Box::pin(async move {
                latch.0.0.send_modify(|asked| *asked += 1);
                let _ = latch.0.1.subscribe().wait_for(|open| *open).await;
                Ok(answer)
            })
        }
    }
}

/// A job that is in one of its phases.
pub(crate) struct Case {
    worker: String,
    pub(crate) phase: Phase,
    pub(crate) moment: Moment,
    job: Job,
    gate: Gate,
    visitor: Option<Visitor>,
    handlers: [Latch; 3],
}

impl Case {
    /// Launches a job, and waits until it has come to the phase.
    pub(crate) async fn reach(
        lab: &Lab,
        client: &Client,
        worker: &str,
        phase: Phase,
        moment: Moment,
    ) -> Self {
        let mut case = Self::launch(client, worker, phase, moment).await;
        case.is_reached(lab).await;
        case
    }

    /// Launches a job that is to wait in this phase.
    pub(crate) async fn launch(client: &Client, worker: &str, phase: Phase, moment: Moment) -> Self {
        let gate = Gate::new().await;
        let waits = [phase == Phase::Options, phase == Phase::Payload, phase >= Phase::Done];
        let handlers = waits.map(|waits| Latch::new(!waits));
        let [options, payload, status] = &handlers;
        let job = client.job(worker).options(options.handler(Value::Null));
        let job = job.payload(payload.handler(gate.payload())).status(status.handler(Value::Null));
        let job = job.launch().await.unwrap();
        Self { worker: worker.to_owned(), phase, moment, job, gate, visitor: None, handlers }
    }

    /// Waits until it has come to its phase.
    pub(crate) async fn is_reached(&mut self, lab: &Lab) {
        let [options, payload, status] = &self.handlers;
        match self.phase {
            Phase::Queued => {}
            Phase::Options => options.reached().await,
            Phase::Payload => payload.reached().await,
            Phase::Running => self.visitor = Some(self.gate.arrival().await),
            Phase::Done | Phase::Finished => {
                self.gate.arrival().await.go_on().await;
                status.reached().await;
                if self.phase == Phase::Finished {
                    self.is_at("finished", lab).await;
                }
            }
        }
    }

    /// Waits until its last record is this one.
    pub(crate) async fn is_at(&self, record: &str, lab: &Lab) {
        lab.history(&self.worker, self.job.id(), record).await;
    }

    /// The job's id.
    pub(crate) fn id(&self) -> String {
        self.job.id().to_string()
    }

    /// Lets it have what it waits for, if that comes at this moment.
    pub(crate) async fn go_on(&mut self, moment: Moment) {
        if self.moment != moment {
            return;
        }
        self.handlers.iter().for_each(Latch::open);
        if let Some(visitor) = self.visitor.take() {
            visitor.go_on().await;
        }
    }

    /// Waits until it is done, in its first attempt; what had to happen has happened, and nothing twice.
    pub(crate) async fn ends(self, lab: &Lab) {
        self.ends_after(0, lab).await;
    }

    /// The same after so many attempts that were lost before their functions had the payload.
    pub(crate) async fn ends_after(self, lost: u16, lab: &Lab) {
        let Self { worker, phase, moment, job, gate, handlers, .. } = self;
        let (id, of) = (*job.id(), format!("{phase:?}, {moment:?}"));
        if phase < Phase::Running {
            gate.arrival().await.go_on().await;
        }
        let outcome = patiently(job.result::<u16>()).await.unwrap_or_else(|error| panic!("{of}: {error}"));
        assert_eq!((outcome.value, outcome.attempt), (lost + 1, lost + 1), "{of}");
        let taken = vec!["taken"; usize::from(lost) + 1];
        let stored: &[_] = if phase == Phase::Finished { &["finished"] } else { &[] };
        let history = [&["queued"], &taken[..], &["running"], stored, &["closed"]].concat();
        assert_eq!(names(lab, &worker, &id).await, history, "{of}");
        let asked = u32::from(lost) + 1;
        let asked_for = handlers.map(|handler| handler.asked());
        assert_eq!(asked_for, [asked, asked, 1], "{of}: a handler was asked again");
        assert!(gate.is_deserted().await, "{of}: another function has run");
    }

    /// Waits until it is done in its second attempt: the first one was lost with its worker before the function had
    /// returned.
    pub(crate) async fn ends_again(self, lab: &Lab) {
        let Self { worker, phase, job, gate, visitor, handlers, .. } = self;
        let (id, of) = (*job.id(), format!("{phase:?}"));
        handlers.iter().for_each(Latch::open);
        if let Some(visitor) = visitor {
            visitor.is_gone().await;
        }
        gate.arrival().await.go_on().await;
        let outcome = patiently(job.result::<u16>()).await.unwrap_or_else(|error| panic!("{of}: {error}"));
        assert_eq!((outcome.value, outcome.attempt), (2, 2), "{of}");
        let first: &[_] = if phase < Phase::Running { &["taken"] } else { &["taken", "running"] };
        let history = [&["queued"], first, &["taken", "running", "closed"]].concat();
        assert_eq!(names(lab, &worker, &id).await, history, "{of}");
        let asked = [2, if phase < Phase::Payload { 1 } else { 2 }, 1];
        assert_eq!(handlers.map(|handler| handler.asked()), asked, "{of}: a handler was asked once more");
        assert!(gate.is_deserted().await, "{of}: another function has run");
    }
}

/// The names of the records of a job that is closed. They are a good history.
async fn names(lab: &Lab, worker: &str, job: &JobId) -> Vec<&'static str> {
    told(lab, worker, job, "closed").await.into_iter().map(|(name, _)| name).collect()
}

/// Jobs of this worker in each phase in which they need a slot, once for each moment; and one more that is queued, as
/// no slot is left.
pub(crate) async fn in_every_phase(lab: &Lab, client: &Client, worker: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for moment in [Moment::During, Moment::After] {
        for phase in Phase::HELD {
            cases.push(Case::reach(lab, client, worker, phase, moment).await);
        }
    }
    cases.push(Case::reach(lab, client, worker, Phase::Queued, Moment::After).await);
    cases
}

/// How many slots [`in_every_phase`] fills.
pub(crate) const SLOTS: usize = 2 * Phase::HELD.len();

/// Lets all have what they wait for at this moment.
pub(crate) async fn go_on(cases: &mut [Case], moment: Moment) {
    for case in cases {
        case.go_on(moment).await;
    }
}

/// Waits until all are done, and a new job too: everybody is there again.
pub(crate) async fn are_done(cases: Vec<Case>, lab: &Lab, client: &Client, worker: &str) {
    for case in cases {
        case.ends(lab).await;
    }
    goes_on(lab, client, worker).await;
}

/// Waits until a new job is done.
pub(crate) async fn goes_on(lab: &Lab, client: &Client, worker: &str) {
    let mut next = Case::reach(lab, client, worker, Phase::Running, Moment::After).await;
    next.go_on(Moment::After).await;
    next.ends(lab).await;
}

/// A worker in the test's own process, whose function waits at the gate that it is sent to.
pub(crate) fn serve_gated(mut config: Config, worker: &str) -> Resident {
    config.slots = SLOTS;
    config.timing.look = Duration::from_secs(1);
    serve(config, worker, gate::pass)
}
