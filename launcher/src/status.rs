//! A job's state, computed from its records.

use serde::Serialize;
use subrosa_protocol::{
    id::{JobId, WorkerName},
    json::Int,
    record::Event,
    refusal::Code,
};

use crate::{
    office::{Case, Office},
    refused::{Failed, Refused},
};

/// The state of a job.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    job: JobId,
    worker: WorkerName,
    /// The last record's event; `broken` if that is nobody's state.
    state: &'static str,
    /// The highest attempt taken.
    attempt: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_ms: Option<Int>,
    /// The last record as it was signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Status {
    /// The state of a job with this history.
    pub(crate) fn of(case: &Case) -> Self {
        let record = case.seen.record.as_ref();
        let reason = record.and_then(|record| match &record.event {
            Event::Failed(reason) | Event::Expired(reason) | Event::Cancelled { reason, .. } => Some(reason),
            _ => None,
        });
        let bytes = case.seen.stored.as_ref().map(|stored| stored.bytes.to_vec());
        let taken = case.taken.map_or(0, |(attempt, _)| attempt);
        Self {
            job: case.id,
            worker: case.worker.clone(),
            state: case.seen.state(),
            attempt: record.map_or(taken, |record| record.attempt),
            at_ms: record.and_then(|record| Int::try_from(record.at_ms).ok()),
            // What does not verify may be anything.
            record: record.and(bytes).and_then(|bytes| String::from_utf8(bytes).ok()),
            code: reason.map(|reason| reason.code.clone()),
            reason: reason.map(|reason| reason.text.clone()).filter(|text| !text.is_empty()),
        }
    }
}

impl Status {
    /// The state in a word.
    pub(crate) fn state(&self) -> &'static str {
        self.state
    }
}

impl Office {
    /// The state of the job with this id.
    pub(crate) async fn status(&self, job: &JobId) -> Result<Status, Failed> {
        let case = self.find(job, self.deadline()).await?;
        Ok(Status::of(&case.ok_or_else(unknown)?))
    }
}

/// There is no such job.
pub(crate) fn unknown() -> Refused {
    Refused::new(Code::UnknownJob, "there is no such job")
}
