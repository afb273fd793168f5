//! The backend that starts a child per attempt: it gets the deliveries, and looks after the child.

use subrosa_protocol::{
    delivery::{AfterChild, Child, ChildView, KeepChild, Last, Probe, Snapshot, State},
    id::Attempt,
};

use crate::{
    append::Append,
    delivery::{Dealt, Delivery, Who, says},
    history::{Message, instance},
    launcher::FIRST,
    properties::Property,
    worker::Process,
    world::{Ctx, Kind, PROCESSES, Queue, Steps, World},
};

/// One launcher's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Puller {
    Free,
    Deals {
        delivery: Delivery,
        current: bool,
    },
    /// A child was started for an attempt, over the last of the first so many messages.
    Runs {
        child: u8,
        attempt: u8,
        on: u8,
        current: bool,
    },
    /// That child is gone.
    Gone {
        attempt: u8,
        on: u8,
        stopped: bool,
        current: bool,
    },
}

impl Puller {
    /// Where its child is.
    pub(crate) fn child(&self) -> Option<u8> {
        match self {
            Self::Runs { child, .. } => Some(*child),
            _ => None,
        }
    }

    fn current(&mut self) -> Option<&mut bool> {
        match self {
            Self::Free => None,
            Self::Deals { current, .. } | Self::Runs { current, .. } | Self::Gone { current, .. } => {
                Some(current)
            }
        }
    }

    /// It deals with the message.
    pub(crate) fn is_current(mut self) -> bool {
        self.current().is_some_and(|current| *current)
    }

    pub(crate) fn message_gone(&mut self) {
        if let Some(current) = self.current() {
            *current = false;
        }
    }
}

impl World {
    pub(crate) fn puller_steps(&self, ctx: &Ctx<'_>, index: usize, steps: &mut Steps<'_>) {
        let mut puller = self.launchers[index].puller;
        if self.queue == Queue::Ready {
            let mut to = self.clone();
            to.queue = Queue::Out;
            // Whoever deals with the job already goes on, with the new delivery.
            match puller.current() {
                None => {
                    let deals = Puller::Deals { delivery: Delivery::Got, current: true };
                    to.launchers[index].puller = deals;
                }
                Some(current) => {
                    *current = true;
                    to.launchers[index].puller = puller;
                }
            }
            steps.helps("gets a delivery", to);
        }
        match self.launchers[index].puller {
            Puller::Free => {}
            Puller::Deals { delivery, current } => self.pulled(ctx, index, delivery, current, steps),
            Puller::Runs { child, attempt, on, current } => {
                self.looks_after(ctx, index, (child, attempt, on, current), steps);
            }
            Puller::Gone { attempt, on, stopped, current } => {
                self.after(ctx, index, (attempt, on, stopped, current), steps);
            }
        }
    }

    fn pulled(&self, ctx: &Ctx<'_>, index: usize, delivery: Delivery, current: bool, steps: &mut Steps<'_>) {
        let again = self.launchers[index].again;
        let who = Who { held_here: false, by: FIRST + u8::try_from(index).unwrap(), again };
        for (kind, what, mut to, dealt) in delivery.steps(self, ctx, who) {
            let mut then = Puller::Free;
            match dealt {
                Dealt::Still(delivery) => then = Puller::Deals { delivery, current },
                Dealt::Ack { foreign: true } if current => to.lose_message(),
                Dealt::GoOn | Dealt::Ack { .. } => to.ack(current),
                Dealt::Nak => to.nak(current),
                Dealt::Ended => {
                    // The launcher that ends a job stops its holder, and removes its message.
                    if let Some((_, holder)) = self.history.taken() {
                        to.stop(holder);
                    }
                    to.lose_message();
                }
                // It is delivered again after the ack wait.
                Dealt::GaveUp => to.launchers[index].again += 1,
                Dealt::Take { attempt, on } => {
                    let free = to.processes[..PROCESSES].iter().position(|process| process.number == 0);
                    let Some(place) = free.filter(|_| self.started < ctx.bounds.children) else {
                        continue;
                    };
                    to.started += 1;
                    to.processes[place] = Process::child(to.started, attempt);
                    let child = u8::try_from(place).unwrap();
                    then = Puller::Runs { child, attempt, on, current };
                }
            }
            to.launchers[index].puller = then;
            steps.add(kind, what, to);
        }
    }

    /// Looks at the last record, and at the child.
    fn looks_after(
        &self,
        ctx: &Ctx<'_>,
        index: usize,
        (place, attempt, on, current): (u8, u8, u8, bool),
        steps: &mut Steps<'_>,
    ) {
        let gone = |stopped| Puller::Gone { attempt, on, stopped, current };
        let process = &self.processes[usize::from(place)];
        if process.number == 0 {
            let mut to = self.clone();
            to.launchers[index].puller = gone(false);
            return steps.helps("sees that its child is gone", to);
        }
        let last = self.history.last_of(self.history.len());
        let child = self.child_of(attempt, on);
        let is_over = !matches!(
            last,
            Last::Unverified { .. } | Last::Known(Snapshot { state: State::Queued | State::Open { .. }, .. })
        );
        for (kind, mut to, silent) in self.silences(&last, place, attempt) {
            let view = ChildView { is_silent: silent, is_overdue: is_over };
            if (ctx.rules.child)(&last, &child, &view) == KeepChild::Kill {
                to.kill(place.into());
                to.launchers[index].puller = gone(false);
                steps.add(kind, "kills its child", to);
            }
        }
        if self.left.drains > 0 {
            let mut to = self.clone();
            to.left.drains -= 1;
            to.kill(place.into());
            to.launchers[index].puller = gone(true);
            steps.harms("has to end, and its child with it", to);
        }
    }

    fn child_of(&self, attempt: u8, on: u8) -> Child {
        let decided_on = self.history.hash_of(on).unwrap();
        Child { attempt: Attempt::new(attempt.into()).unwrap(), decided_on }
    }

    /// Whether the child is silent, or can be.
    fn silences(&self, last: &Last, place: u8, attempt: u8) -> Vec<(Kind, World, bool)> {
        let asked = match last {
            Last::Known(Snapshot { state: State::Open { instance, .. }, attempt: open, .. })
                if *open == u16::from(attempt) =>
            {
                Some(*instance)
            }
            _ => None,
        };
        // Before its `taken`, it is not asked, and has so long to claim its attempt.
        let hangs = self.processes[usize::from(place)].hangs;
        let answers = asked.map_or(!hangs, |asked| {
            self.processes.iter().any(|process| {
                let held = process.held.filter(|_| !process.hangs);
                let holds = held.is_some_and(|held| held.attempt == attempt);
                holds && instance(process.number) == asked
            })
        });
        if !answers {
            return vec![(Kind::Helps, self.clone(), true)];
        }
        let mut all = vec![(Kind::Helps, self.clone(), false)];
        if self.left.pauses > 0 {
            let mut to = self.clone();
            to.left.pauses -= 1;
            if asked.is_some() {
                to.silence(attempt);
            }
            all.push((Kind::Harms, to, true));
        }
        all
    }

    fn after(
        &self,
        ctx: &Ctx<'_>,
        index: usize,
        (attempt, on, stopped, current): (u8, u8, bool, bool),
        steps: &mut Steps<'_>,
    ) {
        for (kind, mut to, seen) in self.reads(on) {
            let last = to.history.last_of(seen);
            let child = self.child_of(attempt, on);
            let mut then = Puller::Free;
            let verdict = (ctx.rules.after_child)(&last, &child, stopped);
            let has_taken = self.history.taken().is_some_and(|(highest, _)| highest >= attempt);
            // What is decided on less than the last record comes to nothing.
            let counts = seen == self.history.len();
            if matches!(verdict, AfterChild::End(_)) && counts && (has_taken || stopped) {
                to.breaks(Property::NotStartedMeansNotStarted);
            }
            match verdict {
                AfterChild::HandOver => to.nak(current),
                AfterChild::Decide => {
                    let delivery = Delivery::Seen { seen, probe: Probe::NotAsked };
                    then = Puller::Deals { delivery, current };
                }
                AfterChild::End(ending) => {
                    let launcher = &to.launchers[index];
                    let by = FIRST + u8::try_from(index).unwrap();
                    let (says, again) = (says(&ending), launcher.again);
                    let attempt = crate::delivery::small(last.attempt());
                    let message = Message { says, attempt, by, on: seen, again };
                    then = Puller::Deals { delivery: Delivery::Ends(Append::new(message)), current };
                }
            }
            to.launchers[index].puller = then;
            steps.add(kind, "decides what follows its child", to);
        }
    }
}
