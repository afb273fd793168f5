//! Messages that are taken, each with what comes out of it.

use super::{
    case::Case,
    encoding::{b64u, fixed, hash, hex, instance},
    job::Job,
    jws::Signer,
    session::{
        CANCEL_REPLY, DONE, DONE_REPLY, EVENT, Message, OPTIONS, OPTIONS_REPLY, PAYLOAD, READY, READY_REPLY,
        Session, seal, token,
    },
};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = steps();
    cases.extend(errors());
    cases.extend(bodies());
    cases.extend(events());
    cases.extend(again());
    cases.extend(inputs());
    cases
}

/// What the receiver of a message of this kind knows, and the message.
pub(crate) fn received(case: Case, session: &Session, past: &[Vec<u8>], envelope: &[u8], kind: u8) -> Case {
    received_by(&trust(), case, session, past, envelope, kind)
}

/// Whether it goes from worker to client.
fn is_workers(kind: u8) -> bool {
    kind & 0x80 == 0 || kind == CANCEL_REPLY
}

/// The same for a client with another trust file.
pub(crate) fn received_by(
    trust: &str,
    case: Case,
    session: &Session,
    past: &[Vec<u8>],
    envelope: &[u8],
    kind: u8,
) -> Case {
    let case = if is_workers(kind) {
        let nonces: Vec<_> = (1..=session.attempt).map(|attempt| hex(nonce(attempt))).collect();
        case.with("receiver", "client")
            .with("job", session.job.as_str())
            .with("client_secret", hex(session.client_secret))
            .with("nonces", nonces)
            .with("trust", trust)
            .maybe("signers", (!session.signers.is_empty()).then(|| session.signers.clone()))
    } else {
        case.with("receiver", "worker")
            .with("job", session.job.as_str())
            .with("worker_secret", hex(session.worker_secret))
            .with("attempt", session.attempt)
            .with("worker_seed", hex(Signer::new("worker").seed()))
            .with("instance", instance())
    };
    let past: Vec<_> = past.iter().map(hex).collect();
    case.with("past", past).with("envelope", hex(envelope))
}

fn nonce(attempt: u16) -> [u8; 32] {
    fixed(&format!("N, attempt {attempt}"))
}

/// The trust file of all clients: the worker, for one name, and a launcher.
pub(crate) fn trust() -> String {
    let key = |purpose: &str, more: &str| Signer::new(purpose).jwk().replace('}', &format!(",{more}}}"));
    let worker = key("worker", r#""workers":["echo"]"#);
    let launcher = key("launcher", r#""role":"launcher""#);
    format!(r#"{{"keys":[{worker},{launcher}]}}"#)
}

/// A message that its receiver takes after `past`.
pub(crate) fn taken(name: &str, about: &str, session: &Session, past: &[Vec<u8>], message: &Message) -> Case {
    let kind = message.kind;
    let envelope = if is_workers(kind) { session.by_worker(message) } else { session.by_client(message) };
    let case = received(Case::ok("message", name, about), session, past, &envelope, kind);
    content(case, message, message.plaintext().len())
}

/// What comes out of an envelope.
fn content(case: Case, message: &Message, padded_bytes: usize) -> Case {
    let case = case.with("padded_bytes", padded_bytes).with("head", message.head.as_str());
    match std::str::from_utf8(&message.body) {
        Ok(body) if body.chars().all(|c| !c.is_control()) => case.with("body", body),
        _ => case.with("body_hex", hex(&message.body)),
    }
}

fn steps() -> Vec<Case> {
    let session = Session::new(&Job::new());
    let whole = session.whole();
    let head = session.options_head(&session.proof());
    let close = format!(r#""re":2,"close":"{}""#, token());
    let close_late = format!(r#""re":4,"close":"{}""#, token());
    let event = session.by_worker(&Message::bare(EVENT, 1, r#""event":{"progress":0.5,"message":"half"}"#));
    let late_ready = session.by_worker(&Message::json(READY, 2, "", "null"));
    let late_payload = session.by_client(&Message::json(READY_REPLY, 1, r#""re":2"#, "1"));
    let event_again = session.by_worker(&Message::bare(EVENT, 3, r#""event":{"progress":1.0,"message":""}"#));
    let late_done = session.by_worker(&session.result(4, "1", "2"));
    let eventful: Vec<_> =
        [&whole[0], &whole[1], &event, &late_ready, &late_payload, &event_again, &late_done]
            .map(Vec::clone)
            .into();
    let second = session.again(2);
    let second_options = Message::new(OPTIONS, 0, second.options_head(&second.proof()), "null");
    vec![
        taken(
            "options",
            "`enc` stands twice: in the header, and before the ciphertext.",
            &session,
            &[],
            &Message::new(OPTIONS, 0, head, "\"parameters\""),
        ),
        taken(
            "options_reply",
            "The first under the client's N.",
            &session,
            &whole[..1],
            &Message::json(OPTIONS_REPLY, 0, r#""re":0"#, r#"{"label":"invoice 4711"}"#),
        ),
        taken(
            "ready",
            "The worker's numbers go on after that of `options`.",
            &session,
            &whole[..2],
            &Message::json(READY, 1, "", "null"),
        ),
        taken(
            "ready_reply",
            "`re` is the number of `ready`.",
            &session,
            &whole[..3],
            &Message::json(READY_REPLY, 1, r#""re":1"#, r#"{"value":77}"#),
        ),
        taken(
            "done",
            "The result, and the receipt that makes it count.",
            &session,
            &whole[..4],
            &session.result(2, PAYLOAD, r#"{"proof":"abc"}"#),
        ),
        taken(
            "done_reply",
            "The client's status, and t.",
            &session,
            &whole[..5],
            &Message::json(DONE_REPLY, 2, &close, "\"thanks\""),
        ),
        taken(
            "done_reply_after_events",
            "Events take numbers too: `re` is 4.",
            &session,
            &eventful,
            &Message::json(DONE_REPLY, 2, &close_late, "null"),
        ),
        taken(
            "ready_gap",
            "Numbers rise, and may leave gaps: an event may be lost.",
            &session,
            &whole[..2],
            &Message::json(READY, 9, "", "null"),
        ),
        taken(
            "second_attempt",
            "A later attempt that is proven replaces the session.",
            &second,
            &whole[..3],
            &second_options,
        ),
        taken(
            "second_attempt_ready",
            "And goes on under an N of its own.",
            &second,
            &[session.options(), second.options(), second.options_reply()],
            &Message::json(READY, 1, "", "null"),
        ),
    ]
}

fn errors() -> Vec<Case> {
    let session = Session::new(&Job::new());
    let whole = session.whole();
    let error = |code: &str| format!(r#""error":{{"code":"{code}","message":"no €"}}"#);
    let refusal = |re: u8| format!(r#""re":{re},{}"#, error("bad_input"));
    let done_early = session.by_worker(&Message::bare(DONE, 1, &error("handler_failed")));
    let done = session.by_worker(&Message::bare(DONE, 2, &error("timeout")));
    let codes =
        ["bad_input", "handler_failed", "cancelled", "timeout", "too_large", "internal", "unknown_stream"];
    let mut cases = vec![
        taken(
            "options_reply_error",
            "The client refuses: the job is over.",
            &session,
            &whole[..1],
            &Message::bare(OPTIONS_REPLY, 0, &refusal(0)),
        ),
        taken(
            "ready_reply_error",
            "The client refuses: the job is over.",
            &session,
            &whole[..3],
            &Message::bare(READY_REPLY, 1, &refusal(1)),
        ),
        taken(
            "done_reply_error",
            "An error in place of t: the client cannot use the result.",
            &session,
            &whole[..5],
            &Message::bare(DONE_REPLY, 2, &refusal(2)),
        ),
        taken(
            "done_error_early",
            "A `done` with an error in place of `ready`.",
            &session,
            &whole[..2],
            &Message::bare(DONE, 1, &error("handler_failed")),
        ),
        taken(
            "error_acknowledged_early",
            "Any reply acknowledges it.",
            &session,
            &[whole[0].clone(), whole[1].clone(), done_early],
            &Message::json(DONE_REPLY, 1, r#""re":1"#, "\"noted\""),
        ),
        taken(
            "error_acknowledged",
            "Any reply acknowledges it.",
            &session,
            &[&whole[..4], &[done]].concat(),
            &Message::bare(DONE_REPLY, 2, r#""re":2"#),
        ),
        taken(
            "ready_with_error",
            "`error` belongs to replies and `done`: in `ready` it says nothing.",
            &session,
            &whole[..2],
            &Message::bare(READY, 1, &error("internal")),
        ),
        taken(
            "done_error_longest",
            "8192 bytes.",
            &session,
            &whole[..4],
            &Message::bare(DONE, 2, &error("internal").replace("no €", &"\u{e4}".repeat(4096))),
        ),
        taken(
            "done_error_with_body",
            "A body beside an error is not looked at.",
            &session,
            &whole[..4],
            &Message::json(DONE, 2, &error("internal"), "7"),
        ),
    ];
    cases.extend(codes.map(|code| {
        taken(
            &format!("done_error_{code}"),
            "One of the codes.",
            &session,
            &whole[..4],
            &Message::bare(DONE, 2, &error(code)),
        )
    }));
    cases
}

fn bodies() -> Vec<Case> {
    let session = Session::new(&Job::new());
    let whole = session.whole();
    let ready =
        |name: &str, about: &str, message: &Message| taken(name, about, &session, &whole[..2], message);
    let bytes = |length: usize| Message::new(READY, 1, r#"{"content":"bytes"}"#, vec![0xA5; length]);
    let padding = |name: &str, about: &str, length: usize| {
        let message = bytes(5);
        let mut plaintext = message.unpadded();
        plaintext.resize(length, 0);
        let header = session.header(&message, &session.worker_key);
        let envelope = seal(&session.keys().to_client, 1, &header, &[], &plaintext);
        let case = received(Case::ok("message", name, about), &session, &whole[..2], &envelope, READY);
        content(case, &message, length)
    };
    vec![
        ready("body_none", "No body: the head says so by saying nothing.", &Message::new(READY, 1, "{}", "")),
        ready("body_bytes", "Bytes as they are.", &bytes(7)),
        ready("body_bytes_empty", "No bytes are bytes too.", &bytes(0)),
        ready(
            "body_not_json",
            "What a body of JSON holds is the applications' affair: it may have what the protocol's own JSON may not.",
            &Message::json(READY, 1, "", r#"{"a":1,"a":[1e400]}"#),
        ),
        ready("padded_to_256", "256 bytes are not padded.", &bytes(256 - 27)),
        ready("padded_to_272", "257 bytes are padded to 272.", &bytes(257 - 27)),
        ready("padded_to_1024", "1000 bytes are padded to 1024.", &bytes(1000 - 27)),
        padding("padding_none", "Readers do not count the padding.", 32),
        padding("padding_much", "Readers do not count the padding.", 999),
        ready(
            "head_unknown_member",
            "Members that are not known are ignored; the reserved ones are.",
            &Message::json(READY, 1, r#""pull":null,"stream":{"id":1},"x":[]"#, "1"),
        ),
        ready(
            "head_empty_members",
            "Members that belong to other kinds are ignored if they are well-formed.",
            &Message::json(READY, 1, &format!(r#""re":7,"salt":"{}""#, token()), "1"),
        ),
    ]
}

fn events() -> Vec<Case> {
    let session = Session::new(&Job::new());
    let whole = session.whole();
    let event = |name: &str, about: &str, past: &[Vec<u8>], number, event: &str| {
        taken(name, about, &session, past, &Message::bare(EVENT, number, &format!("\"event\":{event}")))
    };
    let mut cases = vec![
        event(
            "event_progress",
            "How far the work is.",
            &whole[..4],
            2,
            r#"{"progress":0.25,"message":"proving"}"#,
        ),
        event("event_progress_only", "The message is optional.", &whole[..4], 2, r#"{"progress":0.25}"#),
        event(
            "event_progress_bounds",
            "0 and 1 belong to the range, and numbers may have exponents.",
            &whole[..4],
            2,
            r#"{"progress":10e-1,"message":""}"#,
        ),
        event(
            "event_early",
            "Events come as soon as N is known.",
            &whole[..2],
            1,
            r#"{"progress":0,"message":""}"#,
        ),
        event(
            "event_late",
            "Numbers rise within each kind: an event may come after the `done` that it was sent before.",
            &[&whole[..4], &[session.by_worker(&session.result(3, PAYLOAD, "1"))]].concat(),
            2,
            r#"{"progress":0.9,"message":""}"#,
        ),
    ];
    cases.extend(["debug", "info", "warn", "error"].map(|level| {
        event(
            &format!("event_log_{level}"),
            "A line for the client's log.",
            &whole[..4],
            2,
            &format!(r#"{{"log":{{"level":"{level}","line":"3 of 4 \u2713"}}}}"#),
        )
    }));
    cases
}

/// The latest step once more: the client sends the reply once more that stands last in `past`.
fn again() -> Vec<Case> {
    let session = Session::new(&Job::new());
    let whole = session.whole();
    let again = |name: &str, past: &[Vec<u8>], step: &[u8]| {
        let because = "The latest step, byte for byte: the same reply goes out again, and no handler runs.";
        let case = Case::not_ok("message", name, "repeat", "number", because);
        received(case, &session, past, step, step[1])
    };
    vec![
        again("options_again", &whole[..2], &whole[0]),
        again("ready_again", &whole[..4], &whole[2]),
        again("done_again", &whole[..6], &whole[4]),
    ]
}

/// A job that binds its payload.
fn inputs() -> Vec<Case> {
    let (salt, payload) = (fixed("salt"), r#"{"value":77}"#);
    let input = b64u(hash([salt, hash(payload)].concat()));
    let session = Session::new(&Job::new().set("input", format!("\"{input}\"")));
    let past = session.whole()[..3].to_vec();
    let reply =
        |salt: &str, payload: &str| Message::json(READY_REPLY, 1, &format!(r#""re":1{salt}"#), payload);
    let salted = format!(r#","salt":"{}""#, b64u(salt));
    let bad = |name: &str, because: &str, message: &Message| {
        let case = Case::not_ok("message", name, "bad_input", "input", because);
        received(case, &session, &past, &session.by_client(message), READY_REPLY)
    };
    vec![
        taken(
            "input",
            "The payload is the one that `input` binds, with the salt that comes with it.",
            &session,
            &past,
            &reply(&salted, payload),
        ),
        bad("input_other_payload", "Another payload must not be run.", &reply(&salted, r#"{"value":78}"#)),
        bad(
            "input_other_spelling",
            "The hash is over the body's bytes.",
            &reply(&salted, r#"{"value": 77}"#),
        ),
        bad("input_other_salt", "Another salt.", &reply(&format!(r#","salt":"{}""#, token()), payload)),
        bad("input_no_salt", "Without the salt nothing is shown.", &reply("", payload)),
    ]
}
