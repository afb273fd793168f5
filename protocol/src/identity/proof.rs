//! The worker's proof: this ephemeral key, for this attempt at this job, is mine.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{JwsError, PublicKey, SigningKey, Typ, sign_compact, verify_compact};
use crate::{
    id::{Attempt, JobId, Sha256Hash, WorkerName},
    json::{self, Int, JsonError},
};

/// The largest proof, in bytes: a header of the largest size and the four members.
pub const MAX_PROOF_BYTES: usize = 4096;

/// What a worker signs, so that nobody between it and the client can put a key of their own there.
///
/// ```
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// # use subrosa_protocol::{id::*, identity::{Proof, SigningKey}};
/// # let key = SigningKey::generate(&mut UnwrapErr(SysRng));
/// # let (job, enc) = (JobId::of(b"a job"), Sha256Hash::of("an encapsulated key"));
/// let seen = Proof { job, worker: "echo".parse()?, enc, attempt: Attempt::FIRST };
/// let jws = seen.sign(&key);
/// assert_eq!(Proof::verify(&jws, &seen)?, key.public());
///
/// let next = Proof { attempt: Attempt::new(2)?, ..seen };
/// assert!(Proof::verify(&jws, &next).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The job.
    pub job: JobId,
    /// The name that the worker serves.
    pub worker: WorkerName,
    /// The hash of the encapsulation that the session is made from.
    pub enc: Sha256Hash,
    /// The attempt.
    pub attempt: Attempt,
}

/// Why a proof was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofError {
    /// The signature does not hold.
    #[error("the worker's proof: {0}")]
    Signature(#[from] JwsError),
    /// Not the JSON that a proof is.
    #[error("the worker's proof {0}")]
    Json(#[from] JsonError),
    /// It says something else than what the client sees.
    #[error("the worker's proof is for another `{member}`")]
    Mismatch {
        /// The member that differs.
        member: &'static str,
    },
}

/// The proof as JSON.
#[derive(Serialize, Deserialize)]
struct Wire {
    job: JobId,
    worker: WorkerName,
    enc: Sha256Hash,
    attempt: Int,
}

impl Proof {
    /// Signs the proof as a compact JWS.
    pub fn sign(&self, key: &SigningKey) -> String {
        let Self { job, worker, enc, attempt } = self.clone();
        let wire = Wire { job, worker, enc, attempt: Int::from(attempt.get()) };
        sign_compact(key, Typ::Worker, &json::to_vec(&wire))
    }

    /// Verifies a proof against what the client sees, and gives the signer. Whether the signer is
    /// trusted is [`Trust::worker`](super::Trust::worker) to ask.
    ///
    /// # Errors
    ///
    /// A signature that does not hold, or any member that is not as expected.
    pub fn verify(jws: &str, expected: &Self) -> Result<PublicKey, ProofError> {
        let verified = verify_compact(Typ::Worker, jws.as_bytes(), MAX_PROOF_BYTES)?;
        let wire: Wire = json::parse(&verified.payload)?;
        let members = [
            ("job", wire.job == expected.job),
            ("worker", wire.worker == expected.worker),
            ("enc", wire.enc == expected.enc),
            ("attempt", wire.attempt == Int::from(expected.attempt.get())),
        ];
        match members.into_iter().find(|(_, same)| !same) {
            Some((member, _)) => Err(ProofError::Mismatch { member }),
            None => Ok(verified.signer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn key() -> SigningKey {
        SigningKey::from_seed(&Secret::take(&mut [1; 32]))
    }

    fn proof() -> Proof {
        Proof {
            job: JobId::of(b"job"),
            worker: "echo".parse().unwrap(),
            enc: Sha256Hash::of(b"enc"),
            attempt: Attempt::FIRST,
        }
    }

    #[test]
    fn a_proof_gives_its_signer() {
        let jws = proof().sign(&key());
        assert!(jws.len() < MAX_PROOF_BYTES);
        assert_eq!(Proof::verify(&jws, &proof()), Ok(key().public()));
    }

    #[test]
    fn the_members_are_those_of_the_protocol() {
        let jws = verify_compact(Typ::Worker, proof().sign(&key()).as_bytes(), MAX_PROOF_BYTES).unwrap();
        let expected = format!(
            r#"{{"job":"{}","worker":"echo","enc":"{}","attempt":1}}"#,
            JobId::of(b"job"),
            Sha256Hash::of(b"enc")
        );
        assert_eq!(String::from_utf8(jws.payload).unwrap(), expected);
    }

    #[test]
    fn every_member_must_be_what_the_client_sees() {
        let jws = proof().sign(&key());
        let cases = [
            ("job", Proof { job: JobId::of(b"other"), ..proof() }),
            ("worker", Proof { worker: "other".parse().unwrap(), ..proof() }),
            ("enc", Proof { enc: Sha256Hash::of(b"other"), ..proof() }),
            ("attempt", Proof { attempt: Attempt::new(2).unwrap(), ..proof() }),
        ];
        for (member, expected) in cases {
            assert_eq!(Proof::verify(&jws, &expected), Err(ProofError::Mismatch { member }));
        }
    }

    #[test]
    fn a_signature_for_another_use_is_no_proof() {
        let payload = verify_compact(Typ::Worker, proof().sign(&key()).as_bytes(), MAX_PROOF_BYTES).unwrap();
        let record = sign_compact(&key(), Typ::Record, &payload.payload);
        let expected = Err(JwsError::WrongType { expected: Typ::Worker }.into());
        assert_eq!(Proof::verify(&record, &proof()), expected);
    }

    #[test]
    fn a_proof_needs_every_member() {
        let jws = sign_compact(&key(), Typ::Worker, br#"{"job":"x"}"#);
        assert!(matches!(Proof::verify(&jws, &proof()), Err(ProofError::Json(_))));
        let job = proof().job;
        let jws =
            sign_compact(&key(), Typ::Worker, format!(r#"{{"job":"{job}","worker":"echo"}}"#).as_bytes());
        let error = Proof::verify(&jws, &proof()).unwrap_err();
        assert_eq!(error.to_string(), "the worker's proof has no member `enc`");
    }

    #[test]
    fn an_attempt_is_an_integer() {
        for attempt in ["1.0", "1e0", "\"1\"", "-1", "65537"] {
            let payload = format!(
                r#"{{"job":"{}","worker":"echo","enc":"{}","attempt":{attempt}}}"#,
                proof().job,
                proof().enc
            );
            let jws = sign_compact(&key(), Typ::Worker, payload.as_bytes());
            assert!(Proof::verify(&jws, &proof()).is_err(), "{attempt}");
        }
    }
}
