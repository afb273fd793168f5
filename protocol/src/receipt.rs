//! Receipts: what a worker did, signed, so that others can be shown it.
//!
//! A result comes with one. It names the job, the worker and the attempt, the job's owner and signers, and
//! the input and the result by hashes that are salted: a published receipt says nothing about a result that
//! could be guessed. Whoever is given the salt and the data beside it can check them against it, years
//! later, without asking anybody: [`check`] does.

mod check;
mod salt;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::{
    check::{Evidence, Finding, Verification, check},
    salt::{Salt, SaltError},
};
use crate::{
    id::{Attempt, JobId, NameError, Sha256Hash, WorkerName},
    identity::{JwsError, PublicKey, SigningKey, Thumbprint, Typ, sign_compact, verify_compact},
    json::{self, Int, JsonError},
    launch::MAX_SIGNATURES,
    member,
};

/// The largest receipt, in bytes: a header of the largest size, and [`MAX_SIGNATURES`] signers.
pub const MAX_RECEIPT_BYTES: usize = 8 * 1024;

/// What a worker states about a job that it has finished.
///
/// ```
/// # use std::collections::BTreeSet;
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// # use subrosa_protocol::{id::*, identity::SigningKey, receipt::{Receipt, Salt}};
/// # let mut rng = UnwrapErr(SysRng);
/// # let key = SigningKey::generate(&mut rng);
/// let salt = Salt::random(&mut rng);
/// let receipt = Receipt {
///     job: JobId::of(b"a job"),
///     worker: "echo".parse()?,
///     attempt: Attempt::FIRST,
///     started_ms: 1_800_000_000_000,
///     finished_ms: 1_800_000_000_250,
///     client: None,
///     signers: BTreeSet::new(),
///     input_hash: salt.input_hash(Sha256Hash::of("the options"), Sha256Hash::of("the payload")),
///     result_hash: salt.result_hash(Sha256Hash::of("the result")),
/// };
/// let jws = receipt.sign(&key);
/// assert_eq!(Receipt::verify(&jws)?, (receipt, key.public()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The job.
    pub job: JobId,
    /// The name that the worker served.
    pub worker: WorkerName,
    /// The attempt that the result was made in.
    pub attempt: Attempt,
    /// When the run began, by the worker's clock, in Unix milliseconds.
    pub started_ms: u64,
    /// When the result was there, by the worker's clock, in Unix milliseconds.
    pub finished_ms: u64,
    /// The job's owner; none if the job is anonymous.
    pub client: Option<Thumbprint>,
    /// Everyone who signed the job.
    pub signers: BTreeSet<Thumbprint>,
    /// [`Salt::input_hash`] of the client's options and payload.
    pub input_hash: Sha256Hash,
    /// [`Salt::result_hash`] of the result.
    pub result_hash: Sha256Hash,
}

/// A receipt that holds, and the salt that ties it to input and result.
///
/// The receipt can be shown to anybody. With the salt, who knows the data, or can guess it, sees that it is
/// about them.
#[derive(Debug)]
pub struct SaltedReceipt {
    /// The receipt as it was signed: a compact JWS.
    pub jws: String,
    /// What it says.
    pub receipt: Receipt,
    /// Its salt.
    pub salt: Salt,
    /// The certificate that the worker came with, for who trusts its authority and not the key itself.
    pub cert: Option<String>,
}

/// Why a receipt was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiptError {
    /// A result came without a part of its proof.
    #[error("the result has no `{member}`")]
    Missing {
        /// What is missing.
        member: &'static str,
    },
    /// The signature does not hold.
    #[error("the receipt: {0}")]
    Signature(#[from] JwsError),
    /// Not the JSON that a receipt is.
    #[error("the receipt {0}")]
    Json(#[from] JsonError),
    /// Not the number of an attempt.
    #[error("the receipt's `attempt`: {0}")]
    Attempt(#[from] NameError),
    /// Not a set of signers.
    #[error("the receipt's `signers` {rule}")]
    Signers {
        /// The rule that they break.
        rule: &'static str,
    },
    /// Signed by another key than the one that proved to serve.
    #[error("the receipt is signed by {signer}, and the worker is {worker}")]
    Signer {
        /// Who has signed it.
        signer: Thumbprint,
        /// Who should have.
        worker: Thumbprint,
    },
    /// It says something else than what the client knows.
    #[error("the receipt has another `{member}` than the job")]
    Mismatch {
        /// The first member that differs.
        member: &'static str,
    },
}

/// The receipt as JSON.
#[derive(Serialize, Deserialize)]
struct Wire {
    job: JobId,
    worker: WorkerName,
    attempt: Int,
    started_ms: Int,
    finished_ms: Int,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    client: Option<Thumbprint>,
    signers: Vec<Thumbprint>,
    input_hash: Sha256Hash,
    result_hash: Sha256Hash,
}

impl Receipt {
    /// Signs the receipt as a compact JWS.
    pub fn sign(&self, worker: &SigningKey) -> String {
        let ms = |ms| Int::try_from(ms).unwrap_or(Int::MAX);
        let wire = Wire {
            job: self.job,
            worker: self.worker.clone(),
            attempt: Int::from(self.attempt.get()),
            started_ms: ms(self.started_ms),
            finished_ms: ms(self.finished_ms),
            client: self.client,
            signers: self.signers.iter().copied().collect(),
            input_hash: self.input_hash,
            result_hash: self.result_hash,
        };
        sign_compact(worker, Typ::Receipt, &json::to_vec(&wire))
    }

    /// Verifies the signature and reads the receipt. Whether the signer may serve that worker is
    /// [`Trust`](crate::identity::Trust) to ask; [`check`] asks it.
    ///
    /// # Errors
    ///
    /// A signature that does not hold, or what is no receipt.
    pub fn verify(jws: &str) -> Result<(Self, PublicKey), ReceiptError> {
        let verified = verify_compact(Typ::Receipt, jws.as_bytes(), MAX_RECEIPT_BYTES)?;
        Ok((Self::read(json::parse(&verified.payload)?)?, verified.signer))
    }

    fn read(wire: Wire) -> Result<Self, ReceiptError> {
        let refused = |rule| Err(ReceiptError::Signers { rule });
        if wire.signers.len() > MAX_SIGNATURES {
            return refused("are more than 16");
        }
        if !wire.signers.is_sorted_by(|one, next| one < next) {
            return refused("are not sorted, or one stands there twice");
        }
        if wire.client.is_some_and(|client| !wire.signers.contains(&client)) {
            return refused("lack the job's owner");
        }
        let attempt = u16::try_from(wire.attempt.get()).map_err(|_| NameError::Attempt)?;
        Ok(Self {
            job: wire.job,
            worker: wire.worker,
            attempt: Attempt::new(attempt)?,
            started_ms: wire.started_ms.get(),
            finished_ms: wire.finished_ms.get(),
            client: wire.client,
            signers: wire.signers.into_iter().collect(),
            input_hash: wire.input_hash,
            result_hash: wire.result_hash,
        })
    }

    /// Whether this receipt is the one expected, but for its times.
    pub(crate) fn same_as(&self, expected: &Self) -> Result<(), ReceiptError> {
        let members = [
            ("job", self.job == expected.job),
            ("worker", self.worker == expected.worker),
            ("attempt", self.attempt == expected.attempt),
            ("client", self.client == expected.client),
            ("signers", self.signers == expected.signers),
            ("input_hash", self.input_hash == expected.input_hash),
            ("result_hash", self.result_hash == expected.result_hash),
        ];
        match members.into_iter().find(|(_, same)| !same) {
            Some((member, _)) => Err(ReceiptError::Mismatch { member }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
