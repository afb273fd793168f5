//! Stored results: sealed messages that wait for a client to come back.

use bytes::Bytes;
use serde::Deserialize;
use subrosa_protocol::{
    id::{JobId, WorkerName},
    subject::Namespace,
};
use tokio::time::Instant;

use crate::{
    Connection, HistoryError,
    history::{pub_ack, stored},
};

/// All stored results, on one connection.
#[derive(Clone, Debug)]
pub struct Results {
    pub(crate) connection: Connection,
    pub(crate) namespace: Namespace,
}

/// The server's answer to a purge.
#[derive(Deserialize)]
struct Purged {
    success: bool,
}

impl Results {
    /// The stored results of this namespace.
    pub fn new(connection: Connection, namespace: Namespace) -> Self {
        Self { connection, namespace }
    }

    /// Stores a message of an attempt. To store it again changes nothing.
    ///
    /// # Errors
    ///
    /// See [`HistoryError`]; tried until the deadline.
    pub async fn store(
        &self,
        (worker, job): (&WorkerName, &JobId),
        attempt: u16,
        number: u64,
        message: Bytes,
        deadline: Instant,
    ) -> Result<(), HistoryError> {
        let subject = self.namespace.result(worker, job, attempt, number);
        let answer = self.connection.request_until(&subject, None, message, deadline).await?;
        match pub_ack(&answer)? {
            Ok(_) => Ok(()),
            Err((code, description)) => Err(HistoryError::Refused { code: code.0, description }),
        }
    }

    /// A stored message; none if there is none, or none any more. Needs a launcher's rights.
    ///
    /// # Errors
    ///
    /// See [`HistoryError`]; tried until the deadline.
    pub async fn read(
        &self,
        (worker, job): (&WorkerName, &JobId),
        attempt: u16,
        number: u64,
        deadline: Instant,
    ) -> Result<Option<Bytes>, HistoryError> {
        let subject = self.namespace.result(worker, job, attempt, number);
        let api = self.connection.api(&format!("DIRECT.GET.{}.{subject}", self.namespace.results_stream()));
        let answer = self.connection.request_until(&api, None, Bytes::new(), deadline).await?;
        Ok(stored(answer)?.map(|found| found.bytes))
    }

    /// Removes all that is stored of a job. Needs a launcher's rights.
    ///
    /// # Errors
    ///
    /// See [`HistoryError`]; tried until the deadline.
    pub async fn remove(
        &self,
        worker: &WorkerName,
        job: &JobId,
        deadline: Instant,
    ) -> Result<(), HistoryError> {
        let api = self.connection.api(&format!("STREAM.PURGE.{}", self.namespace.results_stream()));
        let request = serde_json::json!({ "filter": self.namespace.result_of(worker, job) });
        let answer = self.connection.request_until(&api, None, request.to_string().into(), deadline).await?;
        match serde_json::from_slice(&answer.payload) {
            Ok(Purged { success: true }) => Ok(()),
            _ => Err(HistoryError::Malformed),
        }
    }
}
