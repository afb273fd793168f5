//! One job's task: what arrives, what the handlers answer, and when to stop waiting.

mod steps;

use std::{sync::Arc, time::Duration};

use rand::rngs::StdRng;
use serde_json::Value;
use subrosa_protocol::{
    id::JobId,
    identity::Thumbprint,
    job::CLOCK_TOLERANCE_MS,
    launch::LaunchRequest,
    refusal::Code,
    secret::Secret,
    session::client::{AwaitDone, AwaitReady, Closed, Launched, OwesOptions, OwesPayload, OwesStatus},
    subject::{ENDED, Service},
    wire::{ErrorMember, Opened},
};
use subrosa_transport::Backoff;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Event, JobError, LaunchError, State, Timings, UntrustedWorker,
    client::Shared,
    dispatch::Mail,
    event::Reporter,
    handler::{Answer, Handler, Running},
    job::Finished,
    linger::{self, Left, Token},
};

/// The longest time between two questions for a job's state.
const STATUS_MAX: Duration = Duration::from_secs(5 * 60);
/// Beyond its own times, how long each attempt may take for its steps.
const STEPS: Duration = Duration::from_secs(25 * 60);
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

/// The job's two tokens, whose hashes stand in it.
pub(crate) struct Tokens {
    pub(crate) cancel: Secret<32>,
    pub(crate) close: Secret<32>,
}

/// Where the session with the worker stands, and the handler that makes the next answer.
enum Session {
    /// No trusted worker has answered yet.
    None,
    Options(OwesOptions, Running),
    Ready(AwaitReady),
    Payload(OwesPayload, Running),
    Done(AwaitDone),
    Status(OwesStatus, Running, Arc<Opened>),
}

/// How a job is over for this client.
enum Over {
    /// The result is here, and the worker is told.
    Result(Closed, Arc<Opened>),
    /// There is no result; a step may have been answered with an error, or the worker's acknowledged.
    Failed(JobError, Option<Closed>),
}

/// A job's task.
pub(crate) struct Driver {
    client: Arc<Shared>,
    launched: Launched,
    request: LaunchRequest,
    handlers: Handlers,
    tokens: Tokens,
    rng: StdRng,
    reporter: Reporter,
    launched_at: Instant,
    timings: Timings,
    session: Session,
    /// The worker of the live session and its attempt.
    worker: Option<(Thumbprint, u16)>,
    untrusted: Vec<UntrustedWorker>,
}

impl Driver {
    pub(crate) fn new(
        client: Arc<Shared>,
        launched: Launched,
        request: LaunchRequest,
        handlers: Handlers,
        tokens: Tokens,
        rng: StdRng,
    ) -> Self {
        let (reporter, _) = crate::event::channel();
        Self {
            client,
            launched,
            request,
            handlers,
            tokens,
            rng,
            reporter,
            launched_at: Instant::now(),
            timings: Timings::default(),
            session: Session::None,
            worker: None,
            untrusted: Vec::new(),
        }
    }

    /// Where the job's events go, and what its times are counted from.
    pub(crate) fn reporting(mut self, reporter: Reporter, launched_at: Instant, timings: Timings) -> Self {
        self.reporter = reporter;
        self.launched_at = launched_at;
        self.timings = timings;
        self
    }

    fn id(&self) -> JobId {
        *self.launched.job().id()
    }

    /// Runs the job to its end for this client, hands out the outcome, and stays for what is left.
    pub(crate) async fn run(
        mut self,
        mut mail: Mail,
        outcome: oneshot::Sender<Result<Finished, JobError>>,
        dropped: CancellationToken,
    ) {
        self.reporter.report(Event::State(State::Queued));
        let over = tokio::select! {
            over = self.drive(&mut mail) => over,
            () = dropped.cancelled() => Over::Failed(JobError::Closed, None),
        };
        let client = self.client.clone();
        let job = self.id();
        let expires_ms = self.launched.job().description().expires_ms;
        let worker = self.worker;
        let timings = self.timings;
        // Every key of the job is overwritten here; one token is kept.
        let Self { tokens, .. } = self;
        let (result, token, closed, now) = match over {
            Over::Result(closed, opened) => {
                let finished = worker.map(|(worker, attempt)| Finished { opened, worker, attempt, timings });
                let token = Token { service: Service::Close, secret: tokens.close };
                (finished.ok_or(JobError::Closed), token, Some(closed), false)
            }
            Over::Failed(error, closed) => {
                let token = Token { service: Service::Cancel, secret: tokens.cancel };
                // Where the worker was answered, it writes the end itself.
                let now = closed.is_none();
                (Err(error), token, closed, now)
            }
        };
        let ended = matches!(&result, Err(JobError::Ended { .. }));
        // What was said last leaves before the outcome is known: the process may end on it.
        let _ = client.connection.flush().await;
        // The job's handle may be gone.
        let _ = outcome.send(result);
        if !ended {
            linger::linger(&client, mail, Left { job, token, closed, expires_ms, now }).await;
        }
    }

    async fn drive(&mut self, mail: &mut Mail) -> Over {
        let mut poll = Backoff::new(self.client.timing.status, STATUS_MAX);
        let mut ask = Instant::now() + poll.next_delay();
        loop {
            let deadline = self.deadline();
            let step = tokio::select! {
                message = mail.next() => match message {
                    Some(message) if message.kind == ENDED => {
                        // Only a hint to ask for the state.
                        ask = Instant::now();
                        Ok(None)
                    }
                    Some(message) => self.receive(message).await,
                    None => Err(JobError::Closed),
                },
                answer = self.session.answer() => self.answer(answer).await,
                () = sleep_until(ask) => {
                    ask = Instant::now() + poll.next_delay();
                    self.ask_state().await.map(|()| None)
                }
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
        let job = self.launched.job().description();
        let waiting = Duration::from_millis(job.expires_ms.saturating_sub(job.created_ms));
        match self.worker {
            None => self.launched_at + waiting + Duration::from_millis(CLOCK_TOLERANCE_MS.min(5000)),
            Some(_) => {
                let attempt = Duration::from_millis(job.timeout_ms) + STEPS;
                self.launched_at + waiting + attempt * u32::from(job.max_attempts)
            }
        }
    }

    fn too_late(&mut self) -> JobError {
        match self.worker {
            None => JobError::NoWorker { untrusted: std::mem::take(&mut self.untrusted) },
            Some(_) => JobError::Timeout,
        }
    }

    /// Asks a launcher for the job's state. An end is reported as what it is; a job without any record is
    /// launched again.
    async fn ask_state(&mut self) -> Result<(), JobError> {
        let patience = Duration::from_secs(10);
        match self.client.launchers.status(&self.id(), patience).await {
            Ok(state) if state.is_end() => {
                if self.worker.is_none() && !self.untrusted.is_empty() && state.state != "cancelled" {
                    return Err(self.too_late());
                }
                Err(JobError::Ended { state: state.state, code: state.code, reason: state.reason })
            }
            Err(LaunchError::Refused { code: Code::UnknownJob, .. }) => {
                let worker = self.launched.job().worker().clone();
                match self.client.launchers.launch(&worker, self.request.bytes(), patience).await {
                    Err(LaunchError::Refused { code: Code::Expired, .. }) => Err(self.too_late()),
                    _ => Ok(()),
                }
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn since_launch(&self) -> Duration {
        self.launched_at.elapsed()
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
