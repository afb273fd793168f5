//! One direction's key: sealing with numbers that never repeat, opening with numbers that only rise.

#[cfg(feature = "fuzzing")]
pub(super) mod fixed;

use chacha20poly1305::{AeadInOut as _, ChaCha20Poly1305, KeyInit as _, Nonce, Tag};
use rand_core::CryptoRng;
use thiserror::Error;

use super::{
    buffer::erase,
    envelope::{HEADER_BYTES, Header, Kind, TAG_BYTES},
    head::Head,
    plaintext::{self, Body, BodyError, Opened},
};
use crate::{
    hpke::{Enc, Exporter, stack},
    secret::Secret,
};

/// An AEAD key followed by its base nonce.
const KEY_AND_NONCE_BYTES: usize = 44;
const KEY_BYTES: usize = 32;

/// A message that does not open, for whatever reason.
///
/// There is one such error for every cause (too short, another session, a number seen before, a forged
/// tag, a malformed head), so that nobody learns which it was.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the message does not open")]
pub struct OpenError;

/// A record that was not sealed. No number is used up by it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SealError {
    /// The envelope does not fit one NATS message.
    #[error("the message has {bytes} bytes sealed, at most {max_bytes} fit")]
    TooLarge {
        /// The envelope's length, padding and tag included.
        bytes: usize,
        /// What the server takes.
        max_bytes: usize,
    },
    /// The body has no JSON form.
    #[error("the body cannot be written: {0}")]
    Body(#[from] BodyError),
    /// All 2^64 numbers of this direction are used up.
    #[error("the session has no numbers left")]
    Exhausted,
}

/// Length of N.
pub(crate) const NONCE_BYTES: usize = 32;

/// N: 32 random bytes that make every client session's keys new. Public, but never stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientNonce([u8; NONCE_BYTES]);

impl ClientNonce {
    pub(crate) fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The one that a stored result was sealed under.
    pub(crate) fn stored(bytes: [u8; NONCE_BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) fn from_header(header: &Header) -> Self {
        Self(header.key)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A key and its base nonce (RFC 9180, section 5.2), overwritten when dropped.
struct RecordKey(Secret<KEY_AND_NONCE_BYTES>);

impl RecordKey {
    fn cipher(&self) -> ChaCha20Poly1305 {
        #[expect(clippy::expect_used, reason = "a key and a nonce are longer than a key")]
        let key = self.0.expose().first_chunk::<KEY_BYTES>().expect("44 bytes begin with 32");
        ChaCha20Poly1305::new(key.into())
    }

    /// The base nonce XOR the number, as in RFC 9180, section 5.2.
    fn nonce(&self, number: u64) -> Nonce {
        let (_, base) = self.0.expose().split_at(KEY_BYTES);
        let mut nonce = [0; 12];
        for (byte, base) in nonce.iter_mut().zip(base) {
            *byte = *base;
        }
        for (byte, number) in nonce.iter_mut().rev().zip(number.to_be_bytes().iter().rev()) {
            *byte ^= number;
        }
        nonce.into()
    }

    /// Builds one envelope and seals it in its own buffer.
    fn seal(
        &self,
        header: &Header,
        enc: Option<&Enc>,
        mut head: Head,
        body: impl Body,
        max_bytes: usize,
    ) -> Result<Vec<u8>, SealError> {
        let enc = enc.map(|enc| -> &[u8] { enc.as_bytes() }).unwrap_or_default();
        let clear_bytes = HEADER_BYTES + enc.len();
        let mut envelope = Vec::with_capacity(clear_bytes + plaintext::size_hint(&head, &body) + TAG_BYTES);
        header.write(&mut envelope);
        envelope.extend_from_slice(enc);
        let start = envelope.len();
        let written = plaintext::write(&mut head, body, &mut envelope);
        let bytes = envelope.len() + TAG_BYTES;
        if written.is_err() || bytes > max_bytes {
            erase(&mut envelope);
            written?;
            return Err(SealError::TooLarge { bytes, max_bytes });
        }
        self.encrypt(header.number, &mut envelope, start)
            // ChaCha20-Poly1305 takes 256 GiB, the lengths above 4 GiB.
            .map_err(|_| SealError::TooLarge { bytes, max_bytes })?;
        Ok(envelope)
    }

    /// Encrypts what lies behind `start`, and appends the tag.
    fn encrypt(
        &self,
        number: u64,
        envelope: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), chacha20poly1305::Error> {
        let (clear, secret) = envelope.split_at_mut(start);
        let (aad, _) = clear.split_at(HEADER_BYTES);
        let tag = stack::erased::<{ stack::AEAD_BYTES }, _>(|| self.encrypt_in_place(number, aad, secret))?;
        envelope.extend_from_slice(&tag);
        Ok(())
    }

    /// Leaves key and nonce on the stack: call this within [`stack::erased`] only.
    fn encrypt_in_place(
        &self,
        number: u64,
        aad: &[u8],
        secret: &mut [u8],
    ) -> Result<Tag, chacha20poly1305::Error> {
        let nonce = self.nonce(number);
        #[cfg(any(test, feature = "fuzzing"))]
        super::seal_log::record(self.0.expose().split_at(KEY_BYTES).0, nonce.as_ref());
        self.cipher().encrypt_inout_detached(&nonce, aad, secret.into())
    }

    /// Opens an envelope in its own buffer; the ciphertext starts at `start`.
    fn open(&self, number: u64, mut envelope: Vec<u8>, start: usize) -> Result<Opened, OpenError> {
        let end = envelope.len().checked_sub(TAG_BYTES).filter(|end| *end >= start).ok_or(OpenError)?;
        let (aad, rest) = envelope.split_at_mut_checked(HEADER_BYTES).ok_or(OpenError)?;
        let (rest, tag) = rest.split_at_mut_checked(end - HEADER_BYTES).ok_or(OpenError)?;
        let (_, secret) = rest.split_at_mut_checked(start - HEADER_BYTES).ok_or(OpenError)?;
        let tag = Tag::try_from(&*tag).map_err(|_| OpenError)?;
        stack::erased::<{ stack::AEAD_BYTES }, _>(|| self.decrypt_in_place(number, aad, secret, &tag))
            .map_err(|_| OpenError)?;
        Opened::parse(envelope, start..end).ok_or(OpenError)
    }

    /// As [`RecordKey::encrypt_in_place`].
    fn decrypt_in_place(
        &self,
        number: u64,
        aad: &[u8],
        secret: &mut [u8],
        tag: &Tag,
    ) -> Result<(), chacha20poly1305::Error> {
        self.cipher().decrypt_inout_detached(&self.nonce(number), aad, secret.into(), tag)
    }
}

/// The key of the `options` record, which is sealed before the client's N is known. Number 0 only.
pub(crate) struct OptionsKey(RecordKey);

impl OptionsKey {
    pub(crate) fn derive(exporter: &Exporter) -> Self {
        Self(RecordKey(exporter.export(&[b"subrosa/1 options"])))
    }

    /// Seals the `options` envelope. The caller gives the key up once this has succeeded.
    pub(crate) fn seal(
        &self,
        attempt: u16,
        enc: &Enc,
        head: Head,
        body: impl Body,
        max_bytes: usize,
    ) -> Result<Vec<u8>, SealError> {
        let header = Header { kind: Kind::Options, attempt, number: 0, key: *enc.worker_key() };
        self.0.seal(&header, Some(enc), head, body, max_bytes)
    }

    pub(crate) fn open(&self, envelope: Vec<u8>, enc: &Enc) -> Result<Opened, OpenError> {
        self.0.open(0, envelope, HEADER_BYTES + enc.as_bytes().len())
    }
}

/// The keys of both directions, bound to one N.
pub(crate) struct SessionKeys {
    to_client: RecordKey,
    to_worker: RecordKey,
}

impl SessionKeys {
    pub(crate) fn derive(exporter: &Exporter, nonce: &ClientNonce) -> Self {
        let key = |label: &[u8]| RecordKey(exporter.export(&[label, nonce.as_bytes()]));
        Self { to_client: key(b"subrosa/1 worker to client"), to_worker: key(b"subrosa/1 client to worker") }
    }

    /// The worker's ends: it seals from number 1, because `options` was 0.
    pub(crate) fn for_worker(
        self,
        attempt: u16,
        enc: &Enc,
        nonce: &ClientNonce,
        max_bytes: usize,
    ) -> (Sealer, Opener) {
        (
            Sealer { key: self.to_client, next: Some(1), attempt, id: *enc.worker_key(), max_bytes },
            Opener::new(self.to_worker, attempt, *nonce.as_bytes()),
        )
    }

    /// The client's ends.
    pub(crate) fn for_client(
        self,
        attempt: u16,
        enc: &Enc,
        nonce: &ClientNonce,
        max_bytes: usize,
    ) -> (Sealer, Opener) {
        (
            Sealer { key: self.to_worker, next: Some(0), attempt, id: *nonce.as_bytes(), max_bytes },
            Opener::new(self.to_client, attempt, *enc.worker_key()),
        )
    }
}

/// Seals one direction's records, each with the next number.
pub(crate) struct Sealer {
    key: RecordKey,
    /// `None` once the last number is used.
    next: Option<u64>,
    attempt: u16,
    id: [u8; 32],
    max_bytes: usize,
}

impl Sealer {
    /// Seals a record and returns its number with it.
    pub(crate) fn seal(
        &mut self,
        kind: Kind,
        head: Head,
        body: impl Body,
    ) -> Result<(u64, Vec<u8>), SealError> {
        let number = self.next.ok_or(SealError::Exhausted)?;
        let header = Header { kind, attempt: self.attempt, number, key: self.id };
        let envelope = self.key.seal(&header, None, head, body, self.max_bytes)?;
        self.next = number.checked_add(1);
        Ok((number, envelope))
    }
}

/// Opens one direction's records, each kind's with rising numbers.
pub(crate) struct Opener {
    key: RecordKey,
    attempt: u16,
    id: [u8; 32],
    /// The last number taken of each kind, by the low bits of the kind's byte.
    taken: [Option<u64>; 8],
}

impl Opener {
    fn new(key: RecordKey, attempt: u16, id: [u8; 32]) -> Self {
        Self { key, attempt, id, taken: [None; 8] }
    }

    /// Opens a record of this kind and session that `accept` agrees to; only then its number is taken.
    pub(crate) fn open(
        &mut self,
        kind: Kind,
        envelope: Vec<u8>,
        accept: impl FnOnce(&Opened) -> bool,
    ) -> Result<(u64, Opened), OpenError> {
        let header = Header::decode(&envelope).ok_or(OpenError)?;
        if header.kind != kind || header.attempt != self.attempt || header.key != self.id {
            return Err(OpenError);
        }
        let taken = self.taken.get_mut(usize::from(kind.byte() & 7)).ok_or(OpenError)?;
        if taken.is_some_and(|taken| header.number <= taken) {
            return Err(OpenError);
        }
        let opened = self.key.open(header.number, envelope, HEADER_BYTES)?;
        if !accept(&opened) {
            return Err(OpenError);
        }
        *taken = Some(header.number);
        Ok((header.number, opened))
    }
}

#[cfg(test)]
mod wycheproof;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Empty, Json};

    const MAX: usize = 1 << 20;

    fn key() -> RecordKey {
        RecordKey(Secret::take(&mut [3; KEY_AND_NONCE_BYTES]))
    }

    fn pair() -> (Sealer, Opener) {
        let sealer = Sealer { key: key(), next: Some(1), attempt: 2, id: [7; 32], max_bytes: MAX };
        (sealer, Opener::new(key(), 2, [7; 32]))
    }

    #[test]
    fn nonces_are_the_base_xor_the_number() {
        assert_eq!(key().nonce(0).as_slice(), [3; 12]);
        assert_eq!(key().nonce(1).as_slice(), [3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2]);
        assert_eq!(key().nonce(u64::MAX).as_slice(), [3, 3, 3, 3, 252, 252, 252, 252, 252, 252, 252, 252]);
    }

    #[test]
    fn numbers_rise_by_one_and_are_taken_once_per_kind() {
        let (mut sealer, mut opener) = pair();
        let (first, a) = sealer.seal(Kind::Event, Head::default(), Empty).unwrap();
        let (second, b) = sealer.seal(Kind::Ready, Head::default(), Json(1)).unwrap();
        let (third, c) = sealer.seal(Kind::Event, Head::default(), Empty).unwrap();
        assert_eq!((first, second, third), (1, 2, 3));
        opener.open(Kind::Event, c, |_| true).unwrap();
        assert_eq!(opener.open(Kind::Event, a, |_| true).unwrap_err(), OpenError, "an older event");
        opener.open(Kind::Ready, b.clone(), |_| true).unwrap();
        assert_eq!(opener.open(Kind::Ready, b, |_| true).unwrap_err(), OpenError, "the same again");
    }

    #[test]
    fn a_number_is_not_taken_by_what_is_not_accepted() {
        let (mut sealer, mut opener) = pair();
        let (_, ready) = sealer.seal(Kind::Ready, Head::default(), Json(1)).unwrap();
        assert!(opener.open(Kind::Ready, ready.clone(), |_| false).is_err());
        assert!(opener.open(Kind::Ready, ready, |_| true).is_ok());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (mut sealer, mut opener) = pair();
        let (_, ready) = sealer.seal(Kind::Ready, Head::default(), Json("x")).unwrap();
        for at in 0..ready.len() {
            let mut forged = ready.clone();
            forged[at] ^= 1;
            assert!(opener.open(Kind::Ready, forged, |_| true).is_err(), "byte {at}");
        }
        for length in 0..ready.len() {
            assert!(opener.open(Kind::Ready, ready[..length].to_vec(), |_| true).is_err(), "{length} bytes");
        }
        assert!(opener.open(Kind::Ready, ready, |_| true).is_ok());
    }

    #[test]
    fn what_is_too_large_uses_no_number() {
        let (mut sealer, _) = pair();
        sealer.max_bytes = 44 + 256 + 16;
        assert!(sealer.seal(Kind::Ready, Head::default(), Json("x".repeat(200))).is_ok());
        let error = sealer.seal(Kind::Ready, Head::default(), Json("x".repeat(250))).unwrap_err();
        assert!(matches!(error, SealError::TooLarge { bytes: 348, max_bytes: 316 }), "{error}");
        assert_eq!(sealer.next, Some(2));
    }

    #[test]
    fn the_counter_does_not_wrap() {
        let (mut sealer, _) = pair();
        sealer.next = Some(u64::MAX);
        assert!(sealer.seal(Kind::Event, Head::default(), Empty).is_ok());
        assert!(matches!(sealer.seal(Kind::Event, Head::default(), Empty), Err(SealError::Exhausted)));
    }

    #[test]
    fn what_is_overwritten_is_deeper_than_what_is_used() {
        let (key, mut text) = (key(), vec![0; 5000]);
        let used = stack::tests::depth(|| key.encrypt_in_place(0, b"", &mut text));
        assert!(used < stack::AEAD_BYTES * 3 / 4, "{used} of {} bytes", stack::AEAD_BYTES);
    }
}
