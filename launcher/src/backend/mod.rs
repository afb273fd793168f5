//! Workers that the launcher starts itself.

mod child;
mod delivery;
mod docker;
mod held;
mod process;
mod running;
mod told;

use std::{sync::Arc, time::Duration};

use subrosa_protocol::id::WorkerName;
use subrosa_transport::{Absences, Backoff, Queue};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::docker::DockerError;
use self::{delivery::Puller, docker::Containers, held::Held};
use crate::{
    config::{Backend, PerJob, Process, WorkerPolicy},
    error::Error,
    guard::{Guard, Waiting},
    office::Shared,
};

/// One worker that is started per job.
pub(crate) struct Started {
    pub(crate) office: Shared,
    pub(crate) name: WorkerName,
    pub(crate) runs: Runs,
    pub(crate) per_job: PerJob,
    /// What it is told to check itself.
    pub(crate) policy: Option<WorkerPolicy>,
    pub(crate) held: Held,
    /// Jobs that were delivered and have no record.
    pub(crate) absences: Absences,
    /// The launcher is about to end.
    pub(crate) stop: CancellationToken,
}

impl Started {
    /// Does ahead what the next job need not wait for.
    fn prepare(&self) {
        if let Runs::Process(_, guard) = &self.runs
            && !self.stop.is_cancelled()
        {
            guard.prepare();
        }
    }
}

/// How it is started.
pub(crate) enum Runs {
    /// As a process, which the guard ties to this one.
    Process(Process, Waiting),
    /// In a container.
    Containers(Containers),
}

/// All pullers.
pub(crate) struct Backends {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Backends {
    /// Opens the queues of all workers that are started here, and pulls for each of their slots.
    pub(crate) async fn start(office: &Shared, guard: &Guard) -> Result<Self, Error> {
        let backends = Self { stop: CancellationToken::new(), tasks: TaskTracker::new() };
        for worker in office.workers.values() {
            let Some(per_job) = worker.backend.per_job() else { continue };
            let runs = match &worker.backend {
                Backend::Resident => continue,
                Backend::Process(process) => Runs::Process((**process).clone(), Waiting::new(guard.clone())),
                Backend::Docker(docker) => Runs::Containers(
                    Containers::open(docker, office, &worker.name)
                        .await
                        .map_err(|reason| Error::Docker { worker: worker.name.clone(), reason })?,
                ),
            };
            let queue = Queue::open(&office.connection, &office.namespace, &worker.name).await?;
            let started = Arc::new(Started {
                office: office.clone(),
                name: worker.name.clone(),
                runs,
                per_job: per_job.clone(),
                policy: worker.policy.clone(),
                held: Held::default(),
                absences: Absences::default(),
                stop: backends.stop.clone(),
            });
            for _ in 0..per_job.max_running {
                let puller = Puller::new(started.clone(), queue.ack_wait());
                backends.tasks.spawn(pull(puller, queue.another()));
            }
        }
        Ok(backends)
    }

    /// Pulls nothing more, and lets what runs finish, up to a limit.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// One slot: one job after another.
async fn pull(puller: Puller, mut queue: Queue) {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
    loop {
        puller.started.prepare();
        let delivery = tokio::select! {
            biased;
            () = puller.stopped() => return,
            delivery = queue.next() => delivery,
        };
        match delivery {
            Ok(delivery) => {
                backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
                puller.received(delivery).await;
            }
            Err(error) => {
                tracing::error!(worker = %puller.name(), %error, "no jobs can be pulled");
                tokio::select! {
                    () = puller.stopped() => return,
                    () = backoff.wait() => {}
                }
            }
        }
    }
}
