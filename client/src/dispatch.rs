//! One subscription for all jobs: each message goes to its job's task.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use rand::RngExt as _;
use subrosa_protocol::{id::JobId, subject::ENDED};
use subrosa_transport::Subscription;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Messages of one job that wait to be looked at; more are dropped. Steps come again.
const WAITING: usize = 256;
/// Over how long the questions of all jobs are spread after a reconnect: a launcher answers only so many at once.
const SPREAD: Duration = Duration::from_secs(1);

/// A message for a job.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// The last token of its subject.
    pub(crate) kind: String,
    pub(crate) payload: Bytes,
    pub(crate) reply: Option<String>,
}

impl Inbound {
    /// Sends a hint that the job may have ended, which says nothing else.
    fn hint(job: &mpsc::Sender<Self>) {
        // Full, or just over.
        let _ = job.try_send(Self { kind: ENDED.to_owned(), payload: Bytes::new(), reply: None });
    }
}

#[derive(Debug)]
struct Table {
    jobs: Mutex<HashMap<JobId, mpsc::Sender<Inbound>>>,
    count: watch::Sender<usize>,
    /// Ends the task that dispatches, with the last clone.
    _open: DropGuard,
}

/// The jobs that are listened for. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch(Arc<Table>);

/// A job's place; given up when dropped.
#[derive(Debug)]
pub(crate) struct Mail {
    dispatch: Dispatch,
    job: JobId,
    messages: mpsc::Receiver<Inbound>,
    /// Its own place among the jobs, which another one may have taken by now.
    place: mpsc::WeakSender<Inbound>,
}

impl Dispatch {
    /// Dispatches until the connection is closed or the last clone is gone. Whenever `reconnects` changes, every job
    /// is soon given the hint to ask for its state: it may have missed its end.
    pub(crate) fn start(mut messages: Subscription, mut reconnects: watch::Receiver<u64>) -> Self {
        let closed = CancellationToken::new();
        let _open = closed.clone().drop_guard();
        let dispatch = Self(Arc::new(Table { jobs: Mutex::default(), count: watch::Sender::new(0), _open }));
        let table = Arc::downgrade(&dispatch.0);
        tokio::spawn(async move {
            loop {
                let message = tokio::select! {
                    () = closed.cancelled() => return,
                    message = messages.next() => message,
                    Ok(()) = reconnects.changed() => {
                        let Some(table) = table.upgrade() else { return };
                        Self(table).hint_all();
                        continue;
                    }
                };
                let (Some(message), Some(table)) = (message, table.upgrade()) else { return };
                let mut tokens = message.subject.rsplitn(3, '.');
                let (Some(kind), Some(job)) = (tokens.next(), tokens.next()) else { continue };
                let Ok(job) = job.parse::<JobId>() else { continue };
                let sender = Self(table).lock().get(&job).cloned();
                if let Some(sender) = sender {
                    let (kind, reply) = (kind.to_owned(), message.reply);
                    // Full, or just over.
                    let _ = sender.try_send(Inbound { kind, payload: message.payload, reply });
                }
            }
        });
        dispatch
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, mpsc::Sender<Inbound>>> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hints every job, each at a moment of its own.
    fn hint_all(&self) {
        for job in self.lock().values() {
            // Weakly: whose place is taken, or who is gone, is not kept waiting.
            let (job, delay) = (job.downgrade(), SPREAD.mul_f64(rand::rng().random()));
            tokio::spawn(async move {
                sleep(delay).await;
                job.upgrade().as_ref().map(Inbound::hint);
            });
        }
    }

    /// Listens for a job; who has listened for it before hears no more.
    pub(crate) fn listen(&self, job: JobId) -> Mail {
        let (sender, messages) = mpsc::channel(WAITING);
        let place = sender.downgrade();
        let mut jobs = self.lock();
        jobs.insert(job, sender);
        self.0.count.send_replace(jobs.len());
        Mail { dispatch: self.clone(), job, messages, place }
    }

    /// Waits until no job is listened for.
    pub(crate) async fn all_over(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.count.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Mail {
    /// The next message of the job.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Inbound> {
        self.messages.recv().await
    }
}

impl Drop for Mail {
    fn drop(&mut self) {
        let mut jobs = self.dispatch.lock();
        // Whoever goes on with the same job may listen already.
        let own = self.place.upgrade();
        if jobs.get(&self.job).zip(own).is_some_and(|(sender, own)| sender.same_channel(&own)) {
            jobs.remove(&self.job);
        }
        self.dispatch.0.count.send_replace(jobs.len());
    }
}
