//! Describing a job, and launching it.

use std::{collections::BTreeSet, fmt, future::Future, time::Duration};

use serde::Serialize;
use subrosa_protocol::{
    identity::{SigningKey, Thumbprint},
    launch::LaunchRequest,
    session::client::Launched,
    subject::Service,
    wire::Erased,
};
use subrosa_transport::{now_ms, trace::TARGET};
use tokio::{sync::oneshot, time::Instant};
use tracing::{Instrument as _, Span};

use crate::{
    CancelToken, Client, Draft, HandlerError, Job, JobSecrets, LaunchError, Parameters, PreparedJob, Ticket,
    Timings,
    dispatch::Mail,
    driver::{Driver, Orders},
    event,
    handler::{Answer, Handler, Handlers},
    launcher::NotLaunched,
    linger::{Left, Token, linger},
    outcome::OnDrop,
};

/// Bytes, sent as they are instead of as JSON.
#[derive(Clone, Debug)]
pub struct Bytes(pub Vec<u8>);

/// A job that is being described.
///
/// ```
/// # use std::time::Duration;
/// # use serde_json::{Value, json};
/// # use subrosa_client::HandlerError;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = subrosa_testing::client(subrosa_testing::values(json!({ "version": 2 }), 78)).await;
/// let job = client
///     .job("adds-one")
///     .label("invoice 4711") // public
///     .timeout(Duration::from_secs(60))
///     .options(|parameters| async move {
///         let version = parameters.json::<Value>()?["version"].clone();
///         if version == 2 { Ok(json!({ "exact": true })) } else { Err(HandlerError::new("too old")) }
///     })
///     .payload_value(77)
///     .launch()
///     .await?;
/// assert_eq!(job.result::<u32>().await?.value, 78);
/// # Ok(())
/// # }
/// ```
#[must_use = "a job is launched by `launch`"]
pub struct JobBuilder<'a, J = Described<'a>> {
    client: &'a Client,
    job: J,
    handlers: Handlers,
}

/// A job that is made as it is launched.
#[derive(Debug)]
pub struct Described<'a> {
    draft: Draft,
    signers: Vec<&'a SigningKey>,
}

impl<'a> JobBuilder<'a> {
    pub(crate) fn new(client: &'a Client, worker: String) -> Self {
        let job = Described { draft: Draft::new(worker), signers: Vec::new() };
        Self { client, job, handlers: Handlers::none() }
    }
}

impl<'a> JobBuilder<'a, PreparedJob> {
    pub(crate) fn prepared(client: &'a Client, job: PreparedJob) -> Self {
        Self { client, job, handlers: Handlers::none() }
    }
}

impl<'a> JobBuilder<'a, Ticket> {
    pub(crate) fn ticket(client: &'a Client, mut ticket: Ticket) -> Self {
        let handlers = ticket.handlers();
        Self { client, job: ticket, handlers }
    }
}

/// What answers the worker, whichever way the job was made.
impl<J> JobBuilder<'_, J> {
    /// What answers the worker's `options`. It is given the worker's public parameters, and asked again if
    /// a further attempt is made.
    pub fn options<F, Fut, T>(mut self, handler: F) -> Self
    where
        F: Fn(Parameters) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, HandlerError>> + Send + 'static,
        T: Serialize + Send + 'static,
    {
        self.handlers.options = Handler::new(handler, Answer::json);
        self
    }

    /// The client's options, if they do not depend on the worker.
    pub fn options_value(mut self, options: impl Serialize + Send + Sync + 'static) -> Self {
        self.handlers.options = Handler::value(options);
        self
    }

    /// What makes the payload when the worker is ready for it.
    pub fn payload<F, Fut, T>(mut self, handler: F) -> Self
    where
        F: Fn(Parameters) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, HandlerError>> + Send + 'static,
        T: Serialize + Send + 'static,
    {
        self.handlers.payload = Handler::new(handler, Answer::json);
        self
    }

    /// The payload, if it is there already.
    pub fn payload_value(mut self, payload: impl Serialize + Send + Sync + 'static) -> Self {
        self.handlers.payload = Handler::value(payload);
        self
    }

    /// The payload as bytes. They are overwritten when the job is over.
    pub fn payload_bytes(mut self, payload: Bytes) -> Self {
        self.handlers.payload = Handler::raw(bytes::Bytes::from_owner(Erased::new(payload.0)));
        self
    }

    /// What judges the result before the job is closed, and makes the client's status. If it fails, the job
    /// has failed.
    pub fn status<F, Fut, T>(mut self, handler: F) -> Self
    where
        F: Fn(Parameters) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, HandlerError>> + Send + 'static,
        T: Serialize + Send + 'static,
    {
        self.handlers.status = Handler::new(handler, Answer::json);
        self
    }

    /// The client's status, whatever the result is.
    pub fn status_value(mut self, status: impl Serialize + Send + Sync + 'static) -> Self {
        self.handlers.status = Handler::value(status);
        self
    }
}

impl<'a> JobBuilder<'a> {
    /// A public text of up to 1 KiB. Everyone between client and worker can read it.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.job.draft.label = Some(label.into());
        self
    }

    /// How long the job may wait for a worker. 10 minutes by default, at most 24 h.
    pub fn expires_in(mut self, expires_in: Duration) -> Self {
        self.job.draft.expires_in = expires_in;
        self
    }

    /// How long one attempt may run once it has the payload. 10 minutes by default, at most 24 h.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.job.draft.timeout = timeout;
        self
    }

    /// How many attempts may be made if workers are lost: 1 to 10, 3 by default. A failure that the worker
    /// returns is never tried again.
    pub fn max_attempts(mut self, max_attempts: u16) -> Self {
        self.job.draft.max_attempts = max_attempts;
        self
    }

    /// Binds the job to this payload: its signers approve that and no other. The worker refuses any other
    /// that a handler may make, and the hash in the job, which is public, is salted.
    ///
    /// ```
    /// # use subrosa_client::{JobError, StepCode};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = subrosa_testing::client(subrosa_testing::values((), 78)).await;
    /// let job = client.job("adds-one").bind_input(&77).payload_value(77).launch().await?;
    /// assert_eq!(job.result::<u32>().await?.value, 78);
    ///
    /// let job = client.job("adds-one").bind_input(&77).payload_value(76).launch().await?;
    /// let refused = job.result::<u32>().await.unwrap_err();
    /// assert!(matches!(refused, JobError::Worker { code: StepCode::BadInput, .. }));
    /// # Ok(())
    /// # }
    /// ```
    pub fn bind_input(mut self, payload: &impl Serialize) -> Self {
        self.job.draft = self.job.draft.bind_input(payload);
        self
    }

    /// As [`JobBuilder::bind_input`], for a payload of bytes.
    pub fn bind_input_bytes(mut self, payload: &[u8]) -> Self {
        self.job.draft = self.job.draft.bind_input_bytes(payload);
        self
    }

    /// The token that cancels the job. A random one by default, which nobody else has then.
    pub fn cancel_token(mut self, token: CancelToken) -> Self {
        self.job.draft = self.job.draft.cancel_token(token);
        self
    }

    /// Another party's signature, which authorises the job but does not make that party its owner.
    pub fn signed_by(mut self, key: &'a SigningKey) -> Self {
        self.job.signers.push(key);
        self
    }

    /// Makes the job's keys and launches it.
    ///
    /// # Errors
    ///
    /// A job that breaks a rule, a launcher that refuses it, or none that answers. See [`LaunchError`].
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the job may be launched or not. Without its keys nobody can answer it.
    pub async fn launch(self) -> Result<Job, LaunchError> {
        let Self { client, job: Described { mut draft, signers }, handlers } = self;
        let identity = client.0.identity.as_ref();
        draft.owner = identity.map(SigningKey::thumbprint);
        let PreparedJob { request, secrets } = draft.prepare_under(client.0.reply.clone())?;
        let signers: Vec<&SigningKey> = identity.into_iter().chain(signers).collect();
        let request = LaunchRequest::new(request.job().clone(), &signers)?;
        let signers = signers.iter().map(|key| key.thumbprint()).collect();
        launch(client, PreparedJob { request, secrets }, signers, handlers, Unanswered::Cancel).await
    }
}

impl JobBuilder<'_, PreparedJob> {
    /// Launches the job. If no launcher answers, it can be launched again with the same secrets.
    ///
    /// # Errors
    ///
    /// A request that no launcher would take, secrets of another job, a client that does not listen under the
    /// job's reply token, a launcher that refuses it, or none that answers. See [`LaunchError`].
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the job may be launched or not.
    pub async fn launch(self) -> Result<Job, LaunchError> {
        let Self { client, job: prepared, handlers } = self;
        let PreparedJob { request, secrets } = &prepared;
        secrets.check_job(request.job())?;
        request.check_times(now_ms())?;
        let signers = request.verify()?.iter().copied().collect();
        client.0.listens_under(request)?;
        launch(client, prepared, signers, handlers, Unanswered::Leave).await
    }
}

impl JobBuilder<'_, Ticket> {
    /// Goes on with the job. Its result is fetched from where the worker has stored it; only an attempt after the
    /// one that was answered before is answered.
    ///
    /// What judges the result is [`JobBuilder::status`]: until it has, the job stays as it is, so that a result can
    /// be put away safely before it is removed. No worker hears of a status for a stored result.
    ///
    /// # Errors
    ///
    /// A client that does not listen under the job's reply token, or when no launcher answers or knows the job.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, but for the ticket.
    pub async fn resume(self) -> Result<Job, LaunchError> {
        let Self { client, job: ticket, handlers } = self;
        let Ticket { request, signers, secrets: JobSecrets { key, tokens, .. }, attempt, inputs, .. } =
            ticket;
        let client = client.0.clone();
        client.listens_under(&request)?;
        let document = request.job().clone();
        let id = *document.id();
        let mail = client.dispatch.listen(id);
        client.launchers.insist(&id, client.timing.admission).await?;
        let signers = signers.iter().copied().collect();
        let max_bytes = client.connection.max_payload();
        let launched = Launched::resumed(document, signers, key, attempt, max_bytes);
        let driver = Driver::new(client, launched, request, handlers, tokens).resuming(inputs);
        Ok(drive(driver, mail, OnDrop::Leave, tracing::debug_span!(target: TARGET, "job")))
    }
}

/// What becomes of a job that no launcher has answered for, and that may be queued all the same.
#[derive(PartialEq, Eq)]
enum Unanswered {
    /// It is cancelled, before workers wait for nobody: nobody has its keys any more.
    Cancel,
    /// It is left to be launched again.
    Leave,
}

async fn launch(
    client: &Client,
    prepared: PreparedJob,
    signers: BTreeSet<Thumbprint>,
    handlers: Handlers,
    unanswered: Unanswered,
) -> Result<Job, LaunchError> {
    let (client, launched_at) = (client.0.clone(), Instant::now());
    let PreparedJob { request, secrets: JobSecrets { key, tokens, .. } } = prepared;
    let document = request.job().clone();
    let id = *document.id();

    // Listened for from before the launch: a worker may be quick.
    let mail = client.dispatch.listen(id);
    let admission = client.timing.admission;
    // For those who trace: it lasts as long as somebody answers for the job.
    let traced = tracing::debug_span!(target: TARGET, "job");
    let span = traced.in_scope(|| tracing::debug_span!(target: TARGET, "launch"));
    let admitted = client.launchers.launch(document.worker(), request.bytes(), admission);
    let admitted = admitted.instrument(span).await;
    match admitted {
        // One that was made just now has ended since, while the answer was on its way: why, its result says.
        Ok(state) if state.is_end() && unanswered == Unanswered::Leave => {
            return Err(LaunchError::Ended { state: state.state });
        }
        Ok(_) => {}
        Err(NotLaunched { error, in_doubt }) => {
            if in_doubt && unanswered == Unanswered::Cancel {
                let token = Token { service: Service::Cancel, secret: tokens.cancel };
                let expires_ms = document.description().expires_ms;
                let left = Left { job: id, token, closed: None, expires_ms, now: true };
                tokio::spawn(async move { linger(&client, mail, left).await });
            }
            return Err(error);
        }
    }
    let queued = launched_at.elapsed();

    let launched = Launched::new(document, signers, key, client.connection.max_payload());
    let timings = Timings { queued, ..Timings::default() };
    let driver = Driver::new(client, launched, request, handlers, tokens).launched(launched_at, timings);
    Ok(drive(driver, mail, OnDrop::Cancel, traced))
}

/// Starts the job's task.
fn drive(driver: Driver, mail: Mail, on_drop: OnDrop, traced: Span) -> Job {
    let id = driver.id();
    let (reporter, events) = event::channel();
    let (result, outcome) = oneshot::channel();
    let orders = Orders::default();
    tokio::spawn(driver.reporting(reporter).run(mail, result, orders.clone()).instrument(traced));
    Job::launched(id, events, outcome, orders, on_drop)
}

impl<J> fmt::Debug for JobBuilder<'_, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobBuilder")
    }
}
