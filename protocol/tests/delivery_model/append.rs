//! Appending a record, with all that can become of it on the way.

use subrosa_protocol::delivery::Appended;

use crate::{
    history::Message,
    properties::Property,
    world::{Ctx, Kind, World},
};

/// A record to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Append {
    pub(crate) message: Message,
    pub(crate) sent: Sent,
}

/// How far that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Sent {
    No,
    /// The server has not answered.
    Unanswered,
    /// The server has refused it.
    Refused,
}

/// What the writer does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Won,
    /// Another message is the last of the first so many.
    Lost(u8),
    /// Nothing is known of what became of it.
    GaveUp,
    /// Something else about this append.
    Then(Append),
}

impl Append {
    pub(crate) fn new(message: Message) -> Self {
        Self { message, sent: Sent::No }
    }

    /// All that can happen to it next.
    pub(crate) fn steps(&self, world: &World, ctx: &Ctx<'_>) -> Vec<(Kind, &'static str, World, Next)> {
        if self.sent == Sent::No { self.publish(world, ctx) } else { self.find_out(world, ctx) }
    }

    fn publish(&self, world: &World, ctx: &Ctx<'_>) -> Vec<(Kind, &'static str, World, Next)> {
        let then = |sent| Next::Then(Self { sent, ..*self });
        let mut all = Vec::new();
        let mut to = world.clone();
        if to.store(ctx, self.message) {
            if world.left.unanswered > 0 {
                let mut to = to.clone();
                to.left.unanswered -= 1;
                all.push((
                    Kind::Harms,
                    "its record is stored, without an answer",
                    to,
                    then(Sent::Unanswered),
                ));
            }
            all.push((Kind::Helps, "its record is stored", to, Next::Won));
        } else {
            all.push((Kind::Helps, "its record is refused", to, then(Sent::Refused)));
        }
        if world.left.late > 0 {
            let mut to = world.clone();
            to.left.late -= 1;
            if to.history.delay(self.message) {
                all.push((Kind::Harms, "its record is late", to, then(Sent::Unanswered)));
            }
        }
        all
    }

    /// Reads the last message, and compares.
    fn find_out(&self, world: &World, ctx: &Ctx<'_>) -> Vec<(Kind, &'static str, World, Next)> {
        let mut all = Vec::new();
        let len = world.history.len();
        // A refusal names the last sequence, and a read that shows less does not count.
        let stale = self.sent == Sent::Unanswered && world.left.stale > 0 && len > self.message.on;
        for seen in (len - u8::from(stale))..=len {
            let mut to = world.clone();
            let kind = if seen == len { Kind::Helps } else { Kind::Harms };
            if kind == Kind::Harms {
                to.left.stale -= 1;
            }
            let (last, prev) = (world.history.hash_of(seen), world.history.hash_of(self.message.on));
            let own = self.message.hash();
            let is_stored = world.history.messages().contains(&self.message);
            let (what, next) = match (ctx.rules.appended)(last.as_ref(), &own, prev.as_ref()) {
                Appended::Won => {
                    if !is_stored {
                        to.breaks(Property::WritersKnow);
                    }
                    ("finds that its record has won", Next::Won)
                }
                Appended::Again => ("publishes its record again", Next::Then(Self::new(self.message))),
                Appended::Lost => {
                    if last == Some(own) {
                        to.breaks(Property::WritersKnow);
                    }
                    ("finds that its record has lost", Next::Lost(seen))
                }
            };
            all.push((kind, what, to, next));
        }
        if world.left.gave_up > 0 {
            let mut to = world.clone();
            to.left.gave_up -= 1;
            all.push((Kind::Harms, "gives up on its record", to, Next::GaveUp));
        }
        all
    }
}
