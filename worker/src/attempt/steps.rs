//! The steps that a function asks for: options, ready, done.

use std::time::Duration;

use bytes::Bytes;
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use subrosa_protocol::{
    delivery::{Last, Look, look},
    json::Int,
    receipt::Salt,
    record::Event as RecordEvent,
    session::worker::{Issue, NotSent, Sent, input_fits},
    wire::{Body, Kind, Opened},
};
use subrosa_transport::{now_ms, trace};
use tokio::time::{Instant, sleep_until};

use super::{
    Attempt, Interrupt, Outgoing,
    stage::{Received, Stage},
};
use crate::{
    Failure,
    numbers::Phase,
    process::{Written, sequence, short},
};

/// The first wait before a step is sent again; it doubles.
const RESEND: Duration = Duration::from_secs(1);
/// The longest such wait.
const RESEND_MAX: Duration = Duration::from_secs(30);
/// How long to wait for a place in an outbox that is full of events.
const CROWDED: Duration = Duration::from_millis(20);
/// Before `done`, the last look may be this old.
const LOOK_AGE: Duration = Duration::from_secs(20);

/// The wall clock, for a record's times.
pub(super) fn now() -> Option<Int> {
    Int::try_from(now_ms()).ok()
}

impl Attempt {
    /// Sends the worker's parameters and waits for the client's options.
    pub(crate) async fn options(&self, parameters: impl Body) -> Result<Opened, Failure> {
        let envelope = self.seal(|stage| match stage {
            Stage::Offer(offer) => sealed(offer.options(parameters), Stage::AwaitOptions, Stage::Offer),
            other => (other, Err(Failure::interrupted())),
        })?;
        let answer = self.exchange(Kind::Options, envelope, self.process.timing.options);
        let opened = self.process.numbers.phase(Phase::Options, answer).await?;
        self.state().times.options_ms = now();
        Ok(opened)
    }

    /// Says that the worker is ready, waits for the payload, and records that it has arrived. The
    /// function goes on only once that record is accepted.
    pub(crate) async fn ready(&self, body: impl Body) -> Result<Opened, Failure> {
        let envelope = self.seal(|stage| match stage {
            Stage::HasOptions(state) => sealed(state.ready(body), Stage::AwaitPayload, Stage::HasOptions),
            other => (other, Err(Failure::interrupted())),
        })?;
        let answer = self.exchange(Kind::Ready, envelope, self.process.timing.ready);
        let opened = self.process.numbers.phase(Phase::Ready, answer).await?;
        if let Some(input) = &self.job.description().input
            && !input_fits(input, opened.head().salt.as_ref(), opened.body())
        {
            return Err(Failure::bad_input("the payload is not the one that the job binds"));
        }
        self.state().times.payload_ms = now();
        self.payload_arrived.send_replace(Some(Instant::now()));
        self.record_running().await?;
        self.state().run = Some(self.process.numbers.begin(Phase::Run));
        Ok(opened)
    }

    /// Sends the result, and waits until the client has it.
    pub(crate) async fn done(&self, result: impl Body) -> Result<(), Failure> {
        let finished_ms = now_ms();
        drop(self.state().run.take());
        let started_ms = {
            let times = &mut self.state().times;
            times.done_ms = Int::try_from(finished_ms).ok();
            times.payload_ms.map_or(finished_ms, Int::get)
        };
        self.look_before_done().await;
        let salt = Salt::random(&mut UnwrapErr(SysRng));
        let issue = Issue { identity: &self.process.identity, salt, started_ms, finished_ms };
        let envelope = self.seal(|stage| match stage {
            Stage::HasPayload(state) => {
                sealed(state.done(result, issue), Stage::AwaitStatus, Stage::HasPayload)
            }
            other => (other, Err(Failure::interrupted())),
        })?;
        let answer = self.exchange(Kind::Done, envelope, self.process.timing.done);
        self.process.numbers.phase(Phase::Done, answer).await.map(|_| ())
    }

    /// Moves the session by sealing a step.
    pub(super) fn seal(
        &self,
        step: impl FnOnce(Stage) -> (Stage, Result<Vec<u8>, Failure>),
    ) -> Result<Bytes, Failure> {
        if self.interrupted().is_some() {
            return Err(Failure::interrupted());
        }
        let mut stage = self.stage();
        let (next, envelope) = step(stage.take());
        *stage = next;
        envelope.map(Bytes::from)
    }

    /// Sends a step, again and again as the same bytes, until its answer opens.
    pub(super) async fn exchange(
        &self,
        kind: Kind,
        envelope: Bytes,
        patience: Duration,
    ) -> Result<Opened, Failure> {
        self.state().outstanding = Some((kind, envelope.clone()));
        let mut inbox = self.process.connection.inbox();
        let mut interrupt = self.interrupt.subscribe();
        let mut reconnects = self.process.connection.reconnects();
        let deadline = Instant::now() + patience;
        let mut wait = RESEND;
        let mut resend = None;
        let headers = trace::headers();
        loop {
            tokio::select! {
                biased;
                _ = async { interrupt.wait_for(Option::is_some).await.is_ok() } => {
                    return Err(Failure::interrupted());
                }
                () = sleep_until(deadline) => {
                    let (job, step) = (short(self.job.id()), kind.token());
                    tracing::warn!(job, attempt = self.holder.attempt.get(), step, ?patience, "the client did not answer in time");
                    self.interrupt(Interrupt::ClientGone(kind, patience));
                    return Err(Failure::interrupted());
                }
                // The step or its answer may be lost with the old connection, and there is no need to wait longer.
                Ok(()) = reconnects.changed() => (wait, resend) = (RESEND, None),
                () = not_before(resend) => {
                    let reply = Some(inbox.subject().to_owned());
                    let (envelope, headers) = (envelope.clone(), headers.clone());
                    let sent = self.outbox.try_send(Outgoing { kind, envelope, reply, headers });
                    resend = Some(Instant::now() + if sent.is_ok() { wait } else { CROWDED });
                    wait = if sent.is_ok() { (wait * 2).min(RESEND_MAX) } else { wait };
                }
                Some(answer) = inbox.next() => if answer.status.is_none() {
                    let received = self.stage().receive(answer.payload.into());
                    match received {
                        Received::Dropped => {}
                        Received::Answer(opened) => {
                            self.state().outstanding = None;
                            return Ok(opened);
                        }
                        Received::Acknowledged => {
                            self.state().outstanding = None;
                            return Err(Failure::interrupted());
                        }
                        Received::Failed(error) => {
                            self.interrupt(Interrupt::Client(error));
                            return Err(Failure::interrupted());
                        }
                    }
                },
            }
        }
    }

    async fn record_running(&self) -> Result<(), Failure> {
        let prev = self.state().last.clone();
        let event = RecordEvent::Running { instance: self.holder.instance };
        let attempt = self.holder.attempt.get();
        match self.process.write(self.job.id(), attempt, Some(&prev), event).await {
            Ok(Written::Won(stored)) => {
                self.saw(stored);
                return Ok(());
            }
            Ok(Written::Lost(seen)) => self.act_on(look(&seen.last, &self.holder)),
            Err(error) => {
                tracing::warn!(%error, "a record was not written");
                self.interrupt(Interrupt::Unrecorded);
            }
        }
        Err(Failure::interrupted())
    }

    /// Looks again before `done`, if the last look is old. Sealing refuses if the attempt is over.
    pub(super) async fn look_before_done(&self) {
        let looked = self.state().looked;
        if looked.elapsed() > LOOK_AGE {
            self.look().await;
        }
    }

    /// Looks at the job's last record; nothing if it cannot be read just now.
    pub(super) async fn look(&self) -> Option<Look> {
        let known = sequence(Some(&self.state().last.clone()));
        match self.process.look(self.job.id(), known).await {
            Ok(seen) => {
                let verdict = look(&seen.last, &self.holder);
                if let (Look::Keep, Last::Known(_), Some(stored)) = (verdict, &seen.last, seen.stored) {
                    self.saw(stored);
                }
                self.act_on(verdict);
                Some(verdict)
            }
            Err(error) => {
                tracing::debug!(%error, "the job's last record could not be read");
                None
            }
        }
    }

    fn saw(&self, stored: subrosa_transport::Stored) {
        let mut state = self.state();
        state.last = stored;
        state.looked = Instant::now();
    }

    fn act_on(&self, verdict: Look) {
        match verdict {
            Look::Keep => {}
            Look::LetGo => self.interrupt(Interrupt::Overtaken),
            Look::Ended => self.interrupt(Interrupt::Ended),
        }
    }
}

/// Passes at this time; if there is none, at once, for which a timer would take a millisecond or two.
async fn not_before(time: Option<Instant>) {
    if let Some(time) = time {
        sleep_until(time).await;
    }
}

/// Sorts what sealing returned: the next state and the envelope, or the state as it was and the failure.
pub(super) fn sealed<Next, Before>(
    result: Result<Sent<Next>, NotSent<Before>>,
    next: impl FnOnce(Next) -> Stage,
    back: impl FnOnce(Before) -> Stage,
) -> (Stage, Result<Vec<u8>, Failure>) {
    match result {
        Ok(sent) => (next(sent.next), Ok(sent.envelope)),
        Err(not_sent) => (back(not_sent.session), Err(Failure::seal(&not_sent.error))),
    }
}
