//! Worker processes: what they do with deliveries, and how they claim attempts.

use std::hash::{Hash, Hasher};

use subrosa_protocol::{
    delivery::{Probe, Start},
    id::Attempt,
};

use crate::{
    append::{Append, Next},
    attempt::{Stage, works},
    delivery::{Dealt, Delivery, Who},
    history::{Message, Says},
    properties::Property,
    world::{Ctx, Edge, Queue, Steps, World},
};

/// A worker process: resident, or a child of a launcher.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    /// Its name; 0: there is none.
    pub(crate) number: u8,
    /// The attempt that it was started for; 0: it is resident.
    pub(crate) child_of: u8,
    pub(crate) held: Option<Held>,
    pub(crate) slots: [Slot; 2],
    /// It does nothing any more, and answers nobody.
    pub(crate) hangs: bool,
    /// Writes whose fate it does not know: no later one has the same bytes.
    pub(crate) again: u8,
}

/// The attempt that a process holds: from before its `taken` is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) attempt: u8,
    /// Its acks act on the message that is in the queue.
    pub(crate) current: bool,
    /// It was shown a record that ended the job.
    pub(crate) stopped: bool,
}

/// What a process does in one of its slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Slot {
    Free,
    /// Of a child: it has just begun, or has read the last of the first so many messages.
    Starts(Option<u8>),
    Deals {
        delivery: Delivery,
        current: bool,
    },
    Claims {
        append: Append,
        current: bool,
    },
    /// Of a child: it refuses the job.
    Refuses(Append),
    Works {
        stage: Stage,
        last: u8,
    },
}

impl Hash for Process {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { number, child_of, held, slots, hangs, again } = self;
        number.hash(state);
        if *number > 0 {
            (child_of, held, slots, hangs, again).hash(state);
        }
    }
}

impl Process {
    pub(crate) const NONE: Self =
        Self { number: 0, child_of: 0, held: None, slots: [Slot::Free, Slot::Free], hangs: false, again: 0 };

    pub(crate) fn resident(number: u8) -> Self {
        Self { number: number + 1, ..Self::NONE }
    }

    /// A child that was just started.
    pub(crate) fn child(number: u8, attempt: u8) -> Self {
        Self { number, child_of: attempt, slots: [Slot::Starts(None), Slot::Free], ..Self::NONE }
    }

    /// Of a process that hangs, nobody expects anything; the launcher whose child it is has to see to it.
    pub(crate) fn is_idle(&self) -> bool {
        self.hangs || self.held.is_none() && self.slots.iter().all(|slot| *slot == Slot::Free)
    }

    /// It deals with the message.
    pub(crate) fn keeps(&self) -> bool {
        let deals = |slot: &Slot| {
            matches!(slot, Slot::Deals { current: true, .. } | Slot::Claims { current: true, .. })
        };
        !self.hangs && (self.held.is_some_and(|held| held.current) || self.slots.iter().any(deals))
    }

    /// The message has left the queue.
    pub(crate) fn message_gone(&mut self) {
        if let Some(held) = &mut self.held {
            held.current = false;
        }
        for slot in &mut self.slots {
            if let Slot::Deals { current, .. } | Slot::Claims { current, .. } = slot {
                *current = false;
            }
        }
    }
}

impl World {
    /// What a worker process does.
    pub(crate) fn process_steps(&self, ctx: &Ctx<'_>, index: usize, edges: &mut Vec<Edge>) {
        let process = &self.processes[index];
        if process.number == 0 || process.hangs {
            return;
        }
        let who = if process.child_of > 0 { "child" } else { "worker" };
        let mut steps = Steps { who, number: process.number, edges };
        if process.child_of == 0 && self.queue == Queue::Ready {
            let is_free = |slot: &Slot| *slot == Slot::Free;
            let busy = process.slots.iter().filter(|slot| !is_free(slot)).count();
            if let Some(free) = process.slots.iter().position(is_free)
                && busy < usize::from(ctx.bounds.slots)
            {
                let mut to = self.clone();
                to.queue = Queue::Out;
                let deals = Slot::Deals { delivery: Delivery::Got, current: true };
                to.processes[index].slots[free] = deals;
                steps.helps("gets a delivery", to);
            }
        }
        for slot in 0..process.slots.len() {
            self.slot_steps(ctx, index, slot, &mut steps);
        }
        if self.left.crashes > 0 && !process.is_idle() {
            let mut to = self.clone();
            to.left.crashes -= 1;
            to.kill(index);
            steps.harms("crashes", to);
        }
        if self.left.hangs > 0 && !process.is_idle() {
            let mut to = self.clone();
            to.left.hangs -= 1;
            to.processes[index].hangs = true;
            if let Some(held) = process.held {
                to.silence(held.attempt);
            }
            steps.harms("hangs", to);
        }
    }

    /// A process ends without a word. In place of a resident one, another one starts.
    pub(crate) fn kill(&mut self, index: usize) {
        let process = &mut self.processes[index];
        let held = process.held;
        *process = match process.child_of {
            0 => Process { number: process.number + 8, ..Process::NONE },
            _ => Process::NONE,
        };
        if let Some(held) = held {
            self.silence(held.attempt);
        }
    }

    fn slot_steps(&self, ctx: &Ctx<'_>, index: usize, slot: usize, steps: &mut Steps<'_>) {
        match self.processes[index].slots[slot] {
            Slot::Free => {}
            Slot::Starts(seen) => self.starts(ctx, (index, slot), seen, steps),
            Slot::Deals { delivery, current } => self.deals(ctx, (index, slot), delivery, current, steps),
            Slot::Claims { append, current } => self.claims(ctx, (index, slot), append, current, steps),
            Slot::Refuses(append) => {
                for (kind, what, mut to, next) in append.steps(self, ctx) {
                    to.processes[index] = match next {
                        Next::Then(append) => {
                            let slots = [Slot::Refuses(append), Slot::Free];
                            Process { slots, ..self.processes[index] }
                        }
                        Next::Won | Next::Lost(_) | Next::GaveUp => Process::NONE,
                    };
                    steps.add(kind, what, to);
                }
            }
            Slot::Works { stage, last } => works(self, ctx, (index, slot), stage, last, steps),
        }
    }

    /// A child that a launcher has started for one attempt.
    fn starts(&self, ctx: &Ctx<'_>, (index, slot): (usize, usize), seen: Option<u8>, steps: &mut Steps<'_>) {
        let Some(seen) = seen else {
            for (kind, mut to, seen) in self.reads(1) {
                to.processes[index].slots[slot] = Slot::Starts(Some(seen));
                steps.add(kind, "reads the last record", to);
            }
            return;
        };
        let process = self.processes[index];
        let attempt = Attempt::new(process.child_of.into()).unwrap();
        let mut to = self.clone();
        if ctx.bounds.cannot_start {
            to.processes[index] = Process::NONE;
            return steps.helps("cannot be started", to);
        }
        if (ctx.rules.start)(&self.history.last_of(seen), attempt) == Start::Exit {
            to.processes[index] = Process::NONE;
            return steps.helps("exits, as it is not its turn", to);
        }
        if ctx.bounds.refused {
            let attempt = process.child_of - 1;
            let message = Message { says: Says::Refused, attempt, by: process.number, on: seen, again: 0 };
            to.processes[index].slots[slot] = Slot::Refuses(Append::new(message));
            return steps.helps("refuses the job", to);
        }
        to.claim(ctx, (index, slot), process.child_of, seen, false);
        steps.helps("claims its attempt", to);
    }

    fn deals(
        &self,
        ctx: &Ctx<'_>,
        (index, slot): (usize, usize),
        delivery: Delivery,
        current: bool,
        steps: &mut Steps<'_>,
    ) {
        let process = self.processes[index];
        let who = Who { held_here: process.held.is_some(), by: process.number, again: process.again };
        for (kind, what, mut to, dealt) in delivery.steps(self, ctx, who) {
            let mut then = Slot::Free;
            match dealt {
                Dealt::Still(delivery) => then = Slot::Deals { delivery, current },
                Dealt::GoOn if ctx.rules.carried_out.goes_on => {
                    if let Some(held) = &mut to.processes[index].held {
                        held.current = current;
                    }
                }
                Dealt::GoOn => {
                    let last = self.history.message(self.history.len());
                    let own = |last: &&Message| last.says == Says::Running && last.by == process.number;
                    if let Some(last) = last.filter(own) {
                        to.runs(last.attempt, last.by);
                    }
                }
                Dealt::Ack { foreign: true } if current => to.lose_message(),
                Dealt::Ack { .. } | Dealt::Ended => to.ack(current),
                Dealt::Nak => {
                    let open = [Says::Queued, Says::Taken, Says::Running];
                    let is_open = |seen| self.history.message(seen).is_some_and(|it| open.contains(&it.says));
                    if process.held.is_some()
                        && matches!(delivery, Delivery::Seen { seen, .. } if is_open(seen))
                    {
                        to.breaks(Property::HoldersKeepTheMessage);
                    }
                    to.nak(current);
                }
                Dealt::GaveUp => {
                    to.processes[index].again += 1;
                    to.nak(current);
                }
                Dealt::Take { attempt, on } => {
                    // Another delivery to this process was first, and rule 2 holds then.
                    if process.held.is_some() {
                        continue;
                    }
                    to.claim(ctx, (index, slot), attempt, on, current);
                    then = to.processes[index].slots[slot];
                }
            }
            to.processes[index].slots[slot] = then;
            steps.add(kind, what, to);
        }
    }

    /// Holds the attempt, and goes to publish `taken`.
    fn claim(&mut self, ctx: &Ctx<'_>, (index, slot): (usize, usize), attempt: u8, on: u8, current: bool) {
        let process = &mut self.processes[index];
        let number = process.number;
        let message = Message { says: Says::Taken, attempt, by: number, on, again: process.again };
        process.slots[slot] = Slot::Claims { append: Append::new(message), current };
        if ctx.rules.carried_out.holds_first {
            process.held = Some(Held { attempt, current, stopped: false });
        }
        if !ctx.rules.carried_out.waits_for_taken {
            self.runs(attempt, number);
        }
    }

    fn claims(
        &self,
        ctx: &Ctx<'_>,
        (index, slot): (usize, usize),
        append: Append,
        current: bool,
        steps: &mut Steps<'_>,
    ) {
        let attempt = append.message.attempt;
        for (kind, what, mut to, next) in append.steps(self, ctx) {
            let process = &mut to.processes[index];
            let is_child = process.child_of > 0;
            match next {
                Next::Won => {
                    let last = append.message.on + 1;
                    process.slots[slot] = Slot::Works { stage: Stage::Offers, last };
                    process.held.get_or_insert(Held { attempt, current, stopped: false });
                }
                Next::Lost(seen) => {
                    if ctx.rules.carried_out.holds_first {
                        process.held = None;
                    }
                    process.slots[slot] = if is_child {
                        Slot::Starts(Some(seen))
                    } else {
                        let delivery = Delivery::Seen { seen, probe: Probe::NotAsked };
                        Slot::Deals { delivery, current }
                    };
                }
                Next::GaveUp => {
                    // Its record may still be stored, and nobody will answer for it.
                    to.silence(attempt);
                    let process = &mut to.processes[index];
                    process.held = None;
                    process.again += 1;
                    process.slots[slot] = Slot::Free;
                    if is_child {
                        *process = Process::NONE;
                    } else {
                        to.nak(current);
                    }
                }
                Next::Then(append) => process.slots[slot] = Slot::Claims { append, current },
            }
            steps.add(kind, what, to);
        }
    }
}
