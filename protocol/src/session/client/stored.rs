//! A `done` that was stored while the client was away.

use super::Launched;
use crate::{
    id::Attempt,
    identity::{Thumbprint, Trust},
    receipt::{ReceiptError, SaltedReceipt},
    session::{
        PeerError,
        client::OptionsError,
        debug_as_name,
        facts::{Facts, Inputs},
    },
    wire::{ClientNonce, Kind, NONCE_BYTES, OpenError, Opened, SessionKeys},
};

/// What an attempt came to that the client did not hear of.
#[derive(Debug)]
pub enum Stored {
    /// The result.
    Result(StoredResult),
    /// A result whose receipt does not hold. Nothing of the result is handed out.
    Unproven(ReceiptError),
    /// The worker's function failed.
    Failed(PeerError),
}

/// A result from the store.
pub struct StoredResult {
    /// The result.
    pub opened: Opened,
    /// The worker's receipt for it.
    pub receipt: Box<SaltedReceipt>,
    /// The worker's key.
    pub worker: Thumbprint,
    /// The attempt that the result was made in.
    pub attempt: Attempt,
}
debug_as_name!(StoredResult);

impl Launched {
    /// Opens what a worker has stored: message 0, which is N and an `options` envelope, and message 1, a `done`.
    /// `inputs` is what the client has sent.
    ///
    /// Nothing is ever sealed for such a session: whoever has been away does not answer an old one.
    ///
    /// # Errors
    ///
    /// As for [`Launched::open_options`]; of an attempt before the highest proven one, nothing is taken.
    pub fn open_stored(
        &self,
        opening: &[u8],
        done: Vec<u8>,
        inputs: &Inputs,
        trust: &Trust,
        now_ms: u64,
    ) -> Result<Stored, OptionsError> {
        let (nonce, options) = opening.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError)?;
        let (attempt, enc) = self.addressed(options, self.highest)?;
        let proven = self.prove(options.to_vec(), attempt, enc, trust, now_ms)?;
        let nonce = ClientNonce::stored(*nonce);
        let keys = SessionKeys::derive(&proven.exporter, &nonce);
        let (_, mut opener) = keys.for_client(attempt.get(), &proven.enc, &nonce, self.max_bytes);
        let (_, mut opened) = opener.open(Kind::Done, done, |opened| opened.head().event.is_none())?;
        if let Some(error) = &opened.head().error {
            return Ok(Stored::Failed(error.clone()));
        }
        let mut facts = Facts::new(&self.job, self.signers.clone(), attempt);
        facts.inputs = inputs.clone();
        Ok(match facts.take_receipt(&mut opened, proven.worker, proven.cert) {
            Ok(receipt) => Stored::Result(StoredResult {
                opened,
                receipt: Box::new(receipt),
                worker: proven.worker,
                attempt,
            }),
            Err(error) => Stored::Unproven(error),
        })
    }
}
