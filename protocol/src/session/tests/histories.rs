//! Many histories, as proptest makes them up.

use std::cell::{Cell, RefCell};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::history::{Tally, decode, run};

/// How many histories the ordinary tests play.
const HISTORIES: u32 = 10_000;
/// Another number of them: `SUBROSA_HISTORIES=1000000 cargo test -p subrosa-protocol histories`.
const HISTORIES_VARIABLE: &str = "SUBROSA_HISTORIES";
/// They are played in as many tests, beside each other.
const PARTS: u32 = 4;
/// No history has more events.
const MAX_EVENTS: usize = 48;

fn play_a_part() {
    let all = std::env::var(HISTORIES_VARIABLE).map_or(HISTORIES, |number| number.parse().unwrap());
    let histories = all.div_ceil(PARTS);
    let config = Config { cases: histories, failure_persistence: None, ..Config::default() };
    let (played, tally) = (Cell::new(0), RefCell::new(Tally::default()));
    let events = vec(any::<[u8; _]>(), 0..MAX_EVENTS).prop_map(|events| decode(&events));
    let result = TestRunner::new(config).run(&events, |events| {
        run(events, &mut tally.borrow_mut());
        played.set(played.get() + 1);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    assert_eq!(played.get(), histories);
    let tally = tally.take();
    println!("{histories} histories: {tally:#?}");
    assert_plenty(&tally, histories.into());
}

/// What never happens in the histories is not tested by them.
fn assert_plenty(tally: &Tally, histories: u64) {
    let Tally { sealed, dropped, untrusted, taken, pending, answered, .. } = *tally;
    assert!(sealed > 5 * histories && taken > 5 * histories && dropped > histories, "{tally:#?}");
    assert!(
        pending > histories / 10 && answered > histories / 10 && untrusted > histories / 50,
        "{tally:#?}"
    );
    let Tally { results, failed, refused, unproven, cancelled, .. } = *tally;
    assert!(unproven > histories / 1000 && cancelled > histories / 50, "{tally:#?}");
    assert!(results > histories / 2 && failed > histories / 50 && refused > histories / 50, "{tally:#?}");
}

#[test]
fn histories_through_a_hostile_broker_1() {
    play_a_part();
}

#[test]
fn histories_through_a_hostile_broker_2() {
    play_a_part();
}

#[test]
fn histories_through_a_hostile_broker_3() {
    play_a_part();
}

#[test]
fn histories_through_a_hostile_broker_4() {
    play_a_part();
}
