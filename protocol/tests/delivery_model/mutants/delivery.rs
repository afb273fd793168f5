//! Of what is done with a delivery.

use subrosa_protocol::delivery::{Delivered, Ending, Last, OnDelivery, Probe, Snapshot, State};

use super::{
    Mutant, REAL,
    Where::{OneAttempt, Resident},
    is_open, is_over, mutant, rare, take, with_probe,
};
use crate::{
    bounds::Left,
    properties::Property::{
        AnEndIsInReach, AttemptsInTurn, HoldersKeepTheMessage, KeptUntilOver, NoAttemptOnceExpired,
        NothingStartsAfterTheEnd, TakenOverFromTheSilent, UsedUpWhenUsedUp,
    },
    rules::Rules,
};

/// All of them.
pub(super) fn all() -> Vec<Mutant> {
    vec![
        mutant(
            "a holder is not asked whether it is alive",
            Resident,
            1,
            TakenOverFromTheSilent,
            Rules {
                deliver: |view| match view.probe {
                    Probe::NotAsked => with_probe(view, Probe::Silent),
                    _ => (REAL.deliver)(view),
                },
                ..REAL
            },
        ),
        mutant(
            "a holder that answers counts as silent",
            Resident,
            1,
            TakenOverFromTheSilent,
            Rules {
                deliver: |view| match view.probe {
                    Probe::Answered => with_probe(view, Probe::Silent),
                    _ => (REAL.deliver)(view),
                },
                ..REAL
            },
        ),
        mutant(
            "a silent holder counts as alive",
            Resident,
            1,
            AnEndIsInReach,
            Rules {
                deliver: |view| match view.probe {
                    Probe::Silent => with_probe(view, Probe::Answered),
                    _ => (REAL.deliver)(view),
                },
                ..REAL
            },
        ),
        rare(
            "an answer counts for whoever came after",
            Left { slow: 1, lapses: 1, ..Left::each(0, 2) },
            TakenOverFromTheSilent,
            Rules { after_probe: |_, _, asked| asked, ..REAL },
        ),
        mutant(
            "rule 2 is left out",
            Resident,
            1,
            HoldersKeepTheMessage,
            Rules { deliver: |view| (REAL.deliver)(&Delivered { held_here: false, ..view.clone() }), ..REAL },
        ),
        mutant(
            "what is open is acked",
            Resident,
            1,
            KeptUntilOver,
            Rules {
                deliver: |view| if is_open(view.last) { OnDelivery::Ack } else { (REAL.deliver)(view) },
                ..REAL
            },
        ),
        mutant(
            "what does not verify is acked",
            Resident,
            1,
            KeptUntilOver,
            Rules {
                deliver: |view| match view.last {
                    Last::Unverified { .. } => OnDelivery::Ack,
                    _ => (REAL.deliver)(view),
                },
                ..REAL
            },
        ),
        mutant(
            "what is over is given back",
            Resident,
            1,
            AnEndIsInReach,
            Rules {
                deliver: |view| if is_over(view.last) { OnDelivery::Nak } else { (REAL.deliver)(view) },
                ..REAL
            },
        ),
        mutant(
            "what is over is taken",
            Resident,
            1,
            NothingStartsAfterTheEnd,
            Rules {
                deliver: |view| match (view.last, REAL.deliver) {
                    (Last::Known(snapshot), deliver) if is_over(view.last) => {
                        let last = Last::Known(Snapshot { state: State::Queued, ..snapshot.clone() });
                        deliver(&Delivered { last: &last, ..view.clone() })
                    }
                    (_, deliver) => deliver(view),
                },
                ..REAL
            },
        ),
        rare(
            "what is finished is taken",
            Left { leaves: 1, lapses: 1, ..Left::each(0, 2) },
            NothingStartsAfterTheEnd,
            Rules {
                deliver: |view| match view.last {
                    Last::Known(snapshot @ Snapshot { state: State::Finished, .. }) => {
                        let last = Last::Known(Snapshot { state: State::Queued, ..snapshot.clone() });
                        (REAL.deliver)(&Delivered { last: &last, ..view.clone() })
                    }
                    _ => (REAL.deliver)(view),
                },
                ..REAL
            },
        ),
        mutant(
            "the expiry is ignored",
            Resident,
            1,
            NoAttemptOnceExpired,
            Rules { deliver: |view| (REAL.deliver)(&Delivered { expired: false, ..view.clone() }), ..REAL },
        ),
        mutant(
            "the expiry comes before the holder",
            Resident,
            2,
            TakenOverFromTheSilent,
            Rules {
                deliver: |view| match view.expired && is_open(view.last) {
                    true => OnDelivery::End(Ending::expired(0)),
                    false => (REAL.deliver)(view),
                },
                ..REAL
            },
        ),
        mutant(
            "attempts used up are ignored",
            OneAttempt,
            1,
            AttemptsInTurn,
            Rules {
                deliver: |view| {
                    let max_attempts = view.max_attempts + 1;
                    (REAL.deliver)(&Delivered { max_attempts, ..view.clone() })
                },
                ..REAL
            },
        ),
        mutant(
            "attempts count as used up too early",
            Resident,
            1,
            UsedUpWhenUsedUp,
            Rules {
                deliver: |view| {
                    let max_attempts = view.max_attempts - 1;
                    (REAL.deliver)(&Delivered { max_attempts, ..view.clone() })
                },
                ..REAL
            },
        ),
        mutant(
            "an attempt is skipped",
            Resident,
            0,
            AttemptsInTurn,
            Rules { deliver: |view| take(view, 1), ..REAL },
        ),
        mutant(
            "an attempt is taken twice",
            Resident,
            1,
            AttemptsInTurn,
            Rules { deliver: |view| take(view, -1), ..REAL },
        ),
    ]
}
