//! Keys: one half signs, the other verifies.

use std::fmt;

use ed25519_dalek::Signer as _;
use rand_core::CryptoRng;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, Unexpected},
};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::{Jwk, KeyError, Thumbprint, jwk};
use crate::{encoding::b64u, json, secret::Secret};

/// A key that verifies signatures.
///
/// One exists only if its bytes are the canonical encoding of a point that is not of small order.
/// As JSON it is a JWK; reading one refuses private members and ignores unknown ones.
///
/// ```
/// # use subrosa_protocol::identity::PublicKey;
/// let jwk = br#"{ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }"#;
/// let key = PublicKey::from_jwk(jwk)?;
/// assert_eq!(key.thumbprint().to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
/// # Ok::<(), subrosa_protocol::identity::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Public);

#[derive(Clone, PartialEq, Eq)]
enum Public {
    Ed25519(ed25519_dalek::VerifyingKey),
}

impl PublicKey {
    /// The Ed25519 key with these bytes.
    ///
    /// # Errors
    ///
    /// [`KeyError::Weak`] for anything that strict verification would not accept.
    pub fn ed25519(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Weak)?;
        // Decoding takes y ≥ p too, which RFC 8032 (section 5.1.3) refuses. It also takes a negative zero as
        // x, but the points with that are of small order.
        let canonical = is_canonical(bytes);
        if canonical && !key.is_weak() { Ok(Self(Public::Ed25519(key))) } else { Err(KeyError::Weak) }
    }

    /// Reads a JWK's text. Members that do not matter, such as `use` and `kid`, are ignored.
    ///
    /// # Errors
    ///
    /// Not JSON, private members, another kind of key, or no valid key.
    pub fn from_jwk(text: &[u8]) -> Result<Self, KeyError> {
        jwk::read(&json::parse::<jwk::Members>(text)?)
    }

    /// The key as JWK.
    pub fn to_jwk(&self) -> Jwk {
        match &self.0 {
            Public::Ed25519(key) => Jwk::ed25519(b64u(key.as_bytes())),
        }
    }

    /// The key's name (RFC 7638).
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::of(&json::to_vec(&self.to_jwk()))
    }

    /// Whether signatures of this key may say that they are made with `alg` (RFC 8037, RFC 9864).
    pub(super) fn fits(&self, alg: &str) -> bool {
        match &self.0 {
            Public::Ed25519(_) => matches!(alg, "EdDSA" | "Ed25519"),
        }
    }

    /// Whether `signature` is this key's over `message`. Strictly: of all the encodings that some
    /// verifier somewhere accepts, only the one that signing yields.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        match &self.0 {
            Public::Ed25519(key) => key.verify_strict(message, &signature.into()).is_ok(),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.thumbprint())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.to_jwk().serialize(to)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let expected = &"a public key as JWK, `kty` OKP with `crv` Ed25519";
        let members = jwk::Members::deserialize(from)?;
        jwk::read(&members).map_err(|_| D::Error::invalid_value(Unexpected::Other("JWK"), expected))
    }
}

/// Whether y, which is all but the highest bit, is below p = 2^255 − 19.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    *low < 0xED || middle.iter().any(|byte| *byte != 0xFF) || high & 0x7F != 0x7F
}

/// A key that signs. It stays in one place on the heap and is overwritten when dropped.
///
/// It signs only through [`sign_compact`](super::sign_compact) and
/// [`Signature::sign`](super::Signature::sign), which say what for.
///
/// ```
/// use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// use subrosa_protocol::identity::{SigningKey, Trust};
///
/// let key = SigningKey::generate(&mut UnwrapErr(SysRng));
/// let trust = Trust::pinned([key.public()]); // what the others have to know
/// assert!(trust.worker(&key.thumbprint(), &"echo".parse()?).is_ok());
/// # Ok::<(), subrosa_protocol::id::NameError>(())
/// ```
pub struct SigningKey(Private);

enum Private {
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl SigningKey {
    /// A new Ed25519 key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(&Secret::random(rng))
    }

    /// The Ed25519 key that has this seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: &Secret<32>) -> Self {
        Self(Private::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(seed.expose()))))
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> PublicKey {
        match &self.0 {
            Private::Ed25519(key) => PublicKey(Public::Ed25519(key.verifying_key())),
        }
    }

    /// The key's name (RFC 7638).
    pub fn thumbprint(&self) -> Thumbprint {
        self.public().thumbprint()
    }

    /// The `alg` that is written into headers.
    pub(super) fn alg(&self) -> &'static str {
        match &self.0 {
            Private::Ed25519(_) => "EdDSA",
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        match &self.0 {
            Private::Ed25519(key) => key.sign(message).to_bytes(),
        }
    }

    /// The private member of the key's JWK.
    pub(super) fn d(&self) -> Zeroizing<String> {
        match &self.0 {
            Private::Ed25519(key) => Zeroizing::new(b64u(key.as_bytes())),
        }
    }
}

impl ZeroizeOnDrop for SigningKey {}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.thumbprint())
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wycheproof;
