//! Salts: what keeps a hash of something guessable from being guessed.

use std::{fmt, str::FromStr};

use rand_core::CryptoRng;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Unexpected, Visitor},
};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    encoding::{DecodeError, b64u},
    exposure,
    hpke::stack,
    id::Sha256Hash,
    secret::Secret,
};

/// 32 random bytes, mixed into the hashes of a receipt or of a bound input.
///
/// A secret until it is shared: whoever has it can try guesses at what was hashed. Overwritten when dropped,
/// and `Debug` prints the type's name only.
///
/// ```
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// # use subrosa_protocol::{id::Sha256Hash, receipt::Salt};
/// let salt = Salt::random(&mut UnwrapErr(SysRng));
/// assert_eq!(format!("{salt:?}"), "Salt");
///
/// // To be given to whoever may know what the receipt is about:
/// let shared: Salt = salt.reveal().parse()?;
/// let result = Sha256Hash::of("78");
/// assert_eq!(shared.result_hash(result), salt.result_hash(result));
/// # Ok::<(), subrosa_protocol::receipt::SaltError>(())
/// ```
pub struct Salt(Secret<32>);

/// A text that is no salt. It never repeats the text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a salt is 32 bytes as base64url: it {0}")]
pub struct SaltError(DecodeError);

impl Salt {
    /// A fresh salt.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut secret = Secret::zeroed();
        rng.fill_bytes(secret.expose_mut());
        exposure::born("salt", secret.expose());
        Self(secret)
    }

    /// Takes the bytes from `source` and overwrites it.
    pub fn take(source: &mut [u8; 32]) -> Self {
        Self(Secret::take(source))
    }

    /// Another one of the same bytes, to be sealed.
    pub(crate) fn copy(&self) -> Self {
        let mut copy = Secret::zeroed();
        copy.expose_mut().copy_from_slice(self.0.expose());
        Self(copy)
    }

    /// The salt as base64url, to be shown to somebody.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(b64u(self.0.expose()))
    }

    /// A job's `input` for the payload with this hash: SHA-256(salt ‖ SHA-256(payload)).
    pub fn payload_hash(&self, payload: Sha256Hash) -> Sha256Hash {
        self.hash(&[payload])
    }

    /// A receipt's `input_hash` for options and payload with these hashes: SHA-256(salt ‖ SHA-256(options) ‖
    /// SHA-256(payload)).
    pub fn input_hash(&self, options: Sha256Hash, payload: Sha256Hash) -> Sha256Hash {
        self.hash(&[options, payload])
    }

    /// A receipt's `result_hash` for the result with this hash: SHA-256(salt ‖ SHA-256(result)).
    pub fn result_hash(&self, result: Sha256Hash) -> Sha256Hash {
        self.hash(&[result])
    }

    fn hash(&self, hashes: &[Sha256Hash]) -> Sha256Hash {
        stack::erased::<{ stack::KDF_BYTES }, _>(|| {
            let salted = Sha256::new_with_prefix(self.0.expose());
            let all = hashes.iter().fold(salted, |state, hash| state.chain_update(hash.0));
            Sha256Hash(all.finalize().into())
        })
    }
}

impl FromStr for Salt {
    type Err = SaltError;

    fn from_str(text: &str) -> Result<Self, SaltError> {
        Secret::from_b64u(text).map(Self).map_err(SaltError)
    }
}

/// Prints the type's name only.
impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt")
    }
}

/// Salts stand in heads, which are sealed.
impl Serialize for Salt {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.reveal())
    }
}

impl<'de> Deserialize<'de> for Salt {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;

        // Read where it stands, in a buffer that is overwritten.
        impl Visitor<'_> for Text {
            type Value = Salt;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("32 bytes as base64url")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Salt, E> {
                text.parse().map_err(|_| E::invalid_value(Unexpected::Other("text"), &self))
            }
        }

        from.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn a_salt_prints_its_name_only() {
        let salt = Salt::take(&mut [0xAB; 32]);
        assert_eq!(format!("{salt:?} {salt:#?}"), "Salt Salt");
    }

    #[test]
    fn taking_a_salt_overwrites_its_source() {
        let mut source = [7; 32];
        let salt = Salt::take(&mut source);
        assert_eq!(source, [0; 32]);
        assert_eq!(*salt.reveal(), b64u([7; 32]));
    }

    #[test]
    fn a_salt_has_one_spelling_and_one_length() {
        let text = b64u([0xFB; 32]);
        let json = format!("\"{text}\"");
        assert_eq!(*json::parse::<Salt>(json.as_bytes()).unwrap().reveal(), text);
        assert_eq!(json::to_vec(&text.parse::<Salt>().unwrap()), json.as_bytes());
        for bad in ["", "AA", &b64u([1; 31]), &b64u([1; 33]), &text.replace('-', "+"), &format!("{text}=")] {
            let error = bad.parse::<Salt>().unwrap_err();
            assert!(bad.is_empty() || !error.to_string().contains(bad), "{error}");
            assert!(json::parse::<Salt>(format!("\"{bad}\"").as_bytes()).is_err(), "{bad}");
        }
        for bad in ["null", "7", "[]", "{}"] {
            assert!(json::parse::<Salt>(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn hashes_are_as_documented() {
        let salt = || Salt::take(&mut [3; 32]);
        let (one, other) = (Sha256Hash::of("one"), Sha256Hash::of("other"));
        let expected = Sha256Hash::of([[3; 32], one.0].concat());
        assert_eq!((salt().result_hash(one), salt().payload_hash(one)), (expected, expected));
        assert_eq!(salt().input_hash(one, other), Sha256Hash::of([[3; 32], one.0, other.0].concat()));
        assert_ne!(salt().input_hash(one, other), salt().input_hash(other, one));
    }
}
