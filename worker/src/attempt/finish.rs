//! How an attempt ends: telling the client, and writing the record.

use std::time::Duration;

use bytes::Bytes;
use subrosa_protocol::{
    delivery::{Look, look},
    record::{Event, Reason, code},
    session::worker::{AwaitAcknowledgement, Sent},
    wire::{ErrorMember, Json, Kind, SealError},
};
use subrosa_transport::Backoff;

use super::{Attempt, Interrupt, Outcome, stage::Stage, steps};
use crate::process::Written;

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
                    over @ (Stage::Closed(_) | Stage::Acknowledged | Stage::Over) => (over, None),
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
        let stage = self.stage().take();
        let event = match (stage, self.interrupted()) {
            (Stage::Closed(token), _) => {
                let mut times = self.state().times;
                times.closed_ms = steps::now();
                Event::Closed { close: token, times }
            }
            (Stage::Acknowledged, _) => {
                Event::Failed(Reason::new(failure.map_or("internal", |error| error.code.word()), ""))
            }
            (_, Some(Interrupt::Client(error))) => Event::Failed(Reason::new(error.code.word(), "")),
            // A function that has run is not run again because nobody listens.
            (
                Stage::AwaitStatus(_) | Stage::AwaitAcknowledgement(_),
                Some(Interrupt::ClientGone | Interrupt::Draining),
            ) => client_gone(),
            (_, Some(Interrupt::ClientGone)) if self.is_last_attempt() => client_gone(),
            (_, Some(Interrupt::Ended)) => return Outcome::Ended,
            (_, Some(Interrupt::Overtaken)) => return Outcome::Overtaken,
            (_, Some(Interrupt::ClientGone | Interrupt::Unrecorded | Interrupt::Draining) | None) => {
                return Outcome::LetGo;
            }
        };
        self.write_ending(event).await
    }

    fn is_last_attempt(&self) -> bool {
        self.holder.attempt.get() >= self.job.description().max_attempts
    }

    fn is_draining(&self) -> bool {
        matches!(self.interrupted(), Some(Interrupt::Draining))
    }

    async fn write_ending(&self, event: Event) -> Outcome {
        let closed = matches!(event, Event::Closed { .. });
        let attempt = self.holder.attempt.get();
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        loop {
            let prev = self.state().last.clone();
            match self.process.write(self.job.id(), attempt, Some(&prev), event.clone()).await {
                Ok(Written::Won(record)) => {
                    self.process.tell_ended(&self.job, &record).await;
                    return if closed { Outcome::Closed } else { Outcome::Failed };
                }
                Ok(Written::Lost(seen)) => match (look(&seen.last, &self.holder), seen.stored) {
                    (Look::Ended, _) => return Outcome::Ended,
                    (Look::LetGo, _) => return Outcome::Overtaken,
                    // A record of our own that we had lost sight of.
                    (Look::Keep, Some(stored)) if stored != prev => self.state().last = stored,
                    (Look::Keep, _) => return Outcome::LetGo,
                },
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

fn client_gone() -> Event {
    Event::Failed(Reason::new(code::CLIENT_GONE, "the client did not answer in time"))
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
