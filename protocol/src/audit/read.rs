//! Each message by itself, and which message it names.

use serde::Deserialize;

use super::{Fault, Message};
use crate::{
    encoding::b64u_decode,
    id::{JobId, Sha256Hash},
    identity::{Certificate, Role, Thumbprint, Trust, Typ, verify_compact},
    job::Job,
    json,
    launch::{LaunchError, LaunchRequest, MAX_REQUEST_BYTES},
    record::{Event, MAX_RECORD_BYTES, Record, RecordError},
    subject::Namespace,
};

/// The messages of a history, each read by itself.
pub(super) struct Reading {
    pub(super) id: Option<JobId>,
    pub(super) job: Option<Job>,
    pub(super) messages: Vec<Read>,
}

/// A message, read by itself.
pub(super) struct Read {
    pub(super) hash: Sha256Hash,
    /// What it says, if it is signed; whoever signed it.
    pub(super) signed: Option<Signed>,
    /// As what its signer is trusted to write it.
    pub(super) role: Option<Role>,
    /// Who certifies its signer, if that is not trusted by itself.
    pub(super) authority: Option<Thumbprint>,
    /// Why it is BAD, whatever stands around it.
    pub(super) fault: Option<Fault>,
}

/// A record, and whose it is.
#[derive(Clone)]
pub(super) struct Signed {
    pub(super) record: Record,
    pub(super) signer: Thumbprint,
}

impl Reading {
    pub(super) fn new(messages: &[Message], job: Option<JobId>, trust: &Trust) -> Self {
        let mut read: Vec<Read> = messages.iter().map(Read::alone).collect();
        let mut records = read.iter().filter_map(|message| Some(&message.signed.as_ref()?.record));
        let id = job.or_else(|| records.clone().next().map(|record| record.job));
        let job = id.and_then(|id| records.find_map(|record| job_in(record, &id)));
        if let Some(id) = &id {
            for (read, message) in read.iter_mut().zip(messages) {
                read.belong(message, id, job.as_ref(), trust);
            }
        }
        Self { id, job, messages: read }
    }

    /// Whether a record stands where it says: after the message that it names, with nothing GOOD between
    /// them. (What is BAD in between was slipped in; it is BAD enough by itself.)
    pub(super) fn check_place(&self, index: usize, good: impl Fn(usize) -> bool) -> Result<(), Fault> {
        let Some((hash, prev)) = self.named(index) else { return Ok(()) };
        let before = self.messages.iter().take(index);
        if let Some(first) = before.clone().position(|other| other.hash == *hash) {
            return Err(Fault::Copy { of: first + 1 });
        }
        let is_rival = |other: &usize| {
            self.named(*other).is_some_and(|(its_hash, its_prev)| its_prev == prev && its_hash != hash)
        };
        if let Some(other) = (0..self.messages.len()).find(is_rival) {
            return Err(Fault::Fork { other: other + 1 });
        }
        // The place after what it names; the first place, if it names nothing.
        let place = match prev {
            None => 0,
            Some(prev) => {
                let named = self.messages.iter().position(|other| other.hash == *prev);
                named.ok_or(Fault::Missing)? + 1
            }
        };
        if place <= index && !(place..index).any(good) {
            Ok(())
        } else {
            Err(Fault::Reordered { follows: (place > 0).then_some(place) })
        }
    }

    /// The hash of a record that might count, and what it names as the one before it.
    fn named(&self, index: usize) -> Option<(&Sha256Hash, Option<&Sha256Hash>)> {
        let message = self.messages.get(index).filter(|message| message.fault.is_none())?;
        Some((&message.hash, message.signed.as_ref()?.record.prev.as_ref()))
    }
}

impl Read {
    /// What a message says, and who signed that.
    fn alone(message: &Message) -> Self {
        let (signed, fault) = match message {
            Message::Whole(bytes) => {
                signed(bytes).map_or_else(|fault| (None, Some(fault)), |s| (Some(s), None))
            }
            Message::TooLarge(_) => (None, Some(Fault::TooLarge)),
        };
        Self { hash: message.hash(), signed, role: None, authority: None, fault }
    }

    /// Whether it is of this job, and its signer may write it. (That takes the worker's name.)
    fn belong(&mut self, message: &Message, id: &JobId, job: Option<&Job>, trust: &Trust) {
        let (Some(signed), Message::Whole(bytes)) = (&self.signed, message) else { return };
        if signed.record.job != *id {
            self.fault = Some(Fault::Transplanted { of: signed.record.job });
        } else if let Some(job) = job {
            match Record::verify(bytes, id, job.worker(), trust) {
                Ok(verified) => {
                    let role = role(signed, trust);
                    self.role = Some(role);
                    let is_pinned =
                        role == Role::Launcher || trust.worker(&signed.signer, job.worker()).is_ok();
                    self.authority = verified.cert.filter(|_| !is_pinned).and_then(|cert| authority(&cert));
                }
                Err(error) => self.fault = Some(error.into()),
            }
        }
    }
}

/// The record, if it is one, and who signed it.
fn signed(bytes: &[u8]) -> Result<Signed, Fault> {
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(Fault::TooLarge);
    }
    let record = Record::read_unverified(bytes)?;
    let jws = verify_compact(Typ::Record, bytes, MAX_RECORD_BYTES).map_err(RecordError::from)?;
    Ok(Signed { record, signer: jws.signer.thumbprint() })
}

/// As what the signer of a record that verifies has written it.
fn role(signed: &Signed, trust: &Trust) -> Role {
    let by_worker_only =
        matches!(signed.record.event, Event::Taken { .. } | Event::Running { .. } | Event::Finished);
    if !by_worker_only && trust.launcher(&signed.signer).is_ok() { Role::Launcher } else { Role::Worker }
}

/// Who signed a certificate that counts.
fn authority(cert: &str) -> Option<Thumbprint> {
    Certificate::verify(cert.as_bytes()).ok().map(|certified| certified.authority.thumbprint())
}

/// The job in a record's launch request, if it is the one with this id.
fn job_in(record: &Record, id: &JobId) -> Option<Job> {
    let Event::Queued { request } = &record.event else { return None };
    self::request(request).ok().map(|request| request.job().clone()).filter(|job| job.id() == id)
}

/// Reads a launch request of any namespace: an auditor may have the histories of several.
pub(super) fn request(bytes: &[u8]) -> Result<LaunchRequest, LaunchError> {
    LaunchRequest::parse(bytes, &namespace(bytes).unwrap_or_default())
}

/// The namespace that a launch request's job is answered in.
fn namespace(request: &[u8]) -> Option<Namespace> {
    #[derive(Deserialize)]
    struct Outer {
        payload: String,
    }

    #[derive(Deserialize)]
    struct Inner {
        reply: String,
    }

    let outer: Outer = json::parse(request.get(..request.len().min(MAX_REQUEST_BYTES))?).ok()?;
    let inner: Inner = json::parse(&b64u_decode(&outer.payload).ok()?).ok()?;
    inner.reply.split('.').next()?.parse().ok()
}
