//! Messages that somebody without a session's keys can make.

use rand::{CryptoRng, RngExt as _};
use subrosa_protocol::{
    id::{Attempt, Instance},
    identity::SigningKey,
    job::Job,
    launch::Signers,
    record::{Event, Reason, Record, Times},
    session::worker::{Offer, Setup},
    wire::{Json, MIN_ENVELOPE_BYTES},
};
use subrosa_transport::now_ms;

use crate::broker::MAX_PAYLOAD;

/// The length of an envelope's header, in bytes.
const HEADER: usize = 44;
/// So many of the other bytes are changed; more copies would crowd out the genuine message, which then comes
/// a second later.
const SPREAD: usize = 16;

/// A message with one bit changed: version, kind, attempt, number, key, and all over the rest, to the last.
pub(super) fn flipped(message: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let rest = message.len().saturating_sub(HEADER + 1);
    let spread = (0..=SPREAD).map(move |step| HEADER + rest * step / SPREAD);
    let at = [0, 1, 2, 3, 4, 11, 12, 43].into_iter().chain(spread);
    at.enumerate().map(|(count, at)| {
        let mut copy = message.to_vec();
        copy.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (count % 8));
        copy
    })
}

/// Beginnings of a message, and the message with a byte more.
pub(super) fn truncated(message: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let whole = message.len();
    let lengths =
        [0, 1, 2, 12, 43, HEADER, 59, MIN_ENVELOPE_BYTES, whole / 2, whole - 17, whole - 16, whole - 1];
    let beginnings = lengths.into_iter().filter_map(|length| message.get(..length).map(<[u8]>::to_vec));
    beginnings.chain([[message, &[0]].concat()])
}

/// Messages of the same length that no key has sealed, with the header as it is, and with others.
pub(super) fn strange(message: &[u8], rng: &mut impl CryptoRng) -> Vec<Vec<u8>> {
    let mut fill = |from: usize, to: usize| {
        let mut copy = message.to_vec();
        rng.fill_bytes(copy.get_mut(HEADER..).unwrap_or_default());
        rng.fill_bytes(copy.get_mut(from..to).unwrap_or_default());
        copy
    };
    // Nothing, number, key, number and key; then other kinds and attempts.
    let mut all = vec![fill(0, 0), fill(4, 12), fill(12, HEADER), fill(4, HEADER)];
    for (at, values) in [(1, [1, 2, 3, 4, 5, 0x81, 0x82, 0x83, 0x84]), (3, [0, 1, 2, 3, 9, 10, 11, 12, 255])]
    {
        all.extend(values.map(|value| {
            let mut copy = fill(0, 0);
            copy.iter_mut().skip(at).take(1).for_each(|byte| *byte = value);
            copy
        }));
    }
    all
}

/// A message with this header, as large as the server takes.
pub(super) fn oversized(message: &[u8]) -> Vec<u8> {
    let mut copy = message.to_vec();
    copy.resize(MAX_PAYLOAD, 0x5a);
    copy
}

/// What is no message.
pub(super) fn junk(rng: &mut impl CryptoRng) -> Vec<Vec<u8>> {
    let mut random = |length: usize| {
        let mut bytes = vec![0; length];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    let texts =
        ["", "{}", "null", r#"{"error":{"err_code":10071}}"#, r#"{"attempt":1}"#, "+ACK", "\u{1}\u{81}"];
    let random = [1, 43, 44, 59, 60, 61, 1000].map(&mut random);
    texts.map(|text| text.as_bytes().to_vec()).into_iter().chain(random).collect()
}

/// What a worker that nobody trusts would say first, rightly made, for each of the first attempts.
pub(super) fn impostor(job: &Job, rng: &mut impl CryptoRng) -> Vec<Vec<u8>> {
    let identity = SigningKey::generate(rng);
    let mut offer = |attempt: u16| {
        let setup = Setup {
            job,
            signers: &Signers::default(),
            attempt: Attempt::new(attempt).ok()?,
            identity: &identity,
            cert: None,
            instance: Instance::random(rng),
            max_envelope_bytes: MAX_PAYLOAD,
        };
        Offer::new(&setup, rng).ok()?.options(Json("trust me")).ok().map(|sent| sent.envelope)
    };
    (1..=3).filter_map(&mut offer).collect()
}

/// Records that end a job, by somebody who may not, and what is no record.
pub(super) fn ends(job: &Job, attempt: u16, rng: &mut impl CryptoRng) -> Vec<Vec<u8>> {
    let identity = SigningKey::generate(rng);
    let closed = Event::Closed { close: rng.random(), times: Times::default() };
    let failed = Event::Failed(Reason::new("client_gone", "trust me"));
    let signed = [closed, failed]
        .map(|event| Record { job: *job.id(), at_ms: now_ms(), attempt, prev: None, event }.sign(&identity));
    signed.into_iter().chain([Vec::new(), b"a.b.c".to_vec()]).collect()
}
