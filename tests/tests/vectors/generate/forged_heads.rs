//! Heads that are sealed well and say what no head may say.

use super::{
    case::Case,
    forged::dropped,
    job::Job,
    session::{DONE, EVENT, Message, Session},
};

pub(crate) fn cases() -> Vec<Case> {
    let session = Session::new(&Job::new());
    let whole = session.whole();
    let case = |name: &str, fault: &str, because: &str, head: &str| {
        let envelope = session.by_worker(&Message::new(DONE, 2, head, ""));
        dropped(name, fault, because, &session, &whole[..4], DONE, &envelope)
    };
    let event = |name: &str, because: &str, members: &str| {
        let envelope = session.by_worker(&Message::bare(EVENT, 2, members));
        dropped(name, "event", because, &session, &whole[..4], EVENT, &envelope)
    };
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(16), "]".repeat(16));
    let body = session.by_worker(&Message::new(DONE, 2, "{}", "1"));
    vec![
        case("head_twice", "json", "Readers differ in which of two members they take.", r#"{"re":1,"re":1}"#),
        case("head_lone_surrogate", "json", "A lone surrogate is no character.", r#"{"x":"\ud800"}"#),
        case("head_deep", "json", "17 levels.", &deep),
        case("head_trailing", "json", "Nothing follows the end.", "{}{}"),
        case("head_array", "object", "A head is an object.", "[]"),
        case("head_content_unknown", "content", "`content` is json or bytes.", r#"{"content":"xml"}"#),
        case(
            "head_content_null",
            "content",
            "An optional member is left out, never null.",
            r#"{"content":null}"#,
        ),
        case(
            "head_re_fraction",
            "re",
            "An integer has no fraction, also where nobody needs it.",
            r#"{"re":1.0}"#,
        ),
        case("head_re_huge", "re", "Integers end at 2^53-1.", r#"{"re":9007199254740992}"#),
        case(
            "head_error_unknown",
            "error",
            "Another code makes the head malformed.",
            r#"{"error":{"code":"odd","message":""}}"#,
        ),
        case(
            "head_error_no_message",
            "error",
            "An error has code and message.",
            r#"{"error":{"code":"internal"}}"#,
        ),
        case(
            "head_error_long",
            "error",
            "A message has at most 8192 bytes.",
            &format!(r#"{{"error":{{"code":"internal","message":"{}"}}}}"#, "x".repeat(8193)),
        ),
        case("head_error_null", "error", "An optional member is left out, never null.", r#"{"error":null}"#),
        case(
            "head_close_short",
            "close",
            "t has 32 bytes, also where nobody needs it.",
            r#"{"close":"AAAA"}"#,
        ),
        case(
            "head_salt_short",
            "salt",
            "A salt has 32 bytes, also where nobody needs it.",
            r#"{"salt":"AAAA"}"#,
        ),
        case(
            "head_receipt_null",
            "receipt",
            "An optional member is left out, never null.",
            r#"{"receipt":null}"#,
        ),
        case("step_with_event", "event", "A step is no event.", r#"{"event":{"progress":0.5}}"#),
        dropped(
            "body_without_content",
            "content",
            "Without `content` the body is empty.",
            &session,
            &whole[..4],
            DONE,
            &body,
        ),
        event("event_none", "An event says something.", ""),
        event("event_empty", "Progress or a line, not neither.", r#""event":{}"#),
        event(
            "event_both",
            "Progress or a line, not both.",
            r#""event":{"progress":0.5,"log":{"level":"info","line":""}}"#,
        ),
        event("event_over_1", "Progress ends at 1.", r#""event":{"progress":1.5,"message":""}"#),
        event("event_negative", "Progress begins at 0.", r#""event":{"progress":-0.5,"message":""}"#),
        event("event_level", "There are four levels.", r#""event":{"log":{"level":"fatal","line":""}}"#),
        event("event_text", "Progress is a number.", r#""event":{"progress":"0.5","message":""}"#),
    ]
}
