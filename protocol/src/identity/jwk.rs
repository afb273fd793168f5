//! Keys as JSON (RFC 7517, RFC 8037).

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::PublicKey;
use crate::{
    encoding::{DecodeError, b64u_array},
    json::JsonError,
};

/// Members that hold private or symmetric key material, of any kind of key (RFC 7518, RFC 8037).
const PRIVATE: [&str; 8] = ["d", "k", "p", "q", "dp", "dq", "qi", "oth"];

/// A JWK's members, before anything is known about them.
pub(super) type Members = Map<String, Value>;

/// A public key as it is written: exactly the members that its thumbprint is made of.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Jwk {
    // In alphabetical order, so that serde writes what RFC 7638 hashes.
    crv: &'static str,
    kty: &'static str,
    x: String,
}

impl Jwk {
    pub(super) fn ed25519(x: String) -> Self {
        Self { crv: "Ed25519", kty: "OKP", x }
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
    #[error("has another member than `crv`, `kty` and `x`")]
    OtherMember,
    /// Another kind of key.
    #[error("is of a kind that is not supported here: use `kty` OKP with `crv` Ed25519")]
    Unsupported,
    /// A member that is not the bytes that it should be.
    #[error("has a member `{member}` that {reason}")]
    Encoding {
        /// The member's name.
        member: &'static str,
        /// What is wrong with it.
        reason: DecodeError,
    },
    /// Bytes that are no point of the curve, not the point's canonical encoding, or of small order.
    #[error("is no valid Ed25519 key: make a new one")]
    Weak,
}

/// Reads the public key among `members`. Others are ignored, but private ones are refused.
pub(super) fn read(members: &Members) -> Result<PublicKey, KeyError> {
    if let Some(member) = PRIVATE.into_iter().find(|member| members.contains_key(*member)) {
        return Err(KeyError::Private { member });
    }
    let text = |member| members.get(member).and_then(Value::as_str).ok_or(KeyError::Missing { member });
    let ("OKP", "Ed25519") = (text("kty")?, members.get("crv").and_then(Value::as_str).unwrap_or_default())
    else {
        return Err(KeyError::Unsupported);
    };
    ed25519(text("x")?)
}

/// Reads the public key that `members` are, and nothing else.
pub(super) fn read_exact(members: &Members) -> Result<PublicKey, KeyError> {
    let key = read(members)?;
    if members.keys().all(|member| matches!(member.as_str(), "crv" | "kty" | "x")) {
        Ok(key)
    } else {
        Err(KeyError::OtherMember)
    }
}

pub(super) fn ed25519(x: &str) -> Result<PublicKey, KeyError> {
    let bytes = b64u_array(x).map_err(|reason| KeyError::Encoding { member: "x", reason })?;
    PublicKey::ed25519(&bytes)
}
