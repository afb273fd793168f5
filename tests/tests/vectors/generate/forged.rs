//! Messages that are dropped, each for another reason.

use super::{
    case::Case,
    encoding::{b64u, fixed, hash, unused_bit_set},
    job::Job,
    messages::received,
    session::{
        DONE, DONE_REPLY, EVENT, Message, OPTIONS_REPLY, PAYLOAD, READY, READY_REPLY, Session, seal, token,
    },
};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = altered();
    cases.extend(misplaced());
    cases.extend(malformed());
    cases.extend(replies());
    cases
}

fn session() -> Session {
    Session::new(&Job::new())
}

/// A message that a client or worker drops after `past`, by the kind that it waits for.
pub(crate) fn dropped(
    name: &str,
    fault: &str,
    because: &str,
    session: &Session,
    past: &[Vec<u8>],
    kind: u8,
    envelope: &[u8],
) -> Case {
    let case = Case::not_ok("message", name, "drop", fault, because);
    received(case, session, past, envelope, kind)
}

/// A good `done`, and what somebody on the way made of it.
fn altered() -> Vec<Case> {
    let session = session();
    let whole = session.whole();
    let done = &whole[4];
    let case = |name: &str, fault: &str, because: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut envelope = done.clone();
        change(&mut envelope);
        dropped(name, fault, because, &session, &whole[..4], DONE, &envelope)
    };
    let flip = |at: usize, bit: u8| move |envelope: &mut Vec<u8>| envelope[at] ^= bit;
    vec![
        case("flipped_version", "version", "Another version.", &flip(0, 3)),
        case(
            "flipped_kind",
            "tag",
            "A `done` that is called an event: the header is sealed with the rest.",
            &flip(1, DONE ^ EVENT),
        ),
        case("flipped_attempt", "session", "Another attempt.", &flip(3, 3)),
        case("flipped_number", "tag", "Another number is another nonce, and another header.", &flip(11, 1)),
        case("flipped_key", "session", "Another session.", &flip(12, 1)),
        case("flipped_key_end", "session", "Another session.", &flip(43, 0x80)),
        case("flipped_ciphertext", "tag", "One bit of the ciphertext.", &flip(44, 1)),
        case("flipped_tag", "tag", "One bit of the tag.", &flip(done.len() - 1, 0x80)),
        case("truncated", "tag", "One byte is missing.", &|envelope| envelope.truncate(envelope.len() - 1)),
        case("extended", "tag", "One byte too many.", &|envelope| envelope.push(0)),
        case("bytes_59", "short", "Header and tag alone have 60 bytes.", &|envelope| envelope.truncate(59)),
        case("bytes_60", "tag", "Long enough, and not sealed.", &|envelope| envelope.truncate(60)),
        case("empty", "short", "Nothing.", &Vec::clear),
        case("kind_reserved", "kind", "0x05 is reserved.", &flip(1, DONE ^ 0x05)),
        case("kind_unknown", "kind", "There is no such kind.", &flip(1, DONE ^ 0x7F)),
    ]
}

/// Messages that are sealed well, elsewhere or for another time.
fn misplaced() -> Vec<Case> {
    let session = session();
    let whole = session.whole();
    let (early, late) = (&whole[..2], &whole[..4]);
    let keys = session.keys();
    let message = |kind, number| Message::json(kind, number, "", "1");
    let case = |name, fault, because, past: &[Vec<u8>], kind, envelope: &[u8]| {
        dropped(name, fault, because, &session, past, kind, envelope)
    };
    let done = session.result(2, PAYLOAD, "1");
    let header = session.header(&done, &session.worker_key);
    let under = |key, number| seal(key, number, &header, &[], &done.plaintext());
    // The header says something else than it should, and is sealed as it is.
    let headed = |at: usize, byte: u8| {
        let mut header = header.clone();
        assert_ne!(header[at], byte);
        header[at] = byte;
        seal(&keys.to_client, 2, &header, &[], &done.plaintext())
    };
    let event = |number| session.by_worker(&Message::bare(EVENT, number, r#""event":{"progress":0.5}"#));
    let second = session.again(2);
    let replaced = [whole[0].clone(), whole[1].clone(), second.options(), second.options_reply()];
    let mut other_worker = session.clone();
    other_worker.worker_secret = fixed("another worker's key");
    let mut other_nonce = session.clone();
    other_nonce.nonce = fixed("another N");
    let other_job = Session::new(&Job::new().set("max_attempts", "4"));
    let reflected = session.by_client(&Message::json(READY, 1, r#""re":1"#, "1"));
    let first_reply = Message::json(OPTIONS_REPLY, 0, r#""re":0"#, "1");
    let first_header = session.header(&first_reply, &session.nonce);
    let other_keys = other_nonce.keys();
    vec![
        case(
            "sealed_under_another_number",
            "tag",
            "Header and nonce have different numbers.",
            late,
            DONE,
            &under(&keys.to_client, 3),
        ),
        case(
            "sealed_as_version_2",
            "version",
            "Another version, by who has the keys.",
            late,
            DONE,
            &headed(0, 2),
        ),
        case(
            "sealed_as_attempt_2",
            "session",
            "Another attempt, by who has the keys.",
            late,
            DONE,
            &headed(3, 2),
        ),
        case(
            "sealed_as_another_session",
            "session",
            "Another worker's key in the header, by who has the keys.",
            late,
            DONE,
            &headed(12, 0),
        ),
        case(
            "sealed_by_another_session",
            "tag",
            "The header is this session's, the key that of another worker's.",
            late,
            DONE,
            &under(&other_worker.keys().to_client, 2),
        ),
        case(
            "sealed_in_the_other_direction",
            "tag",
            "The key of client to worker.",
            late,
            DONE,
            &under(&keys.to_worker, 2),
        ),
        case(
            "sealed_by_the_options_key",
            "tag",
            "That key seals number 0 of `options`, and no other.",
            late,
            DONE,
            &under(&keys.options, 2),
        ),
        case(
            "sealed_under_another_n",
            "tag",
            "The worker's key is bound to the client's N.",
            late,
            DONE,
            &under(&other_keys.to_client, 2),
        ),
        case(
            "of_another_job",
            "tag",
            "Same keys on both ends, but `info` has another job's hash.",
            late,
            DONE,
            &other_job.done(),
        ),
        case(
            "reflected",
            "session",
            "What the client sent comes back under another kind.",
            early,
            READY,
            &reflected,
        ),
        case(
            "n_not_bound_in_key",
            "tag",
            "The header has this N, the key is derived with another.",
            &whole[..1],
            OPTIONS_REPLY,
            &seal(&other_keys.to_worker, 0, &first_header, &[], &first_reply.plaintext()),
        ),
        case(
            "n_changes",
            "session",
            "The worker has bound N: replies under any other are dropped.",
            &whole[..3],
            READY_REPLY,
            &other_nonce.ready_reply(),
        ),
        case(
            "event_replayed",
            "number",
            "An event that was taken before.",
            &[late, &[event(2)]].concat(),
            EVENT,
            &event(2),
        ),
        case(
            "event_older",
            "number",
            "Numbers within a kind rise.",
            &[late, &[event(5)]].concat(),
            EVENT,
            &event(4),
        ),
        case(
            "reply_replayed",
            "state",
            "The reply to `options` once more, while the one to `ready` is awaited.",
            &whole[..3],
            READY_REPLY,
            &whole[1],
        ),
        case(
            "ready_twice",
            "state",
            "Another `ready`, when the payload has been given.",
            late,
            READY,
            &session.by_worker(&message(READY, 2)),
        ),
        case(
            "done_in_place_of_ready",
            "state",
            "A result cannot come before the payload.",
            early,
            DONE,
            &session.by_worker(&session.result(1, PAYLOAD, "1")),
        ),
        case("ready_before_options", "state", "There is no session yet.", &[], READY, &session.ready()),
        case("event_before_options", "state", "There is no session yet.", &[], EVENT, &event(1)),
        dropped(
            "of_the_older_attempt",
            "session",
            "The second attempt has replaced the first one's session.",
            &second,
            &replaced,
            READY,
            &session.ready(),
        ),
    ]
}

/// Plaintexts that are sealed well by an end that does not keep to the rules.
fn malformed() -> Vec<Case> {
    let session = session();
    let whole = session.whole();
    let message = session.result(2, PAYLOAD, "1");
    let header = session.header(&message, &session.worker_key);
    let case = |name: &str, fault: &str, because: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut plaintext = message.plaintext();
        change(&mut plaintext);
        let envelope = seal(&session.keys().to_client, 2, &header, &[], &plaintext);
        dropped(name, fault, because, &session, &whole[..4], DONE, &envelope)
    };
    let long_head = Message::json(DONE, 2, &format!(r#""x":"{}""#, "x".repeat(16_385 - 25)), "1");
    assert_eq!(long_head.head.len(), 16_385);
    vec![
        case("padding_not_zero", "padding", "Bytes that nobody reads could say anything.", &|plaintext| {
            *plaintext.last_mut().unwrap() = 1
        }),
        case("padding_not_zero_at_once", "padding", "The first byte after the body.", &|plaintext| {
            plaintext[8 + message.head.len() + 1] = b' '
        }),
        case("head_beyond_the_end", "lengths", "The head is said to be longer than all.", &|plaintext| {
            plaintext[1] = 1
        }),
        case("body_beyond_the_end", "lengths", "The body is said to be longer than all.", &|plaintext| {
            plaintext[4] = 0xFF
        }),
        case("lengths_cut", "lengths", "The two lengths have 8 bytes.", &|plaintext| plaintext.truncate(7)),
        case("plaintext_empty", "lengths", "The two lengths have 8 bytes.", &Vec::clear),
        case("head_too_long", "head", "A head has at most 16,384 bytes.", &|plaintext| {
            *plaintext = long_head.plaintext()
        }),
        case("head_empty", "json", "A head is JSON.", &|plaintext| {
            *plaintext = Message::new(DONE, 2, "", "").plaintext()
        }),
    ]
}

/// Replies that open and answer something else, or do not show what they have to.
fn replies() -> Vec<Case> {
    let session = session();
    let whole = session.whole();
    let case = |name: &str, fault: &str, because: &str, count: usize, message: &Message| {
        let envelope = session.by_client(message);
        dropped(name, fault, because, &session, &whole[..count], message.kind, &envelope)
    };
    let close = |token: &str| Message::json(DONE_REPLY, 2, &format!(r#""re":2,"close":"{token}""#), "1");
    let ready = |members: &str| Message::json(READY_REPLY, 1, members, "1");
    vec![
        case("re_missing", "re", "A reply says what it answers.", 3, &ready("")),
        case("re_older", "re", "A reply to `options`.", 3, &ready(r#""re":0"#)),
        case("re_later", "re", "A reply to what has not been sent.", 3, &ready(r#""re":2"#)),
        case("re_fraction", "re", "An integer has no fraction.", 3, &ready(r#""re":1.0"#)),
        case("re_string", "re", "An integer is no string.", 3, &ready(r#""re":"1""#)),
        case(
            "reply_to_a_later_step",
            "state",
            "The answer to `done`, while the one to `ready` is awaited.",
            3,
            &close(&token()),
        ),
        case(
            "close_missing",
            "close",
            "Only t shows that the client has the result.",
            5,
            &Message::json(DONE_REPLY, 2, r#""re":2"#, "1"),
        ),
        case("close_other", "close", "Another token.", 5, &close(&b64u(fixed("another token")))),
        case("close_hashed_once", "close", "H(t) is not t.", 5, &close(&b64u(hash(fixed("close token"))))),
        case(
            "close_is_the_hash",
            "close",
            "`close` of the job is public.",
            5,
            &close(&b64u(hash(hash(fixed("close token"))))),
        ),
        case(
            "close_unused_bits",
            "close",
            "Unused bits of base64url are zero.",
            5,
            &close(&unused_bit_set(&token())),
        ),
        case(
            "close_null",
            "close",
            "An optional member is left out, never null.",
            5,
            &Message::json(DONE_REPLY, 2, r#""re":2,"close":null"#, "1"),
        ),
    ]
}
