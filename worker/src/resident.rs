//! The resident way: pulls jobs for free slots only, many at once, until it is told to stop.

use std::time::Duration;

use subrosa_transport::{Queue, QueueError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Function, delivery, process::Shared};

/// Serves until `draining` is cancelled and what ran then has ended.
pub(crate) async fn serve(
    process: &Shared,
    function: &Function,
    slots: usize,
    draining: &CancellationToken,
) -> Result<(), QueueError> {
    let queue = Queue::open(&process.connection, &process.namespace, &process.name).await?;
    let mut running = JoinSet::new();
    for _ in 0..slots {
        running.spawn(slot(process.clone(), function.clone(), queue.another(), draining.clone()));
    }
    tracing::info!(worker = %process.name, slots, "worker ready");
    let mut served = Ok(());
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            // What runs in other slots may finish.
            Ok(Err(error)) => {
                draining.cancel();
                served = Err(error);
            }
            Err(error) => {
                tracing::error!(%error, "a slot has ended, and is started again");
                running.spawn(slot(process.clone(), function.clone(), queue.another(), draining.clone()));
            }
        }
    }
    served
}

/// One slot: one job at a time.
async fn slot(
    process: Shared,
    function: Function,
    mut queue: Queue,
    draining: CancellationToken,
) -> Result<(), QueueError> {
    let ack_wait: Duration = queue.ack_wait();
    loop {
        let delivery = tokio::select! {
            biased;
            () = draining.cancelled() => return Ok(()),
            delivery = queue.next() => delivery?,
        };
        delivery::receive(&process, &function, delivery, &draining, ack_wait).await;
    }
}
