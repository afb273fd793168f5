//! Records: a job's history, and its only state.
//!
//! A record is a compact JWS by a launcher or worker. It names the hash of the message before it, and is
//! published with the expectation that this message is the last one, so that of several writers one wins.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    encoding::{b64u, b64u_chars, b64u_decode},
    id::{Instance, JobId, Sha256Hash, WorkerName},
    identity::{self, JwsError, SigningKey, Thumbprint, Trust, Typ, Untrusted},
    json::{self, Int, JsonError},
    launch::MAX_REQUEST_BYTES,
    member,
};

/// The largest record, in bytes: a launch request of 64 KiB, encoded twice, and the rest.
pub const MAX_RECORD_BYTES: usize = 160 * 1024;
/// The longest code, in bytes.
const MAX_CODE_BYTES: usize = 64;
/// The longest public reason, in bytes.
const MAX_REASON_BYTES: usize = 1024;

/// Codes of records that end a job, beside those of refusals and steps.
pub mod code {
    /// All attempts are used up.
    pub const ATTEMPTS_USED_UP: &str = "attempts_used_up";
    /// The history is broken: its last record does not verify.
    pub const BAD_RECORD: &str = "bad_record";
    /// The client could not be reached.
    pub const CLIENT_GONE: &str = "client_gone";
    /// The worker's process did not start.
    pub const START_FAILED: &str = "start_failed";
}

/// What a record says happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// By a launcher: the job is admitted.
    Queued {
        /// The launch request's bytes, so that its signatures stay with the history.
        request: Vec<u8>,
    },
    /// By a worker: it claims the attempt.
    Taken {
        /// The process.
        instance: Instance,
    },
    /// By that worker: the payload has arrived.
    Running {
        /// The process.
        instance: Instance,
    },
    /// By that worker: the client could not be reached; the sealed result is stored.
    Finished,
    /// The client has the result.
    Closed {
        /// The job's close token.
        close: [u8; 32],
        /// When each step was.
        times: Times,
    },
    /// The job has failed.
    Failed(Reason),
    /// The job was cancelled.
    Cancelled {
        /// The job's cancel token, unless an operator ended it.
        cancel: Option<[u8; 32]>,
        /// Why.
        reason: Reason,
    },
    /// No worker took the job in time.
    Expired(Reason),
}

/// A code, and a public text that carries nothing of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The code.
    pub code: String,
    /// The text.
    pub text: String,
}

impl Reason {
    /// A reason; what is too long is cut.
    pub fn new(code: &str, text: &str) -> Self {
        let cut = |text: &str, max: usize| {
            text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= max).map(|(_, c)| c).collect()
        };
        Self { code: cut(code, MAX_CODE_BYTES), text: cut(text, MAX_REASON_BYTES) }
    }
}

/// When an attempt's steps were, in Unix milliseconds of the worker's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    /// The attempt was claimed.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub taken_ms: Option<Int>,
    /// The client's options had arrived.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub options_ms: Option<Int>,
    /// The payload had arrived.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub payload_ms: Option<Int>,
    /// The function had ended.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub done_ms: Option<Int>,
    /// The client had the result.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub closed_ms: Option<Int>,
}

/// One record of a job's history.
///
/// ```
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// # use subrosa_protocol::{id::JobId, identity::{Role, SigningKey, Trust}, record::{Event, Reason, Record}};
/// # let launcher = SigningKey::generate(&mut UnwrapErr(SysRng));
/// # let (job, at_ms, worker) = (JobId::of(b"a job"), 1_800_000_000_000, "echo".parse()?);
/// let event = Event::Expired(Reason::new("expired", "no worker took the job in time"));
/// let record = Record { job, at_ms, attempt: 0, prev: None, event };
/// let bytes = record.sign(&launcher);
///
/// let trust = Trust::default().with_key(launcher.public(), Role::Launcher, None);
/// assert_eq!(Record::verify(&bytes, &job, &worker, &trust)?.record, record);
/// assert!(Record::verify(&bytes, &job, &worker, &Trust::default()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The job.
    pub job: JobId,
    /// When, in Unix milliseconds: by the writer's clock, or when the record before it was, if that is later. So a
    /// clock that is wrong does not make a history look as if it had been put together.
    pub at_ms: u64,
    /// The attempt: 0 for `queued`, for an ending the highest one taken.
    pub attempt: u16,
    /// The hash of the last message on the subject; `None` for the first.
    pub prev: Option<Sha256Hash>,
    /// What happened.
    pub event: Event,
}

/// A record as JSON.
#[derive(Serialize, Deserialize)]
struct Wire {
    job: JobId,
    event: String,
    at_ms: Int,
    attempt: Int,
    #[serde(deserialize_with = "json::nullable")]
    prev: Option<Sha256Hash>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    cert: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    instance: Option<Instance>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    close: Option<Sha256Hash>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    times: Option<Times>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    cancel: Option<Sha256Hash>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    reason: Option<String>,
}

/// Why a message is no record of this job.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// The signature does not hold.
    #[error("the record's signature does not hold: {0}")]
    Signature(#[from] JwsError),
    /// Not the JSON that a record is.
    #[error("the record {0}")]
    Json(#[from] JsonError),
    /// A member that is missing or breaks a rule.
    #[error("the record's `{0}` is missing or invalid")]
    Invalid(&'static str),
    /// It belongs to another job.
    #[error("the record is of another job")]
    AnotherJob,
    /// The signer may not write it.
    #[error("the record's signer may not write it: {0}")]
    Signer(#[from] Untrusted),
}

/// A record whose signature, job and signer's role have been checked.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The record.
    pub record: Record,
    /// Its signer.
    pub signer: Thumbprint,
    /// The certificate that it carries.
    pub cert: Option<String>,
}

impl Record {
    /// Signs the record. The bytes are what is published, and published again as they are.
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        self.sign_certified(key, None)
    }

    /// Signs the record as a worker whose key is certified. The certificate stays with the history, so that
    /// whoever reads it later needs to know the authority only.
    pub fn sign_certified(&self, key: &SigningKey, cert: Option<&str>) -> Vec<u8> {
        let mut wire = Wire {
            job: self.job,
            event: self.event.name().to_owned(),
            at_ms: Int::try_from(self.at_ms).unwrap_or(Int::MAX),
            attempt: Int::from(self.attempt),
            prev: self.prev,
            cert: cert.map(str::to_owned),
            request: None,
            instance: None,
            close: None,
            times: None,
            cancel: None,
            code: None,
            reason: None,
        };
        match &self.event {
            Event::Queued { request } => wire.request = Some(b64u(request)),
            Event::Taken { instance } | Event::Running { instance } => wire.instance = Some(*instance),
            Event::Finished => {}
            Event::Closed { close, times } => {
                wire.close = Some(Sha256Hash(*close));
                wire.times = Some(*times);
            }
            Event::Failed(reason) | Event::Expired(reason) => wire.explain(reason),
            Event::Cancelled { cancel, reason } => {
                wire.cancel = cancel.map(Sha256Hash);
                wire.explain(reason);
            }
        }
        identity::sign_compact(key, Typ::Record, &json::to_vec(&wire)).into_bytes()
    }

    /// Reads a record of `job`, and checks signature, job and the signer's role. A worker's certificate has to
    /// have held when the record says that it was written.
    ///
    /// # Errors
    ///
    /// Whatever does not hold.
    pub fn verify(
        bytes: &[u8],
        job: &JobId,
        worker: &WorkerName,
        trust: &Trust,
    ) -> Result<Verified, RecordError> {
        let jws = identity::verify_compact(Typ::Record, bytes, MAX_RECORD_BYTES)?;
        let (record, cert) = Self::parse(&jws.payload)?;
        if record.job != *job {
            return Err(RecordError::AnotherJob);
        }
        let signer = jws.signer.thumbprint();
        let by_worker = || trust.vouched(&signer, worker, cert.as_deref(), record.at_ms);
        match record.event {
            Event::Queued { .. } => trust.launcher(&signer)?,
            Event::Taken { .. } | Event::Running { .. } | Event::Finished => by_worker()?,
            Event::Closed { .. } | Event::Failed(_) | Event::Cancelled { .. } | Event::Expired(_) => {
                trust.launcher(&signer).or_else(|_| by_worker())?;
            }
        }
        Ok(Verified { record, signer, cert })
    }

    /// Reads what a record says, without asking who says it: for a reader to whom it is only a hint.
    ///
    /// # Errors
    ///
    /// When it is not a record at all.
    pub fn read_unverified(bytes: &[u8]) -> Result<Self, RecordError> {
        let jws = identity::verify_compact(Typ::Record, bytes, MAX_RECORD_BYTES)?;
        Self::parse(&jws.payload).map(|(record, _)| record)
    }

    /// The time that a record says, in Unix milliseconds, for who has verified it before. None if it is no record.
    pub fn time_in(bytes: &[u8]) -> Option<u64> {
        #[derive(Deserialize)]
        struct Time {
            at_ms: Int,
        }
        let payload = bytes.get(..bytes.len().min(MAX_RECORD_BYTES))?.split(|byte| *byte == b'.').nth(1)?;
        let time: Time = json::parse(&b64u_decode(payload).ok()?).ok()?;
        Some(time.at_ms.get())
    }

    /// What a record says, and the certificate that it carries.
    fn parse(payload: &[u8]) -> Result<(Self, Option<String>), RecordError> {
        let mut wire: Wire = json::parse(payload)?;
        let cert = wire.cert.take();
        let event = wire.event()?;
        let attempt = u16::try_from(wire.attempt.get())
            .ok()
            .filter(|attempt| event.fits(*attempt))
            .ok_or(RecordError::Invalid("attempt"))?;
        Ok((Self { job: wire.job, at_ms: wire.at_ms.get(), attempt, prev: wire.prev, event }, cert))
    }
}

impl Wire {
    fn explain(&mut self, reason: &Reason) {
        self.code = Some(reason.code.clone());
        self.reason = (!reason.text.is_empty()).then(|| reason.text.clone());
    }

    fn event(&self) -> Result<Event, RecordError> {
        let invalid = RecordError::Invalid;
        let instance = || self.instance.ok_or(invalid("instance"));
        let reason = || {
            let code = self
                .code
                .as_ref()
                .filter(|code| (1..=MAX_CODE_BYTES).contains(&code.len()))
                .ok_or(invalid("code"))?;
            let text = self.reason.clone().unwrap_or_default();
            if text.len() > MAX_REASON_BYTES {
                return Err(invalid("reason"));
            }
            Ok(Reason { code: code.clone(), text })
        };
        Ok(match self.event.as_str() {
            "queued" => {
                let fits = |request: &&String| request.len() <= b64u_chars(MAX_REQUEST_BYTES);
                let request = self.request.as_ref().filter(fits).ok_or(invalid("request"))?;
                Event::Queued { request: b64u_decode(request).map_err(|_| invalid("request"))? }
            }
            "taken" => Event::Taken { instance: instance()? },
            "running" => Event::Running { instance: instance()? },
            "finished" => Event::Finished,
            "closed" => Event::Closed {
                close: self.close.ok_or(invalid("close"))?.0,
                times: self.times.unwrap_or_default(),
            },
            "failed" => Event::Failed(reason()?),
            "cancelled" => Event::Cancelled { cancel: self.cancel.map(|token| token.0), reason: reason()? },
            "expired" => Event::Expired(reason()?),
            _ => return Err(invalid("event")),
        })
    }
}

impl Event {
    /// The event's name, which is the state that it brings about.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Taken { .. } => "taken",
            Self::Running { .. } => "running",
            Self::Finished => "finished",
            Self::Closed { .. } => "closed",
            Self::Failed(_) => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Expired(_) => "expired",
        }
    }

    /// Whether a record of this event can carry this attempt.
    fn fits(&self, attempt: u16) -> bool {
        match self {
            Self::Queued { .. } => attempt == 0,
            Self::Taken { .. } | Self::Running { .. } | Self::Finished => (1..=10).contains(&attempt),
            Self::Closed { .. } | Self::Failed(_) | Self::Cancelled { .. } | Self::Expired(_) => {
                attempt <= 10
            }
        }
    }
}

#[cfg(test)]
mod tests;
