//! Launchers: they admit, sweep, and end jobs for whoever shows a token.

use subrosa_protocol::delivery::{End, OnLaunch, Sweep, SweepAges};

use crate::{
    append::{Append, Next},
    client::Token,
    delivery::says,
    history::{Message, Says},
    properties::Property,
    puller::Puller,
    world::{Ctx, Edge, Kind, Queue, Steps, World},
};

/// A launcher: one answer or look at a time, and with children, one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Launcher {
    pub(crate) task: Task,
    pub(crate) puller: Puller,
    /// Writes whose fate it does not know.
    pub(crate) again: u8,
}

/// What a launcher is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    Free,
    /// It has found, or written, the last of the first so many messages, and is about to answer a launch.
    Launched {
        seen: u8,
    },
    /// It publishes the job to the queue.
    Queues,
    Appends {
        append: Append,
        why: Why,
    },
    /// Another record came first: the job is read anew.
    EndsAgain {
        token: Token,
    },
    /// The job has ended: its message is to be removed, and the last holder to be stopped.
    Removes {
        holder: u8,
    },
    Stops {
        holder: u8,
    },
}

/// Why a launcher appends a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Why {
    Launch,
    Sweep,
    Token(Token),
}

/// As whom the first launcher writes.
pub(crate) const FIRST: u8 = 200;

impl Launcher {
    pub(crate) const NEW: Self = Self { task: Task::Free, puller: Puller::Free, again: 0 };

    pub(crate) fn is_idle(&self) -> bool {
        self.task == Task::Free && self.puller == Puller::Free
    }

    pub(crate) fn keeps(&self) -> bool {
        self.puller.is_current()
    }

    pub(crate) fn message_gone(&mut self) {
        self.puller.message_gone();
    }
}

impl World {
    /// What a launcher does.
    pub(crate) fn launcher_steps(&self, ctx: &Ctx<'_>, index: usize, edges: &mut Vec<Edge>) {
        let launcher = &self.launchers[index];
        let number = u8::try_from(index).unwrap();
        let mut steps = Steps { who: "launcher", number, edges };
        match launcher.task {
            Task::Free => self.begins(ctx, index, &mut steps),
            Task::Launched { seen } => {
                let mut to = self.clone();
                to.launchers[index].task = match (ctx.rules.on_launch)(&self.history.last_of(seen)) {
                    OnLaunch::Queue => Task::Queues,
                    OnLaunch::Admit | OnLaunch::Answer => Task::Free,
                };
                steps.helps("answers the launch", to);
            }
            Task::Queues => {
                let mut to = self.clone();
                to.launchers[index].task = Task::Free;
                to.enqueue();
                steps.helps("publishes to the queue", to);
            }
            Task::Appends { append, why } => self.appends(ctx, index, append, why, &mut steps),
            Task::EndsAgain { token } => {
                let to = self.show(ctx, index, token);
                steps.helps("reads again what is to be ended", to);
            }
            Task::Removes { holder } => {
                let mut to = self.clone();
                if !self.history.is_over() {
                    to.breaks(Property::KeptUntilOver);
                }
                to.lose_message();
                to.launchers[index].task = if holder == 0 { Task::Free } else { Task::Stops { holder } };
                steps.helps("removes the message", to);
            }
            Task::Stops { holder } => {
                let mut to = self.clone();
                to.launchers[index].task = Task::Free;
                // Nobody relies on it.
                steps.harms("does not reach the holder", to.clone());
                to.stop(holder);
                steps.helps("stops the holder", to);
            }
        }
        if ctx.bounds.workers == 0 {
            self.puller_steps(ctx, index, &mut steps);
        }
        if self.left.crashes > 0 && !launcher.is_idle() {
            let mut to = self.clone();
            to.left.crashes -= 1;
            to.launchers[index] = Launcher { again: launcher.again + 1, ..Launcher::NEW };
            if let Some(child) = launcher.puller.child() {
                steps.harms("crashes, and its child lives on", to.clone());
                to.kill(child.into());
            }
            steps.harms("crashes", to);
        }
    }

    /// What a launcher can be asked, and what it does by itself.
    fn begins(&self, ctx: &Ctx<'_>, index: usize, steps: &mut Steps<'_>) {
        let len = self.history.len();
        if self.client.waits() && (len == 0 || self.left.launches > 0) {
            let mut to = self.clone();
            to.left.launches -= u8::from(len > 0);
            let message = self.own(index, Says::Queued, 0, 0);
            to.launchers[index].task = Task::Appends { append: Append::new(message), why: Why::Launch };
            steps.add(if len == 0 { Kind::Helps } else { Kind::Harms }, "gets the launch request", to);
        }
        if len == 0 {
            return;
        }
        // Of what is younger than the sweep's ages, it leaves the more alone.
        let chained = self.history.is_chained() && self.history.message(1).unwrap().says == Says::Queued;
        let (last, ages) = (self.history.last_of(len), SweepAges::default());
        let mut to = self.clone();
        match (ctx.rules.sweep)(&last, chained, self.expired, u64::MAX, &ages) {
            Sweep::Leave => {}
            Sweep::Queue if self.queue == Queue::Absent => {
                to.launchers[index].task = Task::Queues;
                steps.mends("sweeps: to the queue again", to);
            }
            Sweep::Queue => {
                if self.left.needless > 0 {
                    to.left.needless -= 1;
                    to.launchers[index].task = Task::Queues;
                    steps.harms("sweeps: to the queue, where it is", to);
                }
            }
            Sweep::End(ending) => {
                let message = self.own(index, says(&ending), self.highest_attempt(), len);
                let append = Append::new(message);
                to.launchers[index].task = Task::Appends { append, why: Why::Sweep };
                steps.mends("sweeps: to be ended", to);
            }
        }
        if let Some(token) = self.client.token()
            && !self.history.is_over()
        {
            steps.helps("is shown a token", self.show(ctx, index, token));
        }
    }

    /// What an ending record of a launcher carries.
    fn highest_attempt(&self) -> u8 {
        self.history.taken().map_or(0, |(attempt, _)| attempt)
    }

    fn own(&self, index: usize, says: Says, attempt: u8, on: u8) -> Message {
        let by = FIRST + u8::try_from(index).unwrap();
        Message { says, attempt, by, on, again: self.launchers[index].again }
    }

    /// A token that fits was shown: the ending is written, or found.
    fn show(&self, ctx: &Ctx<'_>, index: usize, token: Token) -> World {
        let on = self.history.len();
        let asked = match token {
            Token::Close => Says::Closed,
            Token::Cancel => Says::Cancelled,
        };
        let mut to = self.clone();
        let says = match (ctx.rules.end)(&self.history.last_of(on)) {
            End::Unknown => {
                to.launchers[index].task = Task::Free;
                return to;
            }
            End::Ended => {
                to.launchers[index].task = self.removes();
                return to;
            }
            End::Write => asked,
            End::Broken(ending) => says(&ending),
        };
        let append = Append::new(self.own(index, says, self.highest_attempt(), on));
        to.launchers[index].task = Task::Appends { append, why: Why::Token(token) };
        to
    }

    fn removes(&self) -> Task {
        Task::Removes { holder: self.history.taken().map_or(0, |(_, holder)| holder) }
    }

    fn appends(&self, ctx: &Ctx<'_>, index: usize, append: Append, why: Why, steps: &mut Steps<'_>) {
        for (kind, what, mut to, next) in append.steps(self, ctx) {
            let task = match (next, why) {
                (Next::Then(append), _) => Task::Appends { append, why },
                (Next::Won, Why::Launch) => Task::Launched { seen: 1 },
                (Next::Lost(seen), Why::Launch) => Task::Launched { seen },
                (Next::Won, Why::Sweep | Why::Token(_)) => to.removes(),
                (Next::Lost(_), Why::Token(token)) => Task::EndsAgain { token },
                (Next::Lost(_), Why::Sweep) => Task::Free,
                (Next::GaveUp, _) => {
                    to.launchers[index].again += 1;
                    Task::Free
                }
            };
            to.launchers[index].task = task;
            steps.add(kind, what, to);
        }
    }

    /// A process is shown the ending record.
    pub(crate) fn stop(&mut self, holder: u8) {
        for process in self.processes.iter_mut().filter(|process| process.number == holder) {
            if let Some(held) = &mut process.held {
                held.stopped = true;
            }
        }
    }
}
