//! Jobs' histories: reading the last record, and appending one that names it.

use std::time::Duration;

use async_nats::{HeaderMap, jetstream::ErrorCode};
use bytes::Bytes;
use serde::Deserialize;
use subrosa_protocol::{
    delivery::{Appended, appended},
    id::{JobId, Sha256Hash, WorkerName},
    subject::Namespace,
};
use thiserror::Error;
use tokio::time::Instant;

use crate::{Backoff, Connection, Message, RequestError, jetstream};

/// A read that shows nothing, or less than is known to be there, is repeated for this long: a replica
/// may lag.
pub(crate) const LAG: Duration = Duration::from_secs(10);
/// One try of a request.
const TRY: Duration = Duration::from_secs(2);

/// JetStream's errors when the server, the account, or the stream is full.
const FULL: [ErrorCode; 3] = [
    ErrorCode::INSUFFICIENT_RESOURCES,
    ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
    ErrorCode::STREAM_STORE_FAILED,
];

/// A history that could not be read or written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryError {
    /// The server did not answer, or denied it.
    #[error("the job's history cannot be reached: {0}")]
    Request(#[from] RequestError),
    /// The stream is full.
    #[error("the store of the jobs' histories is full")]
    Full,
    /// The server refuses.
    #[error("the NATS server refuses: {description} (error {code})")]
    Refused {
        /// JetStream's error code.
        code: u64,
        /// Its text.
        description: String,
    },
    /// Another answer than JetStream's.
    #[error("the NATS server's answer is not JetStream's")]
    Malformed,
    /// The server has a record, as it says, and does not show it.
    #[error(
        "the NATS server refuses a first record on {subject} as there is one, but shows none: is its store damaged?"
    )]
    Unreadable {
        /// The subject.
        subject: String,
    },
    /// The records cannot be followed as they come.
    #[error("the jobs' histories cannot be followed: {0}")]
    Following(String),
}

impl HistoryError {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Request(error) if error.is_passing())
    }

    /// Whether there is no JetStream where it was asked: nobody listens, or the server says that it is off.
    pub fn is_without_jetstream(&self) -> bool {
        match self {
            Self::Request(error) => matches!(error, RequestError::NoResponders { .. }),
            Self::Refused { code, .. } => jetstream::is_off(ErrorCode(*code)),
            _ => false,
        }
    }
}

/// A message of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The subject that it is stored under.
    pub subject: String,
    /// Its sequence in the stream.
    pub sequence: u64,
    /// The record.
    pub bytes: Bytes,
}

impl Stored {
    /// The record's hash.
    pub fn hash(&self) -> Sha256Hash {
        Sha256Hash::of(&self.bytes)
    }
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// It is the history's last one, or was when it was written.
    Won(Stored),
    /// Another one came first; this is the last one now.
    Lost(Option<Stored>),
}

/// All histories, on one connection.
#[derive(Clone, Debug)]
pub struct History {
    pub(crate) connection: Connection,
    pub(crate) namespace: Namespace,
}

/// JetStream's answer to a publication.
#[derive(Deserialize)]
struct PubAck {
    seq: Option<u64>,
    error: Option<ApiError>,
}

/// JetStream's error.
#[derive(Deserialize)]
pub(crate) struct ApiError {
    #[serde(default, rename = "err_code")]
    pub(crate) code: ErrorCode,
    #[serde(default)]
    pub(crate) description: String,
}

/// One try of an append.
enum Try {
    Stored(u64),
    /// The expectation does not hold; the last sequence, if the server names it.
    Refused(Option<u64>),
    Unanswered,
}

impl History {
    /// The histories of this namespace.
    pub fn new(connection: Connection, namespace: Namespace) -> Self {
        Self { connection, namespace }
    }

    /// The job's last message, as this server knows it just now.
    ///
    /// # Errors
    ///
    /// See [`HistoryError`]; tried until the deadline.
    pub async fn last(
        &self,
        worker: &WorkerName,
        job: &JobId,
        deadline: Instant,
    ) -> Result<Option<Stored>, HistoryError> {
        let subject = self.namespace.record(worker, job);
        let api = self.connection.api(&format!("DIRECT.GET.{}.{subject}", self.namespace.records_stream()));
        self.get(&api, Bytes::new(), deadline).await
    }

    /// The last message of a job that must have one: shows nothing only if that stays so for 10 s.
    ///
    /// # Errors
    ///
    /// See [`HistoryError`].
    pub async fn last_settled(
        &self,
        worker: &WorkerName,
        job: &JobId,
        known_sequence: u64,
    ) -> Result<Option<Stored>, HistoryError> {
        self.settled_within(worker, job, known_sequence, LAG).await
    }

    /// The same, but what is not there counts sooner.
    pub(crate) async fn settled_within(
        &self,
        worker: &WorkerName,
        job: &JobId,
        known_sequence: u64,
        patience: Duration,
    ) -> Result<Option<Stored>, HistoryError> {
        let until = Instant::now() + patience;
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
        loop {
            let last = self.last(worker, job, until.max(Instant::now() + TRY)).await?;
            let settled = last.as_ref().is_some_and(|last| last.sequence >= known_sequence);
            if settled || Instant::now() >= until {
                return Ok(last);
            }
            backoff.wait().await;
        }
    }

    /// The last message of the job with this id, whichever worker it is for. Needs a launcher's rights.
    ///
    /// # Errors
    ///
    /// See [`HistoryError`].
    pub async fn find(&self, job: &JobId, deadline: Instant) -> Result<Option<Stored>, HistoryError> {
        let request = serde_json::json!({ "last_by_subj": self.namespace.record_of(job) });
        self.get(&self.direct_get(), request.to_string().into(), deadline).await
    }

    /// The job's first message. Needs a launcher's rights.
    ///
    /// # Errors
    ///
    /// See [`HistoryError`].
    pub async fn first(
        &self,
        worker: &WorkerName,
        job: &JobId,
        deadline: Instant,
    ) -> Result<Option<Stored>, HistoryError> {
        self.next(&self.namespace.record(worker, job), 1, deadline).await
    }

    /// The job's whole history, from the first message to the last. Needs a launcher's rights.
    ///
    /// # Errors
    ///
    /// See [`HistoryError`]. A history that cannot be read before the deadline is not read in part.
    pub async fn all(
        &self,
        worker: &WorkerName,
        job: &JobId,
        deadline: Instant,
    ) -> Result<Vec<Stored>, HistoryError> {
        let subject = self.namespace.record(worker, job);
        let mut history: Vec<Stored> = Vec::new();
        loop {
            let from = history.last().map_or(1, |last| last.sequence + 1);
            match self.next(&subject, from, deadline).await? {
                // Whoever may write records makes a history as long as it likes.
                Some(_) if Instant::now() >= deadline => return Err(RequestError::Timeout { subject }.into()),
                Some(next) => history.push(next),
                None => return Ok(history),
            }
        }
    }

    /// The first message of a subject that has at least this sequence.
    async fn next(
        &self,
        subject: &str,
        from: u64,
        deadline: Instant,
    ) -> Result<Option<Stored>, HistoryError> {
        let request = serde_json::json!({ "seq": from, "next_by_subj": subject });
        self.get(&self.direct_get(), request.to_string().into(), deadline).await
    }

    fn direct_get(&self) -> String {
        self.connection.api(&format!("DIRECT.GET.{}", self.namespace.records_stream()))
    }

    async fn get(
        &self,
        api: &str,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Option<Stored>, HistoryError> {
        let answer = self.connection.request_until(api, None, request, deadline).await?;
        stored(answer)
    }

    /// Appends a record that names `prev` as the last one. Whoever is refused or not answered finds out
    /// whether it won all the same.
    ///
    /// # Errors
    ///
    /// See [`HistoryError`]; tried until the deadline. An append whose fate is unknown by then may still
    /// have won.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the record may be written or not.
    pub async fn append(
        &self,
        worker: &WorkerName,
        job: &JobId,
        prev: Option<&Stored>,
        bytes: Vec<u8>,
        deadline: Instant,
    ) -> Result<Commit, HistoryError> {
        let subject = self.namespace.record(worker, job);
        let bytes = Bytes::from(bytes);
        let own = Sha256Hash::of(&bytes);
        let prev_hash = prev.map(Stored::hash);
        let expected = prev.map_or(0, |prev| prev.sequence);
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2));
        loop {
            let tried = self.try_append(&subject, expected, bytes.clone()).await?;
            let (known, patience) = match tried {
                Try::Stored(sequence) => return Ok(Commit::Won(Stored { subject, sequence, bytes })),
                Try::Refused(sequence) => (sequence.unwrap_or(expected + 1), LAG),
                // It may not have come there, and who publishes it again finds out sooner than who waits for it.
                Try::Unanswered if prev.is_none() => (expected, Duration::ZERO),
                Try::Unanswered => (expected, LAG),
            };
            let last = match self.settled_within(worker, job, known, patience).await {
                Err(error) if error.is_passing() && Instant::now() < deadline => None,
                last => Some(last?),
            };
            if let Some(last) = last {
                match appended(last.as_ref().map(Stored::hash).as_ref(), &own, prev_hash.as_ref()) {
                    Appended::Won => {
                        return Ok(last.map_or(Commit::Lost(None), Commit::Won));
                    }
                    Appended::Lost => return Ok(Commit::Lost(last)),
                    Appended::Again if matches!(tried, Try::Refused(_)) && last.is_none() => {
                        return Err(HistoryError::Unreadable { subject });
                    }
                    Appended::Again => {}
                }
            }
            if Instant::now() >= deadline {
                return Err(RequestError::Timeout { subject }.into());
            }
            backoff.wait().await;
        }
    }

    async fn try_append(&self, subject: &str, expected: u64, bytes: Bytes) -> Result<Try, HistoryError> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string());
        let answer = match self.connection.request(subject, Some(headers), bytes, TRY).await {
            Err(error) if error.is_passing() => return Ok(Try::Unanswered),
            answer => answer?,
        };
        match pub_ack(&answer)? {
            Ok(sequence) => Ok(Try::Stored(sequence)),
            Err((ErrorCode::STREAM_WRONG_LAST_SEQUENCE, description)) => {
                // "wrong last sequence: 5"
                Ok(Try::Refused(description.rsplit(' ').next().and_then(|number| number.parse().ok())))
            }
            // The same in a cluster, without the sequence.
            Err((ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT, _)) => Ok(Try::Refused(None)),
            Err((code, _)) if jetstream::passes(code) => Ok(Try::Unanswered),
            Err((code, _)) if FULL.contains(&code) => Err(HistoryError::Full),
            Err((code, description)) => Err(HistoryError::Refused { code: code.0, description }),
        }
    }
}

/// What JetStream says of a publication: the sequence, or its error.
pub(crate) fn pub_ack(answer: &Message) -> Result<Result<u64, (ErrorCode, String)>, HistoryError> {
    let ack: PubAck = serde_json::from_slice(&answer.payload).map_err(|_| HistoryError::Malformed)?;
    match ack {
        PubAck { error: Some(error), .. } => Ok(Err((error.code, error.description))),
        PubAck { seq: Some(sequence), .. } => Ok(Ok(sequence)),
        PubAck { .. } => Err(HistoryError::Malformed),
    }
}

/// A direct get's answer.
pub(crate) fn stored(answer: Message) -> Result<Option<Stored>, HistoryError> {
    match answer.status {
        Some(404) => return Ok(None),
        Some(status) => {
            let description = "direct get".to_owned();
            return Err(HistoryError::Refused { code: status.into(), description });
        }
        None => {}
    }
    let header = |name: &str| {
        answer.headers.as_ref().and_then(|headers| headers.get(name)).map(|value| value.as_str().to_owned())
    };
    let sequence =
        header("Nats-Sequence").and_then(|text| text.parse().ok()).ok_or(HistoryError::Malformed)?;
    let subject = header("Nats-Subject").ok_or(HistoryError::Malformed)?;
    Ok(Some(Stored { subject, sequence, bytes: answer.payload }))
}

#[cfg(test)]
mod tests;
