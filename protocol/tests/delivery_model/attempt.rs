//! An attempt that is held: its session with the client, its records, and its end.

use subrosa_protocol::{
    delivery::{AfterLost, Conclusion, Holder, Last, Look, Outcome, Settle, Snapshot, Stand, State, Stopped},
    id::Attempt,
};

use crate::{
    append::{Append, Next},
    client,
    delivery::small,
    history::{Message, Says, instance},
    properties::Property,
    worker::{Held, Process, Slot},
    world::{Ctx, Kind, Steps, World},
};

/// How far the work has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stage {
    /// It waits for the client's options and payload.
    Offers,
    /// The payload is here, and `running` is being appended.
    Records(Append),
    Runs,
    /// The function is over, and the client is told.
    Done {
        failed: bool,
    },
    /// The client has not answered, and what it was to be told is stored.
    Stores {
        failed: bool,
    },
    /// An ending, or `finished`, is being appended.
    Concludes(Append),
}

/// One attempt in one slot of one process.
struct Work<'a> {
    world: &'a World,
    ctx: &'a Ctx<'a>,
    index: usize,
    slot: usize,
    process: Process,
    held: Held,
    stage: Stage,
    /// The last record, as far as it knows.
    last: u8,
}

/// All that can happen next to an attempt.
pub(crate) fn works(
    world: &World,
    ctx: &Ctx<'_>,
    (index, slot): (usize, usize),
    stage: Stage,
    last: u8,
    steps: &mut Steps<'_>,
) {
    let process = world.processes[index];
    // Only where a rule is left out, another slot may have let go of it.
    let Some(held) = process.held else { return };
    let work = Work { world, ctx, index, slot, process, held, stage, last };
    match stage {
        Stage::Offers => work.offers(steps),
        Stage::Records(append) => work.records(append, steps),
        Stage::Runs => work.runs(steps),
        Stage::Done { failed } => work.done(failed, steps),
        Stage::Stores { failed } => return work.stores(failed, steps),
        Stage::Concludes(append) => return work.concludes(append, steps),
    }
    work.cancelled(steps);
    work.look(steps);
    if held.stopped {
        steps.helps("stops", work.stop(world.clone(), Stopped::Ended));
    }
    if world.left.drains > 0 {
        let mut to = world.clone();
        to.left.drains -= 1;
        steps.harms("has to end", work.stop(to, Stopped::Draining));
    }
}

impl Work<'_> {
    fn holder(&self) -> Holder {
        let attempt = Attempt::new(self.held.attempt.into()).unwrap();
        Holder { attempt, instance: instance(self.process.number) }
    }

    fn at(&self, mut to: World, stage: Stage, last: u8) -> World {
        to.processes[self.index].slots[self.slot] = Slot::Works { stage, last };
        to
    }

    fn record(&self, says: Says, on: u8, again: u8) -> Append {
        let (attempt, by) = (self.held.attempt, self.process.number);
        Append::new(Message { says, attempt, by, on, again })
    }

    fn offers(&self, steps: &mut Steps<'_>) {
        let (attempt, client) = (self.held.attempt, self.world.client);
        if client.waits() && attempt > client.live {
            let mut to = self.world.clone();
            to.client.live = attempt;
            steps.helps("is answered with the options", to);
        }
        if client.waits() && attempt == client.live {
            let mut to = self.world.clone();
            if !self.ctx.rules.carried_out.waits_for_running {
                to.runs(attempt, self.process.number);
            }
            let running = self.record(Says::Running, self.last, self.process.again);
            steps.helps("gets the payload", self.at(to, Stage::Records(running), self.last));
        }
        if client.stage == client::Stage::Acknowledged && attempt == client.live {
            steps.helps("hears the client's error", self.stop(self.world.clone(), Stopped::ClientFailed));
        }
        self.client_fails(steps);
        self.client_gone(steps);
    }

    fn records(&self, append: Append, steps: &mut Steps<'_>) {
        for (kind, what, mut to, next) in append.steps(self.world, self.ctx) {
            let to = match next {
                Next::Won => {
                    to.runs(self.held.attempt, self.process.number);
                    self.at(to, Stage::Runs, append.message.on + 1)
                }
                Next::Lost(seen) => {
                    let stopped = match (self.ctx.rules.look)(&to.history.last_of(seen), &self.holder()) {
                        Look::Keep => None,
                        Look::LetGo => Some(Stopped::Overtaken),
                        Look::Ended => Some(Stopped::Ended),
                    };
                    self.conclude(to, Stand::Early, stopped)
                }
                Next::GaveUp => self.stop(to, Stopped::Unrecorded),
                Next::Then(append) => self.at(to, Stage::Records(append), self.last),
            };
            steps.add(kind, what, to);
        }
    }

    fn runs(&self, steps: &mut Steps<'_>) {
        let to = self.at(self.world.clone(), Stage::Done { failed: false }, self.last);
        steps.helps("has a result", to);
        if self.world.left.failures > 0 {
            let mut to = self.at(self.world.clone(), Stage::Done { failed: true }, self.last);
            to.left.failures -= 1;
            steps.harms("has failed", to);
        }
    }

    fn done(&self, failed: bool, steps: &mut Steps<'_>) {
        let (attempt, client) = (self.held.attempt, self.world.client);
        if client.waits() && attempt == client.live {
            let mut to = self.world.clone();
            to.client.result = !failed;
            to.client.stage = if failed { client::Stage::Acknowledged } else { client::Stage::HasResult };
            steps.helps("reaches the client", to);
        }
        if attempt == client.live {
            let to = self.world.clone();
            match (client.stage, failed) {
                (client::Stage::HasResult, false) => {
                    steps.helps("gets the close token", self.conclude(to, Stand::Closed, None));
                }
                (client::Stage::Acknowledged, true) => {
                    steps.helps("is acknowledged", self.conclude(to, Stand::Acknowledged, None));
                }
                (client::Stage::Acknowledged, false) => {
                    steps.helps("hears the client's error", self.stop(to, Stopped::ClientFailed));
                }
                _ => {}
            }
        }
        if !failed {
            self.client_fails(steps);
        }
        self.client_gone(steps);
    }

    fn client_fails(&self, steps: &mut Steps<'_>) {
        let client = self.world.client;
        if self.world.left.failures > 0 && client.waits() && self.held.attempt >= client.live {
            let mut to = self.world.clone();
            to.left.failures -= 1;
            to.client.live = self.held.attempt;
            to.client.stage = client::Stage::Acknowledged;
            steps.harms("is answered with an error", to);
        }
    }

    fn client_gone(&self, steps: &mut Steps<'_>) {
        let mut to = self.world.clone();
        if !to.client.listens_to(self.held.attempt) {
            steps.helps("waits for the client in vain", self.stop(to, Stopped::ClientGone));
        } else if to.left.slow > 0 {
            to.left.slow -= 1;
            steps.harms("waits for the client too long", self.stop(to, Stopped::ClientGone));
        }
    }

    /// Hears from its client, over the session, that the job is cancelled.
    fn cancelled(&self, steps: &mut Steps<'_>) {
        let client = self.world.client;
        if client.stage == client::Stage::Cancels && client.live == self.held.attempt {
            let to = self.conclude(self.world.clone(), Stand::Cancelled, Some(Stopped::Ended));
            steps.helps("hears that it is cancelled", to);
        }
    }

    /// Looks at the last record, as it does now and then.
    fn look(&self, steps: &mut Steps<'_>) {
        for (kind, mut to, seen) in self.world.reads(self.last) {
            let last = to.history.last_of(seen);
            let verdict = (self.ctx.rules.look)(&last, &self.holder());
            let to = match verdict {
                Look::Keep => {
                    let is_own = match &last {
                        Last::Known(Snapshot { state: State::Open { instance, .. }, attempt, .. }) => {
                            (*instance, small(*attempt)) == (self.holder().instance, self.held.attempt)
                        }
                        Last::Unverified { .. } => true,
                        Last::Known(_) | Last::Absent => false,
                    };
                    if !is_own {
                        to.breaks(Property::OnlyHoldersKeepTheMessage);
                    }
                    if seen == self.last || !matches!(last, Last::Known(_)) {
                        if to.broken.is_some() {
                            steps.add(kind, "sends an in-progress ack", to);
                        }
                        continue;
                    }
                    self.at(to, self.stage, seen)
                }
                Look::LetGo => self.stop(to, Stopped::Overtaken),
                Look::Ended => self.stop(to, Stopped::Ended),
            };
            steps.add(kind, "looks at the last record", to);
        }
    }

    fn stop(&self, to: World, stopped: Stopped) -> World {
        let stand = match self.stage {
            Stage::Offers | Stage::Records(_) | Stage::Runs => Stand::Early,
            Stage::Done { .. } | Stage::Stores { .. } | Stage::Concludes(_) => Stand::Unanswered,
        };
        self.conclude(to, stand, Some(stopped))
    }

    fn conclude(&self, to: World, stand: Stand, stopped: Option<Stopped>) -> World {
        let max_attempts = self.ctx.bounds.max_attempts.into();
        let conclusion = (self.ctx.rules.conclude)(stand, stopped, self.holder().attempt, max_attempts);
        self.carry_out(to, conclusion)
    }

    fn carry_out(&self, to: World, conclusion: Conclusion) -> World {
        let says = match conclusion {
            Conclusion::Store => {
                let failed = matches!(self.stage, Stage::Done { failed: true });
                return self.at(to, Stage::Stores { failed }, self.last);
            }
            Conclusion::Finish => Says::Finished,
            Conclusion::Close => Says::Closed,
            Conclusion::Fail | Conclusion::FailAsClient => Says::Failed,
            Conclusion::ClientGone => Says::ClientGone,
            Conclusion::Cancel => Says::Cancelled,
            Conclusion::Leave(outcome) => return self.leave(to, outcome),
        };
        let ending = self.record(says, self.last, self.process.again);
        self.at(to, Stage::Concludes(ending), self.last)
    }

    fn stores(&self, failed: bool, steps: &mut Steps<'_>) {
        let mut to = self.world.clone();
        to.stored = true;
        steps.helps("stores", self.carry_out(to, (self.ctx.rules.after_store)(failed, true)));
        if self.world.left.refusals > 0 {
            let mut to = self.world.clone();
            to.left.refusals -= 1;
            steps.harms("may not store", self.carry_out(to, (self.ctx.rules.after_store)(failed, false)));
        }
    }

    fn concludes(&self, append: Append, steps: &mut Steps<'_>) {
        let Message { says, on, again, .. } = append.message;
        for (kind, what, to, next) in append.steps(self.world, self.ctx) {
            let to = match next {
                Next::Won if says == Says::Closed => self.leave(to, Outcome::Closed),
                Next::Won if says == Says::Finished => self.leave(to, Outcome::Finished),
                Next::Won if says == Says::Cancelled => self.leave(to, Outcome::Cancelled),
                Next::Won => self.leave(to, Outcome::Failed),
                Next::Lost(seen) => {
                    let (last, prev) = (to.history.last_of(seen), to.history.hash_of(on).unwrap());
                    match (self.ctx.rules.ending_lost)(&last, &self.holder(), &prev) {
                        AfterLost::Again => {
                            self.at(to, Stage::Concludes(self.record(says, seen, again)), seen)
                        }
                        AfterLost::Leave(outcome) => {
                            let mut to = self.leave(to, outcome);
                            if outcome == Outcome::LetGo && matches!(last, Last::Known(_)) {
                                to.breaks(Property::WhatHasRunIsConcluded);
                            }
                            to
                        }
                    }
                }
                // It is worth trying for as long as the process lives.
                Next::GaveUp => self.at(to, Stage::Concludes(self.record(says, on, again + 1)), self.last),
                Next::Then(append) => self.at(to, Stage::Concludes(append), self.last),
            };
            steps.add(kind, what, to);
        }
        if append.sent != crate::append::Sent::No && self.world.left.drains > 0 {
            let mut to = self.world.clone();
            to.left.drains -= 1;
            steps.add(Kind::Harms, "has to end", self.leave(to, Outcome::LetGo));
        }
    }

    /// Lets go of the attempt, and settles its message.
    fn leave(&self, mut to: World, outcome: Outcome) -> World {
        let current = self.held.current;
        let settle = (self.ctx.rules.settle)(outcome);
        if outcome == Outcome::Overtaken && settle != Settle::Nothing {
            to.breaks(Property::OnlyHoldersKeepTheMessage);
        }
        if outcome == Outcome::LetGo && matches!(self.stage, Stage::Done { .. } | Stage::Stores { .. }) {
            to.breaks(Property::WhatHasRunIsConcluded);
        }
        let process = &mut to.processes[self.index];
        process.slots[self.slot] = Slot::Free;
        if self.ctx.rules.carried_out.falls_silent {
            process.held = None;
        }
        // By its time, no later record of this process has the bytes of an earlier one.
        process.again += 1;
        if process.child_of > 0 {
            *process = Process::NONE;
        } else {
            match settle {
                Settle::Ack => to.ack(current),
                Settle::Nak => to.nak(current),
                Settle::Nothing => {}
            }
        }
        if !to.history.is_over() {
            to.silence(self.held.attempt);
        }
        to
    }
}
