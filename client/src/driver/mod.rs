//! One job's task: what arrives, what the handlers answer, and when to stop waiting.

mod cancel;
mod steps;
mod stored;

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use subrosa_protocol::{
    id::{Instance, JobId, Sha256Hash},
    identity::Thumbprint,
    launch::LaunchRequest,
    receipt::{Salt, SaltedReceipt},
    refusal::Code,
    secret::Secret,
    session::client::{
        AwaitDone, AwaitReady, Closed, Inputs, Launched, OwesOptions, OwesPayload, OwesStatus,
    },
    subject::{ENDED, Service},
    wire::{ErrorMember, Opened},
};
use subrosa_transport::{Backoff, now_ms};
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::stored::Messages;
use crate::{
    Event, JobError, LaunchError, State, Timings, UntrustedWorker,
    client::Shared,
    dispatch::Mail,
    event::Reporter,
    handler::{Answer, Handler, Running},
    launcher::JobState,
    linger::{self, Left, Token},
    outcome::Finished,
};

/// The longest time between two questions for a job's state.
const STATUS_MAX: Duration = Duration::from_secs(5 * 60);
/// How long the last answer may take to leave; no longer while the connection is down.
const FLUSH: Duration = Duration::from_secs(1);
/// Hints to ask for a job's state count at most this often.
const HINT: Duration = Duration::from_secs(1);
/// How long after `expires_ms` the first answer of a worker may still come in.
const LATE: Duration = Duration::from_secs(5);
/// So many untrusted workers are remembered.
const MAX_UNTRUSTED: usize = 16;

/// What answers the worker's steps.
pub(crate) struct Handlers {
    pub(crate) options: Handler,
    pub(crate) payload: Handler,
    pub(crate) status: Handler,
}

impl Handlers {
    /// Each answers with JSON's null.
    pub(crate) fn none() -> Self {
        let null = || Handler::value(Value::Null);
        Self { options: null(), payload: null(), status: null() }
    }
}

/// The job's two tokens, whose hashes stand in it, and the salt of its `input`, if it binds one.
pub(crate) struct Tokens {
    pub(crate) cancel: Secret<32>,
    pub(crate) close: Secret<32>,
    pub(crate) input: Option<Salt>,
}

impl Tokens {
    /// What stands in the job for the token that cancels it.
    pub(crate) fn cancel_hash(&self) -> Sha256Hash {
        Sha256Hash::of_secret(self.cancel.expose())
    }

    /// What stands in the job for the token that closes it.
    pub(crate) fn close_hash(&self) -> Sha256Hash {
        Sha256Hash::of(Sha256Hash::of_secret(self.close.expose()).0)
    }
}

/// Where the session with the worker stands, and the handler that makes the next answer.
enum Session {
    /// No trusted worker has answered yet.
    None,
    Options(OwesOptions, Running),
    Ready(AwaitReady),
    Payload(OwesPayload, Running),
    Done(AwaitDone),
    Status(OwesStatus, Running, Taken),
}

/// A result, and the receipt that holds for it.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) opened: Arc<Opened>,
    pub(crate) receipt: Box<SaltedReceipt>,
}

/// How a job is over for this client.
enum Over {
    /// The result is here, and the worker is told, unless it has gone and the result was stored.
    Result(Option<Closed>, Taken),
    /// This client cancels it.
    Cancelled,
    /// There is no result; a step may have been answered with an error, or the worker's acknowledged.
    Failed(JobError, Option<Closed>),
}

/// What a launcher says of the job.
struct Known {
    state: Result<JobState, Code>,
    /// What the worker has stored for a client that is away.
    stored: Option<Messages>,
}

/// A job's task.
pub(crate) struct Driver {
    client: Arc<Shared>,
    launched: Launched,
    request: LaunchRequest,
    handlers: Handlers,
    tokens: Tokens,
    reporter: Reporter,
    launched_at: Instant,
    /// The same in Unix milliseconds. A prepared job was made long before.
    launched_ms: u64,
    timings: Timings,
    session: Session,
    /// The worker of the live session and its attempt.
    worker: Option<(Thumbprint, u16)>,
    /// Its process.
    instance: Option<Instance>,
    /// The certificate that it has shown, and when, in Unix milliseconds.
    voucher: (Option<String>, u64),
    untrusted: Vec<UntrustedWorker>,
    /// What was sent to the worker that has the payload: a stored result has to fit it.
    inputs: Option<Inputs>,
}

impl Driver {
    pub(crate) fn new(
        client: Arc<Shared>,
        launched: Launched,
        request: LaunchRequest,
        handlers: Handlers,
        tokens: Tokens,
    ) -> Self {
        let (reporter, _) = crate::event::channel();
        Self {
            client,
            launched,
            request,
            handlers,
            tokens,
            reporter,
            launched_at: Instant::now(),
            launched_ms: now_ms(),
            timings: Timings::default(),
            session: Session::None,
            worker: None,
            instance: None,
            voucher: (None, 0),
            untrusted: Vec::new(),
            inputs: None,
        }
    }

    /// Where the job's events go, and what its times are counted from.
    pub(crate) fn reporting(mut self, reporter: Reporter, launched_at: Instant, timings: Timings) -> Self {
        self.reporter = reporter;
        self.launched_at = launched_at;
        self.timings = timings;
        self
    }

    /// Everything else is erased when this returns.
    fn into_tokens(self) -> Tokens {
        self.tokens
    }

    fn id(&self) -> JobId {
        *self.launched.job().id()
    }

    /// Runs the job to its end for this client, hands out the outcome, and stays for what is left.
    pub(crate) async fn run(
        mut self,
        mut mail: Mail,
        outcome: oneshot::Sender<Result<Finished, JobError>>,
        cancelled: CancellationToken,
    ) {
        self.reporter.report(Event::State(State::Queued));
        let over = tokio::select! {
            over = self.drive(&mut mail) => over,
            () = cancelled.cancelled() => Over::Cancelled,
        };
        let client = self.client.clone();
        let job = self.id();
        let expires_ms = self.launched.job().description().expires_ms;
        let worker = self.worker;
        let timings = self.timings;
        // Every key of the job is overwritten here, and its handlers are gone; one token is kept.
        let mut ended = false;
        let (result, token, closed, now) = match over {
            Over::Cancelled => {
                let mut cancelling = self.into_cancelling();
                let (known, error) = cancelling.run(&client, &mut mail).await;
                ended = known;
                let token = Token { service: Service::Cancel, secret: cancelling.tokens.cancel };
                (Err(error), token, None, false)
            }
            Over::Result(closed, taken) => {
                let finished = worker.map(|(worker, attempt)| Finished { taken, worker, attempt, timings });
                let token = Token { service: Service::Close, secret: self.into_tokens().close };
                // Of a worker that has gone nobody else shows the token.
                let now = closed.is_none();
                (finished.ok_or(JobError::Closed), token, closed, now)
            }
            Over::Failed(error, closed) => {
                let token = Token { service: Service::Cancel, secret: self.into_tokens().cancel };
                // Where the worker was answered, it writes the end itself.
                let now = closed.is_none();
                (Err(error), token, closed, now)
            }
        };
        ended |= matches!(&result, Err(JobError::Ended { .. } | JobError::Cancelled { reason: Some(_) }));
        // What was said last leaves before the outcome is known: the process may end on it.
        client.connection.flush(FLUSH).await;
        // The job's handle may be gone.
        let _ = outcome.send(result);
        if !ended {
            linger::linger(&client, mail, Left { job, token, closed, expires_ms, now }).await;
        }
    }

    async fn drive(&mut self, mail: &mut Mail) -> Over {
        let mut poll = Backoff::new(self.client.timing.status, STATUS_MAX);
        let mut ask = Instant::now() + poll.next_delay();
        let mut asked = Instant::now();
        // On a task of its own: a launcher that does not answer must not keep the worker waiting.
        let mut question = JoinSet::new();
        let mut trust = self.client.trust.changes();
        loop {
            let deadline = self.deadline();
            let step = tokio::select! {
                message = mail.next() => match message {
                    Some(message) if message.kind == ENDED => {
                        // Only a hint to ask for the state.
                        ask = ask.min(asked + HINT);
                        Ok(None)
                    }
                    Some(message) => {
                        self.heed_revocation();
                        self.receive(message).await
                    }
                    None => Err(JobError::Closed),
                },
                answer = self.session.answer() => {
                    self.heed_revocation();
                    self.answer(answer).await
                }
                Ok(()) = trust.changed() => {
                    self.heed_revocation();
                    Ok(None)
                }
                () = sleep_until(ask), if question.is_empty() => {
                    asked = Instant::now();
                    ask = asked + poll.next_delay();
                    question.spawn(self.ask_state());
                    Ok(None)
                }
                Some(answer) = question.join_next() => match answer {
                    Ok(Some(answer)) => self.judge_state(answer),
                    Ok(None) | Err(_) => Ok(None),
                },
                () = sleep_until(deadline) => Err(self.too_late()),
            };
            match step {
                Ok(None) => {}
                Ok(Some(over)) => return over,
                Err(error) => return Over::Failed(error, None),
            }
        }
    }

    /// Until when to wait: for a worker as long as the job may wait, after that as long as all attempts
    /// may take.
    fn deadline(&self) -> Instant {
        let expires_ms = self.launched.job().description().expires_ms;
        let waiting = Duration::from_millis(expires_ms.saturating_sub(self.launched_ms));
        match self.worker {
            None => self.launched_at + waiting + LATE,
            Some(_) => self.launched_at + waiting + self.attempts(),
        }
    }

    /// How long all attempts may take.
    fn attempts(&self) -> Duration {
        let job = self.launched.job().description();
        let attempt = Duration::from_millis(job.timeout_ms) + self.client.timing.steps;
        attempt * u32::from(job.max_attempts)
    }

    fn too_late(&mut self) -> JobError {
        let job = self.launched.job().description();
        // As it was asked for, and not what admission has left of it.
        let waiting = Duration::from_millis(job.expires_ms.saturating_sub(job.created_ms));
        let (within, max) = (waiting + self.attempts(), job.max_attempts);
        match self.worker {
            None => JobError::NoWorker { within: waiting, untrusted: std::mem::take(&mut self.untrusted) },
            Some((_, attempt)) => JobError::Timeout { within, attempt, max },
        }
    }

    /// Asks a launcher for the job's state; a job without any record is launched again.
    fn ask_state(&self) -> impl Future<Output = Option<Known>> + Send + 'static {
        let (client, id) = (self.client.clone(), self.id());
        let reads = self.reads_stored();
        let (worker, request) = (self.launched.job().worker().clone(), self.request.clone());
        async move {
            let patience = Duration::from_secs(10);
            let mut answer = client.launchers.status(&id, patience).await;
            if let Err(LaunchError::Refused { code: Code::UnknownJob, .. }) = answer {
                answer = client.launchers.launch(&worker, request.bytes(), patience).await;
            }
            match answer {
                Ok(state) => {
                    let stored = match reads {
                        Some(token) => stored::read(&client, &id, &token, &state).await,
                        None => None,
                    };
                    Some(Known { state: Ok(state), stored })
                }
                Err(LaunchError::Refused { code, .. }) => Some(Known { state: Err(code), stored: None }),
                Err(_) => None,
            }
        }
    }

    /// A stored result is taken, and an end is reported as what it is.
    fn judge_state(&mut self, Known { state, stored }: Known) -> Result<Option<Over>, JobError> {
        if let Some(over) = stored.map(|stored| self.take_stored(stored)).transpose()?.flatten() {
            return Ok(Some(over));
        }
        match state {
            Ok(state) if state.is_end() => {
                // Whoever notices first that no worker has come, it is told in one way.
                let nobody = state.state == "expired" && state.attempt == 0;
                let untrusted = !self.untrusted.is_empty() && state.state != "cancelled";
                if self.worker.is_none() && (nobody || untrusted) {
                    return Err(self.too_late());
                }
                Err(cancel::ended(state))
            }
            Err(Code::Expired) => Err(self.too_late()),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    fn since_launch(&self) -> Duration {
        self.launched_at.elapsed()
    }

    /// Lets go of a worker whose key, or whose authority's, was revoked meanwhile: it gets no further answer, and
    /// its result is not taken. Another one may still come.
    fn heed_revocation(&mut self) {
        let Some((worker, _)) = self.worker else { return };
        // As of when it was shown: a certificate may run out while the job runs.
        let (cert, shown_ms) = (self.voucher.0.as_deref(), self.voucher.1);
        let trust = self.client.trust.get();
        if let Err(reason) = trust.vouched(&worker, self.launched.job().worker(), cert, shown_ms) {
            self.session = Session::None;
            self.worker = None;
            self.instance = None;
            self.distrust(UntrustedWorker { worker, reason });
        }
    }

    fn distrust(&mut self, worker: UntrustedWorker) {
        if self.untrusted.len() < MAX_UNTRUSTED && !self.untrusted.contains(&worker) {
            tracing::warn!(worker = %worker.worker, reason = %worker.reason, "a worker is not trusted");
            self.untrusted.push(worker.clone());
            self.reporter.report(Event::Untrusted(worker));
        }
    }
}

impl Session {
    /// The handler's answer; never, if none is at work.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    async fn answer(&mut self) -> Result<Answer, ErrorMember> {
        match self {
            Self::Options(_, handler) | Self::Payload(_, handler) | Self::Status(_, handler, _) => {
                handler.answer().await
            }
            Self::None | Self::Ready(_) | Self::Done(_) => std::future::pending().await,
        }
    }
}
