//! Admission: what a launch request must be, and how a job begins.

use bytes::Bytes;
use serde::Serialize;
use subrosa_protocol::{
    delivery::{Last, OnLaunch, on_launch},
    id::{JobId, WorkerName},
    launch::{LaunchError, LaunchRequest, MAX_REQUEST_BYTES, Signers},
    policy::TooFew,
    record::Event,
    refusal::Code,
    subject::Namespace,
};
use subrosa_transport::{HistoryError, now_ms};
use tokio::time::Instant;

use crate::{
    error::Trouble,
    office::{Office, Seen, Written, short},
    refused::{Failed, Refused},
};

/// The answer to a launch request.
#[derive(Debug, Serialize)]
pub(crate) struct Launched {
    job: JobId,
    state: &'static str,
}

/// Checks what costs little: size, shape, and that the job is for the worker in the subject, which has to
/// be one that may be launched.
fn read(
    subject: &str,
    payload: &[u8],
    namespace: &Namespace,
    is_known: impl Fn(&WorkerName) -> bool,
) -> Result<LaunchRequest, Refused> {
    if payload.len() > MAX_REQUEST_BYTES {
        return Err(LaunchError::TooLarge { bytes: payload.len() }.into());
    }
    let worker: WorkerName =
        subject.rsplit('.').next().and_then(|token| token.parse().ok()).ok_or_else(|| {
            Refused::new(Code::UnknownWorker, "the subject does not end in a worker's name")
        })?;
    if !is_known(&worker) {
        return Err(Refused::new(Code::UnknownWorker, "no such worker may be launched here"));
    }
    let request = LaunchRequest::parse(payload, namespace)?;
    if *request.job().worker() != worker {
        return Err(Refused::new(Code::BadRequest, "the job's `worker` is not the one in the subject"));
    }
    Ok(request)
}

/// A launch request that is in order.
enum Checked {
    /// It may be admitted, if these may launch it.
    Good(LaunchRequest, Signers),
    /// It has come too late to be admitted.
    Late(LaunchRequest),
}

/// Checks all that can be known without looking at the job's history.
fn check(
    subject: &str,
    payload: &[u8],
    namespace: &Namespace,
    is_known: impl Fn(&WorkerName) -> bool,
    now_ms: u64,
) -> Result<Checked, Refused> {
    let request = read(subject, payload, namespace, is_known)?;
    match request.check_times(now_ms) {
        Err(LaunchError::Expired) => return Ok(Checked::Late(request)),
        checked => checked?,
    }
    let signers = request.verify()?;
    Ok(Checked::Good(request, signers))
}

/// What a launcher without any history says to a launch request for a worker that it knows.
///
/// # Errors
///
/// The code that it refuses with.
#[cfg(feature = "fuzzing")]
pub fn verdict(subject: &str, payload: &[u8], namespace: &Namespace, now_ms: u64) -> Result<(), Code> {
    match check(subject, payload, namespace, |_| true, now_ms) {
        Ok(Checked::Good(..)) => Ok(()),
        Ok(Checked::Late(_)) => Err(LaunchError::Expired.code()),
        Err(refused) => Err(refused.code),
    }
}

impl Office {
    /// Admits a job, or answers with the state of one that has been admitted before.
    pub(crate) async fn launch(&self, subject: &str, payload: &[u8]) -> Result<Launched, Failed> {
        let deadline = self.deadline();
        let is_known = |worker: &WorkerName| self.workers.contains_key(worker);
        let (request, signers) = match check(subject, payload, &self.namespace, is_known, now_ms())? {
            Checked::Good(request, signers) => (request, signers),
            // It may have begun in time.
            Checked::Late(request) => return self.known(&request, LaunchError::Expired, deadline).await,
        };
        let (worker, id) = (request.job().worker(), request.job().id());
        let warning = self.policy(worker).check(request.job(), &signers, &self.trust.get())?;
        if let Err(uncounted) = self.quota.ready() {
            // It may have been admitted before.
            return self.known(&request, uncounted, deadline).await;
        }
        let place = match self.quota.reserve(&request, &signers, now_ms()) {
            Ok(place) => place,
            // Likewise.
            Err(over) => return self.known(&request, over, deadline).await,
        };
        let event = Event::Queued { request: request.bytes().to_vec() };
        let seen = match self.write(worker, id, 0, None, event).await {
            Ok(Written::Won(seen)) => {
                if let Some(TooFew { needed, found }) = warning {
                    tracing::warn!(
                        job = short(id), %worker, needed, found,
                        "UNAUTHORIZED job admitted: the policy only warns"
                    );
                }
                tracing::info!(job = short(id), %worker, "admitted");
                place.keep();
                seen
            }
            Ok(Written::Lost(seen)) => seen,
            Err(Trouble::History(HistoryError::Full)) => {
                return Err(Refused::new(Code::Overloaded, "the store of the jobs' histories is full").into());
            }
            Err(error) => return Err(error.into()),
        };
        self.repeat_launch(worker, id, &seen, deadline).await
    }

    /// Answers with the state of a job that has been admitted before; refuses another.
    async fn known(
        &self,
        request: &LaunchRequest,
        refusal: impl Into<Refused>,
        deadline: Instant,
    ) -> Result<Launched, Failed> {
        let (worker, id) = (request.job().worker(), request.job().id());
        let stored = self.history.last(worker, id, deadline).await?;
        let seen = self.judge(worker, id, stored);
        match seen.last {
            Last::Absent => Err(refusal.into().into()),
            _ => Ok(Launched { job: *id, state: seen.state() }),
        }
    }

    /// The second half of a launch: what is `queued` goes to the queue, with the request in its record.
    async fn repeat_launch(
        &self,
        worker: &WorkerName,
        job: &JobId,
        seen: &Seen,
        deadline: Instant,
    ) -> Result<Launched, Failed> {
        match (on_launch(&seen.last), &seen.stored) {
            // Refused, and yet nothing there: not even the replicas agree just now.
            (OnLaunch::Admit, _) => return Err(Trouble::Restless.into()),
            (OnLaunch::Queue, Some(stored)) => {
                if let Some(request) = self.request_in(worker, job, stored) {
                    self.enqueue(worker, job, Bytes::copy_from_slice(request.bytes()), deadline).await;
                }
            }
            (OnLaunch::Queue | OnLaunch::Answer, _) => {}
        }
        Ok(Launched { job: *job, state: seen.state() })
    }
}

#[cfg(test)]
mod tests {
    use subrosa_protocol::{
        hpke::RecipientKey,
        id::Sha256Hash,
        job::{Description, Job},
    };

    use super::*;

    fn request(worker: &str) -> Vec<u8> {
        let job = Job::new(Description {
            worker: worker.parse().unwrap(),
            client: None,
            label: None,
            client_key: *RecipientKey::generate(&mut rand::rng()).public(),
            psk_id: None,
            reply: Namespace::default().reply("AliceAliceAlice01").unwrap(),
            created_ms: 1,
            expires_ms: 2,
            timeout_ms: 3,
            max_attempts: 4,
            cancel: Sha256Hash::of("cancel"),
            close: Sha256Hash::of("close"),
            input: None,
        });
        LaunchRequest::unsigned(job.unwrap()).bytes().to_vec()
    }

    fn refusal(subject: &str, payload: &[u8]) -> Code {
        read(subject, payload, &Namespace::default(), |name| name.as_str() == "echo").unwrap_err().code
    }

    #[test]
    fn a_request_for_a_known_worker_is_read() {
        let bytes = request("echo");
        let read = read("subrosa.v1.launch.echo", &bytes, &Namespace::default(), |_| true).unwrap();
        assert_eq!(read.bytes(), bytes);
    }

    #[test]
    fn cheap_rules_come_first() {
        let subject = "subrosa.v1.launch.echo";
        assert_eq!(refusal(subject, &vec![0; MAX_REQUEST_BYTES + 1]), Code::TooLarge);
        assert_eq!(refusal(subject, &request("other")), Code::BadRequest);
        assert_eq!(refusal("subrosa.v1.launch.other", &request("other")), Code::UnknownWorker);
        assert_eq!(refusal("subrosa.v1.launch.OTHER", b"not even JSON"), Code::UnknownWorker);
        assert_eq!(refusal(subject, b"not even JSON"), Code::BadRequest);
    }

    #[test]
    fn refusals_repeat_nothing_of_the_request() {
        let namespace = Namespace::default();
        let secret = br#"{"payload": "s3cr3t!", "signatures": "s3cr3t!"}"#;
        let refused = read("subrosa.v1.launch.echo", secret, &namespace, |_| true).unwrap_err();
        assert!(!refused.to_json().contains("s3cr3t"), "{}", refused.to_json());
    }
}
