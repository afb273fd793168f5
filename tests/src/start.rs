//! How long a job waits for its worker, as a third party on the same server sees it.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use subrosa_client::Client;
use subrosa_transport::{Connection, Subscription};

use crate::lab::patiently;

/// What is not counted, as it is slow the first time.
pub const WARM_UP: usize = 10;

/// Sees messages pass by, and when.
pub struct Watcher(Subscription);

impl Watcher {
    /// Of this subject.
    pub async fn new(connection: &Connection, subject: &str) -> Self {
        Self(connection.subscribe(subject).await.unwrap())
    }

    /// Forgets what has passed by so far: a step may be sent twice.
    fn forget(&mut self) {
        while self.0.next().now_or_never().flatten().is_some() {}
    }

    /// When the next one passes by.
    pub async fn next(&mut self) -> Instant {
        patiently(self.0.next()).await.unwrap();
        Instant::now()
    }
}

/// Sees jobs pass by.
pub struct Jobs {
    queue: Watcher,
    options: Watcher,
}

impl Jobs {
    /// Of all workers.
    pub async fn new(connection: &Connection) -> Self {
        Self {
            queue: Watcher::new(connection, "subrosa.v1.queue.*.*").await,
            options: Watcher::new(connection, "subrosa.v1.client.*.*.options").await,
        }
    }

    /// Runs a job of a worker that does [chores](crate::chores), or takes anything. How long it takes from its message in
    /// the queue until its worker's `options`.
    pub async fn run(&mut self, client: &Client, worker: &str) -> Duration {
        let job = client.job(worker).payload_value(json!({ "work_ms": 0, "end": "Done" }));
        self.queue.forget();
        self.options.forget();
        let (job, queued, started) = tokio::join!(job.launch(), self.queue.next(), self.options.next());
        patiently(job.unwrap().result::<Value>()).await.unwrap();
        started - queued
    }
}

/// Times of one kind.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// One more.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    fn at(&self, percent: usize) -> Duration {
        let mut times = self.0[WARM_UP..].to_vec();
        times.sort();
        times[(times.len() - 1) * percent / 100]
    }

    /// A row of a table: the median and the time within which 95 % are, both also as a ratio to a baseline's.
    pub fn row(&self, what: &str, baseline: &Self) -> String {
        let [median, most] = [50, 95].map(|percent| {
            let (time, base) = (self.at(percent), baseline.at(percent));
            format!("{time:.2?} | {:.2}", time.as_secs_f64() / base.as_secs_f64())
        });
        format!("| {what} | {median} | {most} |")
    }
}

/// The head of a table of such rows.
pub const TABLE: &str = "| what | median | ratio | 95 % | ratio |\n|---|---|---|---|---|";
