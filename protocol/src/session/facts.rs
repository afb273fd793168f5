//! What both ends of a session know of it, and a receipt has to say.

use std::collections::BTreeSet;

use zeroize::Zeroize as _;

use crate::{
    id::{Attempt, JobId, Sha256Hash, WorkerName},
    identity::Thumbprint,
    job::Job,
    receipt::{Receipt, ReceiptError, Salt, SaltedReceipt},
    session::debug_as_name,
    wire::Opened,
};

/// The worker writes its receipt from these, and the client holds the receipt against its own.
pub(super) struct Facts {
    job: JobId,
    worker: WorkerName,
    attempt: Attempt,
    client: Option<Thumbprint>,
    signers: BTreeSet<Thumbprint>,
    /// What the client has sent so far.
    pub(super) inputs: Inputs,
}

/// The hashes of what a client has sent: all that a receipt says of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Inputs {
    /// The hash of the client's options; of nothing, until there are any.
    pub options: Sha256Hash,
    /// The hash of the payload; of nothing, until there is one.
    pub payload: Sha256Hash,
}
debug_as_name!(Inputs);

/// The hashes are not salted: whoever found them could try guesses at what was hashed.
impl Drop for Inputs {
    fn drop(&mut self) {
        self.options.0.zeroize();
        self.payload.0.zeroize();
    }
}

impl Facts {
    pub(super) fn new(job: &Job, signers: BTreeSet<Thumbprint>, attempt: Attempt) -> Self {
        Self {
            job: *job.id(),
            worker: job.worker().clone(),
            attempt,
            client: job.description().client,
            signers,
            inputs: Inputs { options: Sha256Hash::of(""), payload: Sha256Hash::of("") },
        }
    }

    /// The receipt for this result.
    pub(super) fn receipt(
        &self,
        salt: &Salt,
        result: Sha256Hash,
        started_ms: u64,
        finished_ms: u64,
    ) -> Receipt {
        Receipt {
            job: self.job,
            worker: self.worker.clone(),
            attempt: self.attempt,
            started_ms,
            finished_ms,
            client: self.client,
            signers: self.signers.clone(),
            input_hash: salt.input_hash(self.inputs.options, self.inputs.payload),
            result_hash: salt.result_hash(result),
        }
    }

    /// Takes the receipt out of a `done` without error, if it is by this worker and says what is known here.
    /// Only its times are the worker's own word.
    pub(super) fn take_receipt(
        &self,
        done: &mut Opened,
        worker: Thumbprint,
        cert: Option<String>,
    ) -> Result<SaltedReceipt, ReceiptError> {
        let (jws, salt) = done.take_receipt();
        let jws = jws.ok_or(ReceiptError::Missing { member: "receipt" })?;
        let salt = salt.ok_or(ReceiptError::Missing { member: "salt" })?;
        let (receipt, signer) = Receipt::verify(&jws)?;
        let signer = signer.thumbprint();
        if signer != worker {
            return Err(ReceiptError::Signer { signer, worker });
        }
        let result = Sha256Hash::of_secret(done.body());
        receipt.same_as(&self.receipt(&salt, result, receipt.started_ms, receipt.finished_ms))?;
        Ok(SaltedReceipt { jws, receipt, salt, cert })
    }
}
