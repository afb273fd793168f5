//! Policies: whose signatures a worker asks for before it runs a job.
//!
//! A policy is *anyone*, or *at least m of these n keys*. The launcher checks it before it queues, and the
//! worker again before it asks for anything, because a launcher may lie. Keys count, not signatures, and a
//! revoked key never does.

use std::{
    collections::BTreeSet,
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{
    identity::{KeyError, PublicKey, Thumbprint, Trust},
    job::Job,
    json::{self, JsonError},
    launch::{MAX_SIGNATURES, Signers},
    refusal::Code,
};

/// The largest signers file, in bytes.
pub const MAX_SIGNERS_BYTES: usize = 1 << 20;

/// Whose signatures a job needs. Cloning is cheap. The default is *anyone*.
///
/// ```
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// # use subrosa_protocol::identity::SigningKey;
/// use subrosa_protocol::policy::{Mode, Policy};
///
/// # let mut rng = UnwrapErr(SysRng);
/// # let keys = [(); 3].map(|()| SigningKey::generate(&mut rng).public());
/// let policy = Policy::at_least(2, keys.iter().map(|key| key.thumbprint()))?;
/// assert_eq!(policy.to_string(), "2 of 3");
/// assert_eq!(policy.in_mode(Mode::Warn).to_string(), "2 of 3 (warn)");
/// assert_eq!(Policy::anyone().to_string(), "anyone");
/// # Ok::<(), subrosa_protocol::policy::PolicyError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    mode: Mode,
    /// 0 only where anyone may.
    needed: usize,
    keys: Arc<BTreeSet<Thumbprint>>,
}

/// What becomes of a job that a policy does not allow: how a policy is rolled out. Revocation holds in every
/// mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It runs; nobody looks.
    Off,
    /// It runs, and each such job is logged as a warning.
    Warn,
    /// It is refused.
    #[default]
    Enforce,
}

/// A policy that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("cannot read the signers file {}: {reason}", path.display())]
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
    /// Larger than [`MAX_SIGNERS_BYTES`].
    #[error("the set of signers has more than {MAX_SIGNERS_BYTES} bytes")]
    TooLarge,
    /// Not the JSON that a key set is.
    #[error("the set of signers {0}")]
    Json(JsonError),
    /// A key that cannot be used. Skipping it would let somebody believe that it counts.
    #[error("`keys[{index}]` {reason}")]
    Key {
        /// Which key, from 0.
        index: usize,
        /// Why.
        reason: KeyError,
    },
    /// An entry of a trust file: a worker's or launcher's key authorises no job.
    #[error("`keys[{index}]` has a `{member}`, as in a trust file: a signers file names clients' keys")]
    TrustEntry {
        /// Which key, from 0.
        index: usize,
        /// The member.
        member: &'static str,
    },
    /// More signers than there are, or none.
    #[error("{needed} of {keys} signers cannot be asked for: give a number from 1 to {keys}")]
    Needed {
        /// How many signers were to be needed.
        needed: usize,
        /// How many distinct keys there are.
        keys: usize,
    },
    /// More signatures than a launch request holds.
    #[error("{needed} signers cannot be asked for: a launch request has at most {MAX_SIGNATURES} signatures")]
    OverLimit {
        /// How many signers were to be needed.
        needed: usize,
    },
    /// There are no keys, so that no job could ever be allowed.
    #[error("the set of signers is empty: name at least one key")]
    Empty,
}

/// A mode that is none.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("must be off, warn or enforce")]
pub struct ModeError;

/// A job that too few of a policy's keys have signed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "the worker's policy needs signatures by {needed} of its keys, and {found} count: have more parties sign"
)]
pub struct TooFew {
    /// How many distinct keys are needed.
    pub needed: usize,
    /// How many of the signers count.
    pub found: usize,
}

/// Why a job may not be run, whoever has signed it rightly.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unauthorized {
    /// Too few of the policy's keys have signed.
    #[error(transparent)]
    TooFew(#[from] TooFew),
    /// The owner's key was revoked.
    #[error("the key {owner} of the job's owner was revoked: sign with another one")]
    OwnerRevoked {
        /// The owner.
        owner: Thumbprint,
    },
}

impl Unauthorized {
    /// The code that it is answered with.
    pub fn code(&self) -> Code {
        Code::Unauthorized
    }
}

impl Policy {
    /// Allows every job, whoever signed it.
    pub fn anyone() -> Self {
        Self::default()
    }

    /// Allows jobs that at least `needed` of these keys have signed. A key that is given twice is one.
    ///
    /// # Errors
    ///
    /// A number that no job can reach, or that every job does.
    pub fn at_least(needed: usize, keys: impl IntoIterator<Item = Thumbprint>) -> Result<Self, PolicyError> {
        let keys: BTreeSet<Thumbprint> = keys.into_iter().collect();
        if keys.is_empty() {
            return Err(PolicyError::Empty);
        }
        if !(1..=keys.len()).contains(&needed) {
            return Err(PolicyError::Needed { needed, keys: keys.len() });
        }
        if needed > MAX_SIGNATURES {
            return Err(PolicyError::OverLimit { needed });
        }
        Ok(Self { mode: Mode::default(), needed, keys: Arc::new(keys) })
    }

    /// Reads the keys of [`Policy::at_least`] from a JWK Set (RFC 7517, section 5) of public keys.
    ///
    /// # Errors
    ///
    /// One key that cannot be used refuses the whole set.
    pub fn from_jwk_set(bytes: &[u8], needed: usize) -> Result<Self, PolicyError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Map<String, Value>>,
        }

        if bytes.len() > MAX_SIGNERS_BYTES {
            return Err(PolicyError::TooLarge);
        }
        let set: Set = json::parse(bytes).map_err(PolicyError::Json)?;
        let read = |(index, members): (usize, &Map<String, Value>)| {
            if let Some(member) = ["role", "workers"].into_iter().find(|member| members.contains_key(*member))
            {
                return Err(PolicyError::TrustEntry { index, member });
            }
            let key = PublicKey::from_jwk(&json::to_vec(members));
            key.map(|key| key.thumbprint()).map_err(|reason| PolicyError::Key { index, reason })
        };
        let keys = set.keys.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        Self::at_least(needed, keys)
    }

    /// Reads a JWK Set from a file; see [`Policy::from_jwk_set`].
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or is refused. The error names it.
    pub fn from_file(path: impl AsRef<Path>, needed: usize) -> Result<Self, PolicyError> {
        let path = path.as_ref();
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_SIGNERS_BYTES as u64 + 1).read_to_end(&mut bytes))
            .map_err(|reason| PolicyError::Read { path: path.to_owned(), reason })?;
        Self::from_jwk_set(&bytes, needed)
            .map_err(|reason| PolicyError::InFile { path: path.to_owned(), reason: Box::new(reason) })
    }

    /// The same policy in another mode.
    #[must_use]
    pub fn in_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Checks who has signed `job`. What it returns in the mode `warn` has to be logged as a warning: the job
    /// may run, and would not if the policy were enforced.
    ///
    /// # Errors
    ///
    /// [`Unauthorized`], in the mode `enforce`; and, in every mode, an owner whose key was revoked.
    pub fn check(&self, job: &Job, signers: &Signers, trust: &Trust) -> Result<Option<TooFew>, Unauthorized> {
        if let Some(owner) = job.description().client.filter(|owner| trust.is_revoked(owner)) {
            return Err(Unauthorized::OwnerRevoked { owner });
        }
        match (self.count(signers, trust), self.mode) {
            (Ok(()), _) | (Err(_), Mode::Off) => Ok(None),
            (Err(too_few), Mode::Warn) => Ok(Some(too_few)),
            (Err(too_few), Mode::Enforce) => Err(too_few.into()),
        }
    }

    fn count(&self, signers: &Signers, trust: &Trust) -> Result<(), TooFew> {
        let counts = |key: &&Thumbprint| self.keys.contains(*key) && !trust.is_revoked(key);
        let found = signers.iter().filter(counts).count();
        if found >= self.needed { Ok(()) } else { Err(TooFew { needed: self.needed, found }) }
    }
}

/// As `subrosa workers` shows it.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.needed, self.mode) {
            (0, _) => f.write_str("anyone"),
            (needed, Mode::Enforce) => write!(f, "{needed} of {}", self.keys.len()),
            (needed, mode) => write!(f, "{needed} of {} ({mode})", self.keys.len()),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Enforce => "enforce",
        })
    }
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        [Self::Off, Self::Warn, Self::Enforce]
            .into_iter()
            .find(|mode| mode.to_string() == text)
            .ok_or(ModeError)
    }
}

#[cfg(test)]
mod tests;
