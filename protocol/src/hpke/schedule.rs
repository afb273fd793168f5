//! The key schedule (RFC 9180, section 5.1), the same for every KEM with a secret of 32 bytes.

use std::sync::LazyLock;

use super::{Exporter, Mode, kdf::Kdf, kem};
use crate::secret::Secret;

/// "HPKE" || KEM || KDF || AEAD: what separates this ciphersuite's derivations from others.
pub(super) type SuiteId = [u8; 10];

/// The suite with this KEM, HKDF-SHA256 (0x0001) and ChaCha20Poly1305 (0x0003).
fn suite_id(kem_id: u16) -> SuiteId {
    let [high, low] = kem_id.to_be_bytes();
    [b'H', b'P', b'K', b'E', high, low, 0x00, 0x01, 0x00, 0x03]
}

/// What all of a context's keys are expanded from.
pub(super) struct Schedule {
    suite_id: SuiteId,
    mode: [u8; 1],
    psk_id_hash: [u8; 32],
    info_hash: Secret<32>,
    secret: Secret<32>,
}

/// Without a psk, the same for every job.
static NO_PSK_ID_HASH: LazyLock<[u8; 32]> =
    LazyLock::new(|| psk_id_hash(&Kdf::new(&suite_id(kem::ID)), &Mode::Base));

/// The hash of the psk's name, which is public.
fn psk_id_hash(kdf: &Kdf<'_>, mode: &Mode<'_>) -> [u8; 32] {
    *kdf.extract(None, b"psk_id_hash", mode.psk_id()).expose()
}

impl Schedule {
    /// The first half of `KeySchedule`: everything that goes in, extracted.
    pub(super) fn new(kem_id: u16, shared_secret: &Secret<32>, info: &[u8], mode: Mode<'_>) -> Self {
        let suite_id = suite_id(kem_id);
        let kdf = Kdf::new(&suite_id);
        Self {
            mode: [mode.number()],
            psk_id_hash: match (kem_id, &mode) {
                (kem::ID, Mode::Base) => *NO_PSK_ID_HASH,
                _ => psk_id_hash(&kdf, &mode),
            },
            info_hash: kdf.extract(None, b"info_hash", info),
            secret: kdf.extract(Some(shared_secret), b"secret", mode.psk()),
            suite_id,
        }
    }

    /// The second half, as far as it is used. The RFC's AEAD key and base nonce are never derived.
    pub(super) fn exporter(&self) -> Exporter {
        Exporter { suite_id: self.suite_id, secret: self.expand(b"exp") }
    }

    fn expand<const L: usize>(&self, label: &[u8]) -> Secret<L> {
        Kdf::new(&self.suite_id).expand(&self.secret, label, &self.context())
    }

    /// The RFC's `key_schedule_context`, in its parts.
    fn context(&self) -> [&[u8]; 3] {
        [&self.mode, &self.psk_id_hash, self.info_hash.expose()]
    }
}

/// What the RFC derives and we do not use, for its test vectors.
#[cfg(test)]
impl Schedule {
    pub(super) fn concatenated_context(&self) -> Vec<u8> {
        self.context().concat()
    }

    pub(super) fn secret(&self) -> &[u8; 32] {
        self.secret.expose()
    }

    pub(super) fn key(&self) -> Secret<32> {
        self.expand(b"key")
    }

    pub(super) fn base_nonce(&self) -> Secret<12> {
        self.expand(b"base_nonce")
    }
}
