//! Signatures (RFC 7515): compact, or one of several over the same payload.
//!
//! What is signed is the text that travels, `protected.payload` in ASCII. Nobody writes a structure anew
//! to verify it.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    Jwk, KeyError, PublicKey, SigningKey,
    jwk::{self, Members},
};
use crate::{
    encoding::{DecodeError, b64u, b64u_array, b64u_chars, b64u_decode},
    json::{self, JsonError},
};

/// The largest protected header, in bytes before base64url.
pub const MAX_HEADER_BYTES: usize = 2048;

const MAX_PROTECTED_CHARS: usize = b64u_chars(MAX_HEADER_BYTES);

/// What a signature is for. One made for one use verifies for no other (RFC 8725, section 3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Typ {
    /// A signer authorises a job.
    Job,
    /// A worker proves who it is to a client.
    Worker,
    /// A worker states what it did.
    Receipt,
    /// A launcher or worker writes a job's history.
    Record,
    /// An authority says that a key is a worker's.
    Cert,
}

impl Typ {
    /// The header's `typ`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Job => "subrosa-job",
            Self::Worker => "subrosa-worker",
            Self::Receipt => "subrosa-receipt",
            Self::Record => "subrosa-record",
            Self::Cert => "subrosa-cert+jwt",
        }
    }
}

impl fmt::Display for Typ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a signature was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum JwsError {
    /// Larger than it may be here.
    #[error("the {what} has more than {max_bytes} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// Not three parts with a dot between them.
    #[error("a compact JWS has three parts with a dot between them")]
    NotCompact,
    /// A part that is not what it should be.
    #[error("the {what} {reason}")]
    Encoding {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        reason: DecodeError,
    },
    /// A protected header that is not JSON, or has not exactly `alg`, `typ` and `jwk`.
    #[error("the protected header {0}")]
    Header(#[from] JsonError),
    /// A signature for another use.
    #[error("the signature is not one of type {expected}")]
    WrongType {
        /// The type that was asked for.
        expected: Typ,
    },
    /// Another algorithm, or one that does not fit the key.
    #[error("the header's `alg` does not fit the key: Ed25519 signs with EdDSA, secp256k1 with ES256K")]
    UnsupportedAlgorithm,
    /// The header carries private key material.
    #[error("the header's `jwk` has a private member: that key is no secret any more, make a new one")]
    PrivateKey,
    /// The header's key is refused.
    #[error("the header's `jwk` {0}")]
    Key(KeyError),
    /// The signature is not by that key over these bytes.
    #[error("the signature does not verify")]
    BadSignature,
}

impl From<KeyError> for JwsError {
    fn from(error: KeyError) -> Self {
        if let KeyError::Private { .. } = error { Self::PrivateKey } else { Self::Key(error) }
    }
}

/// A payload whose signature holds, and whose it is. Whether that key is trusted is another question.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What was signed.
    pub payload: Vec<u8>,
    /// The key that signed it.
    pub signer: PublicKey,
}

/// Signs `payload` as a compact JWS.
///
/// ```
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// # use subrosa_protocol::identity::SigningKey;
/// use subrosa_protocol::identity::{Typ, sign_compact, verify_compact};
///
/// # let key = SigningKey::generate(&mut UnwrapErr(SysRng));
/// let jws = sign_compact(&key, Typ::Record, b"it happened");
/// let verified = verify_compact(Typ::Record, jws.as_bytes(), 1024)?;
/// assert_eq!((verified.payload, verified.signer), (b"it happened".to_vec(), key.public()));
/// assert!(verify_compact(Typ::Worker, jws.as_bytes(), 1024).is_err()); // signed for another use
/// # Ok::<(), subrosa_protocol::identity::JwsError>(())
/// ```
pub fn sign_compact(key: &SigningKey, typ: Typ, payload: &[u8]) -> String {
    let mut jws = protected(key, typ);
    jws.push('.');
    jws.push_str(&b64u(payload));
    let signature = key.sign(jws.as_bytes());
    jws.push('.');
    jws.push_str(&b64u(signature));
    jws
}

/// Verifies a compact JWS of at most `max_bytes` bytes, made for the use `typ`.
///
/// That it holds says nothing about who the signer is:
///
/// ```
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// # use subrosa_protocol::identity::{SigningKey, Trust, Typ, sign_compact, verify_compact};
/// # let (stranger, trust) = (SigningKey::generate(&mut UnwrapErr(SysRng)), Trust::default());
/// # let jws = sign_compact(&stranger, Typ::Record, b"it happened");
/// let signer = verify_compact(Typ::Record, jws.as_bytes(), 1024)?.signer;
/// assert!(trust.launcher(&signer.thumbprint()).is_err());
/// # Ok::<(), subrosa_protocol::identity::JwsError>(())
/// ```
///
/// # Errors
///
/// [`JwsError`], for the first thing that is wrong. No payload is decoded before its signature holds.
pub fn verify_compact(typ: Typ, jws: &[u8], max_bytes: usize) -> Result<Verified, JwsError> {
    if jws.len() > max_bytes {
        return Err(JwsError::TooLarge { what: "JWS", max_bytes });
    }
    let mut parts = jws.split(|byte| *byte == b'.');
    let (Some(protected), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(JwsError::NotCompact);
    };
    let signed = jws.get(..protected.len() + 1 + payload.len()).ok_or(JwsError::NotCompact)?;
    let signer = verify(typ, protected, signed, signature)?;
    let payload = b64u_decode(payload).map_err(|reason| JwsError::Encoding { what: "payload", reason })?;
    Ok(Verified { payload, signer })
}

/// One signature of a JWS in general JSON serialisation (RFC 7515, section 7.2.1).
///
/// An unprotected `header` is refused when one is read: it would be nobody's word.
///
/// ```
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// # use subrosa_protocol::{encoding::b64u, identity::{Signature, SigningKey, Typ}};
/// # let key = SigningKey::generate(&mut UnwrapErr(SysRng));
/// let payload = b64u("a job");
/// let signature = Signature::sign(&key, Typ::Job, &payload);
/// assert_eq!(signature.verify(Typ::Job, &payload)?, key.public());
/// assert!(signature.verify(Typ::Job, &b64u("another job")).is_err());
/// # Ok::<(), subrosa_protocol::identity::JwsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The protected header, as base64url.
    pub protected: String,
    /// The signature, as base64url.
    pub signature: String,
}

impl Signature {
    /// Signs a payload that is base64url already.
    pub fn sign(key: &SigningKey, typ: Typ, payload_b64u: &str) -> Self {
        let protected = protected(key, typ);
        let signature = b64u(key.sign(signed(&protected, payload_b64u).as_bytes()));
        Self { protected, signature }
    }

    /// Verifies the signature over a payload that is base64url still. The caller decodes it.
    ///
    /// # Errors
    ///
    /// [`JwsError`], for the first thing that is wrong.
    pub fn verify(&self, typ: Typ, payload_b64u: &str) -> Result<PublicKey, JwsError> {
        let signed = signed(&self.protected, payload_b64u);
        verify(typ, self.protected.as_bytes(), signed.as_bytes(), self.signature.as_bytes())
    }
}

/// The header as it is written. `jwk` rather than `kid`: whoever verifies needs nothing else.
#[derive(Serialize)]
struct HeaderOut {
    alg: &'static str,
    typ: &'static str,
    jwk: Jwk,
}

/// The header as it is read: these members, and none that could change what the signature means.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderIn<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    typ: Cow<'a, str>,
    jwk: Members,
}

fn protected(key: &SigningKey, typ: Typ) -> String {
    b64u(json::to_vec(&HeaderOut { alg: key.alg(), typ: typ.as_str(), jwk: key.public().to_jwk() }))
}

fn signed(protected: &str, payload: &str) -> String {
    [protected, payload].join(".")
}

fn verify(typ: Typ, protected: &[u8], signed: &[u8], signature: &[u8]) -> Result<PublicKey, JwsError> {
    if protected.len() > MAX_PROTECTED_CHARS {
        return Err(JwsError::TooLarge { what: "protected header", max_bytes: MAX_HEADER_BYTES });
    }
    let header =
        b64u_decode(protected).map_err(|reason| JwsError::Encoding { what: "protected header", reason })?;
    let header: HeaderIn<'_> = json::parse(&header)?;
    if header.typ != typ.as_str() {
        return Err(JwsError::WrongType { expected: typ });
    }
    let key = jwk::read_exact(&header.jwk)?;
    // The header's algorithm chooses nothing: the key says how it verifies (RFC 8725, section 3.1).
    if !key.fits(&header.alg) {
        return Err(JwsError::UnsupportedAlgorithm);
    }
    let signature =
        b64u_array(signature).map_err(|reason| JwsError::Encoding { what: "signature", reason })?;
    if key.verifies(signed, &signature) { Ok(key) } else { Err(JwsError::BadSignature) }
}

#[cfg(test)]
mod tests;
