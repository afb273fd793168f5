//! What a worker does with a delivery, and with an attempt that it holds.

use super::{Ending, Holder, Last, Snapshot, State};
use crate::{id::Attempt, refusal::Code};

/// A delivery, and all that decides about it.
#[derive(Clone, Debug)]
pub struct Delivered<'a> {
    /// The job's last record.
    pub last: &'a Last,
    /// Whether the message is the job that its subject names.
    pub is_the_job: bool,
    /// Whether this very process holds the attempt, or is publishing its `taken`.
    pub held_here: bool,
    /// What is known of the process that holds an open attempt.
    pub probe: Probe,
    /// Why the worker's own checks refuse the request, if they do.
    pub refusal: Option<Code>,
    /// Whether the job's `expires_ms` is over.
    pub expired: bool,
    /// The job's `max_attempts`.
    pub max_attempts: u16,
}

/// What is known of the process that holds an open attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Probe {
    /// It has not been asked.
    NotAsked,
    /// It has answered.
    Answered,
    /// It was asked for 10 s, on one unbroken connection, and has not answered.
    Silent,
}

/// What is known of the holder once it was asked, and the last record read again: the answer is good for
/// the holder whom `before` names, and for no other.
pub fn after_probe(before: &Last, again: &Last, asked: Probe) -> Probe {
    if again.hash() == before.hash() { asked } else { Probe::NotAsked }
}

/// What to do with a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnDelivery {
    /// Refuse it for now; it comes again after `ack_wait`.
    Nak,
    /// Remove it from the queue.
    Ack,
    /// Go on with what runs, with the new delivery.
    GoOn,
    /// Ask this process whether it still holds the attempt, and decide again.
    AskAlive(Holder),
    /// Write the ending, then remove it from the queue.
    End(Ending),
    /// Claim this attempt, and start nothing until the claim is accepted.
    Take(Attempt),
}

/// Decides about a delivery: the first rule that fits.
///
/// ```
/// use subrosa_protocol::{delivery::*, id::{Attempt, Sha256Hash}};
///
/// let queued = Snapshot { hash: Sha256Hash::of("record"), attempt: 0, at_ms: 0, state: State::Queued };
/// let view = Delivered {
///     last: &Last::Known(queued),
///     is_the_job: true,
///     held_here: false,
///     probe: Probe::NotAsked,
///     refusal: None,
///     expired: false,
///     max_attempts: 3,
/// };
/// assert_eq!(deliver(&view), OnDelivery::Take(Attempt::FIRST));
/// assert_eq!(deliver(&Delivered { is_the_job: false, ..view }), OnDelivery::Ack);
/// assert_eq!(deliver(&Delivered { expired: true, ..view }), OnDelivery::End(Ending::expired(0)));
/// ```
pub fn deliver(view: &Delivered<'_>) -> OnDelivery {
    // 1. Not what it says, nobody's state, or nothing to do.
    if !view.is_the_job {
        return OnDelivery::Ack;
    }
    let snapshot = match view.last {
        Last::Unverified { .. } => return OnDelivery::Nak,
        Last::Absent => return OnDelivery::Ack,
        Last::Known(Snapshot { state: State::Ended | State::Finished, .. }) => return OnDelivery::Ack,
        Last::Known(snapshot) => snapshot,
    };
    // 2. It is held here.
    if view.held_here {
        return OnDelivery::GoOn;
    }
    // 3. Somebody holds it, or did.
    if let Some(holder) = holder(snapshot) {
        match view.probe {
            Probe::NotAsked => return OnDelivery::AskAlive(holder),
            Probe::Answered => return OnDelivery::Nak,
            Probe::Silent => {}
        }
    }
    // 4. The worker's own checks.
    if let Some(refusal) = view.refusal {
        return OnDelivery::End(Ending::failed(refusal.word(), "the worker refuses the job"));
    }
    // 5. No further attempt.
    if view.expired {
        return OnDelivery::End(Ending::expired(snapshot.attempt));
    }
    // 6. Claim the next one.
    match next_attempt(snapshot, view.max_attempts) {
        Some(attempt) => OnDelivery::Take(attempt),
        None => OnDelivery::End(Ending::used_up(snapshot.attempt)),
    }
}

/// The process that holds an open attempt.
pub(super) fn holder(snapshot: &Snapshot) -> Option<Holder> {
    match snapshot.state {
        State::Open { instance, .. } => {
            Attempt::new(snapshot.attempt).ok().map(|attempt| Holder { attempt, instance })
        }
        State::Queued | State::Finished | State::Ended => None,
    }
}

fn next_attempt(snapshot: &Snapshot, max_attempts: u16) -> Option<Attempt> {
    let next = snapshot.attempt.checked_add(1).filter(|next| *next <= max_attempts)?;
    Attempt::new(next).ok()
}

/// What a process does that looks at the last record of a job whose attempt it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The attempt is still its own: keep the message by an in-progress ack.
    Keep,
    /// The attempt is another's: erase, and send no further ack of any kind.
    LetGo,
    /// The job has ended, or is gone: erase, and ack.
    Ended,
}

/// Judges the last record of a job whose attempt `holder` holds.
pub fn look(last: &Last, holder: &Holder) -> Look {
    match last {
        Last::Absent => Look::Ended,
        // Nobody's state; a launcher mends it, and then the job has ended.
        Last::Unverified { .. } => Look::Keep,
        Last::Known(snapshot) => match snapshot.state {
            State::Ended | State::Finished => Look::Ended,
            State::Open { instance, .. }
                if instance == holder.instance && snapshot.attempt == holder.attempt.get() =>
            {
                Look::Keep
            }
            State::Open { .. } | State::Queued => Look::LetGo,
        },
    }
}

/// What a worker does that a launcher has started for one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Claim the attempt.
    Take,
    /// It is not the next one, or the job is over: exit.
    Exit,
}

/// Judges whether a worker that was started for `attempt` may claim it.
pub fn start(last: &Last, attempt: Attempt) -> Start {
    match last {
        Last::Known(Snapshot { state: State::Queued | State::Open { .. }, attempt: highest, .. })
            if highest.checked_add(1) == Some(attempt.get()) =>
        {
            Start::Take
        }
        Last::Known(_) | Last::Absent | Last::Unverified { .. } => Start::Exit,
    }
}
