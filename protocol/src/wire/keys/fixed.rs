//! A direction of a session whose key is known to everyone.

use super::{Header, KEY_AND_NONCE_BYTES, Opener, RecordKey, SealError, Sealer};
use crate::{
    secret::Secret,
    wire::{Body, Head, Kind, Opened, envelope::HEADER_BYTES},
};

/// Both ends of one direction, with a fixed key. Nothing that they seal is a secret.
pub struct FixedKey {
    sealer: Sealer,
    opener: Opener,
}

impl FixedKey {
    /// Ends that no record has passed yet; the next one has the number 1.
    pub fn new(attempt: u16, id: [u8; 32], max_bytes: usize) -> Self {
        let key = || RecordKey(Secret::take(&mut [7; KEY_AND_NONCE_BYTES]));
        Self {
            sealer: Sealer { key: key(), next: Some(1), attempt, id, max_bytes },
            opener: Opener::new(key(), attempt, id),
        }
    }

    /// Seals these bytes in place of a well-formed plaintext, as a hostile peer could.
    pub fn seal_plaintext(&self, header: &Header, plaintext: &[u8]) -> Vec<u8> {
        let mut envelope = Vec::new();
        header.write(&mut envelope);
        envelope.extend_from_slice(plaintext);
        // Only for more than 256 GiB.
        let _ = self.sealer.key.encrypt(header.number, &mut envelope, HEADER_BYTES);
        envelope
    }

    /// Seals a record as a session does.
    ///
    /// # Errors
    ///
    /// As for a session.
    pub fn seal(&mut self, kind: Kind, head: Head, body: impl Body) -> Result<(u64, Vec<u8>), SealError> {
        self.sealer.seal(kind, head, body)
    }

    /// Opens a record as a session does, and takes its number.
    pub fn open(&mut self, kind: Kind, envelope: Vec<u8>) -> Option<(u64, Opened)> {
        self.opener.open(kind, envelope, |_| true).ok()
    }
}
