//! Records: a job's history, one signed message after the other.

use super::{
    case::Case,
    encoding::{b64u, fixed, hash, instance},
    job::{CREATED_MS, Job, id},
    jws::Signer,
    messages::trust,
    session::token,
};

const TYP: &str = "subrosa-record";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = history();
    cases.extend(endings());
    cases.extend(by_whom());
    cases.extend(malformed());
    cases
}

fn sign(signer: &str, payload: &str) -> String {
    let signer = Signer::new(signer);
    signer.compact(&signer.header(TYP), payload)
}

/// A record's payload; `more` are the members of the event.
fn payload(event: &str, attempt: u16, before: Option<&str>, more: &str) -> String {
    let job = id(Job::new().text());
    let prev = before.map_or("null".to_owned(), |before| format!("\"{}\"", b64u(hash(before))));
    let at_ms = CREATED_MS + 5;
    let comma = if more.is_empty() { "" } else { "," };
    format!(
        r#"{{"job":"{job}","event":"{event}","at_ms":{at_ms},"attempt":{attempt},"prev":{prev}{comma}{more}}}"#
    )
}

fn read(case: Case, record: &str, before: Option<&str>) -> Case {
    let case = case.with("job_id", id(Job::new().text())).with("worker", "echo").with("trust", trust());
    let case = case.with("record", record);
    match before {
        Some(before) => case.with("before", before),
        None => case,
    }
}

fn ok(
    name: &str,
    about: &str,
    by: &str,
    event: &str,
    attempt: u16,
    before: Option<&str>,
    more: &str,
) -> Case {
    let record = sign(by, &payload(event, attempt, before, more));
    read(Case::ok("record", name, about), &record, before)
        .with("signer", Signer::new(by).thumbprint())
        .with("event", event)
        .with("at_ms", CREATED_MS + 5)
        .with("attempt", attempt)
}

fn bad(name: &str, fault: &str, because: &str, by: &str, payload: &str) -> Case {
    read(Case::not_ok("record", name, "refused", fault, because), &sign(by, payload), None)
}

fn queued() -> String {
    let request = format!(r#"{{"payload":"{}","signatures":[]}}"#, b64u(Job::new().text()));
    format!(r#""request":"{}""#, b64u(request))
}

fn taken() -> String {
    format!(r#""instance":"{}""#, instance())
}

fn history() -> Vec<Case> {
    let first = sign("launcher", &payload("queued", 0, None, &queued()));
    let second = sign("worker", &payload("taken", 1, Some(&first), &taken()));
    let third = sign("worker", &payload("running", 1, Some(&second), &taken()));
    let times = format!(
        r#""close":"{}","times":{{"taken_ms":1,"options_ms":2,"payload_ms":3,"done_ms":4,"closed_ms":5}}"#,
        token()
    );
    let wrong = sign("worker", &payload("running", 1, Some(&first), &taken()));
    let again = sign("worker", &payload("taken", 1, None, &taken()));
    let chain = |name: &str, because: &str, record: &str, before: &str| {
        read(Case::not_ok("record", name, "refused", "prev", because), record, Some(before))
    };
    vec![
        ok("queued", "The first of a history.", "launcher", "queued", 0, None, &queued()),
        ok("taken", "The worker claims the attempt.", "worker", "taken", 1, Some(&first), &taken()),
        ok("running", "The payload is there.", "worker", "running", 1, Some(&second), &taken()),
        ok("closed", "The client has shown t.", "worker", "closed", 1, Some(&third), &times),
        ok("taken_10", "The last attempt that there can be.", "worker", "taken", 10, Some(&third), &taken()),
        ok(
            "after_a_broken_one",
            "`prev` is the hash of whatever lies there, also of what is no record.",
            "launcher",
            "failed",
            0,
            Some("not a record"),
            r#""code":"bad_record","reason":"the history is broken""#,
        ),
        chain(
            "prev_skips_one",
            "`prev` is the hash of the message before, and not of the one before that.",
            &wrong,
            &second,
        ),
        chain("prev_null", "Only the first has no `prev`.", &again, &first),
    ]
}

fn endings() -> Vec<Case> {
    let before = sign("worker", &payload("running", 2, None, &taken()));
    let ok = |name, about, by, event, more: &str| ok(name, about, by, event, 2, Some(&before), more);
    let cancelled = format!(r#""code":"cancelled","cancel":"{}""#, b64u(fixed("cancel token")));
    vec![
        ok(
            "closed_by_a_launcher",
            "To the launcher the client has shown t.",
            "launcher",
            "closed",
            &format!(r#""close":"{}""#, token()),
        ),
        ok(
            "closed_some_times",
            "Each time is optional.",
            "worker",
            "closed",
            &format!(r#""close":"{}","times":{{"done_ms":7}}"#, token()),
        ),
        ok("failed", "A step's error code, and no text.", "worker", "failed", r#""code":"handler_failed""#),
        ok(
            "failed_by_a_launcher",
            "A code with its constant text.",
            "launcher",
            "failed",
            r#""code":"start_failed","reason":"it did not start""#,
        ),
        ok("cancelled", "The cancel token was shown.", "launcher", "cancelled", &cancelled),
        ok("cancelled_without", "The token is optional.", "launcher", "cancelled", r#""code":"cancelled""#),
        ok(
            "expired",
            "No attempt began in time.",
            "launcher",
            "expired",
            r#""code":"expired","reason":"nobody took it""#,
        ),
        ok("expired_by_a_worker", "A worker may write it too.", "worker", "expired", r#""code":"expired""#),
        ok(
            "code_longest",
            "64 bytes, and 1024.",
            "worker",
            "failed",
            &format!(r#""code":"{}","reason":"{}""#, "c".repeat(64), "\u{e4}".repeat(512)),
        ),
        ok(
            "foreign_members",
            "Members of other events say nothing, if they are of their type.",
            "worker",
            "closed",
            &format!(r#""close":"{}","code":"","reason":"{}","request":"?""#, token(), "r".repeat(1025)),
        ),
        ok(
            "unknown_member",
            "Members that are not known are ignored.",
            "worker",
            "failed",
            r#""code":"timeout","future":{"x":[null]}"#,
        ),
    ]
}

fn by_whom() -> Vec<Case> {
    let (queued, taken) = (payload("queued", 0, None, &queued()), payload("taken", 1, None, &taken()));
    let code = r#""code":"timeout""#;
    let other_name = |case: &str, because: &str, payload: &str| {
        let record = sign("worker", payload);
        Case::not_ok("record", case, "refused", "signer", because)
            .with("job_id", id(Job::new().text()))
            .with("worker", "prove")
            .with("trust", trust())
            .with("record", record)
    };
    vec![
        bad("queued_by_a_worker", "signer", "Only launchers admit jobs.", "worker", &queued),
        bad("taken_by_a_launcher", "signer", "Only workers claim attempts.", "launcher", &taken),
        bad("taken_by_a_stranger", "signer", "Nobody trusts this key.", "stranger", &taken),
        bad(
            "failed_by_a_stranger",
            "signer",
            "Nobody trusts this key.",
            "stranger",
            &payload("failed", 1, None, code),
        ),
        other_name("taken_for_another_name", "The key is good for `echo` only.", &taken),
        other_name(
            "failed_for_another_name",
            "The key is good for `echo` only.",
            &payload("failed", 1, None, code),
        ),
    ]
}

fn malformed() -> Vec<Case> {
    let token = token();
    let code = |code: &str, more: &str| payload("failed", 1, None, &format!(r#""code":"{code}"{more}"#));
    let base = payload("taken", 1, None, &taken());
    let taken = |from: &str, to: &str| base.replace(from, to);
    let ending = |event: &str, attempt, more: &str| payload(event, attempt, None, more);
    let worker = |name, fault, because, payload: &str| bad(name, fault, because, "worker", payload);
    let good = sign("worker", &base);
    let altered = |name: &str, fault: &str, because: &str, record: &str| {
        read(Case::not_ok("record", name, "refused", fault, because), record, None)
    };
    let signer = Signer::new("worker");
    let as_proof = signer.compact(&signer.header("subrosa-worker"), &base);
    vec![
        altered("as_a_proof", "typ", "What is signed as a proof is no record.", &as_proof),
        altered(
            "flipped",
            "signature",
            "The signature is over other bytes.",
            &good.replace(&b64u(&base), &b64u(base.replace("\"attempt\":1", "\"attempt\":2"))),
        ),
        altered("not_a_jws", "compact", "A record is a compact JWS.", &base),
        worker(
            "of_another_job",
            "job",
            "The record is of another job.",
            &taken(&id(Job::new().text()), &"0".repeat(64)),
        ),
        worker(
            "prev_missing",
            "prev",
            "Without one, `prev` is null and there.",
            &taken(",\"prev\":null", ""),
        ),
        worker("prev_short", "prev", "A hash has 32 bytes.", &taken("\"prev\":null", "\"prev\":\"AAAA\"")),
        worker(
            "at_fraction",
            "at_ms",
            "An integer has no fraction.",
            &taken("\"at_ms\":1800000000005", "\"at_ms\":1.5"),
        ),
        worker(
            "at_huge",
            "at_ms",
            "Integers end at 2^53-1.",
            &taken("\"at_ms\":1800000000005", "\"at_ms\":9007199254740992"),
        ),
        worker("at_missing", "at_ms", "Every record has its time.", &taken("\"at_ms\":1800000000005,", "")),
        worker("event_unknown", "event", "There is no such event.", &taken("taken", "paused")),
        worker(
            "event_twice",
            "json",
            "Readers differ in which of two members they take.",
            &taken("}", ",\"event\":\"running\"}"),
        ),
        worker("taken_0", "attempt", "Attempts begin at 1.", &taken("\"attempt\":1", "\"attempt\":0")),
        worker(
            "taken_11",
            "attempt",
            "There are at most 10 attempts.",
            &taken("\"attempt\":1", "\"attempt\":11"),
        ),
        worker(
            "failed_11",
            "attempt",
            "There are at most 10 attempts.",
            &ending("failed", 11, r#""code":"timeout""#),
        ),
        bad("queued_1", "attempt", "No attempt has been made.", "launcher", &ending("queued", 1, &queued())),
        bad(
            "queued_without_request",
            "request",
            "The signatures stay with the history.",
            "launcher",
            &ending("queued", 0, ""),
        ),
        bad(
            "queued_unused_bits",
            "request",
            "Unused bits of base64url are zero.",
            "launcher",
            &ending("queued", 0, r#""request":"e31""#),
        ),
        worker("taken_without_instance", "instance", "The process has a name.", &ending("taken", 1, "")),
        worker(
            "instance_short",
            "instance",
            "That name has 16 bytes.",
            &ending("taken", 1, &format!("\"instance\":\"{}\"", b64u([1; 15]))),
        ),
        worker("closed_without_close", "close", "t is the proof.", &ending("closed", 1, "")),
        worker(
            "close_short",
            "close",
            "t has 32 bytes.",
            &ending("closed", 1, &format!("\"close\":\"{}\"", b64u([1; 31]))),
        ),
        worker(
            "foreign_close_short",
            "close",
            "A member has its type, also where nobody needs it.",
            &taken("}", ",\"close\":\"AAAA\"}"),
        ),
        worker(
            "foreign_request_number",
            "request",
            "A member has its type, also where nobody needs it.",
            &taken("}", ",\"request\":7}"),
        ),
        worker(
            "times_null",
            "times",
            "An optional member is left out, never null.",
            &ending("closed", 1, &format!("\"close\":\"{token}\",\"times\":null")),
        ),
        worker(
            "times_fraction",
            "times",
            "An integer has no fraction.",
            &ending("closed", 1, &format!("\"close\":\"{token}\",\"times\":{{\"done_ms\":1.0}}")),
        ),
        worker(
            "times_array",
            "times",
            "An array of the values is no object.",
            &ending("closed", 1, &format!("\"close\":\"{token}\",\"times\":[1,2,3,4,5]")),
        ),
        worker("code_missing", "code", "An ending says why.", &ending("failed", 1, "")),
        worker("code_empty", "code", "A code has 1 to 64 bytes.", &code("", "")),
        worker("code_long", "code", "A code has 1 to 64 bytes.", &code(&"c".repeat(65), "")),
        worker(
            "reason_long",
            "reason",
            "A reason has at most 1024 bytes.",
            &code("timeout", &format!(",\"reason\":\"{}\"", "r".repeat(1025))),
        ),
        worker(
            "reason_null",
            "reason",
            "An optional member is left out, never null.",
            &code("timeout", ",\"reason\":null"),
        ),
        bad(
            "cancel_null",
            "cancel",
            "An optional member is left out, never null.",
            "launcher",
            &ending("cancelled", 1, r#""code":"cancelled","cancel":null"#),
        ),
    ]
}
