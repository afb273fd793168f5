//! Where a worker's consumer stands in the queue. After a power loss it can be ahead of the queue's end.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use bytes::Bytes;
use serde::Deserialize;
use subrosa_protocol::{id::WorkerName, subject::Namespace};
use tokio::time::Instant;

use crate::{Connection, QueueError, history::ApiError, queue::NO_CONSUMER};

/// Where a worker's consumer stands, and where the queue ends, as stream sequences.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Position {
    /// The last one that was delivered.
    pub delivered: u64,
    /// The last one up to which all are acknowledged.
    pub acknowledged: u64,
    /// The last one that the queue has given out.
    pub end: u64,
    /// When the consumer was made, as the server writes it: another one is another consumer.
    pub made: String,
}

/// JetStream's answer about a consumer.
#[derive(Deserialize)]
struct Consumer {
    #[serde(default)]
    created: String,
    delivered: Option<Sequence>,
    ack_floor: Option<Sequence>,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct Sequence {
    stream_seq: u64,
}

/// JetStream's answer about a stream.
#[derive(Deserialize)]
struct Stream {
    state: Option<State>,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct State {
    last_seq: u64,
}

/// JetStream's answer to the question for a message.
#[derive(Deserialize)]
struct Got {
    message: Option<GotMessage>,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct GotMessage {
    seq: u64,
}

impl Position {
    /// What speaks against a consumer counts only if it does so still after this: the answers come from two leaders
    /// of a cluster, which may just change, and what is acknowledged is removed a little later.
    pub const SETTLED: Duration = Duration::from_secs(1);

    /// Reads it.
    ///
    /// # Errors
    ///
    /// See [`QueueError`]; tried until the deadline.
    pub async fn read(
        connection: &Connection,
        namespace: &Namespace,
        worker: &WorkerName,
        deadline: Instant,
    ) -> Result<Self, QueueError> {
        let stream = namespace.queue_stream();
        // In this order: what has been delivered by now had been given out before.
        let info = connection.api(&format!("CONSUMER.INFO.{stream}.{worker}"));
        let answer = connection.request_until(&info, None, Bytes::new(), deadline).await?;
        let (made, delivered, acknowledged) = match parse(&answer.payload)? {
            Consumer { created, delivered: Some(delivered), ack_floor: Some(floor), .. } => {
                (created, delivered.stream_seq, floor.stream_seq)
            }
            Consumer { error: Some(error), .. } if NO_CONSUMER.contains(&error.code) => {
                return Err(QueueError::NoConsumer { stream, worker: worker.clone() });
            }
            Consumer { error, .. } => return Err(refused(error)),
        };
        let info = connection.api(&format!("STREAM.INFO.{stream}"));
        let answer = connection.request_until(&info, None, Bytes::new(), deadline).await?;
        match parse(&answer.payload)? {
            Stream { state: Some(state), .. } => {
                Ok(Self { delivered, acknowledged, end: state.last_seq, made })
            }
            Stream { error, .. } => Err(refused(error)),
        }
    }

    /// Whether it is ahead of the queue's end: what is queued up to there is never delivered.
    pub fn is_ahead(&self) -> bool {
        self.delivered.max(self.acknowledged) > self.end
    }

    /// Whether a job lies in the queue that this consumer takes for acknowledged: the queue has grown beyond
    /// the place that the consumer was ahead to. Needs an administrator's rights.
    ///
    /// # Errors
    ///
    /// As for [`Position::read`].
    pub async fn has_passed_over(
        &self,
        connection: &Connection,
        namespace: &Namespace,
        worker: &WorkerName,
        deadline: Instant,
    ) -> Result<bool, QueueError> {
        let get = connection.api(&format!("STREAM.MSG.GET.{}", namespace.queue_stream()));
        let question = serde_json::json!({ "seq": 1, "next_by_subj": namespace.queue_of(worker) });
        let answer = connection.request_until(&get, None, question.to_string().into(), deadline).await?;
        match parse(&answer.payload)? {
            Got { message: Some(message), .. } => Ok(message.seq <= self.acknowledged),
            Got { error: Some(ApiError { code: ErrorCode::NO_MESSAGE_FOUND, .. }), .. } => Ok(false),
            Got { error, .. } => Err(refused(error)),
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, QueueError> {
    serde_json::from_slice(payload).map_err(|error| QueueError::Refused(error.to_string()))
}

fn refused(error: Option<ApiError>) -> QueueError {
    QueueError::Refused(
        error.map_or_else(|| "the answer is not JetStream's".to_owned(), |error| error.description),
    )
}
