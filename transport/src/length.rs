//! How long a worker's queue is.

use bytes::Bytes;
use serde::Deserialize;
use subrosa_protocol::{id::WorkerName, subject::Namespace};
use tokio::time::Instant;

use crate::{Connection, QueueError};

/// How long a worker's queue is, as the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Length {
    /// Jobs that were not delivered yet.
    #[serde(rename = "num_pending")]
    pub pending: u64,
    /// Jobs that were delivered and not acknowledged: those that run, above all.
    #[serde(rename = "num_ack_pending")]
    pub in_flight: u64,
    /// Jobs among the latter that were delivered more than once.
    #[serde(rename = "num_redelivered")]
    pub redelivered: u64,
}

impl Length {
    /// Asks how long a worker's queue is. Needs the right to ask about its consumer.
    ///
    /// # Errors
    ///
    /// See [`QueueError`]; tried until the deadline.
    pub async fn of(
        connection: &Connection,
        namespace: &Namespace,
        worker: &WorkerName,
        deadline: Instant,
    ) -> Result<Self, QueueError> {
        let info = connection.api(&format!("CONSUMER.INFO.{}.{worker}", namespace.queue_stream()));
        let answer = connection.request_until(&info, None, Bytes::new(), deadline).await?;
        // An error has none of these members.
        serde_json::from_slice(&answer.payload)
            .map_err(|_| QueueError::Refused(format!("it says nothing of the consumer {worker}")))
    }
}
