//! What was sealed on this thread: under which key and nonce. It is in builds for tests and for fuzzing, and
//! in no other.
//!
//! One nonce used twice under one key gives both plaintexts away, so the tests look at every single sealing.

use std::cell::RefCell;

use crate::id::Sha256Hash;

/// One sealing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sealed {
    /// The hash of the AEAD's key.
    pub key: Sha256Hash,
    /// The nonce.
    pub nonce: [u8; 12],
}

thread_local! {
    static LOG: RefCell<Option<Vec<Sealed>>> = const { RefCell::new(None) };
}

/// Keeps what this thread seals from now on, and nothing from before.
pub fn start() {
    LOG.set(Some(Vec::new()));
}

/// Everything sealed since the last call, or since the start.
pub fn take() -> Vec<Sealed> {
    LOG.with_borrow_mut(|log| log.as_mut().map(std::mem::take)).unwrap_or_default()
}

/// Remembers a sealing, also one that fails afterwards.
pub(super) fn record(key: &[u8], nonce: &[u8; 12]) {
    let keep = |log: &mut Vec<Sealed>| log.push(Sealed { key: Sha256Hash::of(key), nonce: *nonce });
    LOG.with_borrow_mut(|log| log.as_mut().map(keep));
}
