//! The launch request: a job and its signatures, as a JWS in general JSON serialisation.

mod checked;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    encoding::{DecodeError, b64u, b64u_decode},
    id::JobId,
    identity::{JwsError, Signature, SigningKey, Thumbprint, Typ},
    job::{CLOCK_TOLERANCE_MS, Job, JobError},
    json::{self, JsonError},
    refusal::Code,
    subject::Namespace,
};

pub use self::checked::Checked;

/// The largest launch request, in bytes.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// The most signatures of a launch request.
pub const MAX_SIGNATURES: usize = 16;

/// Why a launch request was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaunchError {
    /// Larger than a launch request may be.
    #[error("the launch request has {bytes} bytes, at most {MAX_REQUEST_BYTES} are allowed")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
    },
    /// Not the JSON that a launch request is.
    #[error("the launch request {0}")]
    Json(#[from] JsonError),
    /// Its payload is not the job's bytes.
    #[error("the launch request's `payload` {0}")]
    Payload(#[from] DecodeError),
    /// More signatures than allowed.
    #[error("the launch request has {found} signatures, at most {MAX_SIGNATURES} are allowed")]
    Signatures {
        /// How many it has.
        found: usize,
    },
    /// The job in it is refused.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A signature does not verify. All have to.
    #[error("signature {number} does not hold: {reason}")]
    BadSignature {
        /// Which, from 1.
        number: usize,
        /// Why.
        reason: JwsError,
    },
    /// The job names an owner who has not signed it.
    #[error("the job's owner {owner} has not signed it")]
    OwnerMissing {
        /// The owner.
        owner: Thumbprint,
    },
    /// The key has signed already: a second signature by it would count for nothing.
    #[error("the key {key} has signed the job already")]
    AlreadySigned {
        /// The key.
        key: Thumbprint,
    },
    /// Signatures of another job, which are worth nothing to this one.
    #[error("it is the job {found}, not {expected}")]
    AnotherJob {
        /// The job that it should be.
        expected: JobId,
        /// The job that it is.
        found: JobId,
    },
    /// The job is not for now.
    #[error("the job was made {ahead_ms} ms in the future: check the clocks")]
    NotYet {
        /// How far its `created_ms` lies ahead.
        ahead_ms: u64,
    },
    /// The job's time is over.
    #[error("the job's `expires_ms` is over: if it is new, check the clocks")]
    Expired,
}

impl LaunchError {
    /// The code that it is answered with.
    pub fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Job(error) => error.code(),
            Self::BadSignature { .. } => Code::BadSignature,
            Self::OwnerMissing { .. } => Code::Unauthorized,
            Self::Expired => Code::Expired,
            Self::Json(_)
            | Self::Payload(_)
            | Self::Signatures { .. }
            | Self::AlreadySigned { .. }
            | Self::AnotherJob { .. }
            | Self::NotYet { .. } => Code::BadRequest,
        }
    }
}

/// Who signed a job: the distinct thumbprints. No signature was left unverified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signers(BTreeSet<Thumbprint>);

impl Signers {
    /// The thumbprints, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &Thumbprint> {
        self.0.iter()
    }

    /// Whether this key has signed.
    pub fn contains(&self, key: &Thumbprint) -> bool {
        self.0.contains(key)
    }

    /// How many have signed.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody has signed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A launch request and the bytes that it travels as.
///
/// ```
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// # use subrosa_protocol::{hpke::RecipientKey, id::Sha256Hash, identity::SigningKey, job::*};
/// # use subrosa_protocol::{launch::LaunchRequest, subject::Namespace};
/// # let now_ms = 1_800_000_000_000;
/// # let (namespace, mut rng) = (Namespace::default(), UnwrapErr(SysRng));
/// # let (alice, controller) = (SigningKey::generate(&mut rng), SigningKey::generate(&mut rng));
/// # let job = Job::new(Description {
/// #     worker: "echo".parse()?, client: Some(alice.thumbprint()), label: None,
/// #     client_key: *RecipientKey::generate(&mut rng).public(), psk_id: None,
/// #     reply: namespace.reply("AliceAliceAlice01")?, created_ms: now_ms, expires_ms: now_ms + 1,
/// #     timeout_ms: 1, max_attempts: 1, cancel: Sha256Hash([0; 32]), close: Sha256Hash([0; 32]), input: None,
/// # })?;
/// let drafted = LaunchRequest::unsigned(job);
///
/// // each on a machine of its own, in any order
/// let sent = drafted.signed_by(&controller)?.signed_by(&alice)?;
///
/// // at the launcher, and again at the worker
/// let request = LaunchRequest::parse(sent.bytes(), &namespace)?;
/// request.check_times(now_ms)?;
/// let signers = request.verify()?;
/// assert!(signers.contains(&alice.thumbprint()) && signers.contains(&controller.thumbprint()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct LaunchRequest {
    bytes: Vec<u8>,
    wire: Wire,
    job: Job,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Wire {
    payload: String,
    signatures: Vec<Signature>,
}

impl LaunchRequest {
    /// A launch request for `job` that nobody has signed yet.
    pub fn unsigned(job: Job) -> Self {
        Self::with(job, Vec::new())
    }

    /// A launch request for `job`, signed by each of `signers`.
    ///
    /// # Errors
    ///
    /// More than [`MAX_SIGNATURES`] signers.
    pub fn new(job: Job, signers: &[&SigningKey]) -> Result<Self, LaunchError> {
        if signers.len() > MAX_SIGNATURES {
            return Err(LaunchError::Signatures { found: signers.len() });
        }
        let payload = b64u(job.bytes());
        let signatures = signers.iter().map(|key| Signature::sign(key, Typ::Job, &payload)).collect();
        Self::with(job, signatures).small()
    }

    fn with(job: Job, signatures: Vec<Signature>) -> Self {
        let wire = Wire { payload: b64u(job.bytes()), signatures };
        Self { bytes: json::to_vec(&wire), wire, job }
    }

    /// What is written has to be read.
    fn small(self) -> Result<Self, LaunchError> {
        match self.bytes.len() {
            bytes if bytes > MAX_REQUEST_BYTES => Err(LaunchError::TooLarge { bytes }),
            _ => Ok(self),
        }
    }

    /// The same request with one more signature.
    ///
    /// # Errors
    ///
    /// A key that has signed already, more than [`MAX_SIGNATURES`] signatures, or one among those that are
    /// there that does not hold: nobody would take the request.
    pub fn signed_by(&self, key: &SigningKey) -> Result<Self, LaunchError> {
        self.joined(&Self::new(self.job.clone(), &[key])?).and_then(|joined| {
            match joined.wire.signatures.len() == self.wire.signatures.len() {
                true => Err(LaunchError::AlreadySigned { key: key.thumbprint() }),
                false => Ok(joined),
            }
        })
    }

    /// The same request with the signatures of another copy of it, too; each signer once.
    ///
    /// # Errors
    ///
    /// Another job, more than [`MAX_SIGNATURES`] signatures, or one that does not hold in either copy.
    pub fn joined(&self, other: &Self) -> Result<Self, LaunchError> {
        if other.job.id() != self.job.id() {
            return Err(LaunchError::AnotherJob { expected: *self.job.id(), found: *other.job.id() });
        }
        let mut signers = self.holding()?;
        other.holding()?;
        let added = other
            .signatures()
            .zip(&other.wire.signatures)
            .filter_map(|(signer, signature)| signers.insert(signer.ok()?).then(|| signature.clone()));
        let signatures: Vec<Signature> = self.wire.signatures.iter().cloned().chain(added).collect();
        if signatures.len() > MAX_SIGNATURES {
            return Err(LaunchError::Signatures { found: signatures.len() });
        }
        Self::with(self.job.clone(), signatures).small()
    }

    /// Reads a launch request. Only cheap rules are checked; see [`LaunchRequest::verify`].
    ///
    /// # Errors
    ///
    /// Anything that section 3 of the protocol refuses.
    pub fn parse(bytes: &[u8], namespace: &Namespace) -> Result<Self, LaunchError> {
        if bytes.len() > MAX_REQUEST_BYTES {
            return Err(LaunchError::TooLarge { bytes: bytes.len() });
        }
        let wire: Wire = json::parse(bytes)?;
        if wire.signatures.len() > MAX_SIGNATURES {
            return Err(LaunchError::Signatures { found: wire.signatures.len() });
        }
        let job = Job::parse(b64u_decode(&wire.payload)?, namespace)?;
        Ok(Self { bytes: bytes.to_vec(), wire, job })
    }

    /// The id of the job in these bytes, also of one that [`LaunchRequest::parse`] refuses; none if there is
    /// no telling.
    pub fn job_id(bytes: &[u8]) -> Option<JobId> {
        let wire: Wire = json::parse(bytes.get(..bytes.len().min(MAX_REQUEST_BYTES))?).ok()?;
        b64u_decode(&wire.payload).ok().map(|job_bytes| JobId::of(&job_bytes))
    }

    /// Checks the times: neither made in the future nor expired, as far as clocks can tell.
    ///
    /// # Errors
    ///
    /// [`LaunchError::NotYet`] and [`LaunchError::Expired`]
    pub fn check_times(&self, now_ms: u64) -> Result<(), LaunchError> {
        let ahead_ms = self.job.description().created_ms.saturating_sub(now_ms);
        if ahead_ms > CLOCK_TOLERANCE_MS {
            return Err(LaunchError::NotYet { ahead_ms });
        }
        if self.job.expired(now_ms) { Err(LaunchError::Expired) } else { Ok(()) }
    }

    /// Verifies every signature, and that the owner is among the signers.
    ///
    /// # Errors
    ///
    /// One signature that does not verify refuses the whole request.
    pub fn verify(&self) -> Result<Signers, LaunchError> {
        let signers = self.holding()?;
        match self.job.description().client {
            Some(owner) if !signers.contains(&owner) => Err(LaunchError::OwnerMissing { owner }),
            _ => Ok(Signers(signers)),
        }
    }

    /// Whose each signature is, in their order, or why it does not hold.
    pub fn signatures(&self) -> impl Iterator<Item = Result<Thumbprint, JwsError>> {
        let verify = |signature: &Signature| signature.verify(Typ::Job, &self.wire.payload);
        self.wire.signatures.iter().map(move |signature| Ok(verify(signature)?.thumbprint()))
    }

    /// Who has signed, if every signature holds.
    fn holding(&self) -> Result<BTreeSet<Thumbprint>, LaunchError> {
        let numbered = (1..).zip(self.signatures());
        numbered
            .map(|(number, signer)| signer.map_err(|reason| LaunchError::BadSignature { number, reason }))
            .collect()
    }

    /// The job.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
