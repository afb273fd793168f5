//! DHKEM(X25519, HKDF-SHA256): how two ends come to a shared secret (RFC 9180, section 4.1).

use std::fmt;

use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};

use super::{HpkeError, kdf::Kdf, stack};
use crate::{encoding::b64u, exposure, secret::Secret};

/// The KEM's id (RFC 9180, table 2).
pub(super) const ID: u16 = 0x0020;

/// "KEM" || ID: what separates this KEM's derivations from others (RFC 9180, section 4.1).
const SUITE_ID: &[u8] = b"KEM\x00\x20";

/// Nsk, Npk, Nenc and Nsecret are all the same (RFC 9180, table 2).
const KEY_BYTES: usize = 32;

/// The recipient's public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KemPublicKey([u8; KEY_BYTES]);

impl KemPublicKey {
    /// The key as it travels.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<&[u8]> for KemPublicKey {
    type Error = HpkeError;

    fn try_from(bytes: &[u8]) -> Result<Self, HpkeError> {
        exactly(bytes).map(Self)
    }
}

/// The encapsulated key: what the sender sends for the recipient to open its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Enc([u8; KEY_BYTES]);

impl Enc {
    /// The encapsulated key as it travels.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The sender's ephemeral X25519 key, the last 32 bytes: by this, messages name their session.
    pub fn worker_key(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<&[u8]> for Enc {
    type Error = HpkeError;

    fn try_from(bytes: &[u8]) -> Result<Self, HpkeError> {
        exactly(bytes).map(Self)
    }
}

fn exactly(bytes: &[u8]) -> Result<[u8; KEY_BYTES], HpkeError> {
    bytes.try_into().map_err(|_| HpkeError::WrongLength { expected: KEY_BYTES, found: bytes.len() })
}

macro_rules! debug_as_base64url {
    ($($name:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), b64u(self.0))
            }
        }
    )*};
}
debug_as_base64url!(KemPublicKey Enc);

/// The recipient's key pair. The secret is overwritten when dropped.
///
/// ```
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// use subrosa_protocol::hpke::{KemPublicKey, RecipientKey};
///
/// let key = RecipientKey::generate(&mut UnwrapErr(SysRng));
/// let received = KemPublicKey::try_from(key.public().as_bytes())?; // as it came to the sender
/// assert!(received == *key.public());
/// # Ok::<(), subrosa_protocol::hpke::HpkeError>(())
/// ```
pub struct RecipientKey(KeyPair);

impl RecipientKey {
    /// A new key pair from `rng`.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        stack::erased::<{ stack::KEM_BYTES }, _>(|| Self(KeyPair::generate(rng)))
    }

    /// The key pair of a private key that was kept.
    pub fn from_secret(secret: Secret<KEY_BYTES>) -> Self {
        stack::erased::<{ stack::KEM_BYTES }, _>(|| Self(KeyPair::from_secret(secret)))
    }

    /// The private key, for a job that is launched by another process than the one that made it.
    pub fn secret(&self) -> &Secret<KEY_BYTES> {
        &self.0.secret
    }

    /// The key to give to senders.
    pub fn public(&self) -> &KemPublicKey {
        &self.0.public
    }
}

impl From<KeyPair> for RecipientKey {
    fn from(pair: KeyPair) -> Self {
        Self(pair)
    }
}

impl fmt::Debug for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecipientKey")
    }
}

/// An X25519 key pair, of either end.
pub(super) struct KeyPair {
    secret: Secret<KEY_BYTES>,
    public: KemPublicKey,
}

impl KeyPair {
    pub(super) fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::from_secret(Secret::random(rng))
    }

    pub(super) fn from_secret(secret: Secret<KEY_BYTES>) -> Self {
        exposure::born("private_key", secret.expose());
        let public = KemPublicKey(PublicKey::from(&scalar(&secret)).to_bytes());
        Self { secret, public }
    }

    /// X25519, refusing a result to which our key contributed nothing (RFC 9180, section 7.1.4). The
    /// result is overwritten when dropped.
    fn diffie_hellman(&self, peer: &[u8; KEY_BYTES]) -> Result<x25519_dalek::SharedSecret, HpkeError> {
        let result = scalar(&self.secret).diffie_hellman(&PublicKey::from(*peer));
        exposure::born("dh", result.as_bytes());
        if result.was_contributory() { Ok(result) } else { Err(HpkeError::NonContributory) }
    }
}

/// The form in which the curve's crate wants a secret. It overwrites itself when dropped, but it lives on
/// the stack and is passed by value, which leaves copies there: call this within [`stack::erased`] only.
fn scalar(secret: &Secret<KEY_BYTES>) -> StaticSecret {
    StaticSecret::from(*secret.expose())
}

/// The sender's half: a shared secret, and what the recipient needs to find it (`Encap`). The ephemeral
/// key is spent.
pub(super) fn encapsulate(
    ephemeral: KeyPair,
    recipient: &KemPublicKey,
) -> Result<(Secret<KEY_BYTES>, Enc), HpkeError> {
    let enc = Enc(ephemeral.public.0);
    let dh = ephemeral.diffie_hellman(&recipient.0)?;
    Ok((shared_secret(dh.as_bytes(), &enc, recipient), enc))
}

/// The recipient's half (`Decap`).
pub(super) fn decapsulate(key: &RecipientKey, enc: &Enc) -> Result<Secret<KEY_BYTES>, HpkeError> {
    let dh = key.0.diffie_hellman(&enc.0)?;
    Ok(shared_secret(dh.as_bytes(), enc, key.public()))
}

/// `ExtractAndExpand`: binds the result of the exchange to both public keys as they travelled.
fn shared_secret(dh: &[u8; KEY_BYTES], enc: &Enc, recipient: &KemPublicKey) -> Secret<KEY_BYTES> {
    let kdf = Kdf::new(SUITE_ID);
    let prk = kdf.extract(None, b"eae_prk", dh);
    kdf.expand(&prk, b"shared_secret", &[enc.as_bytes(), recipient.as_bytes()])
}

#[cfg(test)]
mod wycheproof;
