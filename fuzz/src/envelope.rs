//! The record layer: an envelope's header, and the padded plaintext inside.
//!
//! The first byte of the input chooses. If it is even, the rest is an envelope as the broker brings it. If it
//! is odd, the rest is a plaintext that a hostile peer, who has the key, seals as it is.

use subrosa_protocol::{
    fuzzing::FixedKey,
    wire::{Empty, Head, Header, Kind, MAX_HEAD_BYTES, MIN_ENVELOPE_BYTES, Opened, Raw},
};

use crate::head::{copied, is_the_same};

const ATTEMPT: u16 = 3;
const ID: [u8; 32] = [0xEE; 32];
const MAX_BYTES: usize = 1 << 20;
const HEADER_BYTES: usize = 44;
const TAG_BYTES: usize = 16;
const KINDS: [u8; 9] = [0x01, 0x02, 0x03, 0x04, 0x81, 0x82, 0x83, 0x84, 0x86];

/// Opens an envelope, of whatever the input chooses.
pub fn check(input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else { return };
    if choice % 2 == 0 { from_the_broker(rest) } else { from_the_peer(choice / 2, rest) }
}

fn from_the_broker(envelope: &[u8]) {
    let header = Header::decode(envelope);
    let plausible = envelope.len() >= MIN_ENVELOPE_BYTES && envelope[0] == 1 && KINDS.contains(&envelope[1]);
    assert_eq!(header.is_some(), plausible, "length, version and kind alone decide");
    let Some(header) = header else { return };
    let written = [
        &[1, header.kind.byte()][..],
        &header.attempt.to_be_bytes(),
        &header.number.to_be_bytes(),
        &header.key,
    ]
    .concat();
    assert_eq!(written, envelope[..HEADER_BYTES], "the header is what was read");

    // Nobody without the key makes an envelope that opens, and none that does not open changes anything.
    let mut ends = FixedKey::new(header.attempt, header.key, MAX_BYTES);
    assert!(ends.open(header.kind, envelope.to_vec()).is_none(), "forged");
    let (number, good) = ends.seal(header.kind, Head::default(), Empty).expect("sealed");
    let (taken, _) = ends.open(header.kind, good).expect("opens after all that did not");
    assert_eq!(taken, number);
}

fn from_the_peer(choice: u8, plaintext: &[u8]) {
    let kind = Kind::from_byte(KINDS[usize::from(choice) % KINDS.len()]).expect("a kind");
    let mut ends = FixedKey::new(ATTEMPT, ID, MAX_BYTES);
    let header = Header { kind, attempt: ATTEMPT, number: u64::from(choice), key: ID };
    let envelope = ends.seal_plaintext(&header, plaintext);
    assert_eq!(Header::decode(&envelope), Some(header));

    let parts = parts(plaintext);
    let opened = ends.open(kind, envelope.clone());
    assert_eq!(opened.is_some(), parts.is_some(), "opens if it is well-formed, and only then");
    let again = ends.open(kind, envelope.clone());
    assert!(again.is_none(), "a number that was taken, or a plaintext that is malformed");
    let mut others = FixedKey::new(ATTEMPT + 1, ID, MAX_BYTES);
    assert!(others.open(kind, envelope.clone()).is_none(), "of another attempt");
    let mut others = FixedKey::new(ATTEMPT, [0; 32], MAX_BYTES);
    assert!(others.open(kind, envelope).is_none(), "of another session");

    let (Some((number, opened)), Some((head, body))) = (opened, parts) else { return };
    assert_eq!(number, header.number);
    assert_eq!(opened.body(), body);
    let parsed = Head::parse(head).expect("well-formed");
    assert_eq!(format!("{:?}", opened.head()), format!("{parsed:?}"));
    assert!(head.len() <= MAX_HEAD_BYTES);
    sealed_anew(kind, &opened);
}

/// Head and body survive being sealed and opened, and the length tells no more than it should.
fn sealed_anew(kind: Kind, opened: &Opened) {
    let mut ends = FixedKey::new(ATTEMPT, ID, MAX_BYTES);
    let mut head = copied(opened.head());
    let sealed = match head.content {
        None => ends.seal(kind, copied(&head), Empty),
        Some(_) => ends.seal(kind, copied(&head), Raw(opened.body())),
    };
    let Ok((_, envelope)) = sealed else {
        assert!(opened.body().len() > MAX_BYTES / 2, "only what is too large is not sealed");
        return;
    };
    head.content = head.content.map(|_| subrosa_protocol::wire::Content::Bytes);
    let head_bytes = subrosa_protocol::json::to_vec(&head).len();
    let padded = padme(8 + head_bytes + opened.body().len());
    assert_eq!(envelope.len(), HEADER_BYTES + padded + TAG_BYTES);
    if head_bytes <= MAX_HEAD_BYTES {
        let (_, again) = ends.open(kind, envelope).expect("opens");
        assert_eq!(again.body(), opened.body());
        is_the_same(copied(again.head()), head);
    }
}

/// What `docs/protocol.md` says of a plaintext, written down a second time: head and body, if it is one.
fn parts(plaintext: &[u8]) -> Option<(&[u8], &[u8])> {
    let number = |at: usize| {
        plaintext.get(at..at + 4).map(|bytes| u64::from(u32::from_be_bytes(bytes.try_into().expect("four"))))
    };
    let (head, body) = (number(0)?, number(4)?);
    if head > 16_384 || 8 + head + body > plaintext.len() as u64 {
        return None;
    }
    let (head, body) = (head as usize, body as usize);
    if plaintext[8 + head + body..].iter().any(|byte| *byte != 0) {
        return None;
    }
    let (head, body) = (&plaintext[8..8 + head], &plaintext[8 + head..8 + head + body]);
    let content = Head::parse(head)?.content;
    (content.is_some() || body.is_empty()).then_some((head, body))
}

/// The padded length, as the document has it: the next multiple of 2^(E−S).
fn padme(length: usize) -> usize {
    let length = length.max(256);
    let e = usize::BITS - 1 - length.leading_zeros();
    let s = u32::BITS - 1 - e.leading_zeros() + 1;
    length.next_multiple_of(1 << (e - s))
}
