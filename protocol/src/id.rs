//! Names of things: jobs, workers, attempts, worker processes.

use std::{fmt, str::FromStr};

use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::{
    encoding::{self, DecodeError, b64u, b64u_array, hex, hex_array},
    hpke::stack,
};

/// A text that is not the name it should be.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// A worker's name has 1 to 64 characters out of `a-z`, `0-9` and `-`.
    #[error("a worker's name has 1 to 64 characters out of a-z, 0-9 and -")]
    Worker,
    /// A job's id is 64 lower-case hexadecimal digits.
    #[error("a job's id is 64 lower-case hexadecimal digits, which this is not")]
    Job(DecodeError),
    /// A process's name is 16 bytes as base64url.
    #[error("an instance is 16 bytes as base64url: it {0}")]
    Instance(DecodeError),
    /// Attempts are counted from 1 to 10.
    #[error("an attempt is a number from 1 to {max}", max = Attempt::MAX)]
    Attempt,
}

/// A job's id: the SHA-256 of the job's bytes, written as lower-case hexadecimal.
///
/// The same bytes are the same job, and nothing can be moved to another id. It is no secret.
///
/// ```
/// use subrosa_protocol::id::JobId;
///
/// let id = JobId::of(b"a job's bytes");
/// assert_eq!(id.to_string().len(), 64);
/// assert_eq!(id.to_string().parse(), Ok(id));
/// assert_ne!(id, JobId::of(b"another job's bytes"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId([u8; 32]);

impl JobId {
    /// The id of the job with these bytes.
    pub fn of(job_bytes: &[u8]) -> Self {
        Self(Sha256::digest(job_bytes).into())
    }

    /// The hash itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for JobId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        hex_array(text).map(Self).map_err(NameError::Job)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.0))
    }
}

/// A worker's name: 1 to 64 characters out of `a-z`, `0-9` and `-`.
///
/// ```
/// # use subrosa_protocol::id::WorkerName;
/// let name: WorkerName = "create-proof".parse()?;
/// assert_eq!(name.as_str(), "create-proof");
/// assert!("not.one.token".parse::<WorkerName>().is_err());
/// # Ok::<(), subrosa_protocol::id::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerName(String);

impl WorkerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WorkerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(NameError::Worker) }
    }
}

impl fmt::Display for WorkerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of one worker process: 16 random bytes, written as base64url.
///
/// It tells replicas with the same key apart, in records and in subjects.
///
/// ```
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// # use subrosa_protocol::id::Instance;
/// let instance = Instance::random(&mut UnwrapErr(SysRng));
/// assert_eq!(instance.to_string().parse(), Ok(instance));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instance([u8; 16]);

impl Instance {
    /// A new process's name.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl FromStr for Instance {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        b64u_array(text).map(Self).map_err(NameError::Instance)
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&b64u(self.0))
    }
}

/// The number of one attempt at a job, counted from 1.
///
/// ```
/// # use subrosa_protocol::id::Attempt;
/// assert_eq!(Attempt::new(1), Ok(Attempt::FIRST));
/// assert!(Attempt::new(0).is_err() && Attempt::new(11).is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt(u16);

impl Attempt {
    /// The first attempt.
    pub const FIRST: Self = Self(1);
    /// No job is tried more often than this.
    pub const MAX: u16 = 10;

    /// The attempt with this number.
    ///
    /// # Errors
    ///
    /// [`NameError::Attempt`] unless `number` is 1 to [`Attempt::MAX`].
    pub fn new(number: u16) -> Result<Self, NameError> {
        if (1..=Self::MAX).contains(&number) { Ok(Self(number)) } else { Err(NameError::Attempt) }
    }

    /// The number, from 1.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl FromStr for Attempt {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let attempt = text.parse().map_err(|_| NameError::Attempt).and_then(Self::new)?;
        // Reading takes a sign and leading zeros as well.
        if attempt.to_string() == text { Ok(attempt) } else { Err(NameError::Attempt) }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A SHA-256 hash, written as base64url.
///
/// ```
/// # use subrosa_protocol::id::Sha256Hash;
/// assert_eq!(Sha256Hash::of("").to_string(), "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256Hash(pub [u8; 32]);

impl Sha256Hash {
    /// The hash of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The hash of bytes that are secret: what hashing leaves of them on the stack is overwritten.
    pub fn of_secret(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        stack::erased::<{ stack::KDF_BYTES }, _>(|| Self::of(bytes))
    }
}

impl Serialize for Sha256Hash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        encoding::b64u_member::serialize(self.0, to)
    }
}

impl<'de> Deserialize<'de> for Sha256Hash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        encoding::b64u_member::deserialize(from).map(Self)
    }
}

impl fmt::Display for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&b64u(self.0))
    }
}

/// These are written as JSON strings, and printed as what they are.
macro_rules! as_text {
    ($($name:ident)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                std::borrow::Cow::<'de, str>::deserialize(from)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}
as_text!(JobId WorkerName Instance);

macro_rules! debug_as_display {
    ($($name:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    )*};
}
debug_as_display!(JobId WorkerName Instance Attempt Sha256Hash);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jobs_id_is_the_hash_of_its_bytes() {
        let id = JobId::of(b"");
        assert_eq!(id.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(id.to_string().parse::<JobId>().unwrap(), id);
        assert!(id.to_string().to_uppercase().parse::<JobId>().is_err());
    }

    #[test]
    fn worker_names_are_subject_tokens() {
        for good in ["echo", "create-proof", "0", &"a".repeat(64)] {
            assert!(good.parse::<WorkerName>().is_ok(), "{good}");
        }
        for bad in ["", "a.b", "*", ">", "A", "a b", "ä", &"a".repeat(65)] {
            assert_eq!(bad.parse::<WorkerName>(), Err(NameError::Worker), "{bad}");
        }
    }

    #[test]
    fn attempts_are_1_to_10() {
        assert!(Attempt::new(0).is_err());
        assert_eq!(Attempt::new(10).unwrap().get(), 10);
        assert!(Attempt::new(11).is_err());
        assert_eq!("10".parse(), Attempt::new(10));
        for bad in ["", "0", "11", "+1", "-1", "01", " 1", "1.0", "65537"] {
            assert_eq!(bad.parse::<Attempt>(), Err(NameError::Attempt), "{bad}");
        }
    }
}
