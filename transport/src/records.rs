//! All histories at once, for launchers and auditors: whoever may read the whole stream of records.

use async_nats::jetstream::{
    self,
    consumer::{DeliverPolicy, pull},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use rand::RngExt as _;
use serde::Deserialize;
use subrosa_protocol::{
    id::{JobId, WorkerName},
    subject::{Namespace, job_in, worker_in},
};
use tokio::time::{Instant, timeout_at};

use crate::{Connection, Denials, HistoryError, RequestError, Stored, history::ApiError};

/// The stream of all jobs' records.
#[derive(Clone, Debug)]
pub struct Records {
    connection: Connection,
    namespace: Namespace,
}

/// A job's record as it passes by.
#[derive(Clone, Debug)]
pub struct Passing {
    /// The worker that the job is for.
    pub worker: WorkerName,
    /// The job.
    pub job: JobId,
    /// The record. Nobody has verified it.
    pub stored: Stored,
}

/// JetStream's page of a stream's subjects.
#[derive(Deserialize)]
struct Page {
    state: Option<PageState>,
    #[serde(default)]
    total: usize,
    error: Option<ApiError>,
}

/// JetStream's answer about a stream.
#[derive(Deserialize)]
struct Made {
    created: Option<String>,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct PageState {
    #[serde(default)]
    subjects: std::collections::BTreeMap<String, u64>,
}

impl Records {
    /// The records of this namespace.
    pub fn new(connection: Connection, namespace: Namespace) -> Self {
        Self { connection, namespace }
    }

    /// When the stream was made, as the server writes it: another one numbers its records anew.
    ///
    /// # Errors
    ///
    /// See [`HistoryError`]; tried until the deadline.
    pub async fn made(&self, deadline: Instant) -> Result<String, HistoryError> {
        let api = self.connection.api(&format!("STREAM.INFO.{}", self.namespace.records_stream()));
        let answer = self.connection.request_until(&api, None, Bytes::new(), deadline).await?;
        match serde_json::from_slice(&answer.payload).map_err(|_| HistoryError::Malformed)? {
            Made { created: Some(created), .. } => Ok(created),
            Made { error: Some(ApiError { code, description }), .. } => {
                Err(HistoryError::Refused { code: code.0, description })
            }
            Made { .. } => Err(HistoryError::Malformed),
        }
    }

    /// The jobs that have records. The stream's own index is read, not the records.
    ///
    /// # Errors
    ///
    /// See [`HistoryError`]; tried until the deadline.
    pub async fn jobs(&self, deadline: Instant) -> Result<Vec<(WorkerName, JobId)>, HistoryError> {
        let api = self.connection.api(&format!("STREAM.INFO.{}", self.namespace.records_stream()));
        let mut jobs = Vec::new();
        let mut read = 0;
        loop {
            let question =
                serde_json::json!({ "subjects_filter": self.namespace.record_any(), "offset": read });
            let question = question.to_string().into();
            let answer = self.connection.request_until(&api, None, question, deadline).await?;
            let page: Page = serde_json::from_slice(&answer.payload).map_err(|_| HistoryError::Malformed)?;
            if let Some(ApiError { code, description }) = page.error {
                return Err(HistoryError::Refused { code: code.0, description });
            }
            let subjects = page.state.map(|state| state.subjects).unwrap_or_default();
            read += subjects.len();
            let last = subjects.is_empty() || read >= page.total;
            jobs.extend(subjects.keys().filter_map(|subject| named(subject)));
            if last {
                return Ok(jobs);
            }
        }
    }

    /// The last record of every job, in the order in which they were written, and from there on each that
    /// comes. The server is told `purpose` as part of the consumer's name.
    ///
    /// # Errors
    ///
    /// See [`HistoryError`]; tried until the deadline.
    pub async fn follow(&self, purpose: &str, deadline: Instant) -> Result<Following, HistoryError> {
        // What the library says of a stream that is not there cannot be told from other failures.
        self.made(deadline).await?;
        let mut denials = self.connection.denials();
        let stream = self.namespace.records_stream();
        let filter = self.namespace.record_any();
        // Named, as rights are given by subject, and the name and the filter stand in it.
        let name = format!("{purpose}-{:016x}", rand::rng().random::<u64>());
        let config = pull::OrderedConfig {
            name: Some(name.clone()),
            deliver_policy: DeliverPolicy::LastPerSubject,
            filter_subject: filter.clone(),
            ..pull::OrderedConfig::default()
        };
        let prefix = self.connection.api_prefix().to_string();
        let context = jetstream::with_prefix(self.connection.client()?.clone(), &prefix);
        let create = self.connection.api(&format!("CONSUMER.CREATE.{stream}.{name}.{filter}"));
        let next = self.connection.api(&format!("CONSUMER.MSG.NEXT.{stream}.{name}"));
        let made = async {
            let stream = context.get_stream_no_info(&stream).await?;
            let consumer = stream.create_consumer(config).await?;
            let behind = consumer.cached_info().num_pending;
            Ok::<_, async_nats::Error>((consumer.messages().await?, behind))
        };
        let (messages, behind) = tokio::select! {
            made = timeout_at(deadline, made) => match made {
                Ok(made) => made.map_err(|error| HistoryError::Following(error.to_string()))?,
                Err(_) => return Err(RequestError::Timeout { subject: create }.into()),
            },
            denied = denials.of(&create) => return Err(denied.into()),
        };
        Ok(Following { messages, behind, denials, next })
    }
}

/// Records as they pass by.
pub struct Following {
    messages: pull::Ordered,
    /// How many messages are known to be there that were not read yet.
    behind: u64,
    denials: Denials,
    next: String,
}

impl Following {
    /// The next of the records that are known to be there; none once all were returned.
    ///
    /// # Errors
    ///
    /// As for [`Following::next`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_known(&mut self) -> Result<Option<Passing>, HistoryError> {
        while self.behind > 0 {
            if let Some(record) = self.message().await? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The next record.
    ///
    /// # Errors
    ///
    /// When the server denies it, or the consumer is lost: then follow anew.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Result<Passing, HistoryError> {
        loop {
            if let Some(record) = self.message().await? {
                return Ok(record);
            }
        }
    }

    /// The next message; none if its subject is no job's, as whoever may write records can make up.
    async fn message(&mut self) -> Result<Option<Passing>, HistoryError> {
        let message = tokio::select! {
            message = self.messages.next() => message,
            denied = self.denials.of(&self.next) => return Err(denied.into()),
        };
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(HistoryError::Following(error.to_string())),
            None => return Err(HistoryError::Following("the consumer has ended".to_owned())),
        };
        let info = message.info().map_err(|error| HistoryError::Following(error.to_string()))?;
        self.behind = info.pending;
        let sequence = info.stream_sequence;
        let subject = message.subject.to_string();
        Ok(named(&subject).map(|(worker, job)| {
            let stored = Stored { subject, sequence, bytes: message.message.payload };
            Passing { worker, job, stored }
        }))
    }
}

/// The worker and the job that a record's subject names.
fn named(subject: &str) -> Option<(WorkerName, JobId)> {
    Some((worker_in(subject)?, job_in(subject)?))
}
