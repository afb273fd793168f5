//! What has to hold, whatever happens.

use crate::{
    bounds::Bounds,
    history::{Message, Says},
    world::World,
};

/// What has to hold in every state, and for the last one from every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Property {
    /// No ending follows an ending.
    AtMostOneEnding,
    /// No attempt begins and no function starts by a record that follows an ending or `finished`.
    NothingStartsAfterTheEnd,
    /// Every record names the message before it.
    RecordsAreChained,
    /// Attempts are taken one after the other, and no more than the job allows.
    AttemptsInTurn,
    /// A further attempt is taken, or the job ended for want of one, only when the process that held the one
    /// before has not answered, has let go or has crashed.
    TakenOverFromTheSilent,
    /// Whoever is overtaken writes nothing more.
    TheOvertakenWriteNothing,
    /// Who has seen that the job is another's, or over, sends no in-progress ack, and who has seen that it
    /// is another's no ack of any kind.
    OnlyHoldersKeepTheMessage,
    /// Who holds a job that is not over does not give back another delivery of it.
    HoldersKeepTheMessage,
    /// An attempt whose function has run is not let go of, unless the process has to end.
    WhatHasRunIsConcluded,
    /// The function of an attempt starts once.
    FunctionsRunOnce,
    /// It starts after the record that says so, and that after the claim by the same process.
    FunctionsRunRecorded,
    /// No attempt is decided on once the job is expired.
    NoAttemptOnceExpired,
    /// `finished` is written only once the result is stored.
    FinishedIsStored,
    /// `closed` is written only once the client has the result.
    ClosedWithTheResult,
    /// An ack removes the message only when the job is over, or its result stored.
    KeptUntilOver,
    /// After what is no record of the job, only a launcher writes, and ends it.
    BrokenIsEnded,
    /// Who finds its own record as the last one knows that it has won, and nobody believes in a record that
    /// is not stored.
    WritersKnow,
    /// A job ends as one whose attempts are used up only when they are.
    UsedUpWhenUsedUp,
    /// A job ends because its worker's program did not start only when it did not, and was not stopped.
    NotStartedMeansNotStarted,
    /// From every state, without anything else going wrong, the job comes to its end, its message leaves
    /// the queue, and nobody has anything left to do.
    AnEndIsInReach,
    /// From every state in which nothing has gone wrong, the end is `closed`, without the sweep.
    AResultIsInReach,
}

impl Property {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::AResultIsInReach as usize + 1;
}

/// What a message that is about to be stored breaks.
pub(crate) fn broken_by(world: &World, message: &Message, bounds: &Bounds) -> Option<Property> {
    let history = &world.history;
    if message.says == Says::Garbage {
        return None;
    }
    let taken = history.taken();
    let highest = taken.map_or(0, |(attempt, _)| attempt);
    let is_live = highest > 0 && !world.was_silent(highest);
    let starts = matches!(message.says, Says::Taken | Says::Running);
    let is_own = taken == Some((message.attempt, message.by));
    let last = history.message(history.len());
    if history.is_over() {
        Some(if starts { Property::NothingStartsAfterTheEnd } else { Property::AtMostOneEnding })
    } else if message.on != history.len() {
        Some(Property::RecordsAreChained)
    } else if last.is_some_and(|last| last.says == Says::Garbage) && message.says != Says::BadRecord {
        Some(Property::BrokenIsEnded)
    } else if starts && last.is_some_and(|last| last.says == Says::Finished) {
        Some(Property::NothingStartsAfterTheEnd)
    } else if message.says == Says::Finished && !world.stored {
        Some(Property::FinishedIsStored)
    } else if message.says == Says::Taken {
        if message.attempt != highest + 1 || message.attempt > bounds.max_attempts {
            Some(Property::AttemptsInTurn)
        } else if is_live {
            Some(Property::TakenOverFromTheSilent)
        } else {
            None
        }
    } else if is_live && matches!(message.says, Says::Expired | Says::UsedUp | Says::Refused) {
        Some(Property::TakenOverFromTheSilent)
    } else if message.attempt < highest || matches!(message.says, Says::Running | Says::Finished) && !is_own {
        Some(Property::TheOvertakenWriteNothing)
    } else if message.says == Says::Running && last.is_none_or(|last| last.says != Says::Taken) {
        Some(Property::FunctionsRunOnce)
    } else if message.says == Says::Closed && !world.client.result {
        Some(Property::ClosedWithTheResult)
    } else if message.says == Says::UsedUp && highest < bounds.max_attempts {
        Some(Property::UsedUpWhenUsedUp)
    } else {
        None
    }
}
