//! Jobs: bytes to an id, and to a verdict.

use serde_json::json;

use super::{
    case::{Case, repeat},
    encoding::{b64u, fixed, hash, hex, unused_bit_set},
    hpke,
    job::{CREATED_MS, Job, id},
    jws::Signer,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = taken();
    cases.extend(unsupported());
    cases.extend(bad_values());
    cases.extend(bad_times());
    cases.extend(bad_texts());
    cases.extend(elsewhere());
    cases
}

fn ok(name: &str, about: &str, job: &str) -> Case {
    Case::ok("job", name, about).with("job", job).with("id", id(job))
}

fn bad(name: &str, verdict: &str, fault: &str, because: &str, job: &str) -> Case {
    Case::not_ok("job", name, verdict, fault, because).with("job", job)
}

fn bad_request(name: &str, fault: &str, because: &str, job: &Job) -> Case {
    bad(name, "bad_request", fault, because, &job.text())
}

fn taken() -> Vec<Case> {
    let job = Job::new();
    let full = Job::new()
        .set("client", format!("\"{}\"", Signer::new("owner").thumbprint()))
        .set("label", "\"invoice 4711 \\u20ac\"")
        .set("psk_id", "\"team key 1\"")
        .set("input", format!("\"{}\"", b64u(hash([fixed("salt"), hash(b"payload")].concat()))))
        .set("crit", r#"["label","input","psk_id","crit"]"#);
    let limits = Job::new()
        .set("worker", format!("\"{}\"", "w-9".repeat(21) + "0"))
        .set("label", format!("\"{}\"", "\u{e4}".repeat(512)))
        .set("psk_id", format!("\"{}\"", "p".repeat(256)))
        .set("reply", format!("\"subrosa.v1.client.{}\"", "Az09".repeat(16)))
        .set("expires_ms", (CREATED_MS + DAY_MS).to_string())
        .set("timeout_ms", DAY_MS.to_string())
        .set("max_attempts", "10");
    let spaced = job.text().replace(',', " ,\n\t").replace("\"v\":1", "\"v\" : 1").replace('}', "\r\n}\n");
    let escaped = job.text().replace("\"worker\"", r#""\u0077orker""#).replace("x25519", r"\u00782551\u0039");
    let unknown = job.clone().add("future", "{\"v\":[1.5e300,-1,null,true],\"worker\":\"\\ud83c\\udf39\"}");
    let deep = job.clone().add("future", "[".repeat(15) + &"]".repeat(15));
    let elsewhere = job.clone().set("reply", "\"acme-dev_2.v1.client.AliceAliceAlice01\"").text();
    vec![
        ok("minimal", "All members that have to be there.", &job.text()),
        ok("full", "Every member of the table.", &full.text()),
        ok("longest", "Every limit of length and number, reached and not passed.", &limits.text()),
        ok(
            "instant",
            "`expires_ms` may be `created_ms`.",
            &job.clone().set("expires_ms", CREATED_MS.to_string()).text(),
        ),
        ok("spaced", "White space is part of the bytes, and so of the id.", &spaced),
        ok("escaped", "Names and values may be written with escapes.", &escaped),
        ok("unknown_member", "Members that are not known are ignored, whatever is in them.", &unknown.text()),
        ok("depth_16", "The job's object and 15 arrays in it.", &deep.text()),
        ok(
            "noncharacter",
            "Noncharacters are not looked for.",
            &job.clone().set("label", "\"\u{ffff}\\uffff\"").text(),
        ),
        ok(
            "client_key_small_order",
            "A job does not vouch for its key: the session shows that it is none (see session/).",
            &job.clone().set("client_key", format!("\"{}\"", b64u([0; 32]))).text(),
        ),
        ok("namespace", "The reply prefix begins with the namespace.", &elsewhere)
            .with("namespace", "acme-dev_2"),
    ]
}

fn unsupported() -> Vec<Case> {
    let job = Job::new();
    let unsupported = |name, fault, because, job: &Job| bad(name, "unsupported", fault, because, &job.text());
    let x_wing = job.clone().set("suite", "\"x-wing\"").set("client_key", format!("\"{}\"", b64u([7; 1216])));
    vec![
        unsupported("version_2", "v", "Another version may mean anything.", &job.clone().set("v", "2")),
        unsupported(
            "version_first",
            "v",
            "`v` is judged before all else: the rest is another version's.",
            &Job::new().set("v", "2").set("worker", "7").without("reply").set("crit", "7"),
        ),
        unsupported("suite", "suite", "`x-wing` is reserved.", &x_wing),
        unsupported(
            "suite_first",
            "suite",
            "`suite` is judged before the other members.",
            &job.clone().set("suite", "\"x448\"").set("created_ms", "\"now\""),
        ),
        bad_request(
            "suite_beside_bad_crit",
            "crit",
            "Both have to be what they should be before what they say counts.",
            &job.clone().set("suite", "\"x448\"").set("crit", "[1]"),
        ),
        unsupported(
            "crit",
            "crit",
            "A member that has to be understood is not.",
            &job.clone().set("crit", r#"["label","deadline"]"#).add("deadline", "1"),
        ),
        unsupported(
            "crit_first",
            "crit",
            "`crit` is judged before the other members.",
            &job.clone().set("crit", r#"["deadline"]"#).without("close"),
        ),
    ]
}

fn bad_values() -> Vec<Case> {
    let job = Job::new();
    let with = |name: &str, value: &str| job.clone().set(name, value);
    let key = b64u(hpke::public(&fixed("client key")));
    let close = b64u(hash(hash(fixed("close token"))));
    let thumbprint = Signer::new("owner").thumbprint();
    let case = |name, member, because, value: &str| bad_request(name, member, because, &with(member, value));
    vec![
        bad_request("version_missing", "v", "`v` has to be there.", &job.clone().without("v")),
        bad_request("suite_missing", "suite", "`suite` has to be there.", &job.clone().without("suite")),
        bad_request("cancel_missing", "cancel", "`cancel` has to be there.", &job.clone().without("cancel")),
        case("version_fraction", "v", "An integer has no fraction.", "1.0"),
        case("crit_text", "crit", "`crit` is an array.", "\"label\""),
        case("crit_null", "crit", "An optional member is left out, never null.", "null"),
        case("crit_number", "crit", "`crit` has strings.", "[1]"),
        case("worker_empty", "worker", "A worker's name has 1 to 64 characters.", "\"\""),
        case("worker_upper_case", "worker", "A worker's name is in lower case.", "\"Echo\""),
        case("worker_dot", "worker", "A name with a dot would be two tokens of a subject.", "\"echo.x\""),
        case(
            "worker_long",
            "worker",
            "A worker's name has 1 to 64 characters.",
            &format!("\"{}\"", "a".repeat(65)),
        ),
        case(
            "client_short",
            "client",
            "A thumbprint has 43 characters.",
            &format!("\"{}\"", &thumbprint[..42]),
        ),
        case("client_null", "client", "An optional member is left out, never null.", "null"),
        case(
            "label_long",
            "label",
            "A label has at most 1024 bytes, however few characters.",
            &format!("\"{}a\"", "\u{e4}".repeat(512)),
        ),
        case("label_number", "label", "A label is a string.", "7"),
        case(
            "client_key_short",
            "client_key",
            "An X25519 key has 32 bytes.",
            &format!("\"{}\"", b64u([9; 31])),
        ),
        case(
            "client_key_long",
            "client_key",
            "An X25519 key has 32 bytes.",
            &format!("\"{}\"", b64u([9; 33])),
        ),
        case(
            "client_key_unused_bits",
            "client_key",
            "Unused bits of base64url are zero: a value has one spelling.",
            &format!("\"{}\"", unused_bit_set(&key)),
        ),
        case("client_key_padded", "client_key", "Base64url comes without padding.", &format!("\"{key}=\"")),
        case(
            "client_key_base64",
            "client_key",
            "`+` and `/` belong to the other alphabet.",
            &format!("\"{}\"", b64u([0xFB; 32]).replace('-', "+")),
        ),
        case("close_short", "close", "A hash has 32 bytes.", &format!("\"{}\"", b64u([9; 31]))),
        case(
            "close_unused_bits",
            "close",
            "Unused bits of base64url are zero.",
            &format!("\"{}\"", unused_bit_set(&close)),
        ),
        case("input_null", "input", "An optional member is left out, never null.", "null"),
        case("psk_id_empty", "psk_id", "The name of a psk has 1 to 256 bytes.", "\"\""),
        case(
            "psk_id_long",
            "psk_id",
            "The name of a psk has 1 to 256 bytes.",
            &format!("\"{}\"", "p".repeat(257)),
        ),
        case(
            "reply_elsewhere",
            "reply",
            "Nobody lets himself be sent to publish elsewhere.",
            "\"subrosa.v1.record.AliceAliceAlice01\"",
        ),
        case(
            "reply_namespace",
            "reply",
            "The prefix is of another namespace.",
            "\"acme.v1.client.AliceAliceAlice01\"",
        ),
        case(
            "reply_short",
            "reply",
            "A token that can be guessed is none.",
            "\"subrosa.v1.client.AliceAlice01234\"",
        ),
        case(
            "reply_long",
            "reply",
            "A token has at most 64 characters.",
            &format!("\"subrosa.v1.client.{}\"", "a".repeat(65)),
        ),
        case("reply_wildcard", "reply", "A wildcard is no token.", "\"subrosa.v1.client.*\""),
        case(
            "reply_two_tokens",
            "reply",
            "The prefix has one token after `client`.",
            "\"subrosa.v1.client.AliceAliceAlice01.ended\"",
        ),
    ]
}

fn bad_times() -> Vec<Case> {
    let case = |name, member, because, value: &str| {
        bad_request(name, member, because, &Job::new().set(member, value))
    };
    vec![
        case("created_fraction", "created_ms", "An integer has no fraction.", "1800000000000.0"),
        case("created_exponent", "created_ms", "An integer has no exponent.", "18e11"),
        case("created_negative", "created_ms", "Integers begin at 0.", "-1"),
        case("created_minus_zero", "created_ms", "An integer has no sign.", "-0"),
        case(
            "created_huge",
            "created_ms",
            "2^53 is not a number that every reader reads alike.",
            "9007199254740992",
        ),
        case("created_string", "created_ms", "A number is not a string.", "\"1800000000000\""),
        case(
            "expires_before_created",
            "expires_ms",
            "A job does not expire before it is made.",
            &(CREATED_MS - 1).to_string(),
        ),
        case(
            "expires_late",
            "expires_ms",
            "A job waits at most 24 h.",
            &(CREATED_MS + DAY_MS + 1).to_string(),
        ),
        case("timeout_zero", "timeout_ms", "A run has at least 1 ms.", "0"),
        case("timeout_long", "timeout_ms", "A run has at most 24 h.", &(DAY_MS + 1).to_string()),
        case("attempts_none", "max_attempts", "There is at least one attempt.", "0"),
        case("attempts_many", "max_attempts", "There are at most 10 attempts.", "11"),
        case("attempts_wrapping", "max_attempts", "65537 is not 1.", "65537"),
    ]
}

fn bad_texts() -> Vec<Case> {
    let job = Job::new();
    let json = |name, because, job: &Job| bad_request(name, "json", because, job);
    let text = |name, because, text: &str| bad(name, "bad_request", "json", because, text);
    let with_bytes = |name, because, bytes: &[u8]| {
        Case::not_ok("job", name, "bad_request", "json", because).with("job_hex", hex(bytes))
    };
    let invalid = [job.text().trim_end_matches('}').as_bytes(), b",\"x\":\"\xff\"}"].concat();
    let surrogate = [job.text().trim_end_matches('}').as_bytes(), b",\"x\":\"\xed\xa0\x80\"}"].concat();
    vec![
        json(
            "duplicate",
            "Readers differ in which of two members they take.",
            &job.clone().add("worker", "\"other\""),
        ),
        json("duplicate_same", "Twice is twice, also with one value.", &job.clone().add("v", "1")),
        json(
            "duplicate_escaped",
            "`worker` and `\\u0077orker` are one name.",
            &job.clone().add("\\u0077orker", "\"other\""),
        ),
        json(
            "duplicate_inside",
            "Every object of the text counts, also one that nobody reads.",
            &job.clone().add("future", r#"[{"a":1,"a":1}]"#),
        ),
        json(
            "lone_surrogate",
            "A lone surrogate is no character.",
            &job.clone().add("future", "\"\\ud83c\""),
        ),
        json(
            "lone_surrogate_name",
            "A lone surrogate is no character, in names too.",
            &job.clone().add("\\udf39", "1"),
        ),
        json(
            "surrogates_swapped",
            "A low surrogate before a high one is two lone ones.",
            &job.clone().set("label", "\"\\udf39\\ud83c\""),
        ),
        json(
            "depth_17",
            "The job's object and 16 arrays in it.",
            &job.clone().add("future", "[".repeat(16) + &"]".repeat(16)),
        ),
        json("number_out_of_range", "No reader has a double for it.", &job.clone().add("future", "1e400")),
        json("leading_zero", "That is not JSON.", &job.clone().set("max_attempts", "03")),
        json("not_a_number", "That is not JSON.", &job.clone().add("future", "NaN")),
        json("control_character", "Control characters are escaped.", &job.clone().set("label", "\"a\tb\"")),
        text("trailing", "Nothing follows the end.", &(job.text() + "{}")),
        text("trailing_comma", "That is not JSON.", &job.text().replace('}', ",}")),
        text("byte_order_mark", "A byte order mark is not JSON.", &format!("\u{feff}{}", job.text())),
        text("empty", "That is not JSON.", ""),
        bad(
            "array",
            "bad_request",
            "object",
            "A job is an object, and not its values in some order.",
            "[1,\"echo\"]",
        ),
        with_bytes("not_utf_8", "JSON is UTF-8.", &invalid),
        with_bytes("surrogate_bytes", "An encoded surrogate is not UTF-8.", &surrogate),
        Case::not_ok("job", "deep_bomb", "bad_request", "json", "No reader's stack may depend on the text.")
            .with(
                "job",
                json!([
                    job.text().trim_end_matches('}').to_owned() + ",\"x\":",
                    repeat("[", 20_000),
                    repeat("]", 20_000),
                    "}"
                ]),
            ),
    ]
}

/// The job is what its subject says, or it is not run.
fn elsewhere() -> Vec<Case> {
    let job = Job::new().text();
    let subject = |worker: &str, id: &str| format!("subrosa.v1.queue.{worker}.{id}");
    let other = id(Job::new().set("max_attempts", "4").text());
    vec![
        ok("subject", "The subject names the job and its worker.", &job)
            .with("subject", subject("echo", &id(&job))),
        bad(
            "subject_of_another_job",
            "wrong_subject",
            "id",
            "The hash of the bytes is not the id in the subject.",
            &job,
        )
        .with("subject", subject("echo", &other)),
        bad(
            "subject_in_upper_case",
            "wrong_subject",
            "id",
            "Hexadecimal is in lower case: there is one id.",
            &job,
        )
        .with("subject", subject("echo", &id(&job).to_uppercase())),
        bad("subject_of_another_worker", "wrong_subject", "worker", "The job is for another worker.", &job)
            .with("subject", subject("prove", &id(&job))),
    ]
}
