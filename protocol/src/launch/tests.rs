use serde_json::{Value, json};

use super::*;
use crate::{
    encoding::DecodeError,
    id::Sha256Hash,
    job::{Description, MAX_LABEL_BYTES},
    secret::Secret,
};

const NOW_MS: u64 = 1_800_000_000_000;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::take(&mut [seed; 32]))
}

fn job(client: Option<&SigningKey>) -> Job {
    let reply = Namespace::default().parse_reply("subrosa.v1.client.AliceAliceAlice01").unwrap();
    Job::new(Description {
        worker: "echo".parse().unwrap(),
        client: client.map(SigningKey::thumbprint),
        label: Some("x".repeat(MAX_LABEL_BYTES)),
        client_key: [9; 32].as_slice().try_into().unwrap(),
        psk_id: None,
        reply,
        created_ms: NOW_MS,
        expires_ms: NOW_MS + 60_000,
        timeout_ms: 60_000,
        max_attempts: 3,
        cancel: Sha256Hash([1; 32]),
        close: Sha256Hash([2; 32]),
        input: None,
    })
    .unwrap()
}

fn request(client: Option<&SigningKey>, signers: &[&SigningKey]) -> LaunchRequest {
    LaunchRequest::new(job(client), signers).unwrap()
}

fn parse(bytes: &[u8]) -> Result<LaunchRequest, LaunchError> {
    LaunchRequest::parse(bytes, &Namespace::default())
}

/// The request with its JSON changed.
fn changed(request: &LaunchRequest, change: impl FnOnce(&mut Value)) -> Result<LaunchRequest, LaunchError> {
    let mut value = serde_json::from_slice(request.bytes()).unwrap();
    change(&mut value);
    parse(&serde_json::to_vec(&value).unwrap())
}

fn is_bad(result: Result<Signers, LaunchError>, expected: usize) -> bool {
    matches!(result, Err(LaunchError::BadSignature { number, .. }) if number == expected)
}

#[test]
fn what_is_written_is_read() {
    let (alice, bob) = (key(1), key(2));
    let request = request(Some(&alice), &[&alice, &bob]);
    let read = parse(request.bytes()).unwrap();
    assert_eq!(read.bytes(), request.bytes());
    assert_eq!(read.job().id(), request.job().id());
    let signers = read.verify().unwrap();
    assert_eq!(signers.len(), 2);
    assert!(signers.contains(&alice.thumbprint()) && signers.contains(&bob.thumbprint()));
    assert!(!signers.contains(&key(3).thumbprint()));
}

#[test]
fn a_request_is_a_jws_in_general_json_serialisation() {
    let request = request(None, &[&key(1)]);
    let value: Value = serde_json::from_slice(request.bytes()).unwrap();
    assert_eq!(value["payload"], b64u(request.job().bytes()));
    let protected = b64u_decode(value["signatures"][0]["protected"].as_str().unwrap()).unwrap();
    let protected: Value = serde_json::from_slice(&protected).unwrap();
    assert_eq!(protected["typ"], "subrosa-job");
    assert_eq!(value["signatures"][0].as_object().unwrap().len(), 2);
}

#[test]
fn signers_are_sorted() {
    let keys: Vec<SigningKey> = (1..=8).map(key).collect();
    let signers = request(None, &keys.iter().collect::<Vec<_>>()).verify().unwrap();
    let names: Vec<String> = signers.iter().map(ToString::to_string).collect();
    assert!(names.is_sorted());
    assert_eq!(names.len(), 8);
}

#[test]
fn an_anonymous_job_needs_no_signature() {
    let signers = request(None, &[]).verify().unwrap();
    assert!(signers.is_empty());
    assert_eq!(signers, Signers::default());
}

#[test]
fn the_owner_must_have_signed() {
    let (alice, bob) = (key(1), key(2));
    for signers in [&[][..], &[&bob]] {
        let error = request(Some(&alice), signers).verify().unwrap_err();
        assert_eq!(error, LaunchError::OwnerMissing { owner: alice.thumbprint() });
        assert_eq!(error.code(), Code::Unauthorized);
    }
}

#[test]
fn two_signatures_by_one_key_are_one_signer() {
    let alice = key(1);
    let signers = request(Some(&alice), &[&alice, &alice, &alice]).verify().unwrap();
    assert_eq!(signers.len(), 1);
}

#[test]
fn one_bad_signature_refuses_all() {
    let (alice, bob, carol) = (key(1), key(2), key(3));
    let request = request(Some(&alice), &[&alice, &bob, &carol]);
    for at in 0..3 {
        let forged = changed(&request, |value| {
            value["signatures"][at]["signature"] = json!(b64u([7; 64]));
        });
        assert!(is_bad(forged.unwrap().verify(), at + 1), "{at}");
    }
    let error = LaunchError::BadSignature { number: 1, reason: JwsError::BadSignature };
    assert_eq!(error.code(), Code::BadSignature);
}

#[test]
fn a_signature_of_another_job_or_use_is_bad() {
    let alice = key(1);
    let request = request(None, &[&alice]);
    let other = serde_json::to_value(Signature::sign(&alice, Typ::Job, &b64u("another job"))).unwrap();
    let moved = changed(&request, |value| value["signatures"][0] = other);
    assert!(is_bad(moved.unwrap().verify(), 1));
    for typ in [Typ::Worker, Typ::Receipt, Typ::Record, Typ::Cert] {
        let other = serde_json::to_value(Signature::sign(&alice, typ, &b64u(request.job().bytes()))).unwrap();
        let error = changed(&request, |value| value["signatures"][0] = other).unwrap().verify().unwrap_err();
        let reason = JwsError::WrongType { expected: Typ::Job };
        assert_eq!(error, LaunchError::BadSignature { number: 1, reason }, "{typ}");
    }
}

#[test]
fn another_payload_is_another_job() {
    let alice = key(1);
    let request = request(None, &[&alice]);
    let mut bytes = request.job().bytes().to_vec();
    bytes.push(b'\n');
    let moved = changed(&request, |value| value["payload"] = json!(b64u(bytes))).unwrap();
    assert_ne!(moved.job().id(), request.job().id());
    assert!(is_bad(moved.verify(), 1));
}

#[test]
fn at_most_16_signatures() {
    let alice = key(1);
    let of = |count: usize| {
        changed(&request(None, &[&alice]), |value| {
            value["signatures"] = vec![value["signatures"][0].clone(); count].into();
        })
    };
    assert_eq!(of(MAX_SIGNATURES).unwrap().verify().unwrap().len(), 1);
    let error = of(MAX_SIGNATURES + 1).unwrap_err();
    assert_eq!(error, LaunchError::Signatures { found: 17 });
    assert_eq!(error.code(), Code::BadRequest);
}

#[test]
fn at_most_64_kib() {
    let mut bytes = request(None, &[]).bytes().to_vec();
    bytes.resize(MAX_REQUEST_BYTES - 1, b' ');
    assert!(parse(&bytes).is_ok());
    bytes.resize(MAX_REQUEST_BYTES, b' ');
    assert!(parse(&bytes).is_ok());
    bytes.resize(MAX_REQUEST_BYTES + 1, b' ');
    let error = parse(&bytes).unwrap_err();
    assert_eq!(error, LaunchError::TooLarge { bytes: MAX_REQUEST_BYTES + 1 });
    assert_eq!(error.code(), Code::TooLarge);
}

#[test]
fn a_missing_member_is_named() {
    let request = request(None, &[&key(1)]);
    let missing = |member: &str| LaunchError::Json(JsonError::Missing { member: member.to_owned() });
    for member in ["payload", "signatures"] {
        let error =
            changed(&request, |value| drop(value.as_object_mut().unwrap().remove(member))).unwrap_err();
        assert_eq!(error, missing(member));
        assert_eq!(error.code(), Code::BadRequest);
    }
    for member in ["protected", "signature"] {
        let result = changed(&request, |value| {
            value["signatures"][0].as_object_mut().unwrap().remove(member);
        });
        assert_eq!(result.unwrap_err(), missing(member));
    }
}

#[test]
fn an_unprotected_header_is_refused() {
    let request = request(None, &[&key(1)]);
    for header in [json!({}), json!({"kid": "1"}), json!(null)] {
        let result = changed(&request, |value| value["signatures"][0]["header"] = header);
        assert!(matches!(result, Err(LaunchError::Json(JsonError::Invalid { .. }))));
    }
}

#[test]
fn neither_request_nor_signature_is_an_array() {
    let request = request(None, &[&key(1)]);
    let is_invalid = |result| matches!(result, Err(LaunchError::Json(JsonError::Invalid { .. })));
    let as_array = |value: &mut Value| *value = json!([value["payload"], value["signatures"]]);
    assert!(is_invalid(changed(&request, as_array)));
    let signature = |value: &mut Value| {
        let signature = &value["signatures"][0];
        value["signatures"][0] = json!([signature["protected"], signature["signature"]]);
    };
    assert!(is_invalid(changed(&request, signature)));
    assert!(is_invalid(changed(&request, |value| value["signatures"] = json!(null))));
    assert!(is_invalid(changed(&request, |value| value["signatures"] = json!({}))));
}

#[test]
fn duplicate_members_are_refused() {
    let request = request(None, &[]);
    let text = std::str::from_utf8(request.bytes()).unwrap();
    let again = format!("{},\"signatures\":[]}}", &text[..text.len() - 1]);
    let expected = JsonError::Duplicate { member: "signatures".to_owned() };
    assert_eq!(parse(again.as_bytes()).unwrap_err(), LaunchError::Json(expected));
}

#[test]
fn the_payload_has_one_spelling_and_is_a_job() {
    let request = request(None, &[]);
    let payload = b64u(request.job().bytes());
    for bad in [format!("{payload}="), format!("{payload} "), "*".to_owned()] {
        let error = changed(&request, |value| value["payload"] = json!(bad)).unwrap_err();
        assert_eq!(error, LaunchError::Payload(DecodeError::NotBase64Url));
    }
    for (text, code) in [("{}", Code::BadRequest), ("", Code::BadRequest), (r#"{"v":2}"#, Code::Unsupported)]
    {
        let error = changed(&request, |value| value["payload"] = json!(b64u(text))).unwrap_err();
        assert!(matches!(error, LaunchError::Job(_)), "{text}");
        assert_eq!(error.code(), code, "{text}");
    }
}

#[test]
fn times_are_checked_with_two_minutes_of_tolerance() {
    let request = request(None, &[]);
    let created = request.job().description().created_ms;
    let expires = request.job().description().expires_ms;
    for now in [created - CLOCK_TOLERANCE_MS, created, expires, expires + CLOCK_TOLERANCE_MS] {
        assert_eq!(request.check_times(now), Ok(()), "{now}");
    }
    let early = request.check_times(created - CLOCK_TOLERANCE_MS - 1).unwrap_err();
    assert_eq!(early, LaunchError::NotYet { ahead_ms: CLOCK_TOLERANCE_MS + 1 });
    assert_eq!(early.code(), Code::BadRequest);
    let late = request.check_times(expires + CLOCK_TOLERANCE_MS + 1).unwrap_err();
    assert_eq!(late, LaunchError::Expired);
    assert_eq!(late.code(), Code::Expired);
}

#[test]
fn parties_sign_one_after_another_in_any_order() {
    let keys = [key(1), key(2), key(3)];
    let drafted = LaunchRequest::unsigned(job(Some(&keys[0])));
    assert_eq!(drafted.verify().unwrap_err(), LaunchError::OwnerMissing { owner: keys[0].thumbprint() });
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let mut request = parse(drafted.bytes()).unwrap();
        for at in order {
            // As it travels from one to the next.
            request = parse(request.signed_by(&keys[at]).unwrap().bytes()).unwrap();
        }
        assert_eq!(request.verify().unwrap().len(), 3);
        assert_eq!(request.job().id(), drafted.job().id());
        let signers: Vec<Thumbprint> = request.signatures().map(Result::unwrap).collect();
        assert_eq!(signers, order.map(|at| keys[at].thumbprint()));
    }
}

#[test]
fn nobody_signs_twice() {
    let (alice, bob) = (key(1), key(2));
    let request = request(None, &[&alice, &bob]);
    let error = request.signed_by(&alice).unwrap_err();
    assert_eq!(error, LaunchError::AlreadySigned { key: alice.thumbprint() });
}

#[test]
fn nobody_signs_beside_a_signature_that_does_not_hold() {
    let request = changed(&request(None, &[&key(1), &key(2)]), |value| {
        value["signatures"][1]["signature"] = json!(b64u([7; 64]));
    });
    let request = request.unwrap();
    assert!(matches!(request.signed_by(&key(3)), Err(LaunchError::BadSignature { number: 2, .. })));
    let signatures: Vec<bool> = request.signatures().map(|signature| signature.is_ok()).collect();
    assert_eq!(signatures, [true, false]);
}

#[test]
fn there_are_sixteen_signatures_at_most() {
    let keys: Vec<SigningKey> = (1..=17).map(key).collect();
    let all: Vec<&SigningKey> = keys.iter().collect();
    let too_many = LaunchError::Signatures { found: 17 };
    assert_eq!(LaunchRequest::new(job(None), &all).unwrap_err(), too_many);
    let full = LaunchRequest::new(job(None), &all[..16]).unwrap();
    assert_eq!(full.signed_by(all[16]).unwrap_err(), too_many);
    assert_eq!(parse(full.bytes()).unwrap().verify().unwrap().len(), 16);
}

#[test]
fn copies_are_joined_and_signers_counted_once() {
    let (alice, bob, carol) = (key(1), key(2), key(3));
    let (one, other) = (request(None, &[&alice, &bob]), request(None, &[&bob, &carol]));
    for joined in [one.joined(&other).unwrap(), other.joined(&one).unwrap()] {
        assert_eq!(joined.signatures().count(), 3);
        assert_eq!(joined.verify().unwrap().len(), 3);
    }
    let forged = changed(&other, |value| value["signatures"][0]["signature"] = json!(b64u([7; 64]))).unwrap();
    for result in [one.joined(&forged), forged.joined(&one)] {
        assert!(matches!(result, Err(LaunchError::BadSignature { number: 1, .. })));
    }
}

#[test]
fn signatures_are_not_moved_between_jobs() {
    let alice = key(1);
    let (one, other) = (request(None, &[&alice]), request(Some(&alice), &[&alice]));
    let (expected, found) = (*one.job().id(), *other.job().id());
    assert_eq!(one.joined(&other).unwrap_err(), LaunchError::AnotherJob { expected, found });
    let value: Value = serde_json::from_slice(other.bytes()).unwrap();
    let moved = changed(&one, |one| one["signatures"] = value["signatures"].clone()).unwrap();
    assert!(is_bad(moved.verify(), 1));
}
