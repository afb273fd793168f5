//! A job's sealed session, as types: launched → (options → ready → done) → closed.
//!
//! The worker is HPKE's sender, the client's ephemeral key the recipient's. Each thing that a side can be
//! waiting for, or owe the other, is a type of its own; the methods that it has are the steps that are
//! allowed there, and they consume it:
//!
//! ```text
//!  worker                                             client
//!  Offer ── options() ─▶ AwaitOptions                 Launched ── open_options() ─▶ OwesOptions
//!        AwaitOptions ── receive() ─▶ HasOptions                  OwesOptions ── answer() ─▶ AwaitReady
//!   HasOptions ── ready() ─▶ AwaitPayload                          AwaitReady ── receive() ─▶ OwesPayload
//!        AwaitPayload ── receive() ─▶ HasPayload                  OwesPayload ── answer() ─▶ AwaitDone
//!    HasPayload ── done() ─▶ AwaitStatus                            AwaitDone ── receive() ─▶ OwesStatus
//!         AwaitStatus ── receive() ─▶ Closure                       OwesStatus ── close() ─▶ Closed
//! ```
//!
//! A message that does not open must not be able to end a session, or whoever can publish to a subject
//! could: `receive` gives the state back ([`Dropped`]), unchanged, and the caller goes on waiting.
//!
//! All of it is erased when it is dropped, by any path.

pub mod client;
pub mod worker;

#[cfg(test)]
mod tests;

use crate::wire::{ErrorMember, OpenError};

/// A message was dropped; the session is as it was.
#[derive(Debug)]
pub struct Dropped<S> {
    /// The state, unchanged.
    pub session: S,
    /// What is known of the reason: nothing.
    pub error: OpenError,
}

impl<S> Dropped<S> {
    pub(crate) fn new(session: S) -> Self {
        Self { session, error: OpenError }
    }
}

/// The peer answered a step with an error, which ends the job.
pub type PeerError = ErrorMember;

/// Session states print as their names: what they hold is secret.
macro_rules! debug_as_name {
    ($($name:ident)*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}
pub(crate) use debug_as_name;
