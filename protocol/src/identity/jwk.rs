//! Keys as JSON (RFC 7517, RFC 8037, RFC 8812).

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{KeyType, PublicKey};
use crate::{
    encoding::{DecodeError, b64u_array},
    json::JsonError,
};

/// Members that hold private or symmetric key material, of any kind of key (RFC 7518, RFC 8037).
const PRIVATE: [&str; 8] = ["d", "k", "p", "q", "dp", "dq", "qi", "oth"];

/// `kty` and `crv` of the two kinds of keys.
const ED25519: (&str, &str) = ("OKP", "Ed25519");
const SECP256K1: (&str, &str) = ("EC", "secp256k1");

/// A JWK's members, before anything is known about them.
pub(super) type Members = Map<String, Value>;

/// A public key as it is written: exactly the members that its thumbprint is made of.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Jwk {
    // In alphabetical order, so that serde writes what RFC 7638 hashes.
    crv: &'static str,
    kty: &'static str,
    x: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

impl Jwk {
    pub(super) fn ed25519(x: String) -> Self {
        Self { crv: ED25519.1, kty: ED25519.0, x, y: None }
    }

    pub(super) fn secp256k1(x: String, y: String) -> Self {
        Self { crv: SECP256K1.1, kty: SECP256K1.0, x, y: Some(y) }
    }
}

impl fmt::Debug for Jwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jwk({} {} {})", self.kty, self.crv, self.x)
    }
}

/// Why a JWK was refused. The messages are predicates, to be put after what was read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// Not JSON, or not an object.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A member that must be there is not, or is no text.
    #[error("has no text `{member}`")]
    Missing {
        /// The member's name.
        member: &'static str,
    },
    /// It holds private key material where a public key belongs.
    #[error("has the private member `{member}`: give the public key only, and consider this one leaked")]
    Private {
        /// The member's name.
        member: &'static str,
    },
    /// Another member stands in a header, where only the key itself may.
    #[error("has another member than `crv`, `kty`, `x` and, on secp256k1, `y`")]
    OtherMember,
    /// Another kind of key.
    #[error(
        "is of a kind that is not supported here: use `crv` Ed25519 with `kty` OKP, or secp256k1 with EC"
    )]
    Unsupported,
    /// A member that is not the bytes that it should be.
    #[error("has a member `{member}` that {reason}")]
    Encoding {
        /// The member's name.
        member: &'static str,
        /// What is wrong with it.
        reason: DecodeError,
    },
    /// Bytes that are no point of the curve, not the point's canonical encoding, or of small order; or a
    /// private scalar that is none.
    #[error("is no valid key of its kind: make a new one")]
    Weak,
}

/// Reads the public key among `members`. Others are ignored, but private ones are refused.
pub(super) fn read(members: &Members) -> Result<PublicKey, KeyError> {
    if let Some(member) = PRIVATE.into_iter().find(|member| members.contains_key(*member)) {
        return Err(KeyError::Private { member });
    }
    let text = |member| members.get(member).and_then(Value::as_str).ok_or(KeyError::Missing { member });
    let (kty, crv) = (text("kty")?, members.get("crv").and_then(Value::as_str).unwrap_or_default());
    match key_type(kty, crv)? {
        KeyType::Ed25519 => ed25519(text("x")?),
        KeyType::Secp256k1 => secp256k1(text("x")?, text("y")?),
    }
}

/// The kind of key that these two members say.
pub(super) fn key_type(kty: &str, crv: &str) -> Result<KeyType, KeyError> {
    match (kty, crv) {
        ED25519 => Ok(KeyType::Ed25519),
        SECP256K1 => Ok(KeyType::Secp256k1),
        _ => Err(KeyError::Unsupported),
    }
}

/// Reads the public key that `members` are, and nothing else.
pub(super) fn read_exact(members: &Members) -> Result<PublicKey, KeyError> {
    let key = read(members)?;
    let belongs = |member: &String| match key.key_type() {
        KeyType::Ed25519 => matches!(member.as_str(), "crv" | "kty" | "x"),
        KeyType::Secp256k1 => matches!(member.as_str(), "crv" | "kty" | "x" | "y"),
    };
    if members.keys().all(belongs) { Ok(key) } else { Err(KeyError::OtherMember) }
}

pub(super) fn ed25519(x: &str) -> Result<PublicKey, KeyError> {
    PublicKey::ed25519(&coordinate("x", x)?)
}

pub(super) fn secp256k1(x: &str, y: &str) -> Result<PublicKey, KeyError> {
    PublicKey::secp256k1(&coordinate("x", x)?, &coordinate("y", y)?)
}

fn coordinate(member: &'static str, text: &str) -> Result<[u8; 32], KeyError> {
    b64u_array(text).map_err(|reason| KeyError::Encoding { member, reason })
}
