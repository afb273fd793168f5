use super::*;
use crate::{identity::Trust, secret::Secret};

const NOW_MS: u64 = 1_800_000_000_000;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::take(&mut [seed; 32]))
}

fn salt(byte: u8) -> Salt {
    Salt::take(&mut [byte; 32])
}

/// A receipt for options `null`, payload `77` and the result `78`, with the salt of `byte`.
fn receipt(byte: u8) -> Receipt {
    let salt = salt(byte);
    Receipt {
        job: JobId::of(b"job"),
        worker: "echo".parse().unwrap(),
        attempt: Attempt::FIRST,
        started_ms: NOW_MS,
        finished_ms: NOW_MS + 5,
        client: Some(key(2).thumbprint()),
        signers: [key(2).thumbprint(), key(3).thumbprint()].into(),
        input_hash: salt.input_hash(Sha256Hash::of("null"), Sha256Hash::of("77")),
        result_hash: salt.result_hash(Sha256Hash::of("78")),
    }
}

/// A receipt of these members, and others in their places.
fn signed(change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) -> String {
    let verified = verify_compact(Typ::Receipt, receipt(9).sign(&key(1)).as_bytes(), MAX_RECEIPT_BYTES);
    let mut members = serde_json::from_slice(&verified.unwrap().payload).unwrap();
    change(&mut members);
    sign_compact(&key(1), Typ::Receipt, &serde_json::to_vec(&members).unwrap())
}

#[test]
fn members_are_spelled_as_documented() {
    let jws = receipt(9).sign(&key(1));
    let payload = verify_compact(Typ::Receipt, jws.as_bytes(), MAX_RECEIPT_BYTES).unwrap().payload;
    let Receipt { job, client, signers, input_hash, result_hash, .. } = receipt(9);
    let signers: Vec<_> = signers.iter().map(Thumbprint::to_string).collect();
    let expected = format!(
        r#"{{"job":"{job}","worker":"echo","attempt":1,"started_ms":{NOW_MS},"finished_ms":{},"client":"{}","signers":["{}"],"input_hash":"{input_hash}","result_hash":"{result_hash}"}}"#,
        NOW_MS + 5,
        client.unwrap(),
        signers.join(r#"",""#),
    );
    assert_eq!(String::from_utf8(payload).unwrap(), expected);
    assert_eq!(Receipt::verify(&jws), Ok((receipt(9), key(1).public())));
}

#[test]
fn a_receipt_of_an_anonymous_job_names_no_client() {
    let anonymous = Receipt { client: None, signers: BTreeSet::new(), ..receipt(9) };
    let jws = anonymous.sign(&key(1));
    assert_eq!(Receipt::verify(&jws).unwrap().0, anonymous);
    let payload = verify_compact(Typ::Receipt, jws.as_bytes(), MAX_RECEIPT_BYTES).unwrap().payload;
    let text = String::from_utf8(payload).unwrap();
    assert!(!text.contains("client") && text.contains(r#""signers":[]"#), "{text}");
}

#[test]
fn signers_are_sorted_distinct_and_at_most_16() {
    let signers = |names: Vec<String>| signed(|members| drop(members.insert("signers".into(), names.into())));
    let owner = receipt(9).client.unwrap().to_string();
    let mut many: Vec<_> = (10..25).map(|seed| key(seed).thumbprint().to_string()).collect();
    many.push(owner.clone());
    many.sort_unstable();
    assert_eq!(Receipt::verify(&signers(many.clone())).unwrap().0.signers.len(), 16);

    let refused = |names| match Receipt::verify(&signers(names)).unwrap_err() {
        ReceiptError::Signers { rule } => rule,
        error => panic!("{error}"),
    };
    let reversed = many.iter().rev().cloned().collect();
    assert!(refused(reversed).contains("sorted"));
    assert!(refused(vec![owner.clone(), owner.clone()]).contains("twice"));
    assert!(refused(vec![]).contains("owner"));
    assert!(refused(vec![key(3).thumbprint().to_string()]).contains("owner"));
    many.push(key(30).thumbprint().to_string());
    many.sort_unstable();
    assert!(refused(many).contains("16"));
}

#[test]
fn every_member_must_be_there_and_of_its_type() {
    for member in
        ["job", "worker", "attempt", "started_ms", "finished_ms", "signers", "input_hash", "result_hash"]
    {
        let jws = signed(|members| drop(members.remove(member)));
        let missing = JsonError::Missing { member: member.to_owned() };
        assert_eq!(Receipt::verify(&jws), Err(missing.into()));
        for wrong in [serde_json::json!(null), serde_json::json!(-1), serde_json::json!({}), "".into()] {
            let jws = signed(|members| drop(members.insert(member.into(), wrong.clone())));
            assert!(Receipt::verify(&jws).is_err(), "{member}: {wrong}");
        }
    }
    for client in [serde_json::json!(null), "".into(), "A".repeat(42).into()] {
        assert!(Receipt::verify(&signed(|members| drop(members.insert("client".into(), client)))).is_err());
    }
    for attempt in [0, 11, 65_537] {
        let jws = signed(|members| drop(members.insert("attempt".into(), attempt.into())));
        assert_eq!(Receipt::verify(&jws), Err(NameError::Attempt.into()));
    }
    assert!(Receipt::verify(&signed(|members| drop(members.insert("new".into(), true.into())))).is_ok());
}

#[test]
fn what_is_signed_for_another_use_is_no_receipt() {
    let jws = receipt(9).sign(&key(1));
    let payload = verify_compact(Typ::Receipt, jws.as_bytes(), MAX_RECEIPT_BYTES).unwrap().payload;
    for typ in [Typ::Job, Typ::Worker, Typ::Record, Typ::Cert] {
        let other = sign_compact(&key(1), typ, &payload);
        let expected = JwsError::WrongType { expected: Typ::Receipt };
        assert_eq!(Receipt::verify(&other), Err(expected.into()));
    }
}

#[test]
fn a_receipt_has_a_largest_size() {
    let padded =
        |bytes: usize| signed(|members| drop(members.insert("more".into(), "x".repeat(bytes).into())));
    assert!(Receipt::verify(&padded(4000)).is_ok());
    let error = Receipt::verify(&padded(MAX_RECEIPT_BYTES)).unwrap_err();
    assert!(matches!(error, ReceiptError::Signature(JwsError::TooLarge { .. })), "{error}");
}

/// Somebody who sees the receipt, and not its salt, learns nothing by trying all values.
#[test]
fn a_receipt_without_its_salt_says_nothing_about_a_guessable_result() {
    let results = || (0..=100).map(|value: u32| Sha256Hash::of(value.to_string()));
    let (one, other) = (receipt(1), receipt(2));
    assert_ne!(one.result_hash, other.result_hash, "two receipts of the same result differ");
    assert_ne!(one.input_hash, other.input_hash, "two receipts of the same input differ");
    let options = Sha256Hash::of("null");
    let guesses = |salt: &Salt| -> Vec<(Sha256Hash, Sha256Hash)> {
        results().map(|value| (salt.result_hash(value), salt.input_hash(options, value))).collect()
    };
    let fitting = |salt: &Salt| {
        let guesses = guesses(salt).into_iter().enumerate();
        let fit =
            guesses.filter(|(_, (result, input))| *result == one.result_hash || *input == one.input_hash);
        fit.map(|(value, _)| value).collect::<Vec<_>>()
    };
    for no_salt in [salt(0), salt(2), salt(0xFF)] {
        assert_eq!(fitting(&no_salt), [0; 0], "another salt fits nothing");
    }
    let text = serde_json::to_string(&[one.result_hash, one.input_hash]).unwrap();
    for value in results() {
        let unsalted = [value, Sha256Hash::of(value.0), Sha256Hash::of([options.0, value.0].concat())];
        assert!(unsalted.iter().all(|hash| !text.contains(&hash.to_string())));
    }
    // With the salt, exactly one value fits in each place: the payload 77 and the result 78.
    assert_eq!(fitting(&salt(1)), [77, 78]);
    let hashes = guesses(&salt(1));
    assert_eq!(hashes.iter().filter(|(result, _)| *result == one.result_hash).count(), 1);
    assert_eq!(hashes.iter().filter(|(_, input)| *input == one.input_hash).count(), 1);
}

/// The names of what does not hold.
fn wrong(jws: &str, evidence: &Evidence<'_>) -> Vec<&'static str> {
    let checked = check(jws, evidence);
    let wrong: Vec<_> = checked.findings.iter().filter(|finding| finding.outcome.is_err()).collect();
    assert_eq!(checked.holds(), wrong.is_empty());
    wrong.into_iter().map(|finding| finding.name).collect()
}

#[test]
fn offline_each_thing_is_checked_by_name() {
    let (jws, salt, other_salt) = (receipt(1).sign(&key(1)), salt(1), salt(2));
    let trust = Trust::pinned([key(1).public()]);
    let right = Evidence {
        trust: &trust,
        cert: None,
        salt: Some(&salt),
        result: Some(b"78"),
        input: Some((b"null", b"77")),
    };
    assert_eq!(wrong(&jws, &right), [""; 0]);
    assert_eq!(check(&jws, &Evidence { result: None, input: None, ..right }).findings.len(), 2);
    assert_eq!(wrong(&jws, &Evidence { result: Some(b"79"), ..right }), ["result"]);
    assert_eq!(wrong(&jws, &Evidence { input: Some((b"null", b"78")), ..right }), ["input"]);
    assert_eq!(wrong(&jws, &Evidence { input: Some((b"1", b"77")), ..right }), ["input"]);
    assert_eq!(wrong(&jws, &Evidence { salt: Some(&other_salt), ..right }), ["result", "input"]);
    assert_eq!(wrong(&jws, &Evidence { salt: None, ..right }), ["result", "input"]);
    let strangers = Trust::pinned([key(2).public()]);
    assert_eq!(wrong(&jws, &Evidence { trust: &strangers, ..right }), ["worker"]);
    let other_name = Trust::default().with_key(
        key(1).public(),
        crate::identity::Role::Worker,
        Some(vec!["other".parse().unwrap()]),
    );
    assert_eq!(wrong(&jws, &Evidence { trust: &other_name, ..right }), ["worker"]);
    let altered = jws.replacen(|c: char| c.is_ascii_digit(), "x", 1);
    assert_eq!(wrong(&altered, &right), ["signature"]);
    assert!(check(&altered, &right).receipt.is_none());
}
