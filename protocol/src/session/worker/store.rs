//! A `done` that nobody answers is sealed anew and stored, for a client that comes back.

use super::{AwaitAcknowledgement, AwaitStatus, Channel};
use crate::{
    receipt::Salt,
    wire::{Body, Empty, Head, Kind, SealError, Written},
};

/// A result that was sent, and may have to be sealed once more.
pub(super) struct Kept {
    pub(super) receipt: String,
    pub(super) salt: Salt,
    pub(super) result: Written,
}

impl Kept {
    /// The head of a `done` with this result.
    pub(super) fn head(&self) -> Head {
        Head { receipt: Some(self.receipt.clone()), salt: Some(self.salt.copy()), ..Head::default() }
    }
}

/// What is stored of an attempt whose `done` was not answered. The session's keys are gone.
#[derive(Debug)]
pub struct ToStore {
    /// Message 0: N, and the `options` envelope as it was sent.
    pub opening: Vec<u8>,
    /// Message 1: the `done`, under a number of its own.
    pub done: Vec<u8>,
}

impl AwaitStatus {
    /// Gives up waiting, and seals the result for storage. No number is sealed twice: the `done` that was sent
    /// may have been opened.
    ///
    /// # Errors
    ///
    /// Only when the session has no numbers left.
    pub fn store(self) -> Result<ToStore, SealError> {
        let head = self.kept.head();
        seal(*self.channel, head, &self.kept.result)
    }
}

impl AwaitAcknowledgement {
    /// Gives up waiting, and seals the error for storage.
    ///
    /// # Errors
    ///
    /// Only when the session has no numbers left.
    pub fn store(self) -> Result<ToStore, SealError> {
        seal(*self.channel, Head { error: Some(self.error), ..Head::default() }, Empty)
    }
}

fn seal(mut channel: Channel, head: Head, body: impl Body) -> Result<ToStore, SealError> {
    let (_, done) = channel.sealer.seal(Kind::Done, head, body)?;
    Ok(ToStore { opening: [channel.nonce.as_bytes(), &*channel.options].concat(), done })
}
