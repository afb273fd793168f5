//! Whether a process is alive, and whether it is ready.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::AbortHandle;

/// Why something is not so.
type Reason = Cow<'static, str>;
/// Says why not, if something is not so.
type Condition = Box<dyn Fn() -> Result<(), Reason> + Send + Sync>;

/// What has to be so for a process to be alive, and to be ready. Clones share it.
///
/// ```
/// use subrosa_telemetry::Health;
///
/// let health = Health::new();
/// assert_eq!(health.unready(), ["it is starting"]);
/// health.require(|| Err("the moon is not full".into()));
/// health.started();
/// assert_eq!(health.unready(), ["the moon is not full"]);
/// health.drain();
/// assert_eq!(health.unready().first().map(|reason| &**reason), Some("it is about to end"));
/// ```
#[derive(Clone, Default)]
pub struct Health(Arc<Inner>);

#[derive(Default)]
struct Inner {
    started: AtomicBool,
    draining: AtomicBool,
    conditions: Mutex<Vec<Condition>>,
    tasks: Mutex<Vec<(&'static str, AbortHandle)>>,
}

impl Health {
    /// A process that is starting.
    pub fn new() -> Self {
        Self::default()
    }

    /// The process is ready only while this says nothing against it. It is asked each time, and must not wait.
    pub fn require(&self, condition: impl Fn() -> Result<(), Reason> + Send + Sync + 'static) {
        lock(&self.0.conditions).push(Box::new(condition));
    }

    /// The process is alive only while this task runs, until it drains.
    pub fn watch(&self, name: &'static str, task: AbortHandle) {
        lock(&self.0.tasks).push((name, task));
    }

    /// It has everything that it needs.
    pub fn started(&self) {
        self.0.started.store(true, Ordering::SeqCst);
    }

    /// It takes nothing more, and is not ready from now on.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
    }

    /// Why it is not ready; nothing if it is.
    pub fn unready(&self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if self.0.draining.load(Ordering::SeqCst) {
            reasons.push("it is about to end".into());
        }
        if !self.0.started.load(Ordering::SeqCst) {
            reasons.push("it is starting".into());
        }
        reasons.extend(lock(&self.0.conditions).iter().filter_map(|condition| condition().err()));
        reasons.extend(self.dead().into_iter().map(|task| format!("the task {task} has ended").into()));
        reasons
    }

    /// The tasks that should run and do not.
    pub fn dead(&self) -> Vec<&'static str> {
        if self.0.draining.load(Ordering::SeqCst) {
            return Vec::new();
        }
        let tasks = lock(&self.0.tasks);
        tasks.iter().filter(|(_, task)| task.is_finished()).map(|(name, _)| *name).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Health")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_has_ended_is_told_until_the_process_drains() {
        let health = Health::new();
        health.started();
        let ended = tokio::spawn(async {});
        let handle = ended.abort_handle();
        ended.await.unwrap();
        let running = tokio::spawn(std::future::pending::<()>());
        health.watch("sweep", handle);
        health.watch("services", running.abort_handle());
        assert_eq!(health.dead(), ["sweep"]);
        assert_eq!(health.unready(), ["the task sweep has ended"]);
        health.drain();
        assert!(health.dead().is_empty(), "tasks end then");
    }
}
