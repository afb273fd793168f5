//! Whole sessions through a hostile broker: every five bytes are an event.
//!
//! The histories are those of the protocol's own tests, compiled from the same files.

#[path = "../../protocol/src/session/tests/history/mod.rs"]
mod history;

/// Plays the history that `input` says to its end, and panics if an invariant does not hold.
pub fn check(input: &[u8]) {
    let (events, _) = input.as_chunks();
    history::run(history::decode(events), &mut history::Tally::default());
}
