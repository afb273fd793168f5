//! Why a key is not trusted, and why a trust file is refused.

use std::{io, path::PathBuf};

use thiserror::Error;

use super::{MAX_TRUST_BYTES, Role};
use crate::{
    id::WorkerName,
    identity::{CertError, KeyError, Thumbprint},
    json::JsonError,
};

/// Why a key is not trusted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Untrusted {
    /// The key is in no trust file.
    #[error("the key {key} is unknown: if it is the {role}'s, add it to the trust file")]
    Unknown {
        /// The key.
        key: Thumbprint,
        /// The role that it was to have.
        role: Role,
    },
    /// The key is known in another role only.
    #[error("the key {key} is known, but not as a {role}")]
    Role {
        /// The key.
        key: Thumbprint,
        /// The role that it was to have.
        role: Role,
    },
    /// The key is revoked, whatever else is said of it.
    #[error("the key {key} is revoked")]
    Revoked {
        /// The key.
        key: Thumbprint,
    },
    /// The worker's certificate is refused.
    #[error("the key {key} shows a certificate that does not count: {reason}")]
    Certificate {
        /// The worker's key.
        key: Thumbprint,
        /// Why.
        reason: Box<CertError>,
    },
    /// The certificate is for something else than what the worker does.
    #[error("the key {key} shows a certificate for another {what}")]
    OtherCertificate {
        /// The worker's key.
        key: Thumbprint,
        /// What differs: `key`, `worker` or `image`.
        what: &'static str,
    },
    /// Whoever signed the certificate is no authority here.
    #[error("the key {key} is certified by somebody who is no authority here: {reason}")]
    Authority {
        /// The worker's key.
        key: Thumbprint,
        /// Why.
        reason: Box<Self>,
    },
    /// An image is asked for, and the key is not certified for any.
    #[error("the key {key} is not certified for the image that is asked for")]
    Uncertified {
        /// The worker's key.
        key: Thumbprint,
    },
    /// The key is good for other names only.
    #[error("the key {key} is trusted, but not for the worker {worker}")]
    Worker {
        /// The key.
        key: Thumbprint,
        /// The worker's name.
        worker: WorkerName,
    },
}

/// Why a trust file was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The file cannot be read.
    #[error("cannot read the trust file {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// What is in the file is refused.
    #[error("{}: {reason}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: Box<Self>,
    },
    /// Larger than [`MAX_TRUST_BYTES`].
    #[error("the key set has more than {MAX_TRUST_BYTES} bytes")]
    TooLarge,
    /// Not the JSON that a key set is.
    #[error("the key set {0}")]
    Json(JsonError),
    /// A key that cannot be used. Skipping it would let somebody believe that it is trusted.
    #[error("`keys[{index}]` {reason}")]
    Key {
        /// Which key, from 0.
        index: usize,
        /// Why.
        reason: KeyError,
    },
    /// A role that is not known.
    #[error("`keys[{index}]` has an unknown `role`: it is one of worker, launcher and authority")]
    Role {
        /// Which key, from 0.
        index: usize,
    },
    /// A list of worker names that is none.
    #[error("`keys[{index}]` has invalid `workers`: {rule}")]
    Workers {
        /// Which key, from 0.
        index: usize,
        /// The rule that it breaks.
        rule: String,
    },
}
