//! A session's keys (RFC 9180, export only), derived step by step.

use hkdf::Hkdf;
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};

use super::encoding::hash;

const KEM: &[u8] = b"KEM\x00\x20";
const SUITE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x03";

/// An AEAD key and a base nonce.
pub(crate) type RecordKey = [u8; 44];

/// Everything that both ends come to.
pub(crate) struct Keys {
    pub(crate) info: Vec<u8>,
    pub(crate) shared_secret: [u8; 32],
    pub(crate) exporter_secret: [u8; 32],
    pub(crate) options: RecordKey,
    pub(crate) to_client: RecordKey,
    pub(crate) to_worker: RecordKey,
}

/// A pre-shared key and its id.
pub(crate) struct Psk<'a> {
    pub(crate) id: &'a str,
    pub(crate) key: [u8; 32],
}

pub(crate) fn public(secret: &[u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
}

impl Keys {
    /// From the client's end, which takes any `enc`.
    pub(crate) fn derive(
        job: &[u8],
        client_secret: &[u8; 32],
        enc: &[u8; 32],
        psk: Option<&Psk<'_>>,
        nonce: &[u8; 32],
    ) -> Self {
        let dh = StaticSecret::from(*client_secret).diffie_hellman(&PublicKey::from(*enc));
        let kem_context = [*enc, public(client_secret)].concat();
        let eae_prk = extract(KEM, &[], b"eae_prk", dh.as_bytes());
        let shared_secret = expand(KEM, &eae_prk, b"shared_secret", &kem_context);
        let info = [b"subrosa/1".as_slice(), &hash(job)].concat();
        let exporter_secret = exporter_secret(&shared_secret, &info, psk);
        let export = |parts: &[&[u8]]| export(&exporter_secret, &parts.concat());
        Self {
            options: export(&[b"subrosa/1 options"]),
            to_client: export(&[b"subrosa/1 worker to client", nonce]),
            to_worker: export(&[b"subrosa/1 client to worker", nonce]),
            info,
            shared_secret,
            exporter_secret,
        }
    }
}

/// The key schedule, as far as it is used.
pub(crate) fn exporter_secret(shared_secret: &[u8; 32], info: &[u8], psk: Option<&Psk<'_>>) -> [u8; 32] {
    let (mode, psk, psk_id) = match psk {
        None => (0, [].as_slice(), ""),
        Some(psk) => (1, psk.key.as_slice(), psk.id),
    };
    let psk_id_hash = extract(SUITE, &[], b"psk_id_hash", psk_id.as_bytes());
    let info_hash = extract(SUITE, &[], b"info_hash", info);
    let context = [[mode].as_slice(), &psk_id_hash, &info_hash].concat();
    let secret = extract(SUITE, shared_secret, b"secret", psk);
    expand(SUITE, &secret, b"exp", &context)
}

pub(crate) fn export(exporter_secret: &[u8; 32], context: &[u8]) -> RecordKey {
    expand(SUITE, exporter_secret, b"sec", context)
}

fn extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> [u8; 32] {
    let ikm = [b"HPKE-v1", suite, label, ikm].concat();
    Hkdf::<Sha256>::extract(Some(salt), &ikm).0.into()
}

fn expand<const L: usize>(suite: &[u8], prk: &[u8; 32], label: &[u8], info: &[u8]) -> [u8; L] {
    let length = u16::try_from(L).unwrap().to_be_bytes();
    let info = [&length, b"HPKE-v1".as_slice(), suite, label, info].concat();
    let mut bytes = [0; L];
    Hkdf::<Sha256>::from_prk(prk).unwrap().expand(&info, &mut bytes).unwrap();
    bytes
}
