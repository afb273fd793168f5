//! Worker certificates: an authority says that a key is a worker's.
//!
//! Whoever runs many workers cannot have every client pin every key. A deployment authority signs a
//! certificate for each key instead, and clients trust the authority. A certificate is a JWT (RFC 7519) whose
//! `cnf` names the key (RFC 7800): it proves nothing without a signature by that key, which the worker's proof
//! and its records are.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{JwsError, PublicKey, SigningKey, Typ, sign_compact, verify_compact};
use crate::{
    encoding::hex_array,
    id::WorkerName,
    job::CLOCK_TOLERANCE_MS,
    json::{self, Int, JsonError},
    member,
};

/// The largest certificate, in bytes.
pub const MAX_CERT_BYTES: usize = 4096;

/// An image that a worker is to run: `sha256:` and 64 lower-case hexadecimal digits, which is how Docker writes
/// an image's id and a repository's digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageDigest(String);

/// A text that is no image's digest.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("an image's digest is `sha256:` and 64 lower-case hexadecimal digits")]
pub struct ImageDigestError;

impl FromStr for ImageDigest {
    type Err = ImageDigestError;

    fn from_str(text: &str) -> Result<Self, ImageDigestError> {
        let digits = text.strip_prefix("sha256:").ok_or(ImageDigestError)?;
        hex_array::<32>(digits).map_err(|_| ImageDigestError)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an authority says of a worker's key.
///
/// ```
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// # use subrosa_protocol::identity::{Certificate, Role, SigningKey, Trust};
/// # let mut rng = UnwrapErr(SysRng);
/// # let (authority, worker) = (SigningKey::generate(&mut rng), SigningKey::generate(&mut rng));
/// # let now_s = 1_800_000_000;
/// let certificate = Certificate {
///     worker: "echo".parse()?,
///     key: worker.public(),
///     issued_s: now_s,
///     expires_s: now_s + 90 * 86_400,
///     image: None,
/// };
/// let jwt = certificate.sign(&authority);
///
/// let trust = Trust::default().with_key(authority.public(), Role::Authority, None);
/// let (key, name) = (worker.thumbprint(), "echo".parse()?);
/// assert!(trust.vouched(&key, &name, Some(&jwt), now_s * 1000).is_ok());
/// assert!(trust.vouched(&key, &name, None, now_s * 1000).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The name that the key may serve.
    pub worker: WorkerName,
    /// The worker's key.
    pub key: PublicKey,
    /// From when it holds, in Unix seconds.
    pub issued_s: u64,
    /// Until when it holds, in Unix seconds.
    pub expires_s: u64,
    /// The image that the worker is to run.
    pub image: Option<ImageDigest>,
}

/// A certificate whose signature holds, and whose it is. Whether that key is an authority is another question,
/// for [`Trust::vouched`](super::Trust::vouched).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// What is certified.
    pub certificate: Certificate,
    /// Who signed it.
    pub authority: PublicKey,
}

/// Why a certificate was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertError {
    /// The signature does not hold.
    #[error("the certificate's signature: {0}")]
    Signature(#[from] JwsError),
    /// Not the JSON that a certificate is.
    #[error("the certificate {0}")]
    Json(#[from] JsonError),
    /// A member that breaks a rule.
    #[error("the certificate's `{member}` {rule}")]
    Invalid {
        /// The member.
        member: &'static str,
        /// The rule.
        rule: &'static str,
    },
    /// Signed by the very key that it certifies.
    #[error("the certificate is signed by the worker's own key, which vouches for nothing")]
    SelfSigned,
    /// Not valid yet.
    #[error("the certificate holds from {issued_s} on, in Unix seconds: check the clocks")]
    NotYet {
        /// From when it holds, in Unix seconds.
        issued_s: u64,
    },
    /// Not valid any more.
    #[error("the certificate held until {expires_s}, in Unix seconds: issue a new one")]
    Expired {
        /// Until when it held, in Unix seconds.
        expires_s: u64,
    },
}

/// The claims, in the words of RFC 7519 and RFC 7800.
#[derive(Serialize, Deserialize)]
struct Claims {
    sub: WorkerName,
    cnf: Confirmation,
    iat: Int,
    exp: Int,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    image: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Confirmation {
    jwk: PublicKey,
}

impl Certificate {
    /// Signs the certificate as a compact JWT. Times beyond 2^53 are cut.
    pub fn sign(&self, authority: &SigningKey) -> String {
        let second = |second| Int::try_from(second).unwrap_or(Int::MAX);
        let claims = Claims {
            sub: self.worker.clone(),
            cnf: Confirmation { jwk: self.key.clone() },
            iat: second(self.issued_s),
            exp: second(self.expires_s),
            image: self.image.as_ref().map(ImageDigest::to_string),
        };
        sign_compact(authority, Typ::Cert, &json::to_vec(&claims))
    }

    /// Reads a certificate and verifies its signature. Neither its dates nor its signer are judged.
    ///
    /// # Errors
    ///
    /// [`CertError`], but for the dates.
    pub fn verify(jwt: &[u8]) -> Result<Certified, CertError> {
        let verified = verify_compact(Typ::Cert, jwt, MAX_CERT_BYTES)?;
        let claims: Claims = json::parse(&verified.payload)?;
        let invalid = |member, rule| CertError::Invalid { member, rule };
        let image = claims.image.map(|image| image.parse()).transpose();
        let certificate = Self {
            worker: claims.sub,
            key: claims.cnf.jwk,
            issued_s: claims.iat.get(),
            expires_s: claims.exp.get(),
            image: image.map_err(|ImageDigestError| invalid("image", "is no image's digest"))?,
        };
        if certificate.expires_s <= certificate.issued_s {
            return Err(invalid("exp", "is not after its `iat`"));
        }
        if certificate.key == verified.signer {
            return Err(CertError::SelfSigned);
        }
        Ok(Certified { certificate, authority: verified.signer })
    }

    /// Whether it held at a time, in Unix milliseconds. Clocks may differ by two minutes.
    ///
    /// # Errors
    ///
    /// [`CertError::NotYet`] and [`CertError::Expired`]
    pub fn check_time(&self, at_ms: u64) -> Result<(), CertError> {
        let milliseconds = |second: u64| second.saturating_mul(1000);
        if milliseconds(self.issued_s) > at_ms.saturating_add(CLOCK_TOLERANCE_MS) {
            return Err(CertError::NotYet { issued_s: self.issued_s });
        }
        if milliseconds(self.expires_s).saturating_add(CLOCK_TOLERANCE_MS) <= at_ms {
            return Err(CertError::Expired { expires_s: self.expires_s });
        }
        Ok(())
    }
}

/// Why a certificate's file was not read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertFileError {
    /// The file cannot be read.
    #[error("cannot read the certificate {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// What is in the file is no certificate.
    #[error("{}: {reason}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: CertError,
    },
}

/// Reads a certificate from a file, which may end in white space: the text as it travels, and what it says.
///
/// # Errors
///
/// A file that cannot be read, or whose signature does not hold. The error names it.
pub fn load_cert(path: impl AsRef<Path>) -> Result<(String, Certified), CertFileError> {
    let path = path.as_ref();
    let mut text = String::new();
    // One more than a certificate may have, for the line's end: what is too long is refused as such.
    File::open(path)
        .and_then(|file| file.take(MAX_CERT_BYTES as u64 + 2).read_to_string(&mut text))
        .map_err(|reason| CertFileError::Read { path: path.to_owned(), reason })?;
    let jwt = text.trim_ascii_end();
    let certified = Certificate::verify(jwt.as_bytes())
        .map_err(|reason| CertFileError::InFile { path: path.to_owned(), reason })?;
    Ok((jwt.to_owned(), certified))
}

#[cfg(test)]
mod tests;
