//! Consumers that are ahead of their queue, as a power loss can leave them: what is queued is not delivered.

use std::{collections::HashMap, time::Duration};

use subrosa_protocol::id::WorkerName;
use subrosa_transport::{Position, Queue};
use tokio::time::Instant;

use crate::office::Office;

/// How often they are looked at, and what is wrong is said again.
const EVERY: Duration = Duration::from_secs(60);

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    next: Option<Instant>,
    /// Those that were ahead, by when they were made. When the queue has grown beyond that place, it cannot be
    /// seen any more, and what was queued before is still not delivered.
    ahead: HashMap<WorkerName, String>,
}

impl Consumers {
    /// The next look is at once: the server may have lost its last writes.
    pub(super) fn hurry(&mut self) {
        self.next = None;
    }

    /// Looks at them, if it is time, and says loudly what is wrong.
    pub(super) async fn look(&mut self, office: &Office) {
        if self.next.is_some_and(|next| Instant::now() < next) {
            return;
        }
        let regular = self.next.replace(Instant::now() + EVERY).is_some();
        let mut suspects = Vec::new();
        for worker in office.workers.keys() {
            match read(office, worker).await {
                Some(position) if position.is_ahead() && !self.is_known(worker, &position) => {
                    suspects.push(worker);
                }
                Some(position) => {
                    self.judge(worker, &position);
                    // Not while a server has just come back: `--setup` may be about to deliver it after all.
                    if regular {
                        tidy(office, worker).await;
                    }
                }
                None => {}
            }
        }
        if suspects.is_empty() {
            return;
        }
        tokio::time::sleep(Position::SETTLED).await;
        for worker in suspects {
            if let Some(position) = read(office, worker).await {
                self.judge(worker, &position);
            }
        }
    }

    fn is_known(&self, worker: &WorkerName, position: &Position) -> bool {
        self.ahead.get(worker).is_some_and(|made| *made == position.made)
    }

    fn judge(&mut self, worker: &WorkerName, position: &Position) {
        if position.is_ahead() {
            self.ahead.insert(worker.clone(), position.made.clone());
        }
        match self.ahead.get(worker) {
            Some(made) if *made == position.made => {
                let Position { delivered, end, .. } = position;
                tracing::error!(
                    %worker, delivered, end,
                    "THE CONSUMER IS AHEAD OF ITS QUEUE, as after a power loss: jobs are not delivered. Run \
                     `subrosa-launcher --config FILE --setup` with an administrator's rights"
                );
            }
            Some(_) => {
                tracing::info!(%worker, "the consumer was made anew");
                self.ahead.remove(worker);
            }
            None => {}
        }
    }
}

/// Removes what lies in the queue and is never delivered: jobs that have ended, as the sweep queues the others anew.
async fn tidy(office: &Office, worker: &WorkerName) {
    let (connection, namespace, deadline) = (&office.connection, &office.namespace, office.deadline());
    match Queue::remove_passed_over(connection, namespace, worker, None, deadline).await {
        Ok(0) => {}
        Ok(removed) => tracing::warn!(%worker, removed, "the server had lost track of messages in the queue"),
        Err(error) => tracing::warn!(%worker, %error, "the queue was not looked at"),
    }
}

async fn read(office: &Office, worker: &WorkerName) -> Option<Position> {
    let position = Position::read(&office.connection, &office.namespace, worker, office.deadline()).await;
    position.inspect_err(|error| tracing::warn!(%worker, %error, "a consumer cannot be looked at")).ok()
}
