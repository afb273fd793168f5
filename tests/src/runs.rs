//! How often functions have run.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use subrosa_client::JobId;
use subrosa_worker::{Job, Launched};

/// Counts the runs of each attempt at each job. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Runs(Arc<Mutex<BTreeMap<(JobId, u16), u32>>>);

impl Runs {
    /// Counts one, for the job that a function was given.
    pub fn count(&self, job: &Job<Launched>) {
        *self.0.lock().unwrap().entry((*job.id(), job.attempt())).or_default() += 1;
    }

    /// Each job and attempt, and how often it has run.
    pub fn all(&self) -> Vec<(JobId, u16, u32)> {
        self.0.lock().unwrap().iter().map(|(&(job, attempt), &runs)| (job, attempt, runs)).collect()
    }
}
