//! Carries out what the delivery rules decide about a job that was pulled.

use std::{sync::Arc, time::Duration};

use subrosa_protocol::{
    delivery::{
        AfterChild, Child, Delivered, Ending, Last, OnDelivery, Probe, after_child, after_probe, deliver,
    },
    id::{JobId, WorkerName},
    launch::Checked,
    record::code,
    refusal::Code,
    subject::job_in,
};
use subrosa_transport::{
    Delivery, Found, now_ms, probe,
    trace::{self, TARGET},
};

use super::{Started, child::Gone, held::Hold};
use crate::{
    ends::Ended,
    error::Trouble,
    office::{Office, Seen, Written, short},
};

/// How soon another launcher may have a job whose child was stopped with this one.
const HAND_OVER: Duration = Duration::from_secs(1);

/// Deals with the deliveries of one slot.
pub(super) struct Puller {
    pub(super) started: Arc<Started>,
    /// How long a refused delivery stays away.
    ack_wait: Duration,
}

/// A delivery and what it says.
struct Pulled {
    job: JobId,
    checked: Checked,
    hold: Hold,
}

fn view<'a>(pulled: &Pulled, last: &'a Last, probe: Probe, refusal: Option<Code>) -> Delivered<'a> {
    let job = pulled.checked.job();
    Delivered {
        last,
        is_the_job: true,
        held_here: false,
        probe,
        refusal,
        expired: job.is_some_and(|job| job.expired(now_ms())),
        max_attempts: job.map_or(0, |job| job.description().max_attempts),
    }
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

    /// Deals with a delivery, in the trace that it came with.
    pub(super) async fn received(&self, delivery: Delivery) {
        self.office().numbers.delivered(self.name(), &delivery);
        let span = tracing::debug_span!(target: TARGET, "delivery", worker = %self.name());
        trace::within(delivery.trace.clone(), span, self.handle(delivery)).await;
    }

    /// Deals with a delivery until its message is acked, given back, or let lapse.
    async fn handle(&self, delivery: Delivery) {
        // Nothing else can lie under the consumer's subjects.
        let refused = &self.office().refused_deliveries;
        let Some(job) = job_in(&delivery.subject) else {
            refused.count(Code::BadRequest.word());
            return delivery.acker.ack().await;
        };
        // Rule 2: whoever runs it goes on, with the new delivery.
        let Some(hold) = self.started.held.hold(job, &delivery.acker) else { return };
        let checked = Checked::new(&delivery.payload, &job, self.name(), &self.office().namespace);
        // By rule 1, without reading anything.
        if !checked.is_the_job() {
            refused.count(checked.request().err().unwrap_or(Code::BadRequest).word());
            return hold.acker().ack().await;
        }
        let pulled = Pulled { job, checked, hold };
        match self.decide(&pulled).await {
            Ok(Outcome::Ack) => pulled.hold.acker().ack().await,
            Ok(Outcome::Nak(delay)) => pulled.hold.acker().nak(delay).await,
            // It is delivered again after the ack wait.
            Err(trouble) => {
                tracing::warn!(job = short(&job), worker = %self.name(), %trouble, "a delivery is left for later");
            }
        }
    }

    /// Why the request is refused, if it is, as trust and policy are now. What the mode `warn` lets pass was
    /// logged when it was admitted, and is again by the worker.
    fn refusal(&self, pulled: &Pulled, last: &Last) -> Option<Code> {
        if !last.may_be_taken() {
            return None;
        }
        let office = self.office();
        pulled.checked.check(&office.policy(self.name()), &office.trust.get()).err()
    }

    async fn decide(&self, pulled: &Pulled) -> Result<Outcome, Trouble> {
        let (office, name, job) = (self.office(), self.name(), &pulled.job);
        let mut seen = match self.started.absences.look(&office.history, name, job).await? {
            Found::Last(stored) => office.judge(name, job, stored),
            Found::NotYet(delay) => return Ok(Outcome::Nak(delay)),
        };
        let mut probed = Probe::NotAsked;
        loop {
            let refusal = self.refusal(pulled, &seen.last);
            match deliver(&view(pulled, &seen.last, probed, refusal)) {
                OnDelivery::Nak => return Ok(Outcome::Nak(self.ack_wait)),
                // Held by nobody else: `hold` was given to us.
                OnDelivery::Ack | OnDelivery::GoOn => {
                    if seen.last == Last::Absent {
                        office.refused_deliveries.count(Code::UnknownJob.word());
                    }
                    return Ok(Outcome::Ack);
                }
                OnDelivery::AskAlive(holder) => {
                    let (namespace, patience) = (&office.namespace, office.timing.probe);
                    let acker = pulled.hold.acker();
                    let asked = probe(&office.connection, namespace, name, job, &holder, patience, &acker);
                    let asked = tokio::select! {
                        asked = asked => asked?,
                        () = self.stopped() => return Ok(Outcome::Nak(HAND_OVER)),
                    };
                    let again = self.look(pulled, &seen).await?;
                    probed = after_probe(&seen.last, &again.last, asked);
                    seen = again;
                }
                OnDelivery::End(ending) => match self.end(pulled, &seen, ending, refusal).await? {
                    None => return Ok(Outcome::Ack),
                    Some(again) => (seen, probed) = (again, Probe::NotAsked),
                },
                OnDelivery::Take(attempt) => {
                    let Some(decided_on) = seen.last.hash() else {
                        return Ok(Outcome::Nak(self.ack_wait));
                    };
                    let Ok(request) = pulled.checked.request() else {
                        return Ok(Outcome::Nak(self.ack_wait));
                    };
                    if self.started.stop.is_cancelled() {
                        return Ok(Outcome::Nak(HAND_OVER));
                    }
                    let child = Child { attempt, decided_on };
                    let gone = self.started.run(request, &child, &pulled.hold).await;
                    let again = self.look(pulled, &seen).await?;
                    // What the child has left behind is decided anew; what it has not even begun is over.
                    let ending = match after_child(&again.last, &child, gone == Gone::Stopped) {
                        AfterChild::HandOver => return Ok(Outcome::Nak(HAND_OVER)),
                        AfterChild::End(ending) => Some(match gone {
                            Gone::Ended(Some(why)) => Ending::failed(code::START_FAILED, why),
                            Gone::Ended(None) | Gone::Stopped => ending,
                        }),
                        AfterChild::Decide => None,
                    };
                    (seen, probed) = (again, Probe::NotAsked);
                    if let Some(ending) = ending {
                        match self.end(pulled, &seen, ending, None).await? {
                            None => return Ok(Outcome::Ack),
                            Some(again) => seen = again,
                        }
                    }
                }
            }
        }
    }

    async fn look(&self, pulled: &Pulled, seen: &Seen) -> Result<Seen, Trouble> {
        Ok(self.office().look(self.name(), &pulled.job, seen.sequence()).await?)
    }

    /// Writes an ending. None if it counts; else the record that came first.
    async fn end(
        &self,
        pulled: &Pulled,
        seen: &Seen,
        ending: Ending,
        refusal: Option<Code>,
    ) -> Result<Option<Seen>, Trouble> {
        let office = self.office();
        let (stored, attempt) = (seen.stored.as_ref(), seen.last.attempt());
        let holder = seen.holder();
        let seen = match office.write(self.name(), &pulled.job, attempt, stored, ending.into_event()).await? {
            Written::Won(seen) => seen,
            Written::Lost(seen) => return Ok(Some(seen)),
        };
        if let Some(refusal) = refusal {
            office.refused_deliveries.count(refusal.word());
        }
        tracing::info!(job = short(&pulled.job), worker = %self.name(), code = seen.code(), "{}", seen.state());
        if let Some(record) = &seen.stored {
            let (worker, job, request) = (self.name(), &pulled.job, pulled.checked.request().ok());
            office.after_end(&Ended { worker, job, request, holder, record }).await;
        }
        Ok(None)
    }
}
