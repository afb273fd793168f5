//! Pre-shared keys and the mode that they select.

use std::{fmt, ops::RangeInclusive};

use zeroize::Zeroizing;

use super::HpkeError;

/// Whether a pre-shared key takes part (RFC 9180, table 1).
///
/// The psk comes with its id or not at all: that is the check of the RFC's `VerifyPSKInputs`.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// The recipient's key alone.
    Base,
    /// The recipient's key and a pre-shared key: whoever breaks one still needs the other.
    Psk(&'a Psk),
}

impl Mode<'_> {
    /// The mode's number (RFC 9180, table 1).
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Base => 0x00,
            Self::Psk(_) => 0x01,
        }
    }

    /// The psk's id, empty if there is none.
    pub(super) fn psk_id(&self) -> &[u8] {
        match self {
            Self::Base => &[],
            Self::Psk(psk) => &psk.id,
        }
    }

    /// The psk, empty if there is none.
    pub(super) fn psk(&self) -> &[u8] {
        match self {
            Self::Base => &[],
            Self::Psk(psk) => &psk.key,
        }
    }
}

/// A pre-shared key with the public id that names it.
///
/// The key must be uniformly random. Whoever comes to the shared secret otherwise, a dishonest recipient
/// first of all, can try guesses at leisure, so that a password is no psk (RFC 9180, section 9.5). It is
/// overwritten when dropped.
///
/// ```
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// # use subrosa_protocol::hpke::{Mode, Psk, RecipientKey, setup_sender};
/// # use subrosa_protocol::secret::Secret;
/// # let mut rng = UnwrapErr(SysRng);
/// # let recipient = RecipientKey::generate(&mut rng);
/// let psk = Psk::new(b"2026-01", Secret::<32>::random(&mut rng).expose())?;
/// let (enc, exporter) = setup_sender(&mut rng, recipient.public(), b"what for", Mode::Psk(&psk))?;
/// assert!(Psk::new(b"2026-01", b"a password").is_err());
/// # Ok::<(), subrosa_protocol::hpke::HpkeError>(())
/// ```
pub struct Psk {
    id: Vec<u8>,
    key: Zeroizing<Box<[u8]>>,
}

impl Psk {
    /// The longest id, in bytes.
    pub const MAX_ID_BYTES: usize = 256;
    /// The shortest key, in bytes (RFC 9180, section 5.1.2).
    pub const MIN_KEY_BYTES: usize = 32;
    /// The longest key, in bytes.
    pub const MAX_KEY_BYTES: usize = 64 * 1024;

    const ID_BYTES: RangeInclusive<usize> = 1..=Self::MAX_ID_BYTES;
    const KEY_BYTES: RangeInclusive<usize> = Self::MIN_KEY_BYTES..=Self::MAX_KEY_BYTES;

    /// Takes a copy of `key`; the caller overwrites the original.
    ///
    /// # Errors
    ///
    /// [`HpkeError::PskIdLength`] and [`HpkeError::PskKeyLength`], if one of them is too short or too long.
    pub fn new(id: &[u8], key: &[u8]) -> Result<Self, HpkeError> {
        if !Self::ID_BYTES.contains(&id.len()) {
            return Err(HpkeError::PskIdLength { found: id.len() });
        }
        if !Self::KEY_BYTES.contains(&key.len()) {
            return Err(HpkeError::PskKeyLength { found: key.len() });
        }
        Ok(Self { id: id.into(), key: Zeroizing::new(key.into()) })
    }

    /// The id, which is no secret.
    pub fn id(&self) -> &[u8] {
        &self.id
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk")
    }
}
