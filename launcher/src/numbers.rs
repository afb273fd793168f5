//! A launcher's numbers. None of them says more of a job than that there is one.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use subrosa_protocol::{id::WorkerName, record::Event};
use subrosa_telemetry::{
    Nats,
    metrics::{
        collector::Collector,
        encoding::{DescriptorEncoder, EncodeMetric as _},
        metrics::{
            counter::Counter,
            family::Family,
            gauge::{ConstGauge, Gauge},
            histogram::{Histogram, exponential_buckets},
            info::Info,
        },
        registry::{Registry, Unit},
    },
    tell_tally,
};
use subrosa_transport::{Delivery, Length, Tally, now_ms};

/// A label and its value, out of few.
type Label = [(&'static str, &'static str); 1];
/// The label of a worker, of those in the configuration.
type ByWorker = [(&'static str, String); 1];

fn by(worker: &WorkerName) -> ByWorker {
    [("worker", worker.to_string())]
}

/// What is counted. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub(crate) refused_requests: Tally,
    pub(crate) refused_deliveries: Tally,
    pub(crate) nats: Nats,
    requests: Family<Label, Histogram, fn() -> Histogram>,
    working: Gauge,
    unanswered: Counter,
    records: Family<Label, Counter>,
    records_refused: Counter,
    deliveries: Family<ByWorker, Counter>,
    redeliveries: Family<ByWorker, Counter>,
    takeovers: Family<ByWorker, Counter>,
    starts: Family<ByWorker, Counter>,
    start_failures: Family<ByWorker, Counter>,
    children: Family<ByWorker, Gauge>,
    open: Gauge,
    oldest: Oldest,
    pending: Family<ByWorker, Gauge>,
    in_flight: Family<ByWorker, Gauge>,
    redelivered: Family<ByWorker, Gauge>,
}

/// Since when the job that is queued longest waits, of each worker, in Unix milliseconds.
#[derive(Clone, Debug, Default)]
struct Oldest(Arc<Mutex<HashMap<WorkerName, u64>>>);

impl Oldest {
    fn lock(&self) -> MutexGuard<'_, HashMap<WorkerName, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Oldest {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let name = "subrosa_queue_oldest_age";
        let help = "For how long the job that has waited longest for a worker is queued.";
        let kind = ConstGauge::new(0.0).metric_type();
        let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), kind)?;
        let oldest = self.lock().clone();
        for (worker, since_ms) in oldest {
            let age = Duration::from_millis(now_ms().saturating_sub(since_ms));
            ConstGauge::new(age.as_secs_f64()).encode(family.encode_family(&by(&worker))?)?;
        }
        Ok(())
    }
}

/// From 1 ms to about 65 s.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 4.0, 9))
}

impl Numbers {
    /// Nothing is counted yet. The registry tells all of it.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let numbers = Self {
            refused_requests: Tally::new("requests refused"),
            refused_deliveries: Tally::new("deliveries refused"),
            nats: Nats::new(registry),
            requests: Family::new_with_constructor(durations),
            working: Gauge::default(),
            unanswered: Counter::default(),
            records: Family::default(),
            records_refused: Counter::default(),
            deliveries: Family::default(),
            redeliveries: Family::default(),
            takeovers: Family::default(),
            starts: Family::default(),
            start_failures: Family::default(),
            children: Family::default(),
            open: Gauge::default(),
            oldest: Oldest::default(),
            pending: Family::default(),
            in_flight: Family::default(),
            redelivered: Family::default(),
        };
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("subrosa_build", "The launcher's version", version);
        numbers.register_requests(registry);
        numbers.register_workers(registry);
        numbers.register_queue(registry);
        numbers
    }

    fn register_requests(&self, registry: &mut Registry) {
        let help = "How long each request was worked on, by service";
        let requests = self.requests.clone();
        registry.register_with_unit("subrosa_launcher_request_duration", help, Unit::Seconds, requests);
        let help = "Requests that are worked on";
        registry.register("subrosa_launcher_requests_in_flight", help, self.working.clone());
        let help = "Requests that were left unanswered, to be asked again";
        registry.register("subrosa_launcher_requests_unanswered", help, self.unanswered.clone());
        let help = "Requests that were refused, by code.";
        tell_tally(registry, "subrosa_launcher_requests_refused", help, &self.refused_requests);
        let help = "Records that this launcher has written, by the state that they bring about";
        registry.register("subrosa_launcher_records", help, self.records.clone());
        let help = "Records that were refused, as another one came first";
        registry.register("subrosa_launcher_records_refused", help, self.records_refused.clone());
    }

    fn register_workers(&self, registry: &mut Registry) {
        let mut tell = |name: &str, help: &str, counters: &Family<ByWorker, Counter>| {
            registry.register(format!("subrosa_launcher_{name}"), help, counters.clone());
        };
        tell("deliveries", "Jobs that the queue has delivered to this launcher", &self.deliveries);
        tell("redeliveries", "Jobs that the queue has delivered to this launcher again", &self.redeliveries);
        tell("takeovers", "Attempts after the first: jobs whose worker was lost", &self.takeovers);
        tell("starts", "Attempts that a process or container was to be started for", &self.starts);
        tell("start_failures", "Attempts whose process or container did not start", &self.start_failures);
        let help = "Processes and containers that run";
        registry.register("subrosa_launcher_children", help, self.children.clone());
        let help = "Deliveries that were refused, by code.";
        tell_tally(registry, "subrosa_launcher_deliveries_refused", help, &self.refused_deliveries);
    }

    fn register_queue(&self, registry: &mut Registry) {
        registry.register("subrosa_jobs_open", "Jobs that have not ended, of all workers", self.open.clone());
        registry.register_collector(Box::new(self.oldest.clone()));
        let mut tell = |name: &str, help: &str, gauges: &Family<ByWorker, Gauge>| {
            registry.register(format!("subrosa_queue_{name}"), help, gauges.clone());
        };
        tell("pending", "Jobs that wait to be delivered", &self.pending);
        tell("in_flight", "Jobs that were delivered and not acknowledged", &self.in_flight);
        tell("redelivered", "Jobs in flight that were delivered more than once", &self.redelivered);
    }

    /// A request of this service is worked on, until this is dropped.
    pub(crate) fn request(&self, service: &'static str) -> Working {
        self.working.inc();
        let took = self.requests.get_or_create_owned(&[("service", service)]);
        Working { working: self.working.clone(), took, since: Instant::now() }
    }

    /// A request is left unanswered.
    pub(crate) fn unanswered(&self) {
        self.unanswered.inc();
    }

    /// A record of this launcher's counts.
    pub(crate) fn recorded(&self, event: &Event) {
        self.records.get_or_create(&[("state", event.name())]).inc();
    }

    /// Another record came before this launcher's.
    pub(crate) fn record_refused(&self) {
        self.records_refused.inc();
    }

    /// The queue has delivered something.
    pub(crate) fn delivered(&self, worker: &WorkerName, delivery: &Delivery) {
        self.deliveries.get_or_create(&by(worker)).inc();
        if delivery.told.is_some_and(|told| told.times > 1) {
            self.redeliveries.get_or_create(&by(worker)).inc();
        }
    }

    /// A process or container is to be started, and lives until this is dropped.
    pub(crate) fn child(&self, worker: &WorkerName, attempt: u16) -> ChildLives {
        self.starts.get_or_create(&by(worker)).inc();
        if attempt > 1 {
            self.takeovers.get_or_create(&by(worker)).inc();
        }
        let lives = self.children.get_or_create_owned(&by(worker));
        lives.inc();
        ChildLives(lives)
    }

    /// It did not start.
    pub(crate) fn not_started(&self, worker: &WorkerName) {
        self.start_failures.get_or_create(&by(worker)).inc();
    }

    /// So many jobs have not ended, and of each worker one is queued since then, in Unix milliseconds.
    pub(crate) fn open(&self, jobs: usize, oldest: HashMap<WorkerName, u64>) {
        self.open.set(i64::try_from(jobs).unwrap_or(i64::MAX));
        *self.oldest.lock() = oldest;
    }

    /// How long a worker's queue is; what is not known is not told.
    pub(crate) fn queue(&self, worker: &WorkerName, length: Option<Length>) {
        let gauges = [&self.pending, &self.in_flight, &self.redelivered];
        let Some(Length { pending, in_flight, redelivered }) = length else {
            for gauge in gauges {
                gauge.remove(&by(worker));
            }
            return;
        };
        for (gauge, value) in gauges.into_iter().zip([pending, in_flight, redelivered]) {
            gauge.get_or_create(&by(worker)).set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}

/// A request that is worked on.
#[derive(Debug)]
pub(crate) struct Working {
    working: Gauge,
    took: Histogram,
    since: Instant,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.working.dec();
        self.took.observe(self.since.elapsed().as_secs_f64());
    }
}

/// A process or container.
#[derive(Debug)]
pub(crate) struct ChildLives(Gauge);

impl Drop for ChildLives {
    fn drop(&mut self) {
        self.0.dec();
    }
}
