//! A state of everything, and what can happen next.

use std::fmt;

use crate::{
    bounds::{Bounds, Left},
    client::Client,
    history::{History, Message, Says},
    launcher::Launcher,
    properties::{Property, broken_by},
    rules::Rules,
    worker::Process,
};

/// The most resident workers, or children.
pub(crate) const PROCESSES: usize = 4;
/// The most launchers.
pub(crate) const LAUNCHERS: usize = 2;

/// What a search is about.
#[derive(Clone, Copy)]
pub(crate) struct Ctx<'a> {
    pub(crate) bounds: &'a Bounds,
    pub(crate) rules: &'a Rules,
}

/// The job's message in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Queue {
    Absent,
    /// To be delivered to whoever asks.
    Ready,
    /// Delivered, and not acknowledged.
    Out,
}

/// Everything.
#[derive(Clone, Debug, Hash)]
pub(crate) struct World {
    pub(crate) history: History,
    pub(crate) queue: Queue,
    pub(crate) processes: [Process; PROCESSES],
    /// Children started so far.
    pub(crate) started: u8,
    pub(crate) launchers: [Launcher; LAUNCHERS],
    pub(crate) client: Client,
    pub(crate) expired: bool,
    pub(crate) left: Left,
    /// A result is stored.
    pub(crate) stored: bool,
    /// Attempts whose holder has not answered, has let go or has crashed; one bit each.
    silent: u8,
    /// Attempts whose function has started; one bit each.
    ran: u8,
    /// The first property that does not hold.
    pub(crate) broken: Option<Property>,
}

/// Whether a step can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Somebody does what is to be done, or a time passes that does in any case.
    Helps,
    /// The sweep makes good what went wrong.
    Mends,
    /// Something goes wrong, or somebody chooses otherwise.
    Harms,
}

/// What happens in a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    pub(crate) who: &'static str,
    pub(crate) number: u8,
    pub(crate) what: &'static str,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.who, self.number, self.what)
    }
}

/// A step and where it leads.
pub(crate) struct Edge {
    pub(crate) label: Label,
    pub(crate) kind: Kind,
    pub(crate) to: World,
}

/// One actor's steps, as they are found.
pub(crate) struct Steps<'a> {
    pub(crate) who: &'static str,
    pub(crate) number: u8,
    pub(crate) edges: &'a mut Vec<Edge>,
}

impl Steps<'_> {
    pub(crate) fn add(&mut self, kind: Kind, what: &'static str, to: World) {
        let label = Label { who: self.who, number: self.number, what };
        self.edges.push(Edge { label, kind, to });
    }

    pub(crate) fn helps(&mut self, what: &'static str, to: World) {
        self.add(Kind::Helps, what, to);
    }

    pub(crate) fn mends(&mut self, what: &'static str, to: World) {
        self.add(Kind::Mends, what, to);
    }

    pub(crate) fn harms(&mut self, what: &'static str, to: World) {
        self.add(Kind::Harms, what, to);
    }
}

impl World {
    /// A client has just handed in its launch request.
    pub(crate) fn new(bounds: &Bounds) -> Self {
        let mut processes = [Process::NONE; PROCESSES];
        for (number, process) in (0..bounds.workers).zip(&mut processes) {
            *process = Process::resident(number);
        }
        Self {
            history: History::new(),
            queue: Queue::Absent,
            processes,
            started: 0,
            launchers: [Launcher::NEW; LAUNCHERS],
            client: Client::NEW,
            expired: false,
            left: bounds.left,
            stored: false,
            silent: 0,
            ran: 0,
            broken: None,
        }
    }

    /// What the last record says, if the job is over and nobody has anything left to do.
    pub(crate) fn ending(&self) -> Option<Says> {
        let is_idle = self.queue == Queue::Absent
            && self.processes.iter().all(Process::is_idle)
            && self.launchers.iter().all(Launcher::is_idle);
        let last = self.history.message(self.history.len()).filter(|_| is_idle && self.history.is_over());
        last.map(|last| last.says)
    }

    /// All that can happen next.
    pub(crate) fn steps(&self, ctx: &Ctx<'_>) -> Vec<Edge> {
        let mut edges = Vec::new();
        for number in 0..PROCESSES {
            let from = edges.len();
            self.process_steps(ctx, number, &mut edges);
            edges[from..].iter_mut().for_each(|edge| edge.to.processes[number].sort());
        }
        for number in 0..usize::from(ctx.bounds.launchers) {
            self.launcher_steps(ctx, number, &mut edges);
        }
        self.client_steps(ctx, &mut edges);
        self.surroundings(ctx, &mut Steps { who: "server", number: 0, edges: &mut edges });
        edges.retain_mut(|edge| edge.to.left == self.left || edge.to.left.counts());
        edges
    }

    /// What servers and clocks do.
    fn surroundings(&self, ctx: &Ctx<'_>, steps: &mut Steps<'_>) {
        if self.queue == Queue::Out {
            let mut to = self.clone();
            to.queue = Queue::Ready;
            if !self.is_kept() {
                steps.helps("the ack wait has passed", to);
            } else if self.left.lapses > 0 {
                to.left.lapses -= 1;
                steps.harms("the ack wait has passed too soon", to);
            }
        }
        if self.queue != Queue::Absent && self.left.losses > 0 {
            let mut to = self.clone();
            to.left.losses -= 1;
            to.lose_message();
            steps.harms("the message is lost", to);
        }
        for message in self.history.late() {
            let mut to = self.clone();
            to.history.arrived(&message);
            to.store(ctx, message);
            steps.harms("a late record arrives", to);
        }
        if self.left.garbage > 0 && self.history.len() > 0 && !self.history.is_over() {
            let mut to = self.clone();
            to.left.garbage -= 1;
            let on = to.history.len();
            to.store(ctx, Message { says: Says::Garbage, attempt: 0, by: 0, on, again: 0 });
            steps.harms("something that is no record is written", to);
        }
        if self.left.expiries > 0 && self.history.len() > 0 {
            let mut to = self.clone();
            to.left.expiries -= 1;
            to.expired = true;
            steps.harms("the job expires", to);
        }
    }

    /// Somebody deals with the message, and can be expected to keep it by in-progress acks.
    fn is_kept(&self) -> bool {
        self.processes.iter().any(Process::keeps) || self.launchers.iter().any(Launcher::keeps)
    }

    /// A property does not hold.
    pub(crate) fn breaks(&mut self, property: Property) {
        self.broken.get_or_insert(property);
    }

    /// A message arrives at the stream. True if it is stored.
    pub(crate) fn store(&mut self, ctx: &Ctx<'_>, message: Message) -> bool {
        if ctx.rules.carried_out.expects && message.on != self.history.len() {
            return false;
        }
        if let Some(property) = broken_by(self, &message, ctx.bounds) {
            self.breaks(property);
        }
        assert!(self.history.push(message) || self.broken.is_some(), "no room for the history");
        true
    }

    /// The message leaves the queue, and no delivery of it is good for anything.
    pub(crate) fn lose_message(&mut self) {
        self.queue = Queue::Absent;
        for process in &mut self.processes {
            process.message_gone();
        }
        for launcher in &mut self.launchers {
            launcher.message_gone();
        }
    }

    /// An ack: of an older delivery, it acts on the current one.
    pub(crate) fn ack(&mut self, current: bool) {
        if !current || self.queue == Queue::Absent {
            return;
        }
        if !self.history.is_settled() {
            self.breaks(Property::KeptUntilOver);
        }
        self.lose_message();
    }

    /// A NAK: of an older delivery, it acts on the current one.
    pub(crate) fn nak(&mut self, current: bool) {
        if current && self.queue == Queue::Out {
            self.queue = Queue::Ready;
        }
    }

    /// The queue is published to: once or not at all.
    pub(crate) fn enqueue(&mut self) {
        if self.queue == Queue::Absent {
            self.queue = Queue::Ready;
        }
    }

    /// The holder of an attempt does not answer just now, or ever again.
    pub(crate) fn silence(&mut self, attempt: u8) {
        self.silent |= 1 << attempt;
    }

    pub(crate) fn was_silent(&self, attempt: u8) -> bool {
        self.silent & 1 << attempt != 0
    }

    /// A function starts.
    pub(crate) fn runs(&mut self, attempt: u8, by: u8) {
        let says_so = |message: &Message| {
            message.says == Says::Running && message.attempt == attempt && message.by == by
        };
        if !self.history.messages().iter().any(says_so) {
            self.breaks(Property::FunctionsRunRecorded);
        }
        if self.ran & 1 << attempt != 0 {
            self.breaks(Property::FunctionsRunOnce);
        }
        self.ran |= 1 << attempt;
    }
}
