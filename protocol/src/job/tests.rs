use serde_json::{Map, Value, json};

use super::*;
use crate::encoding::hex;

const NOW_MS: u64 = 1_800_000_000_000;
const REPLY: &str = "subrosa.v1.client.AliceAliceAlice01";

/// Every member that has to be there.
const REQUIRED: [&str; 11] = [
    "v",
    "worker",
    "suite",
    "client_key",
    "reply",
    "created_ms",
    "expires_ms",
    "timeout_ms",
    "max_attempts",
    "cancel",
    "close",
];
const OPTIONAL: [&str; 4] = ["client", "label", "psk_id", "input"];

fn description() -> Description {
    Description {
        worker: "echo".parse().unwrap(),
        client: None,
        label: None,
        client_key: [9; 32].as_slice().try_into().unwrap(),
        psk_id: None,
        reply: Namespace::default().parse_reply(REPLY).unwrap(),
        created_ms: NOW_MS,
        expires_ms: NOW_MS + 60_000,
        timeout_ms: 60_000,
        max_attempts: 3,
        cancel: Sha256Hash([1; 32]),
        close: Sha256Hash([2; 32]),
        input: None,
    }
}

fn full() -> Description {
    Description {
        client: Some(b64u([3; 32]).parse().unwrap()),
        label: Some("a label".to_owned()),
        psk_id: Some("a psk".to_owned()),
        input: Some(Sha256Hash([4; 32])),
        ..description()
    }
}

fn members(description: Description) -> Map<String, Value> {
    serde_json::from_slice(Job::new(description).unwrap().bytes()).unwrap()
}

fn parse(members: &Map<String, Value>) -> Result<Job, JobError> {
    Job::parse(serde_json::to_vec(members).unwrap(), &Namespace::default())
}

/// The full job with one member changed.
fn with(member: &str, value: Value) -> Result<Job, JobError> {
    let mut members = members(full());
    members.insert(member.to_owned(), value);
    parse(&members)
}

/// Whether the job is refused because of this member.
fn blames(result: Result<Job, JobError>, expected: &str) -> bool {
    matches!(result, Err(JobError::Invalid { member, .. }) if member == expected)
}

fn is_invalid_json(result: Result<Job, JobError>) -> bool {
    matches!(result, Err(JobError::Json(JsonError::Invalid { .. })))
}

#[test]
fn what_is_written_is_read() {
    for description in [description(), full()] {
        let job = Job::new(description).unwrap();
        let read = Job::parse(job.bytes().to_vec(), &Namespace::default()).unwrap();
        assert_eq!(read.id(), job.id());
        assert_eq!(read.bytes(), job.bytes());
        assert_eq!(format!("{:?}", read.description()), format!("{:?}", job.description()));
    }
}

#[test]
fn a_job_is_written_as_documented() {
    let text = String::from_utf8(Job::new(full()).unwrap().bytes().to_vec()).unwrap();
    let of = |byte: u8| b64u([byte; 32]);
    let expected = format!(
        concat!(
            r#"{{"v":1,"worker":"echo","client":"{}","label":"a label","suite":"x25519","client_key":"{}","#,
            r#""psk_id":"a psk","reply":"{}","created_ms":1800000000000,"expires_ms":1800000060000,"#,
            r#""timeout_ms":60000,"max_attempts":3,"cancel":"{}","close":"{}","input":"{}"}}"#
        ),
        of(3),
        of(9),
        REPLY,
        of(1),
        of(2),
        of(4)
    );
    assert_eq!(text, expected);
}

#[test]
fn the_id_is_the_hash_of_the_bytes_as_they_are() {
    let job = Job::new(description()).unwrap();
    let mut spaced = job.bytes().to_vec();
    spaced.push(b' ');
    let other = Job::parse(spaced, &Namespace::default()).unwrap();
    assert_ne!(other.id(), job.id());
    assert_eq!(other.id().to_string(), hex(Sha256Hash::of(other.bytes()).0));
    assert_eq!(other.info(), [b"subrosa/1".as_slice(), other.id().as_bytes()].concat());
}

#[test]
fn a_missing_member_is_named() {
    for member in REQUIRED {
        let mut members = members(full());
        members.remove(member).unwrap();
        let error = parse(&members).unwrap_err();
        assert_eq!(error, JobError::Json(JsonError::Missing { member: member.to_owned() }));
        assert_eq!(error.to_string(), format!("the job has no member `{member}`"));
        assert_eq!(error.code(), Code::BadRequest);
    }
    for member in OPTIONAL {
        let mut members = members(full());
        members.remove(member).unwrap();
        assert!(parse(&members).is_ok(), "{member}");
    }
}

#[test]
fn null_is_not_absent_and_no_value() {
    for member in REQUIRED.into_iter().chain(OPTIONAL) {
        let result = with(member, Value::Null);
        assert!(is_invalid_json(result), "{member}");
    }
}

#[test]
fn a_job_is_an_object() {
    let values: Vec<Value> = members(full()).into_iter().map(|(_, value)| value).collect();
    for text in [json!(values), json!([1]), json!([]), json!(null), json!("v")] {
        assert!(is_invalid_json(Job::parse(text.to_string().into_bytes(), &Namespace::default())), "{text}");
    }
}

#[test]
fn a_member_that_stands_twice_refuses_the_job() {
    for member in REQUIRED.into_iter().chain(OPTIONAL).chain(["unknown"]) {
        let mut members = members(full());
        members.insert("unknown".to_owned(), json!([1]));
        let text = serde_json::to_string(&members).unwrap();
        let again = format!("{},\"{member}\":{}}}", &text[..text.len() - 1], members[member]);
        let error = Job::parse(again.into_bytes(), &Namespace::default()).unwrap_err();
        assert_eq!(error, JobError::Json(JsonError::Duplicate { member: member.to_owned() }));
    }
}

#[test]
fn unknown_members_are_ignored() {
    assert!(with("new", json!({"a": [1, 2.5]})).is_ok());
}

#[test]
fn another_version_or_suite_is_unsupported() {
    for (member, value) in [
        ("v", json!(0)),
        ("v", json!(2)),
        ("suite", json!("x-wing")),
        ("suite", json!("")),
        ("suite", json!("X25519")),
        ("suite", json!("p256")),
    ] {
        let error = with(member, value.clone()).unwrap_err();
        assert!(matches!(error, JobError::Unsupported { .. }), "{member} {value}: {error}");
        assert_eq!(error.code(), Code::Unsupported);
    }
    for (member, value) in [("v", json!("1")), ("v", json!(1.0)), ("suite", json!(1))] {
        assert!(is_invalid_json(with(member, value)), "{member}");
    }
}

#[test]
fn another_version_is_unsupported_whatever_else_it_changes() {
    let text = br#"{"v":2,"suite":{"kem":1},"crit":"none"}"#.to_vec();
    let error = Job::parse(text, &Namespace::default()).unwrap_err();
    assert_eq!(error.code(), Code::Unsupported);
}

#[test]
fn an_x_wing_job_is_unsupported_and_not_malformed() {
    let mut members = members(description());
    members.insert("suite".to_owned(), json!("x-wing"));
    members.insert("client_key".to_owned(), json!(b64u([1; 1216])));
    assert_eq!(parse(&members).unwrap_err(), JobError::Unsupported { what: "another suite" });
}

#[test]
fn critical_members_must_be_understood() {
    assert!(with("crit", json!([])).is_ok());
    assert!(with("crit", json!(UNDERSTOOD)).is_ok());
    for crit in [json!(["new"]), json!(["v", "new"]), json!([""])] {
        assert_eq!(with("crit", crit).unwrap_err(), JobError::Unsupported { what: "a critical member" });
    }
    for crit in [json!("v"), json!([1]), json!({"v": true}), json!(null)] {
        assert!(is_invalid_json(with("crit", crit.clone())), "{crit}");
    }
}

#[test]
fn the_clients_key_has_32_bytes() {
    for length in [0, 31, 33, 1216] {
        let error = with("client_key", json!(b64u(vec![9; length]))).unwrap_err();
        let rule = format!("has {length} bytes, expected 32");
        assert_eq!(error, JobError::Invalid { member: "client_key", rule });
    }
    for text in
        [format!("{}=", b64u([9; 32])), b64u([0xFF; 32]).replace('_', "/"), hex([9; 32]), " ".to_owned()]
    {
        assert!(blames(with("client_key", json!(text)), "client_key"), "{text}");
    }
}

#[test]
fn hashes_have_32_bytes() {
    for member in ["cancel", "close", "input", "client"] {
        for length in [0, 31, 33] {
            assert!(is_invalid_json(with(member, json!(b64u(vec![9; length])))), "{member} {length}");
        }
        assert!(is_invalid_json(with(member, json!(7))), "{member}");
    }
}

#[test]
fn names_and_subjects_are_those_of_the_protocol() {
    for name in ["", "a.b", "*", "Echo", &"a".repeat(65)] {
        assert!(is_invalid_json(with("worker", json!(name))), "{name}");
    }
    for reply in [
        "",
        "_INBOX.a",
        "subrosa.v1.client.short",
        "subrosa.v1.client.*",
        "other.v1.client.AliceAliceAlice01",
    ] {
        assert!(blames(with("reply", json!(reply)), "reply"), "{reply}");
    }
    assert!(blames(with("reply", json!(format!("{REPLY}.x"))), "reply"));
}

#[test]
fn limits_hold_at_and_beyond() {
    let text = |length: usize| json!("x".repeat(length));
    let ok = [
        ("label", text(0)),
        ("label", text(MAX_LABEL_BYTES)),
        ("psk_id", text(1)),
        ("psk_id", text(MAX_PSK_ID_BYTES)),
        ("expires_ms", json!(NOW_MS)),
        ("expires_ms", json!(NOW_MS + MAX_SPAN_MS)),
        ("created_ms", json!(NOW_MS + 60_000)),
        ("timeout_ms", json!(1)),
        ("timeout_ms", json!(MAX_SPAN_MS)),
        ("max_attempts", json!(1)),
        ("max_attempts", json!(10)),
    ];
    for (member, value) in ok {
        assert!(with(member, value.clone()).is_ok(), "{member} {value}");
    }
    let refused = [
        ("label", text(MAX_LABEL_BYTES + 1), "label"),
        ("psk_id", text(0), "psk_id"),
        ("psk_id", text(MAX_PSK_ID_BYTES + 1), "psk_id"),
        ("expires_ms", json!(NOW_MS - 1), "expires_ms"),
        ("expires_ms", json!(NOW_MS + MAX_SPAN_MS + 1), "expires_ms"),
        ("created_ms", json!(NOW_MS + 60_001), "expires_ms"),
        ("created_ms", json!(0), "expires_ms"),
        ("timeout_ms", json!(0), "timeout_ms"),
        ("timeout_ms", json!(MAX_SPAN_MS + 1), "timeout_ms"),
        ("max_attempts", json!(0), "max_attempts"),
        ("max_attempts", json!(11), "max_attempts"),
        ("max_attempts", json!(65_537), "max_attempts"),
        ("max_attempts", json!(Int::MAX.get()), "max_attempts"),
    ];
    for (member, value, blamed) in refused {
        assert!(blames(with(member, value.clone()), blamed), "{member} {value}");
    }
}

#[test]
fn labels_are_measured_in_bytes() {
    assert!(with("label", json!("ä".repeat(MAX_LABEL_BYTES / 2))).is_ok());
    assert!(blames(with("label", json!("ä".repeat(MAX_LABEL_BYTES / 2 + 1))), "label"));
}

#[test]
fn times_are_integers() {
    for member in ["created_ms", "expires_ms", "timeout_ms", "max_attempts"] {
        for value in [json!(-1), json!(1.5), json!("1"), json!(Int::MAX.get() + 1), json!(u64::MAX)] {
            assert!(is_invalid_json(with(member, value.clone())), "{member} {value}");
        }
    }
}

#[test]
fn a_job_that_would_be_refused_is_not_written() {
    let long = "x".repeat(MAX_LABEL_BYTES + 1);
    assert!(blames(Job::new(Description { label: Some(long), ..description() }), "label"));
    assert!(blames(Job::new(Description { max_attempts: 0, ..description() }), "max_attempts"));
    let far = u64::MAX - 10;
    assert!(blames(
        Job::new(Description { created_ms: far, expires_ms: far, ..description() }),
        "created_ms"
    ));
    let job = Job::new(Description { expires_ms: NOW_MS - 1, ..description() });
    assert!(blames(job, "expires_ms"));
}

#[test]
fn a_job_expires_when_every_clock_says_so() {
    let job = Job::new(description()).unwrap();
    let last = job.description().expires_ms + CLOCK_TOLERANCE_MS;
    assert!(!job.expired(0));
    assert!(!job.expired(last));
    assert!(job.expired(last + 1));
    assert!(job.expired(u64::MAX));
}
