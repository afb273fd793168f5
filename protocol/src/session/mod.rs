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
//!
//! # A session from launch to close
//!
//! ```
//! # use rand::{SeedableRng as _, rngs::StdRng};
//! # use subrosa_protocol::{hpke::RecipientKey, id::*, identity::*, job::*, subject::Namespace};
//! use subrosa_protocol::{launch::Signers, receipt::Salt};
//! use subrosa_protocol::session::{client::*, worker::{Answer, Issue, Offer, Setup}};
//! use subrosa_protocol::wire::Json;
//! # let mut rng = StdRng::seed_from_u64(1);
//! # let (now_ms, token, max_envelope_bytes) = (1_800_000_000_000, [7; 32], 1 << 20);
//! # let (identity, instance) = (SigningKey::generate(&mut rng), Instance::random(&mut rng));
//! # let trust = Trust::pinned([identity.public()]);
//! # let key = RecipientKey::generate(&mut rng);
//! # let job = Job::new(Description {
//! #     worker: "echo".parse()?, client: None, label: None, client_key: *key.public(), psk_id: None,
//! #     reply: Namespace::default().reply("AliceAliceAlice01")?, created_ms: now_ms,
//! #     expires_ms: now_ms, timeout_ms: 1, max_attempts: 1, cancel: Sha256Hash([0; 32]),
//! #     close: Sha256Hash::of(Sha256Hash::of(token).0), input: None,
//! # })?;
//! let mut launched = Launched::new(job.clone(), [].into(), key, max_envelope_bytes);
//! let signers = &Signers::default();
//! let attempt = Attempt::FIRST;
//! let setup = Setup {
//!     job: &job, signers, attempt, identity: &identity, cert: None, instance, max_envelope_bytes,
//! };
//!
//! // options
//! let sent = Offer::new(&setup, &mut rng)?.options(Json("my parameters"))?;
//! let options = launched.open_options(sent.envelope, "_INBOX.a", &trust, &mut rng, now_ms)?;
//! let reply = options.session.answer(Json("my options"))?;
//! let Answer::Accepted { next: worker, .. } = sent.next.receive(reply.envelope)? else { panic!() };
//!
//! // ready
//! let sent = worker.ready(Json("go on"))?;
//! let Ready::Ready { session, .. } = reply.next.receive(sent.envelope, "_INBOX.b")? else { panic!() };
//! let reply = session.answer(Json("my secret"), None)?;
//! let Answer::Accepted { next: worker, opened } = sent.next.receive(reply.envelope)? else { panic!() };
//! assert_eq!(opened.json::<String>()?, "my secret");
//!
//! // done
//! let (salt, started_ms, finished_ms) = (Salt::random(&mut rng), now_ms, now_ms + 5);
//! let sent = worker.done(Json("the result"), Issue { identity: &identity, salt, started_ms, finished_ms })?;
//! let Done::Result { session, receipt, .. } = reply.next.receive(sent.envelope, "_INBOX.c")? else { panic!() };
//! assert_eq!((receipt.receipt.job, receipt.receipt.finished_ms), (*job.id(), now_ms + 5));
//! let reply = session.close(token, Json("thanks"), now_ms)?;
//! let Answer::Accepted { next: closure, .. } = sent.next.receive(reply.envelope)? else { panic!() };
//! assert_eq!(closure.token, token);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What does not compile
//!
//! Any other order. Asking for `ready` before the options have come:
//!
//! ```compile_fail,E0599
//! # use subrosa_protocol::{session::worker::AwaitOptions, wire::Empty};
//! fn hurry(worker: AwaitOptions) {
//!     let _ = worker.ready(Empty);
//! }
//! ```
//!
//! Answering twice:
//!
//! ```compile_fail,E0382
//! # use subrosa_protocol::{session::client::OwesPayload, wire::Empty};
//! fn twice(client: OwesPayload) {
//!     let _ = client.answer(Empty, None);
//!     let _ = client.answer(Empty, None);
//! }
//! ```
//!
//! The module's tests try all of them.

pub mod client;
mod facts;
mod order;
pub mod worker;

#[cfg(test)]
mod tests;

use thiserror::Error;

use crate::wire::{ErrorMember, OpenError};

/// A message was dropped; the session is as it was.
#[derive(Debug, Error)]
#[error("{error}")]
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
