//! Dealing with a delivery, by the rules that workers and launchers share.

use subrosa_protocol::{
    delivery::{Delivered, Ending, Holder, OnDelivery, Probe},
    refusal::Code,
};

use crate::{
    append::{Append, Next},
    history::{Message, Says, instance},
    world::{Ctx, Kind, World},
};

/// How far dealing with a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Delivery {
    Got,
    /// The last of the first so many messages was read.
    Seen {
        seen: u8,
        probe: Probe,
    },
    /// The holder is being asked whether it is alive.
    Asking {
        seen: u8,
    },
    Asked {
        seen: u8,
        answer: Probe,
    },
    /// An ending is being appended.
    Ends(Append),
}

/// Who deals with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who {
    pub(crate) held_here: bool,
    /// As whom it writes.
    pub(crate) by: u8,
    pub(crate) again: u8,
}

/// What it comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dealt {
    Still(Delivery),
    GoOn,
    /// It is to be removed; `foreign`: it was not the job.
    Ack {
        foreign: bool,
    },
    Nak,
    /// The next attempt is to be claimed, over the last of the first so many messages.
    Take {
        attempt: u8,
        on: u8,
    },
    /// The ending is stored.
    Ended,
    GaveUp,
}

/// The record of an ending.
pub(crate) fn says(ending: &Ending) -> Says {
    match ending {
        Ending::Failed(reason) | Ending::Expired(reason) => Says::with_code(reason),
    }
}

/// An attempt's number as the model keeps it.
pub(crate) fn small(attempt: u16) -> u8 {
    u8::try_from(attempt).unwrap()
}

impl World {
    /// Whether somebody answers for an attempt.
    pub(crate) fn is_held(&self, holder: &Holder) -> bool {
        self.processes.iter().any(|process| {
            let attempt = process.held.map(|held| u16::from(held.attempt));
            !process.hangs
                && instance(process.number) == holder.instance
                && attempt == Some(holder.attempt.get())
        })
    }

    /// What may be read: the last message, or at worst the one before it.
    pub(crate) fn reads(&self, known: u8) -> Vec<(Kind, World, u8)> {
        let len = self.history.len();
        let mut all = vec![(Kind::Helps, self.clone(), len)];
        if self.left.stale > 0 && len > known {
            let mut to = self.clone();
            to.left.stale -= 1;
            all.push((Kind::Harms, to, len - 1));
        }
        all
    }
}

impl Delivery {
    /// All that can happen next.
    pub(crate) fn steps(
        self,
        world: &World,
        ctx: &Ctx<'_>,
        who: Who,
    ) -> Vec<(Kind, &'static str, World, Dealt)> {
        match self {
            // That there is nothing counts only after ten seconds.
            Self::Got => each_read(world, 1, "reads the last record", |seen| Self::Seen {
                seen,
                probe: Probe::NotAsked,
            }),
            Self::Seen { seen, probe } => decide(world, ctx, who, seen, probe),
            Self::Asking { seen } => ask(world, seen),
            Self::Asked { seen, answer } => each_read(world, 1, "reads again", |again| Self::Seen {
                seen: again,
                probe: (ctx.rules.after_probe)(
                    &world.history.last_of(seen),
                    &world.history.last_of(again),
                    answer,
                ),
            }),
            Self::Ends(append) => {
                let all = append.steps(world, ctx).into_iter();
                all.map(|(kind, what, to, next)| (kind, what, to, ends(next))).collect()
            }
        }
    }
}

fn each_read(
    world: &World,
    known: u8,
    what: &'static str,
    then: impl Fn(u8) -> Delivery,
) -> Vec<(Kind, &'static str, World, Dealt)> {
    let reads = world.reads(known).into_iter();
    reads.map(|(kind, to, seen)| (kind, what, to, Dealt::Still(then(seen)))).collect()
}

fn ends(next: Next) -> Dealt {
    match next {
        Next::Won => Dealt::Ended,
        Next::Lost(seen) => Dealt::Still(Delivery::Seen { seen, probe: Probe::NotAsked }),
        Next::GaveUp => Dealt::GaveUp,
        Next::Then(append) => Dealt::Still(Delivery::Ends(append)),
    }
}

fn decide(
    world: &World,
    ctx: &Ctx<'_>,
    who: Who,
    seen: u8,
    probe: Probe,
) -> Vec<(Kind, &'static str, World, Dealt)> {
    let last = world.history.last_of(seen);
    let view = Delivered {
        last: &last,
        is_the_job: true,
        held_here: who.held_here,
        probe,
        refusal: ctx.bounds.refused.then_some(Code::BadSignature),
        expired: world.expired,
        max_attempts: ctx.bounds.max_attempts.into(),
    };
    let mut all = Vec::new();
    if world.left.foreign > 0 {
        let mut to = world.clone();
        to.left.foreign -= 1;
        if (ctx.rules.deliver)(&Delivered { is_the_job: false, ..view.clone() }) == OnDelivery::Ack {
            all.push((Kind::Harms, "acks what is not the job", to, Dealt::Ack { foreign: true }));
        }
    }
    let mut to = world.clone();
    let (what, dealt) = match (ctx.rules.deliver)(&view) {
        OnDelivery::Nak => ("gives the delivery back", Dealt::Nak),
        OnDelivery::Ack => ("acks the delivery", Dealt::Ack { foreign: false }),
        OnDelivery::GoOn => ("goes on with the new delivery", Dealt::GoOn),
        OnDelivery::AskAlive(_) => ("asks the holder", Dealt::Still(Delivery::Asking { seen })),
        OnDelivery::End(ending) => {
            let (says, attempt) = (says(&ending), small(last.attempt()));
            let message = Message { says, attempt, by: who.by, on: seen, again: who.again };
            ("decides to end the job", Dealt::Still(Delivery::Ends(Append::new(message))))
        }
        OnDelivery::Take(attempt) => {
            if world.expired {
                to.breaks(crate::properties::Property::NoAttemptOnceExpired);
            }
            ("decides to take the job", Dealt::Take { attempt: small(attempt.get()), on: seen })
        }
    };
    all.push((Kind::Helps, what, to, dealt));
    all
}

/// The holder answers if it holds the attempt, and is not paused or cut off.
fn ask(world: &World, seen: u8) -> Vec<(Kind, &'static str, World, Dealt)> {
    let asked = |answer| Dealt::Still(Delivery::Asked { seen, answer });
    let Some(holder) = holder(world, seen) else {
        return vec![(Kind::Helps, "hears nothing", world.clone(), asked(Probe::Silent))];
    };
    if !world.is_held(&holder) {
        return vec![(Kind::Helps, "hears nothing", world.clone(), asked(Probe::Silent))];
    }
    let mut all = vec![(Kind::Helps, "hears the holder", world.clone(), asked(Probe::Answered))];
    if world.left.pauses > 0 {
        let mut to = world.clone();
        to.left.pauses -= 1;
        to.silence(small(holder.attempt.get()));
        all.push((Kind::Harms, "hears nothing of a paused holder", to, asked(Probe::Silent)));
    }
    all
}

/// Whom the last of the first so many messages names.
fn holder(world: &World, seen: u8) -> Option<Holder> {
    use subrosa_protocol::{
        delivery::{Last, Snapshot, State},
        id::Attempt,
    };
    match world.history.last_of(seen) {
        Last::Known(Snapshot { state: State::Open { instance, .. }, attempt, .. }) => {
            Some(Holder { attempt: Attempt::new(attempt).ok()?, instance })
        }
        _ => None,
    }
}
