//! HKDF-SHA256 (RFC 5869) with HPKE's labels (RFC 9180, section 4).
//!
//! What the libraries leave behind: with `sha2`'s feature `zeroize`, hash states and block buffers are
//! overwritten when dropped, those inside `Hmac` too. HMAC's padded keys, copies made by moving a state, and
//! the last block that HKDF expands are not: they stay on the stack, hence [`super::stack`].

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _, digest::FixedOutput as _};
use sha2::Sha256;

use crate::{exposure, secret::Secret};

/// What a hash gives, Nh (RFC 9180, table 3).
const HASH_BYTES: usize = 32;
/// What begins every label.
const VERSION: &[u8] = b"HPKE-v1";

/// The labelled functions of one suite: a KEM's, or a whole ciphersuite's.
pub(super) struct Kdf<'a> {
    suite_id: &'a [u8],
}

impl<'a> Kdf<'a> {
    pub(super) fn new(suite_id: &'a [u8]) -> Self {
        Self { suite_id }
    }

    /// `LabeledExtract(salt, label, ikm)`; no salt is the empty one.
    pub(super) fn extract(
        &self,
        salt: Option<&Secret<HASH_BYTES>>,
        label: &[u8],
        ikm: &[u8],
    ) -> Secret<HASH_BYTES> {
        let salt = salt.map(|salt| salt.expose().as_slice()).unwrap_or_default();
        let prk = extract(salt, &[VERSION, self.suite_id, label, ikm]);
        tell(label, prk.expose());
        prk
    }

    /// `LabeledExpand(prk, label, info, L)`, where `info` is the concatenation of its parts.
    pub(super) fn expand<const L: usize>(
        &self,
        prk: &Secret<HASH_BYTES>,
        label: &[u8],
        info: &[&[u8]],
    ) -> Secret<L> {
        let length = const {
            assert!(L <= 255 * HASH_BYTES, "HKDF-SHA256 gives at most 8160 bytes (RFC 5869, section 2.3)");
            (L as u16).to_be_bytes()
        };
        let fixed: [&[u8]; 4] = [&length, VERSION, self.suite_id, label];
        let parts: Vec<&[u8]> = fixed.into_iter().chain(info.iter().copied()).collect();
        let mut okm = Secret::<L>::zeroed();
        #[expect(clippy::expect_used, reason = "both lengths are checked when compiling")]
        expand(prk.expose(), &parts, okm.expose_mut()).expect("the lengths fit HKDF-SHA256");
        tell(label, okm.expose());
        okm
    }
}

/// Tells a test what was derived, by its label. What the key schedule hashes is public.
fn tell(label: &[u8], derived: &[u8]) {
    if !label.ends_with(b"_hash") {
        exposure::born(str::from_utf8(label).unwrap_or_default(), derived);
    }
}

/// HKDF-Extract (RFC 5869, section 2.2), of the concatenation of `ikm`.
fn extract(salt: &[u8], ikm: &[&[u8]]) -> Secret<HASH_BYTES> {
    // Extract is HMAC; the `hkdf` crate's keys another one at once, for nothing.
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(salt).expect("a key of any length");
    for part in ikm {
        mac.update(part);
    }
    let mut prk = Secret::<HASH_BYTES>::zeroed();
    mac.finalize_into(prk.expose_mut().into());
    prk
}

/// HKDF-Expand (RFC 5869, section 2.3), where `info` is the concatenation of its parts; `None` if that much
/// cannot be expanded.
fn expand(prk: &[u8; HASH_BYTES], info: &[&[u8]], okm: &mut [u8]) -> Option<()> {
    Hkdf::<Sha256>::from_prk(prk).ok()?.expand_multi_info(info, okm).ok()
}

#[cfg(test)]
mod wycheproof;
