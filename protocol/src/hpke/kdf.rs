//! HKDF-SHA256 (RFC 5869) with HPKE's labels (RFC 9180, section 4).
//!
//! What the libraries leave behind: with `sha2`'s feature `zeroize`, hash states and block buffers are
//! overwritten when dropped, those inside `Hmac` too. HMAC's padded keys, copies made by moving a state, and
//! the last block that HKDF expands are not: they stay on the stack, hence [`super::stack`].

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _, digest::FixedOutput as _};
use sha2::Sha256;

use crate::secret::Secret;

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
        // Extract is HMAC (RFC 5869, section 2.2); the `hkdf` crate's keys another one at once, for nothing.
        let salt = salt.map(|salt| salt.expose().as_slice()).unwrap_or_default();
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(salt).expect("a key of any length");
        for part in [VERSION, self.suite_id, label, ikm] {
            mac.update(part);
        }
        let mut prk = Secret::<HASH_BYTES>::zeroed();
        mac.finalize_into(prk.expose_mut().into());
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
        Hkdf::<Sha256>::from_prk(prk.expose())
            .ok()
            .and_then(|hkdf| hkdf.expand_multi_info(&parts, okm.expose_mut()).ok())
            .expect("the lengths fit HKDF-SHA256");
        okm
    }
}
