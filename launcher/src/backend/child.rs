//! A child that lives: its message is kept as long as it is worth it, and it never outlives its use.

use std::{pin::pin, time::Duration};

use subrosa_protocol::{
    delivery::{Child, ChildView, KeepChild, Last, Snapshot, State, child},
    id::JobId,
    launch::LaunchRequest,
    subject::Control,
};
use subrosa_transport::is_alive;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::{
    Started,
    held::Hold,
    running::{Running, Why},
};
use crate::office::short;

/// How often a child is looked after.
const EVERY: Duration = Duration::from_secs(5);
/// How long a child may live on after its job's end, to say good-bye.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long a child may take to end after SIGTERM, when its job is no longer its own.
const GRACE: Duration = Duration::from_secs(2);

/// How a child came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// By itself, or because it was no longer worth its message; why, if there is more to say of it.
    Ended(Option<Why>),
    /// With the launcher.
    Stopped,
}

/// What is known of a child that lives.
struct Watched<'a> {
    started: &'a Started,
    job: JobId,
    child: &'a Child,
    /// When it last answered; before its `taken`, when it was started.
    heard: Instant,
    /// Whether it has claimed its attempt.
    has_taken: bool,
    /// Since when its job is over.
    over: Option<Instant>,
    breaks: u64,
}

impl Started {
    /// Starts a child for one attempt, and returns when it is gone.
    pub(super) async fn run(&self, request: &LaunchRequest, child: &Child, hold: &Hold) -> Gone {
        let job = *request.job().id();
        let numbers = &self.office.numbers;
        let _lives = numbers.child(&self.name, child.attempt.get());
        let mut running = match self.begin_held(request, child, hold).await {
            Ok(running) => running,
            Err(gone) => {
                numbers.not_started(&self.name);
                return gone;
            }
        };
        tracing::info!(job = short(&job), worker = %self.name, attempt = child.attempt.get(), "started");
        let mut watched = Watched {
            started: self,
            job,
            child,
            heard: Instant::now(),
            has_taken: false,
            over: None,
            breaks: self.office.connection.breaks(),
        };
        let mut ticks = self.ticks();
        // There is nothing to be seen of it yet, and it has more use for the processor.
        ticks.reset();
        let mut stopping: Option<Instant> = None;
        let gone = loop {
            tokio::select! {
                why = running.ended(&job) => {
                    break if stopping.is_some() { Gone::Stopped } else { Gone::Ended(why) };
                }
                () = self.stop.cancelled(), if stopping.is_none() => {
                    running.terminate().await;
                    stopping = Some(Instant::now() + self.office.timing.drain);
                }
                () = until(stopping) => break Gone::Stopped,
                _ = ticks.tick() => {
                    self.prepare();
                    match watched.look().await {
                        KeepChild::Keep => hold.acker().in_progress().await,
                        KeepChild::Wait => {}
                        KeepChild::Kill => break Gone::Ended(None),
                    }
                }
            }
        };
        running.end(&job, GRACE).await;
        gone
    }

    /// Starts a child, which may take a while: the message is kept meanwhile. A launcher that is to end does not wait
    /// for it longer than for one that runs; what is half made by then the next start removes.
    async fn begin_held(&self, request: &LaunchRequest, child: &Child, hold: &Hold) -> Result<Running, Gone> {
        let mut begun = pin!(self.begin(request, child.attempt));
        let mut ticks = self.ticks();
        let mut stopping = None;
        loop {
            tokio::select! {
                biased;
                begun = &mut begun => return begun.map_err(|why| Gone::Ended(Some(why))),
                () = self.stop.cancelled(), if stopping.is_none() => {
                    stopping = Some(Instant::now() + self.office.timing.drain);
                }
                () = until(stopping) => return Err(Gone::Stopped),
                _ = ticks.tick() => hold.acker().in_progress().await,
            }
        }
    }

    fn ticks(&self) -> Interval {
        let mut ticks = interval(EVERY.min(self.office.timing.ack_wait / 3));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }
}

/// Sleeps until then; for ever, if there is no such time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

impl Watched<'_> {
    /// Looks at the last record, and asks whoever it names.
    async fn look(&mut self) -> KeepChild {
        let office = &self.started.office;
        let name = &self.started.name;
        let deadline = Instant::now() + EVERY;
        let stored = match office.history.last(name, &self.job, deadline).await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::warn!(job = short(&self.job), %error, "a running job cannot be looked at");
                self.heard = Instant::now();
                return KeepChild::Wait;
            }
        };
        let last = office.judge(name, &self.job, stored).last;
        self.ask(&last).await;
        let now = Instant::now();
        let over = !matches!(
            last,
            Last::Unverified { .. } | Last::Known(Snapshot { state: State::Queued | State::Open { .. }, .. })
        );
        self.over = if over { self.over.or(Some(now)) } else { None };
        let view = ChildView {
            is_silent: now - self.heard > office.timing.silence,
            is_overdue: self.over.is_some_and(|since| now - since > FAREWELL),
        };
        child(&last, self.child, &view)
    }

    /// Asks for a sign of life. Silence counts on one unbroken connection only.
    async fn ask(&mut self, last: &Last) {
        let office = &self.started.office;
        if let Last::Known(Snapshot { state: State::Open { instance, .. }, attempt, .. }) = last
            && *attempt == self.child.attempt.get()
        {
            let subject = office.namespace.control(&self.started.name, instance, &self.job, Control::Alive);
            match is_alive(&office.connection, &subject, self.child.attempt).await {
                Ok(true) => self.heard = Instant::now(),
                Ok(false) if !self.has_taken => self.heard = Instant::now(),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(job = short(&self.job), %error, "a running job cannot be asked");
                    self.heard = Instant::now();
                }
            }
            self.has_taken = true;
        }
        let breaks = office.connection.breaks();
        if breaks != self.breaks {
            self.breaks = breaks;
            self.heard = Instant::now();
        }
    }
}
