//! Carries out what the delivery rules decide about a job that was pulled.

use std::{sync::Arc, time::Duration};

use subrosa_protocol::{
    delivery::{AfterChild, Child, Delivered, Ending, Last, OnDelivery, Probe, after_child, deliver},
    id::{JobId, WorkerName},
    launch::{LaunchError, LaunchRequest},
};
use subrosa_transport::{Delivery, now_ms, probe};

use super::{Started, child::Gone, held::Hold};
use crate::{
    ends::Ended,
    error::Trouble,
    office::{Office, Seen, Written, job_in, short},
};

/// How soon another launcher may have a job whose child was stopped with this one.
const HAND_OVER: Duration = Duration::from_secs(1);

/// Deals with the deliveries of one slot.
pub(super) struct Puller {
    started: Arc<Started>,
    /// How long a refused delivery stays away.
    ack_wait: Duration,
}

/// A delivery and what it says.
struct Pulled {
    job: JobId,
    /// The request, if it is the job's.
    request: Option<LaunchRequest>,
    /// Why the request would be refused.
    refused: Option<LaunchError>,
    hold: Hold,
}

/// What is left to do with the message.
enum Outcome {
    Ack,
    Nak(Duration),
}

impl Puller {
    pub(super) fn new(started: Arc<Started>, ack_wait: Duration) -> Self {
        Self { started, ack_wait }
    }

    pub(super) fn name(&self) -> &WorkerName {
        &self.started.name
    }

    pub(super) async fn stopped(&self) {
        self.started.stop.cancelled().await;
    }

    fn office(&self) -> &Arc<Office> {
        &self.started.office
    }

    /// Deals with a delivery until its message is acked, given back, or let lapse.
    pub(super) async fn handle(&self, delivery: Delivery) {
        // Nothing else can lie under the consumer's subjects.
        let Some(job) = job_in(&delivery.subject) else { return delivery.acker.ack().await };
        // Rule 2: whoever runs it goes on, with the new delivery.
        let Some(hold) = self.started.held.hold(job, &delivery.acker) else { return };
        let request = LaunchRequest::parse(&delivery.payload, &self.office().namespace).ok();
        let request = request.filter(|it| *it.job().id() == job && it.job().worker() == self.name());
        let refused = request.as_ref().and_then(|request| request.verify().err());
        let pulled = Pulled { job, request, refused, hold };
        match self.decide(&pulled).await {
            Ok(Outcome::Ack) => pulled.hold.acker().ack().await,
            Ok(Outcome::Nak(delay)) => pulled.hold.acker().nak(delay).await,
            // It is delivered again after the ack wait.
            Err(trouble) => {
                tracing::warn!(job = short(&job), worker = %self.name(), %trouble, "a delivery is left for later");
            }
        }
    }

    async fn decide(&self, pulled: &Pulled) -> Result<Outcome, Trouble> {
        let mut seen = self.office().look(self.name(), &pulled.job, 0).await?;
        let mut probed = Probe::NotAsked;
        loop {
            match deliver(&self.view(pulled, &seen.last, probed)) {
                OnDelivery::Nak => return Ok(Outcome::Nak(self.ack_wait)),
                // Held by nobody else: `hold` was given to us.
                OnDelivery::Ack | OnDelivery::GoOn => return Ok(Outcome::Ack),
                OnDelivery::AskAlive(holder) => {
                    let office = self.office();
                    let (namespace, patience) = (&office.namespace, office.timing.probe);
                    let acker = pulled.hold.acker();
                    let asked = probe(
                        &office.connection,
                        namespace,
                        self.name(),
                        &pulled.job,
                        &holder,
                        patience,
                        &acker,
                    );
                    let asked = tokio::select! {
                        asked = asked => asked?,
                        () = self.stopped() => return Ok(Outcome::Nak(HAND_OVER)),
                    };
                    // The world has gone on meanwhile; the answer is good for this holder only.
                    let again = self.look(pulled, &seen).await?;
                    probed = if again.last.hash() == seen.last.hash() { asked } else { Probe::NotAsked };
                    seen = again;
                }
                OnDelivery::End(ending) => match self.end(pulled, &seen, ending).await? {
                    None => return Ok(Outcome::Ack),
                    Some(again) => (seen, probed) = (again, Probe::NotAsked),
                },
                OnDelivery::Take(attempt) => {
                    let (Some(request), Some(decided_on)) = (&pulled.request, seen.last.hash()) else {
                        return Ok(Outcome::Nak(self.ack_wait));
                    };
                    if self.started.stop.is_cancelled() {
                        return Ok(Outcome::Nak(HAND_OVER));
                    }
                    let child = Child { attempt, decided_on };
                    let gone = self.started.run(request, &child, &pulled.hold).await;
                    let again = self.look(pulled, &seen).await?;
                    // What the child has left behind is decided anew; what it has not even begun is over.
                    let ending = match after_child(&again.last, &child) {
                        AfterChild::End(_) if gone == Gone::Stopped => return Ok(Outcome::Nak(HAND_OVER)),
                        AfterChild::End(ending) => Some(ending),
                        AfterChild::Decide => None,
                    };
                    (seen, probed) = (again, Probe::NotAsked);
                    if let Some(ending) = ending {
                        match self.end(pulled, &seen, ending).await? {
                            None => return Ok(Outcome::Ack),
                            Some(again) => seen = again,
                        }
                    }
                }
            }
        }
    }

    fn view<'a>(&self, pulled: &Pulled, last: &'a Last, probe: Probe) -> Delivered<'a> {
        let job = pulled.request.as_ref().map(LaunchRequest::job);
        Delivered {
            last,
            is_the_job: job.is_some(),
            held_here: false,
            probe,
            refusal: pulled.refused.as_ref().map(LaunchError::code),
            expired: job.is_some_and(|job| job.expired(now_ms())),
            max_attempts: job.map_or(0, |job| job.description().max_attempts),
        }
    }

    async fn look(&self, pulled: &Pulled, seen: &Seen) -> Result<Seen, Trouble> {
        Ok(self.office().look(self.name(), &pulled.job, seen.sequence()).await?)
    }

    /// Writes an ending. None if it counts; else the record that came first.
    async fn end(&self, pulled: &Pulled, seen: &Seen, ending: Ending) -> Result<Option<Seen>, Trouble> {
        let office = self.office();
        let (stored, attempt) = (seen.stored.as_ref(), seen.last.attempt());
        let holder = seen.holder();
        let seen = match office.write(self.name(), &pulled.job, attempt, stored, ending.into_event()).await? {
            Written::Won(seen) => seen,
            Written::Lost(seen) => return Ok(Some(seen)),
        };
        tracing::info!(job = short(&pulled.job), worker = %self.name(), code = seen.code(), "{}", seen.state());
        if let Some(record) = &seen.stored {
            let (worker, job, request) = (self.name(), &pulled.job, pulled.request.as_ref());
            office.after_end(&Ended { worker, job, request, holder, record }).await;
        }
        Ok(None)
    }
}
