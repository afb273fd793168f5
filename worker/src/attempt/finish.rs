//! How an attempt ends: telling the client, and writing the record.

use std::time::Duration;

use bytes::Bytes;
use subrosa_protocol::{
    delivery::{AfterLost, Conclusion, Outcome, after_store, conclude, ending_lost},
    record::{Event, Reason, code},
    session::worker::{AwaitAcknowledgement, Sent, ToStore},
    wire::{ErrorMember, Json, Kind, SealError},
};
use subrosa_transport::Backoff;

use super::{Attempt, Interrupt, stage::Stage, steps};
use crate::process::{Written, short};

impl Attempt {
    /// Tells the client that the function failed, from wherever the session stands: the client is asked
    /// for what is outstanding first, because an error can only be sealed in its place.
    pub(super) async fn fail(&self, error: ErrorMember) {
        self.state().times.done_ms = steps::now();
        self.look_before_done().await;
        while self.interrupted().is_none() {
            let timing = &self.process.timing;
            let (kind, envelope, patience) = {
                let mut stage = self.stage();
                let (next, sealed) = match stage.take() {
                    Stage::Offer(offer) => match offer.options(Json(())) {
                        Ok(sent) => (
                            Stage::AwaitOptions(sent.next),
                            Some((Kind::Options, Bytes::from(sent.envelope), timing.options)),
                        ),
                        Err(_) => (Stage::Over, None),
                    },
                    Stage::HasOptions(state) => error_sealed(state.fail(error.clone()), timing.done),
                    Stage::HasPayload(state) => error_sealed(state.fail(error.clone()), timing.done),
                    waiting @ (Stage::AwaitOptions(_)
                    | Stage::AwaitPayload(_)
                    | Stage::AwaitStatus(_)
                    | Stage::AwaitAcknowledgement(_)) => (waiting, self.outstanding()),
                    over @ (Stage::Closed(_) | Stage::Acknowledged | Stage::Cancelled(_) | Stage::Over) => {
                        (over, None)
                    }
                };
                *stage = next;
                match sealed {
                    Some(sealed) => sealed,
                    None => return,
                }
            };
            // Whether the answer opened shows in the stage; whether it is worth going on, in the interrupt.
            let _ = self.exchange(kind, envelope, patience).await;
        }
    }

    /// The step that was sent and not answered, to be waited for again.
    fn outstanding(&self) -> Option<(Kind, Bytes, Duration)> {
        let (kind, envelope) = self.state().outstanding.clone()?;
        let timing = &self.process.timing;
        let patience = match kind {
            Kind::Options => timing.options,
            Kind::Ready => timing.ready,
            _ => timing.done,
        };
        Some((kind, envelope, patience))
    }

    /// Writes what the session came to, and says what is to become of the message.
    pub(super) async fn conclude(&self, failure: Option<&ErrorMember>) -> Outcome {
        drop(self.state().run.take());
        let stage = self.stage().take();
        let interrupt = self.interrupted();
        let stopped = interrupt.as_ref().map(Interrupt::stopped);
        let max_attempts = self.job.description().max_attempts;
        let (conclusion, stage) =
            match (conclude(stage.stand(), stopped, self.holder.attempt, max_attempts), stage) {
                (Conclusion::Store, Stage::AwaitStatus(state)) => {
                    (after_store(false, self.store(state.store()).await), Stage::Over)
                }
                (Conclusion::Store, Stage::AwaitAcknowledgement(state)) => {
                    (after_store(true, self.store(state.store()).await), Stage::Over)
                }
                other => other,
            };
        let event = match (conclusion, stage) {
            (Conclusion::Leave(outcome), _) => return outcome,
            (Conclusion::Finish, _) => Event::Finished,
            (Conclusion::Store | Conclusion::ClientGone, _) => {
                Event::Failed(Reason::new(code::CLIENT_GONE, &unanswered(interrupt.as_ref())))
            }
            (Conclusion::Close, Stage::Closed(token)) => {
                let mut times = self.state().times;
                times.closed_ms = steps::now();
                Event::Closed { close: token, times }
            }
            (Conclusion::Cancel, Stage::Cancelled(cancelled)) => {
                let reason = Reason::new("cancelled", "the client cancelled the job");
                let event = Event::Cancelled { cancel: Some(cancelled.token()), reason };
                // It may have to be answered once more.
                *self.stage() = Stage::Cancelled(cancelled);
                event
            }
            (Conclusion::Close | Conclusion::Cancel | Conclusion::Fail | Conclusion::FailAsClient, _) => {
                let error = match &interrupt {
                    Some(Interrupt::Client(error)) => Some(error),
                    _ => failure,
                };
                Event::Failed(Reason::new(error.map_or("internal", |error| error.code.word()), ""))
            }
        };
        self.write_ending(event).await
    }

    /// Stores what the client did not take, for when it comes back. False if that is refused.
    async fn store(&self, sealed: Result<ToStore, SealError>) -> bool {
        let Ok(ToStore { opening, done }) = sealed else { return false };
        let (process, job) = (&self.process, self.job.id());
        let (attempt, deadline) = (self.holder.attempt.get(), process.record_deadline());
        for (number, message) in (0..).zip([opening, done]) {
            let place = (&process.name, job);
            let stored = process.results.store(place, attempt, number, message.into(), deadline).await;
            if let Err(error) = stored {
                tracing::warn!(job = short(job), %error, "what the client did not take is not stored");
                return false;
            }
        }
        true
    }

    async fn write_ending(&self, event: Event) -> Outcome {
        let outcome = match event {
            Event::Closed { .. } => Outcome::Closed,
            Event::Finished => Outcome::Finished,
            Event::Cancelled { .. } => Outcome::Cancelled,
            _ => Outcome::Failed,
        };
        let attempt = self.holder.attempt.get();
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        loop {
            let prev = self.state().last.clone();
            match self.process.write(self.job.id(), attempt, Some(&prev), event.clone()).await {
                Ok(Written::Won(record)) => {
                    // After `finished`, too: a client that listens again need not wait until it asks.
                    self.process.tell_ended(&self.job, &record).await;
                    return outcome;
                }
                Ok(Written::Lost(seen)) => {
                    match (ending_lost(&seen.last, &self.holder, &prev.hash()), seen.stored) {
                        (AfterLost::Leave(outcome), _) => return outcome,
                        (AfterLost::Again, Some(stored)) => self.state().last = stored,
                        (AfterLost::Again, None) => return Outcome::LetGo,
                    }
                }
                // The function has run: it is worth trying for as long as this process lives.
                Err(error) if !self.is_draining() => {
                    tracing::warn!(%error, "a job's end is not recorded yet, trying again");
                    backoff.wait().await;
                }
                Err(_) => return Outcome::LetGo,
            }
        }
    }
}

/// Which of its answers the client owes, in public words.
fn unanswered(interrupt: Option<&Interrupt>) -> String {
    match interrupt {
        Some(Interrupt::ClientGone(step, patience)) => {
            format!("the client did not answer {} within {patience:?}", step.token().unwrap_or_default())
        }
        _ => "the client did not answer before the worker had to end".to_owned(),
    }
}

type Sealed = Option<(Kind, Bytes, Duration)>;

fn error_sealed(
    result: Result<Sent<AwaitAcknowledgement>, SealError>,
    patience: Duration,
) -> (Stage, Sealed) {
    match result {
        Ok(sent) => {
            (Stage::AwaitAcknowledgement(sent.next), Some((Kind::Done, Bytes::from(sent.envelope), patience)))
        }
        Err(_) => (Stage::Over, None),
    }
}
