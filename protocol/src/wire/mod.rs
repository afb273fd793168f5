//! The record layer: what NATS carries.
//!
//! ```text
//!  0      1      2        4                    12                              44
//!  +------+------+--------+--------------------+-------------------------------+-----------------
//!  | 0x01 | kind | u16    | u64                | worker: its ephemeral X25519  | body
//!  |      |      | attempt| number             | public key; client: N         |
//!  +------+------+--------+--------------------+-------------------------------+-----------------
//! ```
//!
//! The header is the AEAD's associated data. What is sealed is `u32 head length || u32 body length ||
//! head || body || zero padding`, so that nobody between the peers sees how long either really is. A
//! record is built, sealed and opened in one buffer.

mod buffer;
mod envelope;
mod head;
mod keys;
mod padding;
mod plaintext;
#[cfg(any(test, feature = "fuzzing"))]
pub mod seal_log;

#[cfg(feature = "fuzzing")]
pub use self::keys::fixed::FixedKey;
pub use self::{
    buffer::Erased,
    envelope::{Header, Kind, MIN_ENVELOPE_BYTES},
    head::{Content, ErrorMember, Event, Head, LogLevel, MAX_HEAD_BYTES},
    keys::{ClientNonce, OpenError, SealError},
    plaintext::{Body, BodyError, Empty, Json, Opened, Raw, body_hash},
};
pub(crate) use self::{
    envelope::HEADER_BYTES,
    keys::{NONCE_BYTES, Opener, OptionsKey, Sealer, SessionKeys},
    plaintext::Written,
};
