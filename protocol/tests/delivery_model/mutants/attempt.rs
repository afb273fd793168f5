//! Of records, and of an attempt that is held.

use subrosa_protocol::delivery::{
    AfterLost, Appended, Conclusion, Last, Look, Outcome, Settle, Stand, Stopped,
};

use super::{CARRIED, Mutant, REAL, Where::Resident, mutant, rare};
use crate::{
    bounds::Left,
    properties::Property::{
        AResultIsInReach, AnEndIsInReach, AtMostOneEnding, BrokenIsEnded, ClosedWithTheResult,
        FinishedIsStored, FunctionsRunOnce, FunctionsRunRecorded, KeptUntilOver, OnlyHoldersKeepTheMessage,
        RecordsAreChained, TakenOverFromTheSilent, TheOvertakenWriteNothing, WhatHasRunIsConcluded,
        WritersKnow,
    },
    rules::{CarriedOut, Rules},
};

/// All of them.
pub(super) fn all() -> Vec<Mutant> {
    vec![
        mutant(
            "a record expects no sequence",
            Resident,
            1,
            RecordsAreChained,
            Rules { carried_out: CarriedOut { expects: false, ..CARRIED }, ..REAL },
        ),
        mutant(
            "the own record counts as another's",
            Resident,
            1,
            WritersKnow,
            Rules {
                appended: |last, own, prev| match (REAL.appended)(last, own, prev) {
                    Appended::Won => Appended::Lost,
                    other => other,
                },
                ..REAL
            },
        ),
        mutant(
            "another's record counts as the own",
            Resident,
            1,
            WritersKnow,
            Rules {
                appended: |last, own, prev| match (REAL.appended)(last, own, prev) {
                    Appended::Lost => Appended::Won,
                    other => other,
                },
                ..REAL
            },
        ),
        mutant(
            "what has not arrived counts as stored",
            Resident,
            1,
            WritersKnow,
            Rules {
                appended: |last, own, prev| match (REAL.appended)(last, own, prev) {
                    Appended::Again => Appended::Won,
                    other => other,
                },
                ..REAL
            },
        ),
        mutant(
            "what has not arrived counts as lost",
            Resident,
            1,
            WhatHasRunIsConcluded,
            Rules {
                appended: |last, own, prev| match (REAL.appended)(last, own, prev) {
                    Appended::Again => Appended::Lost,
                    other => other,
                },
                ..REAL
            },
        ),
        mutant(
            "what has lost is published again",
            Resident,
            1,
            AnEndIsInReach,
            Rules {
                appended: |last, own, prev| match (REAL.appended)(last, own, prev) {
                    Appended::Lost => Appended::Again,
                    other => other,
                },
                ..REAL
            },
        ),
        mutant(
            "an attempt is held only once it is taken",
            Resident,
            2,
            TakenOverFromTheSilent,
            Rules { carried_out: CarriedOut { holds_first: false, ..CARRIED }, ..REAL },
        ),
        mutant(
            "the function starts before `taken` is accepted",
            Resident,
            0,
            FunctionsRunRecorded,
            Rules { carried_out: CarriedOut { waits_for_taken: false, ..CARRIED }, ..REAL },
        ),
        mutant(
            "the function starts before `running` is accepted",
            Resident,
            0,
            FunctionsRunRecorded,
            Rules { carried_out: CarriedOut { waits_for_running: false, ..CARRIED }, ..REAL },
        ),
        mutant(
            "another delivery starts the function again",
            Resident,
            1,
            FunctionsRunOnce,
            Rules { carried_out: CarriedOut { goes_on: false, ..CARRIED }, ..REAL },
        ),
        mutant(
            "who has let go still answers",
            Resident,
            1,
            AnEndIsInReach,
            Rules { carried_out: CarriedOut { falls_silent: false, ..CARRIED }, ..REAL },
        ),
        mutant(
            "who is overtaken goes on",
            Resident,
            2,
            OnlyHoldersKeepTheMessage,
            Rules {
                look: |last, holder| match (REAL.look)(last, holder) {
                    Look::LetGo => Look::Keep,
                    other => other,
                },
                ..REAL
            },
        ),
        mutant(
            "who sees the end goes on",
            Resident,
            1,
            OnlyHoldersKeepTheMessage,
            Rules {
                look: |last, holder| match (REAL.look)(last, holder) {
                    Look::Ended => Look::Keep,
                    other => other,
                },
                ..REAL
            },
        ),
        mutant(
            "who holds an attempt lets go of it",
            Resident,
            0,
            AResultIsInReach,
            Rules {
                look: |last, holder| match (REAL.look)(last, holder) {
                    Look::Keep => Look::LetGo,
                    other => other,
                },
                ..REAL
            },
        ),
        mutant(
            "a client that is gone counts as served",
            Resident,
            1,
            ClosedWithTheResult,
            Rules {
                conclude: |stand, stopped, attempt, max| match (stand, stopped) {
                    (Stand::Unanswered, Some(Stopped::ClientGone)) => Conclusion::Close,
                    _ => (REAL.conclude)(stand, stopped, attempt, max),
                },
                ..REAL
            },
        ),
        mutant(
            "what is cancelled counts as served",
            Resident,
            1,
            ClosedWithTheResult,
            Rules {
                conclude: |stand, stopped, attempt, max| match (REAL.conclude)(stand, stopped, attempt, max) {
                    Conclusion::Cancel => Conclusion::Close,
                    other => other,
                },
                ..REAL
            },
        ),
        mutant(
            "what has run is let go of",
            Resident,
            1,
            WhatHasRunIsConcluded,
            Rules {
                conclude: |stand, stopped, attempt, max| match (stand, stopped) {
                    (Stand::Unanswered, Some(Stopped::ClientGone)) => Conclusion::Leave(Outcome::LetGo),
                    _ => (REAL.conclude)(stand, stopped, attempt, max),
                },
                ..REAL
            },
        ),
        mutant(
            "the close token is not used",
            Resident,
            0,
            AResultIsInReach,
            Rules {
                conclude: |stand, stopped, attempt, max| match stand {
                    Stand::Closed => Conclusion::Fail,
                    _ => (REAL.conclude)(stand, stopped, attempt, max),
                },
                ..REAL
            },
        ),
        rare(
            "what may not be stored counts as stored",
            Left { leaves: 1, refusals: 1, ..Left::each(0, 2) },
            FinishedIsStored,
            Rules { after_store: |failed, _| (REAL.after_store)(failed, true), ..REAL },
        ),
        mutant(
            "an ending is written after whatever came first",
            Resident,
            1,
            AtMostOneEnding,
            Rules { ending_lost: |_, _, _| AfterLost::Again, ..REAL },
        ),
        rare(
            "an ending is written after another attempt's records",
            Left { failures: 1, lapses: 1, pauses: 1, ..Left::each(0, 3) },
            TheOvertakenWriteNothing,
            Rules {
                ending_lost: |last, holder, prev| match (REAL.ending_lost)(last, holder, prev) {
                    AfterLost::Leave(Outcome::Overtaken) => AfterLost::Again,
                    other => other,
                },
                ..REAL
            },
        ),
        mutant(
            "an ending is written after what is no record",
            Resident,
            1,
            BrokenIsEnded,
            Rules {
                ending_lost: |last, holder, prev| match last {
                    Last::Unverified { .. } => AfterLost::Again,
                    _ => (REAL.ending_lost)(last, holder, prev),
                },
                ..REAL
            },
        ),
        mutant(
            "what is let go of is acked",
            Resident,
            1,
            KeptUntilOver,
            Rules {
                settle: |outcome| {
                    if outcome == Outcome::LetGo { Settle::Ack } else { (REAL.settle)(outcome) }
                },
                ..REAL
            },
        ),
        mutant(
            "who is overtaken acks",
            Resident,
            2,
            OnlyHoldersKeepTheMessage,
            Rules {
                settle: |outcome| {
                    if outcome == Outcome::Overtaken { Settle::Ack } else { (REAL.settle)(outcome) }
                },
                ..REAL
            },
        ),
        mutant(
            "who is overtaken gives back",
            Resident,
            2,
            OnlyHoldersKeepTheMessage,
            Rules {
                settle: |outcome| {
                    if outcome == Outcome::Overtaken { Settle::Nak } else { (REAL.settle)(outcome) }
                },
                ..REAL
            },
        ),
    ]
}
