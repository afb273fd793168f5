//! A worker's numbers. None of them says more of a job than that there is one.

use std::time::{Duration, Instant};

use subrosa_protocol::{
    delivery::Outcome,
    record::{Event, Reason},
};
use subrosa_telemetry::{
    Nats,
    metrics::{
        metrics::{
            counter::Counter,
            family::Family,
            gauge::Gauge,
            histogram::{Histogram, exponential_buckets},
            info::Info,
        },
        registry::{Registry, Unit},
    },
    tell_tally,
};
use subrosa_transport::{Delivery, Tally, now_ms, trace::TARGET};
use tracing::{Instrument as _, Span};

/// A label and its value, out of few.
type Label = [(&'static str, &'static str); 1];

/// What is counted. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub(crate) refused: Tally,
    pub(crate) nats: Nats,
    slots: Gauge,
    in_flight: Gauge,
    deliveries: Counter,
    redeliveries: Counter,
    takeovers: Counter,
    attempts: Family<Label, Counter>,
    failures: Family<[(&'static str, String); 1], Counter>,
    records: Family<Label, Counter>,
    records_refused: Counter,
    phases: Family<Label, Histogram, fn() -> Histogram>,
}

/// A part of a job's way through a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// From the queue's stream to the attempt's `taken`.
    Queue,
    /// The client is asked for its options.
    Options,
    /// The client is asked for its payload.
    Ready,
    /// The function works, from the payload's arrival to its result.
    Run,
    /// The client is given the result.
    Done,
}

impl Phase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Options => "options",
            Self::Ready => "ready",
            Self::Run => "run",
            Self::Done => "done",
        }
    }
}

/// From 1 ms to about 4.5 hours.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 4.0, 13))
}

impl Numbers {
    /// Nothing is counted yet. The registry tells all of it.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let numbers = Self {
            refused: Tally::new("deliveries refused"),
            nats: Nats::new(registry),
            slots: Gauge::default(),
            in_flight: Gauge::default(),
            deliveries: Counter::default(),
            redeliveries: Counter::default(),
            takeovers: Counter::default(),
            attempts: Family::default(),
            failures: Family::default(),
            records: Family::default(),
            records_refused: Counter::default(),
            phases: Family::new_with_constructor(durations),
        };
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("subrosa_build", "The worker library's version", version);
        let mut tell = |name: &str, help: &str, counter: &Counter| {
            registry.register(format!("subrosa_worker_{name}"), help, counter.clone());
        };
        tell(
            "deliveries",
            "Jobs that the queue has delivered, again or for the first time",
            &numbers.deliveries,
        );
        tell("redeliveries", "Jobs that the queue has delivered again", &numbers.redeliveries);
        tell("takeovers", "Attempts after the first: jobs taken over from a lost worker", &numbers.takeovers);
        let refused = "Records that were refused, as another one came first";
        tell("records_refused", refused, &numbers.records_refused);
        let mut tell = |name: &str, help: &str, gauge: &Gauge| {
            registry.register(format!("subrosa_worker_{name}"), help, gauge.clone());
        };
        tell("slots", "How many jobs may run at once", &numbers.slots);
        tell("in_flight", "Jobs that run", &numbers.in_flight);
        let help = "Attempts that this worker has left, by what they came to";
        registry.register("subrosa_worker_attempts", help, numbers.attempts.clone());
        let help = "Jobs that this worker has recorded as failed, by the code of their failure";
        registry.register("subrosa_worker_failures", help, numbers.failures.clone());
        let help = "Records that this worker has written, by the state that they bring about";
        registry.register("subrosa_worker_records", help, numbers.records.clone());
        let help = "How long each phase of a job took, however it ended";
        let phases = numbers.phases.clone();
        registry.register_with_unit("subrosa_worker_phase_duration", help, Unit::Seconds, phases);
        let help = "Deliveries that were refused, by code.";
        tell_tally(registry, "subrosa_worker_deliveries_refused", help, &numbers.refused);
        numbers
    }

    /// So many jobs may run at once.
    pub(crate) fn slots(&self, slots: usize) {
        self.slots.set(i64::try_from(slots).unwrap_or(i64::MAX));
    }

    /// The queue has delivered something.
    pub(crate) fn delivered(&self, delivery: &Delivery) {
        self.deliveries.inc();
        if delivery.told.is_some_and(|told| told.times > 1) {
            self.redeliveries.inc();
        }
    }

    /// An attempt at what was delivered is this worker's.
    pub(crate) fn taken(&self, attempt: u16, delivery: &Delivery) {
        match delivery.told {
            // Of a later attempt the time says how long the one before it has lasted.
            Some(told) if attempt == 1 => {
                self.took(Phase::Queue, Duration::from_millis(now_ms().saturating_sub(told.stored_ms)));
            }
            _ => {}
        }
        if attempt > 1 {
            self.takeovers.inc();
        }
    }

    /// A job runs, until this is dropped.
    pub(crate) fn runs(&self) -> Runs {
        self.in_flight.inc();
        Runs(self.in_flight.clone())
    }

    /// An attempt is over for this worker.
    pub(crate) fn left(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Closed => "closed",
            Outcome::Finished => "finished",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
            Outcome::Ended => "ended",
            Outcome::Overtaken => "overtaken",
            Outcome::LetGo => "let_go",
        };
        self.attempts.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// A record of this worker's counts.
    pub(crate) fn recorded(&self, event: &Event) {
        self.records.get_or_create(&[("state", event.name())]).inc();
        // Its own words, out of few.
        if let Event::Failed(Reason { code, .. }) = event {
            self.failures.get_or_create(&[("code", code.clone())]).inc();
        }
    }

    /// Another record came before this worker's.
    pub(crate) fn record_refused(&self) {
        self.records_refused.inc();
    }

    /// A phase begins, and ends when this is dropped.
    pub(crate) fn begin(&self, phase: Phase) -> Timed {
        let took = self.phases.get_or_create_owned(&[("phase", phase.name())]);
        let span = tracing::debug_span!(target: TARGET, "phase", otel.name = phase.name());
        Timed { took, since: Instant::now(), span }
    }

    /// Works on a phase.
    pub(crate) async fn phase<T>(&self, phase: Phase, work: impl Future<Output = T>) -> T {
        let timed = self.begin(phase);
        work.instrument(timed.span.clone()).await
    }

    /// A phase took so long.
    pub(crate) fn took(&self, phase: Phase, duration: Duration) {
        self.phases.get_or_create(&[("phase", phase.name())]).observe(duration.as_secs_f64());
    }
}

/// A phase that has begun.
#[derive(Debug)]
pub(crate) struct Timed {
    took: Histogram,
    since: Instant,
    span: Span,
}

impl Drop for Timed {
    fn drop(&mut self) {
        self.took.observe(self.since.elapsed().as_secs_f64());
    }
}

/// A job that runs.
#[derive(Debug)]
pub(crate) struct Runs(Gauge);

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.dec();
    }
}
