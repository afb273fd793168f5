//! Each rule left out, or altered, in turn: the model has to notice, or it is no check.

mod attempt;
mod children;
mod delivery;
mod launcher;

use subrosa_protocol::{
    delivery::{Delivered, Last, OnDelivery, Probe, Snapshot, State},
    id::Attempt,
};

use crate::{
    bounds::Left,
    properties::Property,
    rules::{CarriedOut, Rules},
};

/// Where a mutant is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    Resident,
    /// With one attempt only.
    OneAttempt,
    Children,
    /// With children, by two launchers.
    TwoLaunchers,
    /// With children whose program cannot be started.
    CannotStart,
}

/// A rule that is not as it should be.
pub(crate) struct Mutant {
    pub(crate) what: &'static str,
    pub(crate) rules: Rules,
    pub(crate) place: Where,
    /// What has to go wrong for it to show.
    pub(crate) left: Left,
    /// What no longer holds then.
    pub(crate) breaks: Property,
}

const REAL: Rules = Rules::REAL;
const CARRIED: CarriedOut = REAL.carried_out;

fn is_open(last: &Last) -> bool {
    matches!(last, Last::Known(Snapshot { state: State::Open { .. }, .. }))
}

fn is_finished(last: &Last) -> bool {
    matches!(last, Last::Known(Snapshot { state: State::Finished, .. }))
}

fn is_over(last: &Last) -> bool {
    matches!(last, Last::Known(Snapshot { state: State::Ended, .. }))
}

fn with_probe(view: &Delivered<'_>, probe: Probe) -> OnDelivery {
    (REAL.deliver)(&Delivered { probe, ..view.clone() })
}

fn take(view: &Delivered<'_>, more: i32) -> OnDelivery {
    match (REAL.deliver)(view) {
        OnDelivery::Take(attempt) => {
            let number = u16::try_from((i32::from(attempt.get()) + more).max(1)).unwrap();
            OnDelivery::Take(Attempt::new(number).unwrap())
        }
        other => other,
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Mutant> {
    let mut all = delivery::all();
    all.extend(attempt::all());
    all.extend(launcher::all());
    all.extend(children::all());
    all
}

/// A mutant that shows when anything goes wrong so often.
fn mutant(what: &'static str, place: Where, faults: u8, breaks: Property, rules: Rules) -> Mutant {
    Mutant { what, rules, place, left: Left::each(1, faults), breaks }
}

/// A mutant that shows when much goes wrong, which would take long to find among everything that can.
fn rare(what: &'static str, left: Left, breaks: Property, rules: Rules) -> Mutant {
    Mutant { what, rules, place: Where::Resident, left, breaks }
}
