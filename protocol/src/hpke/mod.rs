//! Hybrid public key encryption (RFC 9180), as far as a session needs it: setup and export.
//!
//! The worker is the sender and the client's ephemeral key is the recipient key. Both ends get an
//! [`Exporter`], and every key of the session comes out of that. HPKE's own encryption (RFC 9180, section
//! 5.2) is left out: its implicit message numbers do not fit records that may be lost or sent again.
//!
//! # What this protects from
//!
//! - *Somebody who reads, alters and replays whatever the broker carries.* Without the recipient's secret,
//!   or in psk mode without the psk, nobody can compute what is exported. Neither mode says who the sender
//!   is: base mode lets anybody send, and psk mode anybody with the psk. The proof that the worker signs over
//!   [`Enc`] is what names it.
//! - *A peer that sends a public key of small order.* The result of the exchange would then be known to
//!   everybody. It is refused with [`HpkeError::NonContributory`] on both sides (RFC 9180, section 7.1.4).
//! - *Somebody who reads the memory later.* Secrets live in boxes that are overwritten when dropped, and the
//!   stack of each computation is overwritten when it returns, also with an error. Registers, and memory
//!   that was swapped out or dumped before, are out of reach; so is the stack of a computation that panics.
//!
//! # Where the RFC is
//!
//! | section | what | where |
//! |---|---|---|
//! | 4 | labelled extract and expand, over RFC 5869 | `kdf` |
//! | 4.1, 7.1 | DHKEM(X25519, HKDF-SHA256), 0x0020 | `kem` |
//! | 5.1 | key schedule: HKDF-SHA256, 0x0001; ChaCha20Poly1305, 0x0003 | `schedule` |
//! | 5.1.1, 5.1.2 | modes base and psk | [`Mode`], [`Psk`] |
//! | 5.3 | export | [`Exporter::export`] |
//!
//! The authenticated modes (5.1.3, 5.1.4) and the derivation of key pairs from seeds (7.1.3) are not here:
//! nothing uses them. The key schedule knows of a KEM only its id and the secret that it gave, so that
//! another KEM stands beside this one and not within it.

mod kdf;
mod kem;
mod psk;
mod schedule;
pub(crate) mod stack;
#[cfg(test)]
mod tests;

use std::fmt;

use rand_core::CryptoRng;
use thiserror::Error;

use self::{
    kdf::Kdf,
    kem::KeyPair,
    schedule::{Schedule, SuiteId},
};
pub use self::{
    kem::{Enc, KemPublicKey, RecipientKey},
    psk::{Mode, Psk},
};
use crate::secret::Secret;

/// Opens the sender's end towards `recipient`.
///
/// The [`Enc`] goes to the recipient, who comes to the same [`Exporter`] if `info` and `mode` are the same
/// there. If they are not, nothing fails here: the recipient exports something else, and what was sealed
/// with it does not open.
///
/// # Errors
///
/// [`HpkeError::NonContributory`] if the recipient's key is of small order.
pub fn setup_sender(
    rng: &mut impl CryptoRng,
    recipient: &KemPublicKey,
    info: &[u8],
    mode: Mode<'_>,
) -> Result<(Enc, Exporter), HpkeError> {
    stack::erased::<{ stack::KEM_BYTES }, _>(|| {
        setup_sender_with(KeyPair::generate(rng), recipient, info, mode)
    })
}

/// Opens the recipient's end with the [`Enc`] that the sender sent.
///
/// # Errors
///
/// [`HpkeError::NonContributory`] if `enc` is of small order.
pub fn setup_recipient(
    key: &RecipientKey,
    enc: &Enc,
    info: &[u8],
    mode: Mode<'_>,
) -> Result<Exporter, HpkeError> {
    stack::erased::<{ stack::KEM_BYTES }, _>(|| {
        let shared_secret = kem::decapsulate(key, enc)?;
        Ok(Schedule::new(kem::ID, &shared_secret, info, mode).exporter())
    })
}

/// The sender's end with a given ephemeral key, which is spent by it.
fn setup_sender_with(
    ephemeral: KeyPair,
    recipient: &KemPublicKey,
    info: &[u8],
    mode: Mode<'_>,
) -> Result<(Enc, Exporter), HpkeError> {
    let (shared_secret, enc) = kem::encapsulate(ephemeral, recipient)?;
    Ok((enc, Schedule::new(kem::ID, &shared_secret, info, mode).exporter()))
}

/// What both ends have in common after setup: the source of all further keys.
///
/// It is overwritten when dropped. What was exported before stays valid.
///
/// ```
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// use subrosa_protocol::hpke::{Enc, Mode, RecipientKey, setup_recipient, setup_sender};
///
/// # let mut rng = UnwrapErr(SysRng);
/// let recipient = RecipientKey::generate(&mut rng);
/// let (enc, sender) = setup_sender(&mut rng, recipient.public(), b"what for", Mode::Base)?;
///
/// let enc = Enc::try_from(enc.as_bytes())?; // as it came to the recipient
/// let received = setup_recipient(&recipient, &enc, b"what for", Mode::Base)?;
/// assert_eq!(sender.export::<32>(&[b"a key"]).expose(), received.export::<32>(&[b"a key"]).expose());
/// # Ok::<(), subrosa_protocol::hpke::HpkeError>(())
/// ```
pub struct Exporter {
    suite_id: SuiteId,
    secret: Secret<32>,
}

impl Exporter {
    /// Exports `L` bytes under the concatenation of `context` (RFC 9180, section 5.3).
    ///
    /// Equal contexts give equal bytes, and how a context is cut into parts makes no difference: a context
    /// that holds a part of variable length needs that part last. More than 255 * 32 bytes do not compile.
    pub fn export<const L: usize>(&self, context: &[&[u8]]) -> Secret<L> {
        stack::erased::<{ stack::KDF_BYTES }, _>(|| {
            Kdf::new(&self.suite_id).expand(&self.secret, b"sec", context)
        })
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter")
    }
}

/// Why a setup was refused, or one of its inputs.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum HpkeError {
    /// A public key or an encapsulated key of another length than the KEM has.
    #[error("the key has {found} bytes, this KEM's keys have {expected}")]
    WrongLength {
        /// The length that the KEM has, in bytes.
        expected: usize,
        /// The length found, in bytes.
        found: usize,
    },
    /// The peer's key is of small order, so that it would decide the secret alone.
    #[error("the peer's key is of small order: drop it and do not answer")]
    NonContributory,
    /// The id of a psk is empty or too long.
    #[error("the psk's id has {found} bytes, it must have 1 to {max}", max = Psk::MAX_ID_BYTES)]
    PskIdLength {
        /// The length found, in bytes.
        found: usize,
    },
    /// A psk is too short to be a key, or too long.
    #[error(
        "the psk has {found} bytes, it must have {min} to {max}, chosen at random",
        min = Psk::MIN_KEY_BYTES,
        max = Psk::MAX_KEY_BYTES
    )]
    PskKeyLength {
        /// The length found, in bytes.
        found: usize,
    },
}
