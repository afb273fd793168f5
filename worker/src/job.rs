//! A job, as the worker's function sees it.

use std::{fmt, marker::PhantomData, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use subrosa_protocol::{
    id::JobId,
    identity::Thumbprint,
    wire::{Body, Event, Json, LogLevel, Raw},
};
use tokio_util::sync::CancellationToken;

use crate::{Failure, attempt::Attempt};

/// A job's step: nothing has been asked for yet.
#[derive(Debug)]
pub enum Launched {}
/// A job's step: the client's options are here.
#[derive(Debug)]
pub enum Prepared {}
/// A job's step: the payload is here.
#[derive(Debug)]
pub enum Running {}

/// A sealed job, at one of its steps: [`Launched`], [`Prepared`] or [`Running`].
///
/// ```
/// # use serde_json::{Value, json};
/// # use subrosa_worker::{Done, Failure, Job, Launched};
/// async fn double(job: Job<Launched>) -> Result<Done, Failure> {
///     let (_, job) = job.options::<Value>(&json!({ "version": 1 })).await?;
///     let (number, job) = job.ready::<u32>(&()).await?;
///     job.progress(0.5, "doubling");
///     let twice = number.checked_mul(2).ok_or_else(|| Failure::bad_input("too large"))?;
///     job.done(&twice).await
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let run = subrosa_testing::run(double).payload(21).await;
/// assert_eq!(run.result::<u32>().unwrap(), 42);
/// # }
/// ```
///
/// Each step consumes the job and returns it at the next one, so that the order cannot be mistaken:
///
/// ```compile_fail,E0599
/// # use subrosa_worker::{Job, Launched, Failure, Done};
/// async fn hasty(job: Job<Launched>) -> Result<Done, Failure> {
///     let (payload, job) = job.ready::<u32>(&()).await?; // the options come first
///     job.done(&payload).await
/// }
/// ```
///
/// ```compile_fail,E0382
/// # use subrosa_worker::{Job, Launched, Failure, Done};
/// async fn twice(job: Job<Launched>) -> Result<Done, Failure> {
///     let (_, job) = job.options::<u32>(&()).await?;
///     let (payload, job) = job.ready::<u32>(&()).await?;
///     job.done(&payload).await?;
///     job.done(&payload).await // there is one result
/// }
/// ```
pub struct Job<Step> {
    attempt: Arc<Attempt>,
    step: PhantomData<fn() -> Step>,
}

/// The client has the result. Only [`Job::done`] makes one.
#[derive(Debug)]
pub struct Done(());

impl<Step> Job<Step> {
    fn at(attempt: Arc<Attempt>) -> Self {
        Self { attempt, step: PhantomData }
    }

    /// The job's id, which is public.
    pub fn id(&self) -> &JobId {
        self.attempt.job.id()
    }

    /// The caller's identity: the job's owner, who has signed it. None if the job is anonymous, whoever
    /// co-signed.
    pub fn caller(&self) -> Option<&Thumbprint> {
        self.attempt.job.description().client.as_ref()
    }

    /// Everyone who signed the job. Other signers than the caller only authorise.
    pub fn signers(&self) -> impl Iterator<Item = &Thumbprint> {
        self.attempt.signers.iter()
    }

    /// The job's public label.
    pub fn label(&self) -> Option<&str> {
        self.attempt.job.description().label.as_deref()
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u16 {
        self.attempt.holder.attempt.get()
    }

    /// Cancelled when the work is of no more use: the job was cancelled or taken over, or its time is up.
    /// The function itself is dropped then; what it runs elsewhere (threads, processes) has to watch this.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.attempt.cancelled
    }
}

impl Job<Launched> {
    pub(crate) fn new(attempt: Arc<Attempt>) -> Self {
        Self::at(attempt)
    }

    /// Sends the worker's public parameters, sealed, and waits for the client's options.
    ///
    /// # Errors
    ///
    /// Options of another type. To be passed on with `?`, like all errors of a job's steps.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the job fails if this is dropped halfway.
    pub async fn options<T: DeserializeOwned>(
        self,
        parameters: &impl Serialize,
    ) -> Result<(T, Job<Prepared>), Failure> {
        let opened = self.attempt.options(Json(parameters)).await?;
        let options = opened.json().map_err(|error| Failure::body("options", &error))?;
        Ok((options, Job::at(self.attempt)))
    }
}

impl Job<Prepared> {
    /// Says that the worker is ready, and waits for the payload.
    ///
    /// # Errors
    ///
    /// A payload of another type, or not the one that the job binds.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the job fails if this is dropped halfway.
    pub async fn ready<T: DeserializeOwned>(
        self,
        body: &impl Serialize,
    ) -> Result<(T, Job<Running>), Failure> {
        let opened = self.attempt.ready(Json(body)).await?;
        let payload = opened.json().map_err(|error| Failure::body("payload", &error))?;
        Ok((payload, Job::at(self.attempt)))
    }

    /// As [`Job::ready`], for a payload of bytes.
    ///
    /// # Errors
    ///
    /// As for [`Job::ready`].
    pub async fn ready_bytes(self, body: &impl Serialize) -> Result<(Vec<u8>, Job<Running>), Failure> {
        let opened = self.attempt.ready(Json(body)).await?;
        let bytes = opened.bytes().map_err(|error| Failure::body("payload", &error))?.to_vec();
        Ok((bytes, Job::at(self.attempt)))
    }
}

impl<Step: Reports> Job<Step> {
    /// Reports how far the work is, from 0.0 to 1.0, sealed. Returns at once; a report may get lost.
    pub fn progress(&self, fraction: f64, message: &str) {
        self.attempt.report(Event::progress(fraction, message));
    }

    /// Sends a line to the client's log, sealed. Returns at once; a line may get lost.
    pub fn log(&self, level: LogLevel, line: &str) {
        self.attempt.report(Event::log(level, line));
    }
}

impl Job<Running> {
    /// Sends the result, and waits until the client has it.
    ///
    /// # Errors
    ///
    /// A result that does not fit one message, or has no JSON form.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe.
    pub async fn done(self, result: &impl Serialize) -> Result<Done, Failure> {
        self.finish(Json(result)).await
    }

    /// As [`Job::done`], for a result of bytes.
    ///
    /// # Errors
    ///
    /// As for [`Job::done`].
    pub async fn done_bytes(self, result: impl AsRef<[u8]>) -> Result<Done, Failure> {
        self.finish(Raw(result)).await
    }

    async fn finish(self, result: impl Body) -> Result<Done, Failure> {
        self.attempt.done(result).await?;
        Ok(Done(()))
    }
}

/// Steps at which a job can report: those after the client's options.
pub trait Reports: sealed::Sealed {}
impl Reports for Prepared {}
impl Reports for Running {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Prepared {}
    impl Sealed for super::Running {}
}

impl<Step> fmt::Debug for Job<Step> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({})", self.id())
    }
}
