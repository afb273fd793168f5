//! What a launcher does: with a launch request, with what lies about, with an end, with a child.

use super::{Ending, Last, Snapshot, State};
use crate::{
    id::{Attempt, Sha256Hash},
    record::code,
};

/// What to do with a launch request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLaunch {
    /// Publish `queued`, expecting no record, and then to the queue.
    Admit,
    /// The job is queued already: publish what its record holds to the queue again.
    Queue,
    /// Answer with the state.
    Answer,
}

/// Decides about a launch request for a job with this last record.
pub fn on_launch(last: &Last) -> OnLaunch {
    match last {
        Last::Absent => OnLaunch::Admit,
        Last::Known(Snapshot { state: State::Queued, .. }) => OnLaunch::Queue,
        Last::Known(_) | Last::Unverified { .. } => OnLaunch::Answer,
    }
}

/// The sweep's ages, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepAges {
    /// What is queued for longer is published to the queue again.
    pub queued_ms: u64,
    /// What is otherwise open for longer without a new record, likewise.
    pub open_ms: u64,
    /// A `finished` that is older has lost its stored result.
    pub finished_ms: u64,
}

impl Default for SweepAges {
    /// 30 s, 10 minutes, and 7 days and 10 minutes.
    fn default() -> Self {
        const MINUTE_MS: u64 = 60 * 1000;
        Self {
            queued_ms: MINUTE_MS / 2,
            open_ms: 10 * MINUTE_MS,
            finished_ms: (7 * 24 * 60 + 10) * MINUTE_MS,
        }
    }
}

/// What the sweep does with a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// Nothing.
    Leave,
    /// Publish it to the queue again: a server may have lost its last writes.
    Queue,
    /// Write this ending.
    End(Ending),
}

/// Decides what the sweep does with a job. `expired`: its `expires_ms` is over. `chained`: its last
/// record names the message before it. What is dated ahead is not old: see [`Last::seen_at`].
pub fn sweep(last: &Last, chained: bool, expired: bool, now_ms: u64, ages: &SweepAges) -> Sweep {
    let snapshot = match last {
        Last::Absent => return Sweep::Leave,
        Last::Unverified { .. } => return Sweep::End(bad_record()),
        Last::Known(_) if !chained => return Sweep::End(bad_record()),
        Last::Known(snapshot) => snapshot,
    };
    let age_ms = now_ms.saturating_sub(snapshot.at_ms);
    match snapshot.state {
        State::Queued if expired => Sweep::End(Ending::expired(0)),
        State::Queued if age_ms > ages.queued_ms => Sweep::Queue,
        State::Open { .. } if age_ms > ages.open_ms => Sweep::Queue,
        State::Finished if age_ms > ages.finished_ms => {
            Sweep::End(Ending::failed(code::CLIENT_GONE, "the client did not come for the result in time"))
        }
        State::Queued | State::Open { .. } | State::Finished | State::Ended => Sweep::Leave,
    }
}

/// The ending of a job whose history is broken.
fn bad_record() -> Ending {
    Ending::failed(code::BAD_RECORD, "the job's history is broken")
}

/// What a launcher does that is to end a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// There is no such job.
    Unknown,
    /// It has ended, and cannot be ended otherwise.
    Ended,
    /// Write the ending that was asked for.
    Write,
    /// Its history is broken: write this ending instead.
    Broken(Ending),
}

/// Decides whether a job can be ended.
pub fn end(last: &Last) -> End {
    match last {
        Last::Absent => End::Unknown,
        Last::Unverified { .. } => End::Broken(bad_record()),
        Last::Known(Snapshot { state: State::Ended, .. }) => End::Ended,
        Last::Known(_) => End::Write,
    }
}

/// A child that a launcher has started for one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// The attempt that it was started for.
    pub attempt: Attempt,
    /// The hash of the last record when it was decided to start it.
    pub decided_on: Sha256Hash,
}

/// What a launcher sees of a child that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildView {
    /// Whether it has not answered `alive` for longer than it may; before its `taken`, counted from its start.
    pub is_silent: bool,
    /// Whether its job has been ended, `finished` or gone for longer than it may take to say good-bye.
    pub is_overdue: bool,
}

/// Whether to keep a child, and with it the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepChild {
    /// Keep it, and the message by an in-progress ack.
    Keep,
    /// Its job is over: it may still finish by itself. Send no in-progress ack.
    Wait,
    /// Kill it.
    Kill,
}

/// Decides about a child that lives.
pub fn child(last: &Last, child: &Child, view: &ChildView) -> KeepChild {
    match last {
        Last::Unverified { .. } if !view.is_silent => KeepChild::Keep,
        Last::Known(Snapshot { state: State::Queued | State::Open { .. }, attempt, .. }) => {
            if view.is_silent || *attempt > child.attempt.get() { KeepChild::Kill } else { KeepChild::Keep }
        }
        Last::Absent | Last::Unverified { .. } | Last::Known(_) => {
            if view.is_silent || view.is_overdue {
                KeepChild::Kill
            } else {
                KeepChild::Wait
            }
        }
    }
}

/// What to do when a child is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterChild {
    /// It claimed nothing: write this ending.
    End(Ending),
    /// It claimed nothing because it was stopped with its launcher: give the message back.
    HandOver,
    /// Decide as for a delivery.
    Decide,
}

/// Decides what follows when a child is gone. `stopped`: with its launcher.
pub fn after_child(last: &Last, child: &Child, stopped: bool) -> AfterChild {
    if last.hash() != Some(child.decided_on) {
        AfterChild::Decide
    } else if stopped {
        AfterChild::HandOver
    } else {
        AfterChild::End(Ending::failed(
            code::START_FAILED,
            "the worker's process ended before it took the job",
        ))
    }
}
