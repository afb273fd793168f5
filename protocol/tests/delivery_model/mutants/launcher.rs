//! Of launches, the sweep and ends.

use subrosa_protocol::{
    delivery::{End, Ending, Last, OnLaunch, Sweep},
    record::code,
};

use super::{Mutant, REAL, Where::Resident, is_finished, is_open, is_over, mutant, rare};
use crate::{
    bounds::Left,
    properties::Property::{
        AResultIsInReach, AnEndIsInReach, AtMostOneEnding, BrokenIsEnded, KeptUntilOver,
        TakenOverFromTheSilent,
    },
    rules::Rules,
};

/// All of them.
pub(super) fn all() -> Vec<Mutant> {
    vec![
        mutant(
            "what is launched is not queued",
            Resident,
            0,
            AResultIsInReach,
            Rules { on_launch: |_| OnLaunch::Answer, ..REAL },
        ),
        mutant(
            "the sweep does not publish again",
            Resident,
            1,
            AnEndIsInReach,
            Rules {
                sweep: |last, chained, expired, now, ages| match (REAL.sweep)(
                    last, chained, expired, now, ages,
                ) {
                    Sweep::Queue => Sweep::Leave,
                    other => other,
                },
                ..REAL
            },
        ),
        rare(
            "the sweep lets what is queued expire unseen",
            Left { losses: 1, expiries: 1, ..Left::each(0, 2) },
            AnEndIsInReach,
            Rules {
                sweep: |last, chained, expired, now, ages| match (REAL.sweep)(
                    last, chained, expired, now, ages,
                ) {
                    Sweep::End(Ending::Expired(_)) => Sweep::Leave,
                    other => other,
                },
                ..REAL
            },
        ),
        mutant(
            "the sweep ends what is open and expired",
            Resident,
            1,
            TakenOverFromTheSilent,
            Rules {
                sweep: |last, chained, expired, now, ages| match is_open(last) && expired {
                    true => Sweep::End(Ending::expired(0)),
                    false => (REAL.sweep)(last, chained, expired, now, ages),
                },
                ..REAL
            },
        ),
        mutant(
            "the sweep leaves what is broken",
            Resident,
            1,
            AnEndIsInReach,
            Rules {
                sweep: |last, chained, expired, now, ages| match last {
                    Last::Unverified { .. } => Sweep::Leave,
                    _ => (REAL.sweep)(last, chained, expired, now, ages),
                },
                ..REAL
            },
        ),
        mutant(
            "the sweep leaves what is finished",
            Resident,
            1,
            AnEndIsInReach,
            Rules {
                sweep: |last, chained, expired, now, ages| match is_finished(last) {
                    true => Sweep::Leave,
                    false => (REAL.sweep)(last, chained, expired, now, ages),
                },
                ..REAL
            },
        ),
        mutant(
            "a token does not end what is finished",
            Resident,
            1,
            KeptUntilOver,
            Rules {
                end: |last| match is_finished(last) {
                    true => End::Ended,
                    false => (REAL.end)(last),
                },
                ..REAL
            },
        ),
        mutant(
            "the sweep ends what has ended",
            Resident,
            0,
            AtMostOneEnding,
            Rules {
                sweep: |last, chained, expired, now, ages| match is_over(last) {
                    true => Sweep::End(Ending::failed(code::BAD_RECORD, "")),
                    false => (REAL.sweep)(last, chained, expired, now, ages),
                },
                ..REAL
            },
        ),
        mutant(
            "a token ends what has ended",
            Resident,
            0,
            AtMostOneEnding,
            Rules { end: |last| if is_over(last) { End::Write } else { (REAL.end)(last) }, ..REAL },
        ),
        mutant(
            "a token ends what is broken",
            Resident,
            2,
            BrokenIsEnded,
            Rules {
                end: |last| match (REAL.end)(last) {
                    End::Broken(_) => End::Write,
                    other => other,
                },
                ..REAL
            },
        ),
        mutant(
            "a token finds an end that is not there",
            Resident,
            0,
            KeptUntilOver,
            Rules {
                end: |last| match (REAL.end)(last) {
                    End::Write => End::Ended,
                    other => other,
                },
                ..REAL
            },
        ),
    ]
}
