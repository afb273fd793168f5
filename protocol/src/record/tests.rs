use serde_json::{Map, Value, json};

use super::*;
use crate::{identity::Role, secret::Secret};

const AT_MS: u64 = 1_800_000_000_000;
const NAMES: [&str; 8] =
    ["queued", "taken", "running", "finished", "closed", "failed", "cancelled", "expired"];

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::take(&mut [seed; 32]))
}

fn launcher() -> SigningKey {
    key(1)
}

fn worker() -> SigningKey {
    key(2)
}

/// A worker of another name.
fn other_worker() -> SigningKey {
    key(3)
}

fn name() -> WorkerName {
    "echo".parse().unwrap()
}

fn trust() -> Trust {
    Trust::default()
        .with_key(launcher().public(), Role::Launcher, None)
        .with_key(worker().public(), Role::Worker, Some(vec![name()]))
        .with_key(other_worker().public(), Role::Worker, Some(vec!["other".parse().unwrap()]))
        .with_key(key(4).public(), Role::Authority, None)
}

fn job() -> JobId {
    JobId::of(b"job")
}

fn instance() -> Instance {
    b64u([5; 16]).parse().unwrap()
}

fn events() -> Vec<Event> {
    let reason = || Reason::new("client_gone", "the client could not be reached");
    let ms = |ms| Some(Int::try_from(AT_MS + ms).unwrap());
    let times =
        Times { taken_ms: ms(1), options_ms: ms(2), payload_ms: ms(3), done_ms: ms(4), closed_ms: ms(5) };
    vec![
        Event::Queued { request: b"{}".to_vec() },
        Event::Taken { instance: instance() },
        Event::Running { instance: instance() },
        Event::Finished,
        Event::Closed { close: [7; 32], times },
        Event::Closed { close: [7; 32], times: Times::default() },
        Event::Failed(reason()),
        Event::Cancelled { cancel: Some([8; 32]), reason: reason() },
        Event::Cancelled { cancel: None, reason: reason() },
        Event::Expired(reason()),
    ]
}

fn record(event: Event) -> Record {
    let attempt = if matches!(event, Event::Queued { .. }) { 0 } else { 2 };
    Record { job: job(), at_ms: AT_MS, attempt, prev: Some(Sha256Hash([6; 32])), event }
}

fn verify(bytes: &[u8]) -> Result<Verified, RecordError> {
    Record::verify(bytes, &job(), &name(), &trust())
}

/// Who may write the event.
fn signer(event: &Event) -> SigningKey {
    if matches!(event, Event::Queued { .. }) { launcher() } else { worker() }
}

fn members(record: &Record) -> Map<String, Value> {
    let jws = identity::verify_compact(Typ::Record, &record.sign(&worker()), MAX_RECORD_BYTES).unwrap();
    serde_json::from_slice(&jws.payload).unwrap()
}

/// A record with its JSON changed, and then signed by somebody who may.
fn changed(record: &Record, change: impl FnOnce(&mut Map<String, Value>)) -> Result<Record, RecordError> {
    let mut members = members(record);
    change(&mut members);
    let payload = serde_json::to_vec(&members).unwrap();
    let jws = identity::sign_compact(&signer(&record.event), Typ::Record, &payload);
    verify(jws.as_bytes()).map(|verified| verified.record)
}

#[test]
fn every_event_is_read_as_it_was_written() {
    for event in events() {
        for prev in [None, Some(Sha256Hash([6; 32]))] {
            let record = Record { prev, ..record(event.clone()) };
            let key = signer(&event);
            let verified = verify(&record.sign(&key)).unwrap();
            assert_eq!(verified.record, record);
            assert_eq!(verified.signer, key.thumbprint());
            assert_eq!(Record::read_unverified(&record.sign(&key)), Ok(record));
        }
    }
    let names: std::collections::BTreeSet<_> = events().iter().map(Event::name).collect();
    assert_eq!(names, NAMES.into(), "an event is not tried here");
}

#[test]
fn the_time_in_a_record_is_found_without_verifying_it_again() {
    for event in events() {
        let signer = signer(&event);
        assert_eq!(Record::time_in(&record(event).sign(&signer)), Some(AT_MS));
    }
    for bytes in [&b""[..], b"a.b.c", b"a.e30.c", &[b'.'; 8]] {
        assert_eq!(Record::time_in(bytes), None);
    }
}

#[test]
fn a_record_is_written_as_documented() {
    let taken = record(Event::Taken { instance: instance() });
    let jws = identity::verify_compact(Typ::Record, &taken.sign(&worker()), MAX_RECORD_BYTES).unwrap();
    let expected = format!(
        r#"{{"job":"{}","event":"taken","at_ms":1800000000000,"attempt":2,"prev":"{}","instance":"{}"}}"#,
        job(),
        b64u([6; 32]),
        b64u([5; 16])
    );
    assert_eq!(String::from_utf8(jws.payload).unwrap(), expected);
    let queued = Record { prev: None, ..record(Event::Queued { request: vec![] }) };
    assert_eq!(members(&queued)["prev"], Value::Null);
}

#[test]
fn only_who_may_write_an_event_does() {
    for event in events() {
        let is_ending = matches!(event.name(), "closed" | "failed" | "cancelled" | "expired");
        let is_queued = event.name() == "queued";
        for (signer, may) in [
            (launcher(), is_queued || is_ending),
            (worker(), !is_queued),
            (other_worker(), false),
            (key(4), false),
            (key(9), false),
        ] {
            let result = verify(&record(event.clone()).sign(&signer));
            match result {
                Ok(_) => assert!(may, "{} by {signer:?}", event.name()),
                Err(error) => {
                    assert!(!may, "{} by {signer:?}", event.name());
                    assert!(matches!(error, RecordError::Signer(_)), "{error}");
                }
            }
        }
    }
}

#[test]
fn a_record_of_another_job_does_not_count() {
    let bytes = record(Event::Finished).sign(&worker());
    let result = Record::verify(&bytes, &JobId::of(b"other"), &name(), &trust());
    assert_eq!(result.unwrap_err(), RecordError::AnotherJob);
}

#[test]
fn a_record_for_another_worker_does_not_count() {
    let bytes = record(Event::Finished).sign(&worker());
    let result = Record::verify(&bytes, &job(), &"other".parse().unwrap(), &trust());
    assert!(matches!(result.unwrap_err(), RecordError::Signer(Untrusted::Worker { .. })));
}

#[test]
fn every_changed_byte_is_noticed() {
    let bytes = record(Event::Finished).sign(&worker());
    for at in 0..bytes.len() {
        for flip in [1, 0x20] {
            let mut forged = bytes.clone();
            forged[at] ^= flip;
            assert!(verify(&forged).is_err(), "byte {at}");
        }
    }
    for length in 0..bytes.len() {
        assert!(verify(&bytes[..length]).is_err(), "{length} bytes");
    }
    for more in [&b"A"[..], b".", b" ", b"\n"] {
        assert!(verify(&[&bytes, more].concat()).is_err());
    }
}

#[test]
fn a_signature_for_another_use_is_no_record() {
    let payload = serde_json::to_vec(&members(&record(Event::Finished))).unwrap();
    for typ in [Typ::Job, Typ::Worker, Typ::Receipt, Typ::Cert] {
        let jws = identity::sign_compact(&worker(), typ, &payload);
        let expected = JwsError::WrongType { expected: Typ::Record };
        assert_eq!(verify(jws.as_bytes()).unwrap_err(), RecordError::Signature(expected));
    }
}

#[test]
fn a_missing_member_is_named() {
    for event in events() {
        let record = record(event);
        for member in ["job", "event", "at_ms", "attempt", "prev"] {
            let error = changed(&record, |members| drop(members.remove(member))).unwrap_err();
            assert_eq!(error, RecordError::Json(JsonError::Missing { member: member.to_owned() }));
        }
        let own: &[&'static str] = match record.event {
            Event::Queued { .. } => &["request"],
            Event::Taken { .. } | Event::Running { .. } => &["instance"],
            Event::Finished => &[],
            Event::Closed { .. } => &["close"],
            Event::Failed(_) | Event::Cancelled { .. } | Event::Expired(_) => &["code"],
        };
        for member in own {
            let error = changed(&record, |members| drop(members.remove(*member))).unwrap_err();
            assert_eq!(error, RecordError::Invalid(member));
        }
    }
}

#[test]
fn what_may_be_absent_may_not_be_null() {
    for event in events() {
        let record = record(event);
        for member in members(&record).keys().filter(|member| *member != "prev") {
            let error =
                changed(&record, |members| drop(members.insert(member.clone(), Value::Null))).unwrap_err();
            assert!(matches!(error, RecordError::Json(JsonError::Invalid { .. })), "{member}: {error}");
        }
    }
}

#[test]
fn a_reason_may_be_silent() {
    let failed = record(Event::Failed(Reason::new("timeout", "")));
    let read = changed(&failed, |members| drop(members.remove("reason"))).unwrap();
    assert_eq!(read, failed);
}

#[test]
fn reasons_are_cut_when_written_and_limited_when_read() {
    let reason = Reason::new(&"c".repeat(100), &"ä".repeat(1000));
    assert_eq!((reason.code.len(), reason.text.len()), (MAX_CODE_BYTES, MAX_REASON_BYTES));
    let failed = record(Event::Failed(reason));
    assert_eq!(changed(&failed, |_| ()).unwrap(), failed);
    for (member, length) in [("code", MAX_CODE_BYTES + 1), ("code", 0), ("reason", MAX_REASON_BYTES + 1)] {
        let text = json!("x".repeat(length));
        let error = changed(&failed, |members| drop(members.insert(member.to_owned(), text))).unwrap_err();
        assert_eq!(error, RecordError::Invalid(member));
    }
}

#[test]
fn attempts_fit_their_events() {
    for event in events() {
        let name = event.name();
        let (lowest, highest) = match name {
            "queued" => (0, 0),
            "taken" | "running" | "finished" => (1, 10),
            _ => (0, 10),
        };
        let record = record(event);
        for attempt in [0, 1, 2, 10, 11, 65_535, 65_536, 65_537, Int::MAX.get()] {
            let result =
                changed(&record, |members| drop(members.insert("attempt".to_owned(), json!(attempt))));
            if (lowest..=highest).contains(&attempt) {
                assert_eq!(u64::from(result.unwrap().attempt), attempt, "{name} {attempt}");
            } else {
                assert_eq!(result.unwrap_err(), RecordError::Invalid("attempt"), "{name} {attempt}");
            }
        }
    }
}

#[test]
fn unknown_events_are_refused() {
    for name in ["", "Taken", "taken ", "paused"] {
        let unknown = |members: &mut Map<String, Value>| {
            members.insert("event".to_owned(), json!(name));
        };
        let error = changed(&record(Event::Finished), unknown).unwrap_err();
        assert_eq!(error, RecordError::Invalid("event"));
    }
}

#[test]
fn unknown_members_are_ignored() {
    let read =
        changed(&record(Event::Finished), |members| drop(members.insert("new".to_owned(), json!([1]))));
    assert_eq!(read.unwrap(), record(Event::Finished));
}

#[test]
fn members_have_their_types() {
    let cases = [
        ("job", json!("00")),
        ("job", json!(job().to_string().to_uppercase())),
        ("at_ms", json!(-1)),
        ("at_ms", json!(1.5)),
        ("at_ms", json!("1")),
        ("attempt", json!("1")),
        ("prev", json!("AA")),
        ("prev", json!(false)),
        ("instance", json!(b64u([0; 15]))),
        ("times", json!([1, 2])),
        ("times", json!({"taken_ms": -1})),
        ("close", json!(b64u([0; 31]))),
    ];
    for (member, value) in cases {
        let shown = value.to_string();
        let error =
            changed(&record(Event::Finished), |members| drop(members.insert(member.to_owned(), value)))
                .unwrap_err();
        assert!(matches!(error, RecordError::Json(JsonError::Invalid { .. })), "{member} {shown}: {error}");
    }
    let queued = record(Event::Queued { request: vec![] });
    let error =
        changed(&queued, |members| drop(members.insert("request".to_owned(), json!("*")))).unwrap_err();
    assert_eq!(error, RecordError::Invalid("request"));
}

#[test]
fn the_largest_launch_request_fits_a_record() {
    let queued = record(Event::Queued { request: vec![0xFF; MAX_REQUEST_BYTES] });
    let bytes = queued.sign(&launcher());
    assert!(bytes.len() <= MAX_RECORD_BYTES, "{} bytes", bytes.len());
    assert_eq!(verify(&bytes).unwrap().record, queued);
    let larger = record(Event::Queued { request: vec![0xFF; MAX_REQUEST_BYTES + 1] });
    assert_eq!(verify(&larger.sign(&launcher())).unwrap_err(), RecordError::Invalid("request"));
}

#[test]
fn larger_records_are_refused_unread() {
    let error = verify(&vec![b'A'; MAX_RECORD_BYTES + 1]).unwrap_err();
    let expected = JwsError::TooLarge { what: "JWS", max_bytes: MAX_RECORD_BYTES };
    assert_eq!(error, RecordError::Signature(expected));
}
