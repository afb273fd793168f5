//! The launcher's part: it admits jobs, starts a process for each, tells their state, and ends them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_nats::HeaderMap;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use subrosa_protocol::{
    delivery::{Ending, Last, Snapshot, State},
    id::{Attempt, JobId, Sha256Hash},
    json as strict,
    launch::{LaunchError, LaunchRequest},
    record::{Event, Reason, Record, Times, code},
    refusal::Code,
    session::worker::closes,
    subject::{Control, ENDED},
};
use subrosa_transport::{Message, Stored, now_ms};

use crate::{records::answered, world::World};

/// The jobs that were admitted.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Mutex<HashMap<JobId, LaunchRequest>>);

impl Jobs {
    fn admit(&self, request: &LaunchRequest) {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.insert(*request.job().id(), request.clone());
    }

    fn get(&self, job: &JobId) -> Option<LaunchRequest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(job).cloned()
    }
}

/// Asks for a job, and may show a token.
#[derive(Deserialize)]
struct Question {
    job: JobId,
    token: Option<Sha256Hash>,
}

/// Why a request is refused.
struct Refused(Code, String);

impl From<LaunchError> for Refused {
    fn from(error: LaunchError) -> Self {
        Self(error.code(), error.to_string())
    }
}

impl World {
    /// Answers a request to the launcher's services.
    pub(crate) fn serve(self: &Arc<Self>, service: &str, message: &Message) -> Message {
        let answer = match service {
            "launch" => self.launch(message),
            service => self.ask(service, &message.payload),
        };
        match answer {
            Ok(answer) => answered(answer.to_string(), None),
            Err(Refused(code, message)) => {
                let mut headers = HeaderMap::new();
                headers.insert("Nats-Service-Error-Code", code.number().to_string());
                headers.insert("Nats-Service-Error", code.word());
                headers
                    .insert("Subrosa-Error", json!({ "code": code.word(), "message": message }).to_string());
                answered(Bytes::new(), Some(headers))
            }
        }
    }

    fn launch(self: &Arc<Self>, message: &Message) -> Result<Value, Refused> {
        let request = LaunchRequest::parse(&message.payload, &self.namespace)?;
        let job = request.job();
        if self.namespace.launch(job.worker()) != message.subject {
            return Err(Refused(Code::BadRequest, "the job's worker is not the subject's".to_owned()));
        }
        request.check_times(now_ms())?;
        request.verify()?;
        if self.jobs.get(job.id()).is_none() {
            self.jobs.admit(&request);
            self.write(&request, 0, Event::Queued { request: request.bytes().to_vec() });
            self.start(request.clone(), Attempt::FIRST);
        }
        Ok(self.status(&request))
    }

    fn ask(self: &Arc<Self>, service: &str, payload: &[u8]) -> Result<Value, Refused> {
        let malformed = |error| Refused(Code::BadRequest, format!("the request {error}"));
        let Question { job, token } = strict::parse(payload).map_err(malformed)?;
        let unknown = || Refused(Code::UnknownJob, "there is no such job".to_owned());
        let request = self.jobs.get(&job).ok_or_else(unknown)?;
        let token = token.map(|token| token.0).unwrap_or_default();
        let description = request.job().description();
        let event = match service {
            "cancel" if Sha256Hash::of(token) == description.cancel => {
                let reason = Reason::new("cancelled", "the client cancelled the job");
                Event::Cancelled { cancel: Some(token), reason }
            }
            "close" if closes(&token, &description.close) => {
                Event::Closed { close: token, times: Times::default() }
            }
            "status" => return Ok(self.status(&request)),
            "result" if Sha256Hash::of(token) == description.close => {
                return Err(Refused(Code::NotStored, "nothing is stored here".to_owned()));
            }
            _ => return Err(Refused(Code::WrongToken, "the token is not this job's".to_owned())),
        };
        self.end(&request, event);
        Ok(self.status(&request))
    }

    /// What follows when a process is gone: another attempt, or the job's end.
    pub(crate) fn after(self: &Arc<Self>, request: &LaunchRequest, attempt: Attempt) {
        let Some(last) = self.last(request) else { return };
        match last.event {
            Event::Queued { .. } => {
                let ending = Ending::failed(code::START_FAILED, "the worker's process did not take the job");
                self.end(request, ending.into_event());
            }
            Event::Taken { .. } | Event::Running { .. } if last.attempt == attempt.get() => {
                let next = attempt.get() + 1;
                match Attempt::new(next) {
                    Ok(next) if next.get() <= request.job().description().max_attempts => {
                        self.start(request.clone(), next);
                    }
                    _ => {
                        let ending = Ending::failed(code::ATTEMPTS_USED_UP, "all attempts are used up");
                        self.end(request, ending.into_event());
                    }
                }
            }
            _ => {}
        }
    }

    /// The job's records, as far as they are any.
    fn history(&self, request: &LaunchRequest) -> Vec<Record> {
        let subject = self.namespace.record(request.job().worker(), request.job().id());
        let records = self.records();
        let read = |stored: &Stored| Record::read_unverified(&stored.bytes).ok();
        records.all(&subject).iter().filter_map(read).collect()
    }

    /// The records of the job with this id; none if there is no such job.
    pub(crate) fn records_of(&self, job: &JobId) -> Vec<Record> {
        self.jobs.get(job).map(|request| self.history(&request)).unwrap_or_default()
    }

    fn last(&self, request: &LaunchRequest) -> Option<Record> {
        self.history(request).pop()
    }

    fn status(&self, request: &LaunchRequest) -> Value {
        let job = request.job();
        let Some(last) = self.last(request) else { return Value::Null };
        let mut status = json!({
            "job": job.id(), "worker": job.worker(), "state": last.event.name(), "attempt": last.attempt,
            "at_ms": last.at_ms,
        });
        if let Event::Failed(reason) | Event::Expired(reason) | Event::Cancelled { reason, .. } = last.event
            && let Some(members) = status.as_object_mut()
        {
            members.insert("code".to_owned(), reason.code.into());
            if !reason.text.is_empty() {
                members.insert("reason".to_owned(), reason.text.into());
            }
        }
        status
    }

    /// Signs a record that follows the last one, and appends it.
    fn write(&self, request: &LaunchRequest, attempt: u16, event: Event) -> Option<Bytes> {
        let job = request.job();
        let subject = self.namespace.record(job.worker(), job.id());
        let mut records = self.records();
        let prev = records.last(&subject);
        let (expected, prev) = (prev.map_or(0, |last| last.sequence), prev.map(Stored::hash));
        let record = Record { job: *job.id(), at_ms: now_ms(), attempt, prev, event };
        let bytes = Bytes::from(record.sign(&self.launcher));
        records.append(&subject, expected, bytes.clone()).ok().map(|_| bytes)
    }

    /// Ends a job that has not ended, and tells its process and its client.
    fn end(self: &Arc<Self>, request: &LaunchRequest, event: Event) {
        let job = request.job();
        let subject = self.namespace.record(job.worker(), job.id());
        let last = self.records().last(&subject).map(|stored| stored.bytes.clone());
        let Last::Known(Snapshot { attempt, state, .. }) =
            Last::read(last.as_deref(), job.id(), job.worker(), &self.trust)
        else {
            return;
        };
        if state == State::Ended {
            return;
        }
        let Some(record) = self.write(request, attempt, event) else { return };
        let tell = |subject| self.publish(Message { subject, ..answered(record.clone(), None) });
        if let State::Open { instance, .. } = state {
            tell(self.namespace.control(job.worker(), &instance, job.id(), Control::Stop));
        }
        tell(job.description().reply.subject(job.id(), ENDED));
    }
}
