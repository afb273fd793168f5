//! What becomes of an attempt, and of its message, once its work is over.

use super::{Holder, Last, Look, look};
use crate::id::{Attempt, Sha256Hash};

/// Why an attempt is no longer worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Another process has taken over, or the record of this attempt is gone.
    Overtaken,
    /// The job has ended.
    Ended,
    /// The client did not answer in time.
    ClientGone,
    /// The client answered with an error.
    ClientFailed,
    /// The history cannot be written.
    Unrecorded,
    /// This process is about to end.
    Draining,
}

/// How far its session has come by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// No `done` was sent.
    Early,
    /// A `done` was sent, and not answered.
    Unanswered,
    /// The client has the result, as its close token proves.
    Closed,
    /// The client knows that the job has failed.
    Acknowledged,
    /// The client has cancelled the job, as its cancel token proves.
    Cancelled,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// Write `closed`, with the client's token.
    Close,
    /// Write `failed`, with the code of the function's error.
    Fail,
    /// Write `failed`, with the code of the client's error.
    FailAsClient,
    /// Store what the `done` says, sealed anew; [`after_store`] decides what follows.
    Store,
    /// Write `finished`: the result is stored.
    Finish,
    /// Write `failed`, `client_gone`.
    ClientGone,
    /// Write `cancelled`, with the client's token.
    Cancel,
    /// Write nothing.
    Leave(Outcome),
}

/// What an attempt came to, and so what becomes of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The client has the result, and that is recorded.
    Closed,
    /// The result is stored, and that is recorded.
    Finished,
    /// The job has failed, and that is recorded.
    Failed,
    /// The client has cancelled the job, and that is recorded.
    Cancelled,
    /// The job had ended already.
    Ended,
    /// Another process has taken over.
    Overtaken,
    /// The attempt is given up.
    LetGo,
}

/// Decides what follows when the work at an attempt is over.
pub fn conclude(stand: Stand, stopped: Option<Stopped>, attempt: Attempt, max_attempts: u16) -> Conclusion {
    match (stand, stopped) {
        (Stand::Closed, _) => Conclusion::Close,
        (Stand::Acknowledged, _) => Conclusion::Fail,
        (Stand::Cancelled, _) => Conclusion::Cancel,
        (_, Some(Stopped::ClientFailed)) => Conclusion::FailAsClient,
        // A function that has run is not run again because nobody listens.
        (Stand::Unanswered, Some(Stopped::ClientGone | Stopped::Draining)) => Conclusion::Store,
        (_, Some(Stopped::ClientGone)) if attempt.get() >= max_attempts => Conclusion::ClientGone,
        (_, Some(Stopped::Ended)) => Conclusion::Leave(Outcome::Ended),
        (_, Some(Stopped::Overtaken)) => Conclusion::Leave(Outcome::Overtaken),
        (_, Some(Stopped::ClientGone | Stopped::Unrecorded | Stopped::Draining) | None) => {
            Conclusion::Leave(Outcome::LetGo)
        }
    }
}

/// Decides what follows once a `done` was to be stored that nobody has answered. `failed`: it says an error.
pub fn after_store(failed: bool, stored: bool) -> Conclusion {
    match (failed, stored) {
        (_, false) => Conclusion::ClientGone,
        (true, true) => Conclusion::Fail,
        (false, true) => Conclusion::Finish,
    }
}

/// What a process does with an ending of its attempt when another record came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterLost {
    /// That record is its own, and it had lost sight of it: write the ending after it.
    Again,
    /// Write nothing.
    Leave(Outcome),
}

/// Decides about an ending of the attempt of `holder` that was to follow `prev`, and lost to `last`.
pub fn ending_lost(last: &Last, holder: &Holder, prev: &Sha256Hash) -> AfterLost {
    match (look(last, holder), last) {
        (Look::Ended, _) => AfterLost::Leave(Outcome::Ended),
        (Look::LetGo, _) => AfterLost::Leave(Outcome::Overtaken),
        (Look::Keep, Last::Known(snapshot)) if snapshot.hash != *prev => AfterLost::Again,
        // After what is no record of the job, a launcher ends it, and nobody else writes.
        (Look::Keep, _) => AfterLost::Leave(Outcome::LetGo),
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// Remove it from the queue.
    Ack,
    /// Give it back at once.
    Nak,
    /// No ack of any kind: it would act on the delivery to whoever has taken over.
    Nothing,
}

/// Decides about the message of an attempt that is over. A worker acks only what it has seen to be ended,
/// `finished` or absent.
pub fn settle(outcome: Outcome) -> Settle {
    match outcome {
        Outcome::Closed | Outcome::Finished | Outcome::Failed | Outcome::Cancelled | Outcome::Ended => {
            Settle::Ack
        }
        Outcome::LetGo => Settle::Nak,
        Outcome::Overtaken => Settle::Nothing,
    }
}
