//! Encodings, and the fixed secrets of all cases.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

pub(crate) fn b64u(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn hash(bytes: impl AsRef<[u8]>) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// 32 bytes that are the same in every run, and differ for every `purpose`.
pub(crate) fn fixed(purpose: &str) -> [u8; 32] {
    hash(format!("subrosa test vector: {purpose}"))
}

/// The process of all cases: 16 bytes.
pub(crate) fn instance() -> String {
    b64u(&fixed("instance")[..16])
}

/// The last of the 43 characters that 32 bytes have, with a bit set that belongs to none of them.
pub(crate) fn unused_bit_set(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = text.split_at(text.len() - 1);
    let value = LETTERS.iter().position(|letter| [*letter] == last.as_bytes()).unwrap();
    format!("{rest}{}", char::from(LETTERS[value | 1]))
}
