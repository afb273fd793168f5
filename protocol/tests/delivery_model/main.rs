//! The delivery rules against everything that can happen, within bounds.
//!
//! The model calls the functions that worker and launcher call, [`subrosa_protocol::delivery`], and stands
//! for everything around them: the record stream, the queue, clocks, processes that crash, hang and come
//! back. `docs/delivery-model.md` says what is modelled, what is not, and what larger searches have found.
//!
//! Some of what worker and launcher do between the rules is restated here, because it is the awaiting and
//! sending itself: that a record is published with the sequence that it expects and looked for if it is not
//! answered (`append.rs`, as in the transport's `history.rs`), that an attempt is held from before its
//! `taken` is published and nothing starts until that is accepted (`worker.rs`), that the function starts
//! only once `running` is accepted (`attempt.rs`), that the last record is read again after the holder was
//! asked (`delivery.rs`), that an ending is read again when it lost, and followed by removing the message
//! and stopping the holder (`launcher.rs`), and that a launcher hands a second delivery to whoever runs the
//! child (`puller.rs`). [`rules::CarriedOut`] can switch the first of these off.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

mod append;
mod attempt;
mod bounds;
mod client;
mod delivery;
mod history;
mod launcher;
mod mutants;
mod properties;
mod puller;
mod renaming;
mod rules;
mod search;
mod worker;
mod world;

use std::{collections::BTreeSet, time::Instant};

use bounds::{Bounds, Left};
use history::Says::*;
use mutants::{Mutant, Where};
use properties::Property;
use rules::Rules;
use search::{Found, explore};

/// Two resident workers, each with two slots.
fn resident(launchers: u8, faults: u8) -> Bounds {
    Bounds {
        workers: 2,
        slots: 2,
        launchers,
        max_attempts: 2,
        children: 0,
        cannot_start: false,
        refused: false,
        left: Left::each(1, faults),
    }
}

/// Launchers that start a child per attempt.
fn children(launchers: u8, faults: u8) -> Bounds {
    Bounds { workers: 0, children: 4, ..resident(launchers, faults) }
}

/// Every property holds in all of it.
#[track_caller]
fn holds(bounds: &Bounds) -> Found {
    let found = explore(bounds, &Rules::REAL);
    if let Some(violation) = &found.violation {
        panic!("{violation:?}");
    }
    assert!(found.ends > 0);
    found
}

#[test]
fn resident_workers_whatever_goes_wrong_once() {
    holds(&resident(2, 1));
    holds(&Bounds { workers: 3, ..resident(1, 1) });
    holds(&Bounds { max_attempts: 1, ..resident(1, 1) });
    let refused = holds(&Bounds { refused: true, ..resident(2, 1) });
    assert!(refused.endings.contains(&Refused) && !refused.endings.contains(&Closed));
}

#[test]
fn children_whatever_goes_wrong_once() {
    holds(&children(1, 1));
    holds(&Bounds { max_attempts: 1, ..children(1, 1) });
    let refused = holds(&Bounds { refused: true, ..children(1, 1) });
    assert!(refused.endings.contains(&Refused) && !refused.endings.contains(&Closed));
    holds(&Bounds { cannot_start: true, ..children(1, 1) });
}

#[test]
fn children_of_two_launchers_whatever_goes_wrong_once() {
    holds(&children(2, 1));
}

#[test]
fn whatever_goes_wrong_twice() {
    let resident = holds(&resident(1, 2)).endings;
    let children = holds(&children(1, 2)).endings;
    // There is a way to every ending that can be.
    let mut all = vec![Closed, Failed, ClientGone, UsedUp, StartFailed, BadRecord, Cancelled, Expired];
    assert!(children.iter().eq(&all), "{children:?}");
    all.retain(|ending| *ending != StartFailed);
    assert!(resident.iter().eq(&all), "{resident:?}");
}

#[test]
fn every_rule_left_out_is_noticed() {
    let missed: Vec<_> = mutants::all()
        .iter()
        .filter_map(|mutant| {
            let broken = mutated(mutant).violation.map(|violation| violation.property);
            (broken != Some(mutant.breaks)).then_some((mutant.what, mutant.breaks, broken))
        })
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
    let noticing: BTreeSet<_> = mutants::all().iter().map(|mutant| mutant.breaks).collect();
    assert_eq!(noticing.len(), Property::COUNT, "a property that nothing breaks may be none");
}

/// The page says which property notices which mutant.
#[test]
fn the_page_lists_every_mutant() {
    let page = include_str!("../../../docs/delivery-model.md");
    for Mutant { what, breaks, .. } in mutants::all() {
        let row = format!("| {what} | `{breaks:?}` |");
        assert!(page.contains(&row), "docs/delivery-model.md lacks: {row}");
    }
}

/// Goes through a mutant's world.
fn mutated(mutant: &Mutant) -> Found {
    let bounds = match mutant.place {
        Where::Resident => resident(1, 0),
        Where::OneAttempt => Bounds { max_attempts: 1, ..resident(1, 0) },
        Where::Children => children(1, 0),
        Where::TwoLaunchers => children(2, 0),
        Where::CannotStart => Bounds { cannot_start: true, ..children(1, 0) },
    };
    explore(&Bounds { left: mutant.left, ..bounds }, &mutant.rules)
}

/// Minutes, and up to some gigabytes: `docs/delivery-model.md` has the command and the figures.
#[test]
#[ignore = "takes minutes, and is for a release build"]
fn larger_searches() {
    // Somebody has to be left who does anything.
    let twice = Left { hangs: 1, ..Left::each(2, 2) };
    let all = [
        ("2 workers, 1 launcher, 2 faults", resident(1, 2)),
        ("3 workers, 1 launcher, 2 faults", Bounds { workers: 3, ..resident(1, 2) }),
        ("2 workers, 2 launchers, 2 faults", resident(2, 2)),
        ("2 workers, 1 launcher, 3 faults", resident(1, 3)),
        ("2 workers, 1 launcher, 2 faults, also of one kind", Bounds { left: twice, ..resident(1, 0) }),
        ("children, 1 launcher, 2 faults", children(1, 2)),
        ("children, 2 launchers, 1 fault", children(2, 1)),
        ("children, 1 launcher, 2 faults, also of one kind", Bounds { left: twice, ..children(1, 0) }),
        ("children, 1 launcher, 3 faults", children(1, 3)),
    ];
    let only = std::env::var("SEARCH").unwrap_or_default();
    for (what, bounds) in all.iter().filter(|(what, _)| what.contains(&only)) {
        let started = Instant::now();
        let Found { states, steps, depth, ends, .. } = holds(bounds);
        let seconds = started.elapsed().as_secs_f64();
        println!("| {what} | {states} | {steps} | {depth} | {ends} | {seconds:.1} s |");
    }
}
