//! Keys: one half signs, the other verifies.

use std::{fmt, str::FromStr};

use ed25519_dalek::Signer as _;
use k256::ecdsa::signature::Verifier as _;
use rand_core::CryptoRng;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, Unexpected},
};
use thiserror::Error;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::{Jwk, KeyError, Thumbprint, jwk};
use crate::{encoding::b64u, json, secret::Secret};

/// A kind of signing key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyType {
    /// Ed25519 (RFC 8032), which signs as `EdDSA` (RFC 8037).
    #[default]
    Ed25519,
    /// ECDSA over secp256k1 with SHA-256, which signs as `ES256K` (RFC 8812).
    Secp256k1,
}

impl KeyType {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Ed25519, Self::Secp256k1];

    /// The name for people and command lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Secp256k1 => "secp256k1",
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no kind of key.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a key's type is ed25519 or secp256k1")]
pub struct KeyTypeError;

impl FromStr for KeyType {
    type Err = KeyTypeError;

    fn from_str(text: &str) -> Result<Self, KeyTypeError> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or(KeyTypeError)
    }
}

/// A key that verifies signatures.
///
/// One exists only if its bytes are the canonical encoding of a point that is not of small order, or, on
/// secp256k1, of any point but the neutral one. As JSON it is a JWK; reading one refuses private members and
/// ignores unknown ones.
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
    Secp256k1(k256::ecdsa::VerifyingKey),
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

    /// The secp256k1 key at these coordinates.
    ///
    /// # Errors
    ///
    /// [`KeyError::Weak`] for coordinates that are not those of a point of the curve.
    pub fn secp256k1(x: &[u8; 32], y: &[u8; 32]) -> Result<Self, KeyError> {
        let point = k256::Sec1Point::from_affine_coordinates(&(*x).into(), &(*y).into(), false);
        let key = k256::ecdsa::VerifyingKey::from_sec1_point(&point).map_err(|_| KeyError::Weak)?;
        Ok(Self(Public::Secp256k1(key)))
    }

    /// Its kind.
    pub fn key_type(&self) -> KeyType {
        match &self.0 {
            Public::Ed25519(_) => KeyType::Ed25519,
            Public::Secp256k1(_) => KeyType::Secp256k1,
        }
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
            Public::Secp256k1(key) => {
                let point = key.to_sec1_point(false);
                let coordinate = |bytes: Option<&k256::FieldBytes>| b64u(bytes.copied().unwrap_or_default());
                Jwk::secp256k1(coordinate(point.x()), coordinate(point.y()))
            }
        }
    }

    /// The key's name (RFC 7638).
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::of(&json::to_vec(&self.to_jwk()))
    }

    /// Whether signatures of this key may say that they are made with `alg` (RFC 8037, RFC 8812,
    /// RFC 9864).
    pub(super) fn fits(&self, alg: &str) -> bool {
        match &self.0 {
            Public::Ed25519(_) => matches!(alg, "EdDSA" | "Ed25519"),
            Public::Secp256k1(_) => alg == "ES256K",
        }
    }

    /// Whether `signature` is this key's over `message`.
    ///
    /// Ed25519 strictly: of all the encodings that some verifier somewhere accepts, only the one that signing
    /// yields. ES256K with a high and a low `s` alike: RFC 8812 has no rule about it.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        match &self.0 {
            Public::Ed25519(key) => key.verify_strict(message, &signature.into()).is_ok(),
            Public::Secp256k1(key) => k256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature.normalize_s()).is_ok()),
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
        let expected = &"a public key as JWK: `crv` Ed25519 with `kty` OKP, or secp256k1 with EC";
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
    Secp256k1(Box<k256::ecdsa::SigningKey>),
}

impl SigningKey {
    /// A new Ed25519 key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(&Secret::random(rng))
    }

    /// A new key of this kind.
    pub fn generate_type(key_type: KeyType, rng: &mut impl CryptoRng) -> Self {
        match key_type {
            KeyType::Ed25519 => Self::generate(rng),
            // As good as never is a second try needed: the curve's order is just below 2^256.
            KeyType::Secp256k1 => loop {
                if let Ok(key) = Self::secp256k1(&Secret::random(rng)) {
                    return key;
                }
            },
        }
    }

    /// The Ed25519 key that has this seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: &Secret<32>) -> Self {
        Self(Private::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(seed.expose()))))
    }

    /// The secp256k1 key that has this private scalar.
    ///
    /// # Errors
    ///
    /// [`KeyError::Weak`] for zero and for what is not below the curve's order.
    pub fn secp256k1(scalar: &Secret<32>) -> Result<Self, KeyError> {
        let key = k256::ecdsa::SigningKey::from_slice(scalar.expose()).map_err(|_| KeyError::Weak)?;
        Ok(Self(Private::Secp256k1(Box::new(key))))
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> PublicKey {
        match &self.0 {
            Private::Ed25519(key) => PublicKey(Public::Ed25519(key.verifying_key())),
            Private::Secp256k1(key) => PublicKey(Public::Secp256k1(*key.verifying_key())),
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
            Private::Secp256k1(_) => "ES256K",
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        match &self.0 {
            Private::Ed25519(key) => key.sign(message).to_bytes(),
            // Deterministic (RFC 6979), as Ed25519 is: no generator can give a nonce away.
            Private::Secp256k1(key) => {
                let signature: k256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().into()
            }
        }
    }

    /// The private member of the key's JWK.
    pub(super) fn d(&self) -> Zeroizing<String> {
        match &self.0 {
            Private::Ed25519(key) => Zeroizing::new(b64u(key.as_bytes())),
            Private::Secp256k1(key) => Zeroizing::new(b64u(Zeroizing::new(key.to_bytes()).as_slice())),
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
