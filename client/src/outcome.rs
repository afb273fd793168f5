//! A job that is launched, and what comes of it.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use subrosa_protocol::{id::JobId, identity::Thumbprint, receipt::SaltedReceipt, wire::Opened};
use tokio::sync::oneshot;

use crate::{
    Canceller, DetachError, EventStream, JobError, Ticket, Timings,
    driver::{Orders, Taken},
    event,
};

/// A launched job. Dropping it gives the job up: its keys are overwritten, and it is cancelled. (A job that was
/// resumed with a [`Ticket`] is only left: whoever has the ticket still can fetch its result.)
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = subrosa_testing::client(subrosa_testing::values((), 78)).await;
/// let mut job = client.job("adds-one").payload_value(77).launch().await?;
/// let mut events = job.events();
/// println!("job {} is launched", job.id());
/// let (result, ()) = tokio::join!(job.result::<u32>(), async {
///     while let Some(event) = events.next().await {
///         println!("{event:?}");
///     }
/// });
/// assert_eq!(result?.value, 78);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Job {
    id: JobId,
    events: Option<EventStream>,
    outcome: oneshot::Receiver<Result<Ended, JobError>>,
    orders: Orders,
    on_drop: OnDrop,
}

/// What becomes of a job whose handle is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnDrop {
    /// It is cancelled.
    Cancel,
    /// It goes on, for whoever has its ticket.
    Leave,
}

/// What a job has come to for this client.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The result is here.
    Result(Finished),
    /// The job goes on without this client.
    Detached(Handed),
}

/// A ticket on its way to the application. If that has gone meanwhile, it goes back.
#[derive(Debug)]
pub(crate) struct Handed(Option<(Box<Ticket>, oneshot::Sender<Box<Ticket>>)>);

impl Handed {
    /// The ticket, and where it comes back to.
    pub(crate) fn new(ticket: Ticket) -> (Self, oneshot::Receiver<Box<Ticket>>) {
        let (back, returned) = oneshot::channel();
        (Self(Some((Box::new(ticket), back))), returned)
    }

    fn take(mut self) -> Result<Ticket, JobError> {
        self.0.take().map(|(ticket, _)| *ticket).ok_or(JobError::Closed)
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if let Some((ticket, back)) = self.0.take() {
            // Nobody waits for what was resumed.
            let _ = back.send(ticket);
        }
    }
}

/// A result that has arrived.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) taken: Taken,
    pub(crate) worker: Thumbprint,
    pub(crate) attempt: u16,
    pub(crate) timings: Timings,
}

/// A job's result, and how it came about.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = subrosa_testing::client(subrosa_testing::values((), 78)).await;
/// let job = client.job("adds-one").payload_value(77).launch().await?;
/// let outcome = job.result::<u32>().await?;
/// assert_eq!((outcome.value, outcome.attempt), (78, 1));
/// println!("{} took {:?}", outcome.worker, outcome.timings.done - outcome.timings.payload);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome<T> {
    /// The result.
    pub value: T,
    /// The key of the worker that made it.
    pub worker: Thumbprint,
    /// The attempt that it was made in, from 1.
    pub attempt: u16,
    /// The worker's receipt, which others can check offline, and the salt that goes with it.
    pub receipt: Arc<SaltedReceipt>,
    /// When each step was.
    pub timings: Timings,
}

impl Job {
    pub(crate) fn launched(
        id: JobId,
        events: EventStream,
        outcome: oneshot::Receiver<Result<Ended, JobError>>,
        orders: Orders,
        on_drop: OnDrop,
    ) -> Self {
        Self { id, events: Some(events), outcome, orders, on_drop }
    }

    /// The job's id, which is public.
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// The job's events since its launch. They can be taken once; later calls get an empty stream.
    pub fn events(&mut self) -> EventStream {
        self.events.take().unwrap_or_else(|| event::channel().1)
    }

    /// What cancels this job. It can be kept while the result is waited for; to drop the job cancels it too.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.orders.cancelled.clone())
    }

    /// Waits for the result. The worker has been told that it arrived, and the keys are overwritten.
    ///
    /// # Errors
    ///
    /// See [`JobError`].
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping it gives the job up.
    pub async fn result<T: DeserializeOwned>(self) -> Result<Outcome<T>, JobError> {
        self.finish(|opened| Ok(opened.json()?)).await
    }

    /// Waits for the result and returns its bytes as they are.
    ///
    /// # Errors
    ///
    /// As for [`Job::result`].
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping it gives the job up.
    pub async fn result_bytes(self) -> Result<Outcome<Vec<u8>>, JobError> {
        self.finish(|opened| Ok(opened.bytes()?.to_vec())).await
    }

    async fn finish<T>(
        mut self,
        read: impl FnOnce(&Opened) -> Result<T, JobError>,
    ) -> Result<Outcome<T>, JobError> {
        match (&mut self.outcome).await.unwrap_or(Err(JobError::Closed))? {
            Ended::Result(finished) => finished.outcome(read),
            // Only `detach` leads to one, which has the handle then.
            Ended::Detached(_) => Err(JobError::Closed),
        }
    }

    /// Leaves the job to itself: answers the worker until the job runs, and returns what opens its result later,
    /// in this process or another one. The session's keys are overwritten. Events end.
    ///
    /// Options and payload that were given as values are in the ticket; handlers are not: who resumes a job that
    /// has some gives them again, for the case that its worker is lost and a further attempt asks.
    ///
    /// # Errors
    ///
    /// A job that came to its end first: see [`DetachError`].
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping it gives the job up.
    pub async fn detach(mut self) -> Result<Ticket, DetachError> {
        self.orders.detaching.cancel();
        match (&mut self.outcome).await.unwrap_or(Err(JobError::Closed))? {
            Ended::Detached(handed) => Ok(handed.take()?),
            Ended::Result(finished) => {
                let outcome = finished.outcome(|opened| Ok(opened.bytes()?.to_vec()))?;
                Err(DetachError::Finished(Box::new(outcome)))
            }
        }
    }
}

impl Finished {
    fn outcome<T>(self, read: impl FnOnce(&Opened) -> Result<T, JobError>) -> Result<Outcome<T>, JobError> {
        let Self { taken: Taken { opened, receipt }, worker, attempt, timings } = self;
        Ok(Outcome { value: read(&opened)?, worker, attempt, receipt, timings })
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Cancel {
            self.orders.cancelled.cancel();
        }
    }
}
