//! The jobs for which a child of this launcher runs, or is about to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use subrosa_protocol::id::JobId;
use subrosa_transport::Acker;
use tokio::sync::watch;

/// All of one worker's. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(Arc<Mutex<HashMap<JobId, watch::Sender<Acker>>>>);

/// One job; let go of when dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    held: Held,
    job: JobId,
    acker: watch::Receiver<Acker>,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, watch::Sender<Acker>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a job; hands the delivery to whoever does already.
    pub(crate) fn hold(&self, job: JobId, acker: &Acker) -> Option<Hold> {
        let mut held = self.lock();
        if let Some(line) = held.get(&job) {
            line.send_replace(acker.clone());
            return None;
        }
        let (sender, acker) = watch::channel(acker.clone());
        held.insert(job, sender);
        Some(Hold { held: self.clone(), job, acker })
    }
}

impl Hold {
    /// The newest delivery's.
    pub(crate) fn acker(&self) -> Acker {
        self.acker.borrow().clone()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.lock().remove(&self.job);
    }
}
