//! Whole sessions through a hostile broker: several jobs, several attempts at each, and events out of bytes.
//!
//! The broker can do everything that somebody without keys can: lose, repeat, delay, reorder, change and
//! redirect messages, send back what was said, mix what it has seen, and start workers of its own. Beside it,
//! processes die and come back, and applications give up or try what cannot be sealed.
//!
//! [`expectation`] says what must become of each message, by who sealed it. [`invariants`] compares that with
//! what did, and looks after each event at everything else that must hold, down to each single nonce. In the
//! end the broker is honest, and every job must still come to its end.
//!
//! The proptest beside this, the corpus's replay and the fuzz target `session` all run [`run`].

mod cast;
mod client;
mod ending;
mod event;
mod expectation;
mod invariants;
mod letter;
mod stored;
mod utterance;
mod worker;
mod world;

pub(super) use self::event::decode;
use self::{
    client::{End, Verdict},
    event::Event,
    stored::Found,
    world::World,
};

/// What histories have come to, to see that they reach what they are to test.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) sealed: u64,
    pub(super) dropped: u64,
    pub(super) untrusted: u64,
    pub(super) taken: u64,
    pub(super) unproven: u64,
    pub(super) pending: u64,
    pub(super) answered: u64,
    pub(super) results: u64,
    pub(super) failed: u64,
    pub(super) refused: u64,
    pub(super) cancelled: u64,
    pub(super) used_up: u64,
    pub(super) fetched: u64,
    pub(super) not_fetched: u64,
}

impl Tally {
    fn count(&mut self, verdict: &Verdict) {
        *match verdict {
            Verdict::Dropped => &mut self.dropped,
            Verdict::Untrusted(_) => &mut self.untrusted,
            Verdict::Taken(_) => &mut self.taken,
            Verdict::Unproven => &mut self.unproven,
            Verdict::Pending => &mut self.pending,
            Verdict::Answered(_) => &mut self.answered,
        } += 1;
    }

    fn count_found(&mut self, found: &Found) {
        *match found {
            Found::Result(_) | Found::Failed(_) => &mut self.fetched,
            Found::Dropped | Found::Untrusted(_) | Found::Unproven => &mut self.not_fetched,
        } += 1;
    }

    fn count_end(&mut self, end: Option<&End>) {
        *match end {
            Some(End::Result(_)) => &mut self.results,
            Some(End::Failed(_)) => &mut self.failed,
            Some(End::Refused(_)) => &mut self.refused,
            Some(End::Cancelled) => &mut self.cancelled,
            None => &mut self.used_up,
        } += 1;
    }
}

/// Plays one history to its end, and adds to what such histories come to.
///
/// # Panics
///
/// If an invariant does not hold.
pub(super) fn run(events: impl IntoIterator<Item = Event>, tally: &mut Tally) {
    let mut world = World::new(*tally);
    for event in events {
        world.apply(event);
        invariants::check(&mut world);
    }
    world.finish();
    *tally = world.tally;
}
