//! The attempts that this process holds.

use std::{
    collections::{HashMap, hash_map},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bytes::Bytes;
use subrosa_protocol::id::{Attempt, JobId};
use subrosa_transport::Acker;
use tokio::sync::watch;

use crate::attempt;

/// What reaches a held attempt from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// The newest delivery of its message; none in single-job mode.
    pub(crate) acker: Option<Acker>,
    /// A record that ended the job was shown.
    pub(crate) ended: bool,
}

struct Entry {
    attempt: Attempt,
    line: watch::Sender<Line>,
    /// The attempt itself, once its `taken` is accepted.
    work: Weak<attempt::Attempt>,
}

/// All held attempts, at most one a job. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Held(Arc<Mutex<HashMap<JobId, Entry>>>);

/// One held attempt; let go of when dropped.
pub(crate) struct Hold {
    held: Held,
    job: JobId,
    pub(crate) line: watch::Receiver<Line>,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds an attempt, from before its `taken` is published; none if the job is held already.
    pub(crate) fn hold(&self, job: JobId, attempt: Attempt, acker: Option<Acker>) -> Option<Hold> {
        match self.lock().entry(job) {
            hash_map::Entry::Occupied(_) => None,
            hash_map::Entry::Vacant(place) => {
                let (sender, line) = watch::channel(Line { acker, ended: false });
                place.insert(Entry { attempt, line: sender, work: Weak::new() });
                Some(Hold { held: self.clone(), job, line })
            }
        }
    }

    /// Whether this attempt at the job is held.
    pub(crate) fn holds(&self, job: &JobId, attempt: Attempt) -> bool {
        self.lock().get(job).is_some_and(|entry| entry.attempt == attempt)
    }

    /// Whether any attempt at the job is held.
    pub(crate) fn holds_any(&self, job: &JobId) -> bool {
        self.lock().contains_key(job)
    }

    /// Hands a new delivery to whoever holds the job; false if nobody does.
    pub(crate) fn redeliver(&self, job: &JobId, acker: &Acker) -> bool {
        let held = self.lock();
        let entry = held.get(job);
        entry.inspect(|entry| entry.line.send_modify(|line| line.acker = Some(acker.clone()))).is_some()
    }

    /// Shows whoever holds the job its client's `cancel`. The answer, if it is one.
    pub(crate) fn cancel(&self, job: &JobId, envelope: &[u8]) -> Option<Bytes> {
        let work = self.lock().get(job)?.work.upgrade()?;
        work.cancel(envelope)
    }

    /// Tells whoever holds the job that it has ended.
    pub(crate) fn end(&self, job: &JobId) {
        if let Some(entry) = self.lock().get(job) {
            entry.line.send_modify(|line| line.ended = true);
        }
    }
}

impl Hold {
    /// From now on, this attempt can be cancelled by its client.
    pub(crate) fn works(&self, work: &Arc<attempt::Attempt>) {
        if let Some(entry) = self.held.lock().get_mut(&self.job) {
            entry.work = Arc::downgrade(work);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.lock().remove(&self.job);
    }
}
