//! One job's task: what arrives, what the handlers answer, and when to stop waiting.

mod asking;
mod cancel;
mod leave;
mod steps;
mod stored;

use std::{sync::Arc, time::Duration};

use subrosa_protocol::{
    id::{Instance, JobId, Sha256Hash},
    identity::Thumbprint,
    launch::LaunchRequest,
    receipt::{Salt, SaltedReceipt},
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

use crate::{
    Event, JobError, State, Timings, UntrustedWorker,
    client::Shared,
    dispatch::Mail,
    event::Reporter,
    handler::{Answer, Handlers, Running},
    linger::{self, Left, Token},
    outcome::{Ended, Finished, Handed},
};

/// The longest time between two questions for a job's state.
const STATUS_MAX: Duration = Duration::from_secs(5 * 60);
/// How long the last answer may take to leave; no longer while the connection is down.
const FLUSH: Duration = Duration::from_secs(1);
/// Hints to ask for a job's state count at most this often.
const HINT: Duration = Duration::from_secs(1);
/// The first wait between two questions whether a job runs that is to be left; it doubles.
const LEAVING: Duration = Duration::from_millis(50);
/// So many untrusted workers are remembered.
const MAX_UNTRUSTED: usize = 16;

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
    /// A stored result is judged; the session that it is from is over.
    Stored(Running, Taken),
}

/// A result, and the receipt that holds for it.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) opened: Arc<Opened>,
    pub(crate) receipt: Arc<SaltedReceipt>,
}

/// How a job is over for this client.
enum Over {
    /// The result is here, and the worker is told, unless it has gone and the result was stored.
    Result(Option<Closed>, Taken),
    /// This client cancels it.
    Cancelled,
    /// There is no result; a step may have been answered with an error, or the worker's acknowledged.
    Failed(JobError, Option<Closed>),
    /// The application leaves, and takes the job's keys with it.
    Detached,
    /// The application has gone, or can do no more; the job goes on.
    Left(JobError),
}

/// What the application tells the job's task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders {
    pub(crate) cancelled: CancellationToken,
    pub(crate) detaching: CancellationToken,
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
    orders: Orders,
    /// Whether this client has come back with a ticket.
    resumed: bool,
    /// Since when nothing is stored of a job that is `finished`.
    missing: Option<Instant>,
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
            orders: Orders::default(),
            resumed: false,
            missing: None,
        }
    }

    /// For a client that has come back, and has sent this before.
    pub(crate) fn resuming(mut self, inputs: Inputs) -> Self {
        self.inputs = Some(inputs);
        self.resumed = true;
        self
    }

    /// Where the job's events go.
    pub(crate) fn reporting(self, reporter: Reporter) -> Self {
        Self { reporter, ..self }
    }

    /// What the job's times are counted from.
    pub(crate) fn launched(self, launched_at: Instant, timings: Timings) -> Self {
        Self { launched_at, timings, ..self }
    }

    /// Everything else is erased when this returns.
    fn into_tokens(self) -> Tokens {
        self.tokens
    }

    pub(crate) fn id(&self) -> JobId {
        *self.launched.job().id()
    }

    /// Runs the job to its end for this client, hands out the outcome, and stays for what is left.
    pub(crate) async fn run(
        mut self,
        mut mail: Mail,
        mut outcome: oneshot::Sender<Result<Ended, JobError>>,
        orders: Orders,
    ) {
        self.orders = orders.clone();
        let resumed = self.resumed;
        if !resumed {
            self.reporter.report(Event::State(State::Queued));
        }
        let over = tokio::select! {
            over = self.drive(&mut mail) => over,
            () = orders.cancelled.cancelled() => Over::Cancelled,
            () = outcome.closed(), if resumed => Over::Left(JobError::Closed),
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
                (finished.map(Ended::Result).ok_or(JobError::Closed), token, closed, now)
            }
            Over::Detached => {
                drop(mail);
                let (handed, back) = self.into_ticket().map(Handed::new).unzip();
                let _ = outcome.send(handed.map(Ended::Detached).ok_or(JobError::Closed));
                // If the job's handle is gone, nobody else could ever end it, unless there was a ticket before.
                if let (Some(back), false) = (back, resumed)
                    && let Ok(ticket) = back.await
                {
                    let token = Token { service: Service::Cancel, secret: ticket.secrets.tokens.cancel };
                    let left = Left { job, token, closed: None, expires_ms, now: true };
                    linger::linger(&client, client.dispatch.listen(job), left).await;
                }
                return;
            }
            Over::Left(error) => {
                drop((self, mail));
                let _ = outcome.send(Err(error));
                return;
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
        let mut asked = Instant::now();
        // Whoever comes back asks first.
        let mut ask = if self.resumed { asked } else { asked + poll.next_delay() };
        let (mut detaching, mut leaves) = (false, false);
        // On a task of its own: a launcher that does not answer must not keep the worker waiting.
        let mut question = JoinSet::new();
        let mut trust = self.client.trust.changes();
        loop {
            let deadline = self.deadline();
            if self.may_leave() && !leaves {
                poll = Backoff::new(LEAVING, self.client.timing.status);
                ask = ask.min(Instant::now());
            }
            leaves = self.may_leave();
            if self.missing.is_some() {
                ask = ask.min(asked + HINT);
            }
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
                () = self.orders.detaching.cancelled(), if !detaching => {
                    detaching = true;
                    Ok(None)
                }
                Some(answer) = question.join_next() => match answer {
                    Ok(Some(answer)) => self.judge_state(answer),
                    // Nothing is known by it, however long the pauses are by now.
                    Ok(None) | Err(_) => {
                        let status = self.client.timing.status;
                        ask = ask.min(Instant::now() + Backoff::new(status, status).next_delay());
                        Ok(None)
                    }
                },
                () = sleep_until(deadline) => Err(self.too_late()),
            };
            match step {
                Ok(None) => {}
                Ok(Some(over)) => return over,
                Err(error) => return self.over(error),
            }
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
            Self::Options(_, handler)
            | Self::Payload(_, handler)
            | Self::Status(_, handler, _)
            | Self::Stored(handler, _) => handler.answer().await,
            Self::None | Self::Ready(_) | Self::Done(_) => std::future::pending().await,
        }
    }
}
