//! The resident way: pulls jobs for free slots only, many at once, until it is told to stop.

use std::time::Duration;

use subrosa_protocol::subject::Control;
use subrosa_telemetry::Health;
use subrosa_transport::{Delivery, Queue, QueueError};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{Error, Function, delivery, process::Shared};

/// How long after the drain time what was interrupted may take to let go of its jobs.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long a function may take to begin. Where others keep their threads busy, it might never.
const BEGIN: Duration = Duration::from_secs(1);
/// How long a job stays away that could not begin here: every slot that waits would be handed it in turn.
const ELSEWHERE: Duration = Duration::from_secs(1);

/// Serves until `draining` is cancelled and what ran then has ended.
pub(crate) async fn serve(
    process: &Shared,
    function: &Function,
    slots: usize,
    draining: &CancellationToken,
    health: &Health,
) -> Result<(), Error> {
    let queue = Queue::open(&process.connection, &process.namespace, &process.name).await?;
    process.history.may_record(&process.name, process.record_deadline()).await?;
    process.connection.may_control(&process.namespace, &process.name, Control::Alive).await?;
    let mut running = JoinSet::new();
    for _ in 0..slots {
        running.spawn(slot(process.clone(), function.clone(), queue.another(), draining.clone()));
    }
    tracing::info!(worker = %process.name, slots, "worker ready");
    process.numbers.slots(slots);
    health.started();
    let mut served = Ok(());
    let too_late = async {
        draining.cancelled().await;
        sleep(process.timing.drain + FAREWELL).await;
    };
    tokio::pin!(too_late);
    loop {
        let ended = tokio::select! {
            ended = running.join_next() => ended,
            () = &mut too_late => {
                tracing::warn!("what still runs is given up");
                break;
            }
        };
        let Some(ended) = ended else { break };
        match ended {
            Ok(Ok(())) => {}
            // What runs in other slots may finish.
            Ok(Err(error)) => {
                draining.cancel();
                served = Err(error.into());
            }
            Err(error) => {
                tracing::error!(%error, "a slot has ended, and is started again");
                running.spawn(slot(process.clone(), function.clone(), queue.another(), draining.clone()));
            }
        }
    }
    served
}

/// The next delivery, as soon as a function can begin.
async fn next(process: &Shared, queue: &mut Queue) -> Result<Delivery, QueueError> {
    process.can_begin().await;
    queue.next().await
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
            delivery = next(&process, &mut queue) => delivery?,
        };
        process.numbers.delivered(&delivery);
        if timeout(BEGIN, process.can_begin()).await.is_err() {
            tracing::error!("NOT TAKEN: functions that never yield keep all threads of this worker busy");
            delivery.acker.nak(ELSEWHERE).await;
            continue;
        }
        delivery::receive(&process, &function, delivery, &draining, ack_wait).await;
    }
}
