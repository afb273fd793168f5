//! The work queue: publishing to it, pulling from it, acknowledging.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use subrosa_protocol::{
    id::{JobId, WorkerName},
    subject::Namespace,
};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use crate::{
    Backoff, Connection, Denials, HistoryError, Message, Position, RequestError, Subscription, Told,
    history::{ApiError, pub_ack},
    trace::{self, TraceContext},
};

/// What tells a subject that has its one message from a stream that is full: both have the same code.
const SUBJECT_FULL: &str = "per subject exceeded";
/// JetStream's errors when there is no such consumer, or not even its stream.
pub(crate) const NO_CONSUMER: [ErrorCode; 2] = [ErrorCode::STREAM_NOT_FOUND, ErrorCode::CONSUMER_NOT_FOUND];
/// How long a consumer is asked about.
const OPEN: Duration = Duration::from_secs(10);
/// How long to wait after a refused pull; it doubles.
const REFUSED: Duration = Duration::from_millis(50);
/// The longest such wait.
const REFUSED_MAX: Duration = Duration::from_secs(2);
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

/// JetStream's answer about a consumer.
#[derive(Deserialize)]
struct Info {
    config: Option<ConsumerConfig>,
    error: Option<ApiError>,
}

/// What matters of a consumer.
#[derive(Deserialize)]
struct ConsumerConfig {
    /// In nanoseconds.
    ack_wait: u64,
}

/// JetStream's answer to a purge.
#[derive(Deserialize)]
struct Purged {
    #[serde(default)]
    success: bool,
    #[serde(default)]
    purged: u64,
}

/// What became of a publication to the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// The job is in the queue now.
    Queued,
    /// It is there already, and is not published again.
    Already,
    /// The queue is full; the sweep publishes it again.
    Full,
}

/// One worker's queue.
#[derive(Debug)]
pub struct Queue {
    connection: Connection,
    next: String,
    pull: Option<Pull>,
    ack_wait: Duration,
}

/// Where deliveries come to, and the request that waits for one.
#[derive(Debug)]
struct Pull {
    inbox: String,
    /// A subscription of its own: a delivery carries the subject of the queue, so that it cannot be told by
    /// its inbox.
    deliveries: Subscription,
    denials: Denials,
    /// Until when the server holds the request, and how often the connection had broken before it.
    waiting: Option<(Instant, u64)>,
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
        let answer = connection.request_until(&subject, trace::headers(), request, deadline).await?;
        match pub_ack(&answer)? {
            Ok(_) => Ok(Enqueued::Queued),
            Err((ErrorCode::STREAM_STORE_FAILED, description)) if description.contains(SUBJECT_FULL) => {
                Ok(Enqueued::Already)
            }
            Err((code, description)) => {
                tracing::warn!(code = code.0, description, "the queue refuses a job");
                Ok(Enqueued::Full)
            }
        }
    }

    /// Takes a job out of the queue, also one that is delivered just now. Needs a launcher's rights.
    ///
    /// # Errors
    ///
    /// See [`QueueError`]; tried until the deadline.
    pub async fn remove(
        connection: &Connection,
        namespace: &Namespace,
        worker: &WorkerName,
        job: &JobId,
        deadline: Instant,
    ) -> Result<(), QueueError> {
        let filter = json!({ "filter": namespace.queue(worker, job) });
        Self::purge(connection, namespace, &filter, deadline).await?;
        Ok(())
    }

    /// Takes out of the queue what its consumer will never deliver again: it lies there, and the consumer takes it for
    /// acknowledged. A server that is killed can lose its notes of what it has delivered, and keep the messages. This
    /// job, or all of the worker's. Says how many there were. Needs a launcher's rights.
    ///
    /// # Errors
    ///
    /// See [`QueueError`]; tried until the deadline.
    pub async fn remove_passed_over(
        connection: &Connection,
        namespace: &Namespace,
        worker: &WorkerName,
        job: Option<&JobId>,
        deadline: Instant,
    ) -> Result<u64, QueueError> {
        let position = Position::read(connection, namespace, worker, deadline).await?;
        let subject = job.map_or_else(|| namespace.queue_of(worker), |job| namespace.queue(worker, job));
        // Up to there, and not itself.
        let up_to = position.acknowledged.saturating_add(1);
        Self::purge(connection, namespace, &json!({ "filter": subject, "seq": up_to }), deadline).await
    }

    async fn purge(
        connection: &Connection,
        namespace: &Namespace,
        filter: &serde_json::Value,
        deadline: Instant,
    ) -> Result<u64, QueueError> {
        let api = connection.api(&format!("STREAM.PURGE.{}", namespace.queue_stream()));
        let answer = connection.request_until(&api, None, filter.to_string().into(), deadline).await?;
        match serde_json::from_slice(&answer.payload) {
            Ok(Purged { success: true, purged }) => Ok(purged),
            _ => Err(QueueError::Refused("nothing was removed from the queue".to_owned())),
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
        let info = connection.api(&format!("CONSUMER.INFO.{stream}.{worker}"));
        let answer = connection.request_until(&info, None, Bytes::new(), Instant::now() + OPEN).await?;
        let refused = |text: &str| QueueError::Refused(text.to_owned());
        let info: Info =
            serde_json::from_slice(&answer.payload).map_err(|error| refused(&error.to_string()))?;
        let ack_wait = match info {
            Info { config: Some(config), .. } => Duration::from_nanos(config.ack_wait),
            Info { error: Some(error), .. } if NO_CONSUMER.contains(&error.code) => {
                return Err(QueueError::NoConsumer { stream, worker: worker.clone() });
            }
            Info { error, .. } => {
                return Err(refused(&error.map_or("no consumer".to_owned(), |error| error.description)));
            }
        };
        Ok(Self {
            next: connection.api(&format!("CONSUMER.MSG.NEXT.{stream}.{worker}")),
            pull: None,
            connection: connection.clone(),
            ack_wait,
        })
    }

    /// Another puller of the same queue.
    pub fn another(&self) -> Self {
        Self {
            connection: self.connection.clone(),
            next: self.next.clone(),
            pull: None,
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
        let mut refused = Backoff::new(REFUSED, REFUSED_MAX);
        let connection = &self.connection;
        let pull = match &mut self.pull {
            Some(pull) => pull,
            closed => {
                let inbox = connection.client()?.new_inbox();
                let deliveries = connection.subscribe(&inbox).await?;
                closed.insert(Pull { inbox, deliveries, denials: connection.denials(), waiting: None })
            }
        };
        loop {
            if pull.waiting.is_none() {
                let request = json!({ "batch": 1, "expires": PULL_EXPIRES.as_nanos() });
                let breaks = connection.breaks();
                connection.publish(&self.next, Some(&pull.inbox), request.to_string().into()).await?;
                pull.waiting = Some((Instant::now() + PULL_EXPIRES + Duration::from_secs(1), breaks));
            }
            let message = pull.answer(connection, &self.next).await?;
            let status = message.as_ref().and_then(|message| message.status);
            if status == Some(100) {
                // It tells nothing of the request.
                continue;
            }
            pull.waiting = None;
            match status {
                // A delivery, or nothing in time.
                None | Some(404 | 408) => refused = Backoff::new(REFUSED, REFUSED_MAX),
                // The consumer is gone or out of reach, has too many requests waiting, or the server stops.
                Some(status) => {
                    tracing::debug!(status, "a pull was refused, trying again");
                    refused.wait().await;
                }
            }
            if let Some(Message { subject, payload, reply: Some(acker), status: None, headers }) = message {
                return Ok(Delivery {
                    subject,
                    payload,
                    told: Told::read(&acker),
                    trace: TraceContext::read(headers.as_ref()),
                    acker: Acker { connection: connection.clone(), subject: acker },
                });
            }
        }
    }
}

impl Pull {
    /// The next answer to the request; none if it has expired, or is lost with its connection.
    async fn answer(&mut self, connection: &Connection, asked: &str) -> Result<Option<Message>, QueueError> {
        let Some((expired, breaks)) = self.waiting else { return Ok(None) };
        loop {
            let until = expired.min(Instant::now() + Duration::from_secs(1));
            let message = tokio::select! {
                message = timeout_at(until, self.deliveries.next()) => message,
                denied = self.denials.of(asked) => return Err(denied.into()),
            };
            match message {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => return Err(RequestError::Closed.into()),
                Err(_) if Instant::now() >= expired || connection.breaks() != breaks => return Ok(None),
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
    /// What the server says of it, if it can be understood.
    pub told: Option<Told>,
    /// Which trace it came with.
    pub trace: Option<TraceContext>,
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
