//! Of a launcher's children.

use subrosa_protocol::{
    delivery::{AfterChild, Ending, KeepChild, Start},
    record::code,
};

use super::{
    Mutant, REAL,
    Where::{CannotStart, Children, TwoLaunchers},
    is_open, is_over, mutant,
};
use crate::{
    properties::Property::{
        AResultIsInReach, AnEndIsInReach, AttemptsInTurn, NotStartedMeansNotStarted, NothingStartsAfterTheEnd,
    },
    rules::Rules,
};

/// All of them.
pub(super) fn all() -> Vec<Mutant> {
    vec![
        mutant(
            "a child takes whichever attempt",
            TwoLaunchers,
            1,
            AttemptsInTurn,
            Rules {
                start: |last, attempt| if is_open(last) { Start::Take } else { (REAL.start)(last, attempt) },
                ..REAL
            },
        ),
        mutant(
            "a child takes what is over",
            Children,
            1,
            NothingStartsAfterTheEnd,
            Rules {
                start: |last, attempt| if is_over(last) { Start::Take } else { (REAL.start)(last, attempt) },
                ..REAL
            },
        ),
        mutant(
            "a child takes nothing",
            Children,
            0,
            AResultIsInReach,
            Rules { start: |_, _| Start::Exit, ..REAL },
        ),
        mutant(
            "a child is never killed",
            Children,
            1,
            AnEndIsInReach,
            Rules { child: |_, _, _| KeepChild::Keep, ..REAL },
        ),
        mutant(
            "a child that lives is killed",
            Children,
            0,
            AResultIsInReach,
            Rules { child: |_, _, _| KeepChild::Kill, ..REAL },
        ),
        mutant(
            "a child that has claimed counts as not started",
            Children,
            1,
            NotStartedMeansNotStarted,
            Rules {
                after_child: |last, child, stopped| match (REAL.after_child)(last, child, stopped) {
                    AfterChild::Decide => AfterChild::End(Ending::failed(code::START_FAILED, "")),
                    other => other,
                },
                ..REAL
            },
        ),
        mutant(
            "a child that was stopped counts as not started",
            Children,
            1,
            NotStartedMeansNotStarted,
            Rules { after_child: |last, child, _| (REAL.after_child)(last, child, false), ..REAL },
        ),
        mutant(
            "a child that has not started is started again",
            CannotStart,
            0,
            AnEndIsInReach,
            Rules { after_child: |_, _, _| AfterChild::Decide, ..REAL },
        ),
    ]
}
