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
