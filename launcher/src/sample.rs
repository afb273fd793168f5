//! Asks the server now and then how long the queues are, for the metrics and for health checks.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use subrosa_protocol::id::WorkerName;
use subrosa_telemetry::Health;
use subrosa_transport::{Length, QueueError};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::office::Shared;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks for as long as it is polled. A consumer that the server does not know keeps the launcher from being ready.
pub(crate) async fn run(office: Shared, health: Health, every: Duration) {
    let missing: Arc<Mutex<Option<WorkerName>>> = Arc::default();
    let told = missing.clone();
    health.require(move || match &*told.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(worker) => Err(format!("the server knows no queue of the worker {worker}").into()),
        None => Ok(()),
    });
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut unknown = None;
        for worker in office.workers.keys() {
            let deadline = Instant::now() + PATIENCE;
            let length = Length::of(&office.connection, &office.namespace, worker, deadline).await;
            if let Err(error) = &length {
                tracing::debug!(%worker, %error, "how long the queue is cannot be told");
            }
            if let Err(QueueError::Refused(_)) = &length {
                unknown = Some(worker.clone());
            }
            office.numbers.queue(worker, length.ok());
        }
        *missing.lock().unwrap_or_else(PoisonError::into_inner) = unknown;
    }
}
