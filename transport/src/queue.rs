//! The work queue: publishing to it, pulling from it, acknowledging.

use std::time::Duration;

use async_nats::jetstream::{self, consumer::pull};
use bytes::Bytes;
use subrosa_protocol::{
    id::{JobId, WorkerName},
    subject::Namespace,
};
use thiserror::Error;
use tokio::time::Instant;

use crate::{Connection, HistoryError, Inbox, RequestError, history::pub_ack};

/// JetStream's error of a full stream, and of a subject that has its one message.
const STREAM_FULL: u64 = 10077;
/// What tells the second from the first.
const SUBJECT_FULL: &str = "per subject exceeded";
/// How long the server holds a pull request.
const PULL_EXPIRES: Duration = Duration::from_secs(30);

/// A queue that cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueError {
    /// The server did not answer, or denied it.
    #[error("the queue cannot be reached: {0}")]
    Request(#[from] RequestError),
    /// There is no consumer of this worker's name.
    #[error(
        "the stream {stream} has no consumer {worker}: add the worker to the launcher's configuration and \
         run `subrosa-launcher --setup`"
    )]
    NoConsumer {
        /// The stream.
        stream: String,
        /// The worker.
        worker: WorkerName,
    },
    /// The server refuses.
    #[error("the NATS server refuses: {0}")]
    Refused(String),
}

/// What became of a publication to the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// The job is in the queue, now or already.
    Queued,
    /// The queue is full; the sweep publishes it again.
    Full,
}

/// One worker's queue.
#[derive(Debug)]
pub struct Queue {
    connection: Connection,
    next: String,
    inbox: Inbox,
    ack_wait: Duration,
}

impl Queue {
    /// Puts a job in the queue, where it is once or not at all.
    ///
    /// # Errors
    ///
    /// See [`HistoryError`]; tried until the deadline.
    pub async fn publish(
        connection: &Connection,
        namespace: &Namespace,
        worker: &WorkerName,
        job: &JobId,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Enqueued, HistoryError> {
        let subject = namespace.queue(worker, job);
        let answer = connection.request_until(&subject, None, request, deadline).await?;
        match pub_ack(&answer)? {
            Ok(_) => Ok(Enqueued::Queued),
            Err((STREAM_FULL, description)) if description.contains(SUBJECT_FULL) => Ok(Enqueued::Queued),
            Err((code, description)) => {
                tracing::warn!(code, description, "the queue refuses a job");
                Ok(Enqueued::Full)
            }
        }
    }

    /// The queue of `worker`, whose consumer must exist.
    ///
    /// # Errors
    ///
    /// See [`QueueError`].
    pub async fn open(
        connection: &Connection,
        namespace: &Namespace,
        worker: &WorkerName,
    ) -> Result<Self, QueueError> {
        let stream = namespace.queue_stream();
        let context = jetstream::new(connection.client().clone());
        let consumer: jetstream::consumer::Consumer<pull::Config> =
            context.get_consumer_from_stream(worker.as_str(), &stream).await.map_err(|error| {
                // The library tells its causes apart only by text.
                let text = error.to_string();
                if text.contains("not found") {
                    QueueError::NoConsumer { stream: stream.clone(), worker: worker.clone() }
                } else {
                    QueueError::Refused(text)
                }
            })?;
        Ok(Self {
            next: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{worker}"),
            inbox: connection.inbox(),
            connection: connection.clone(),
            ack_wait: consumer.cached_info().config.ack_wait,
        })
    }

    /// Another puller of the same queue.
    pub fn another(&self) -> Self {
        Self {
            connection: self.connection.clone(),
            next: self.next.clone(),
            inbox: self.connection.inbox(),
            ack_wait: self.ack_wait,
        }
    }

    /// How long a delivery may go unacknowledged.
    pub fn ack_wait(&self) -> Duration {
        self.ack_wait
    }

    /// Pulls one delivery, for as long as it takes.
    ///
    /// # Errors
    ///
    /// A denied subject, a consumer that is gone, a closed connection.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a delivery that arrives after that is the next one, if another is asked for, and is
    /// delivered again after the ack wait, if not.
    pub async fn next(&mut self) -> Result<Delivery, QueueError> {
        let request = serde_json::json!({ "batch": 1, "expires": PULL_EXPIRES.as_nanos() });
        loop {
            let breaks = self.connection.breaks();
            self.connection
                .publish(&self.next, Some(self.inbox.subject()), request.to_string().into())
                .await?;
            let expired = Instant::now() + PULL_EXPIRES + Duration::from_secs(1);
            while let Some(message) = self.answer(expired, breaks).await? {
                match message.status {
                    None => {
                        let Some(acker) = message.reply else { continue };
                        return Ok(Delivery {
                            subject: message.subject,
                            payload: message.payload,
                            acker: Acker { connection: self.connection.clone(), subject: acker },
                        });
                    }
                    // Nothing came, or the server is about to stop.
                    Some(404 | 408 | 409) => break,
                    Some(503) => {
                        tokio::time::sleep(Duration::from_millis(500)).await;
                        break;
                    }
                    Some(_) => {}
                }
            }
        }
    }

    /// The next answer to a pull; none if the request has expired, or is lost with its connection.
    async fn answer(&mut self, expired: Instant, breaks: u64) -> Result<Option<crate::Message>, QueueError> {
        loop {
            let until = expired.min(Instant::now() + Duration::from_secs(1));
            match tokio::time::timeout_at(until, self.inbox.next()).await {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => return Err(RequestError::Closed.into()),
                Err(_) if Instant::now() >= expired || self.connection.breaks() != breaks => return Ok(None),
                Err(_) => {}
            }
        }
    }
}

/// A delivered message.
#[derive(Debug)]
pub struct Delivery {
    /// The subject in the queue.
    pub subject: String,
    /// The launch request.
    pub payload: Bytes,
    /// Acknowledges it.
    pub acker: Acker,
}

/// Acknowledges one delivery. An ack of an old delivery acts on the current one, so that only who holds
/// the job may use it.
#[derive(Clone, Debug)]
pub struct Acker {
    connection: Connection,
    subject: String,
}

impl Acker {
    /// Removes the job from the queue.
    pub async fn ack(&self) {
        self.send("+ACK".into()).await;
    }

    /// Keeps the message here for another ack wait.
    pub async fn in_progress(&self) {
        self.send("+WPI".into()).await;
    }

    /// Gives the message back, to be delivered again after `delay`.
    pub async fn nak(&self, delay: Duration) {
        self.send(format!(r#"-NAK {{"delay": {}}}"#, delay.as_nanos()).into()).await;
    }

    /// An ack that is lost is made up for by a redelivery.
    async fn send(&self, payload: Bytes) {
        if let Err(error) = self.connection.publish(&self.subject, None, payload).await {
            tracing::debug!(%error, "an acknowledgement was not sent");
        }
    }
}
