//! Compact JWS, and launch requests in general JSON serialisation.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use subrosa_protocol::{
    hpke::RecipientKey,
    id::Sha256Hash,
    identity::{JwsError, KeyType, Typ, sign_compact, verify_compact},
    job::{Description, Job},
    launch::LaunchRequest,
    subject::Namespace,
};

use crate::jwcrypto::{Key, ask_one, ours, public, text};

const TYP: &str = "subrosa-record";
const PAYLOAD: &str = "it happened, at 7 €";

/// The same JWS with the other `s`, if there is one.
fn flipped(key_type: KeyType, jws: &str) -> Option<String> {
    (key_type == KeyType::Secp256k1).then(|| text(json!({ "do": "flip", "token": jws })).unwrap())
}

fn verified_there(key: &str, typ: &str, token: &str) -> Option<String> {
    text(json!({ "do": "verify", "key": key, "typ": typ, "token": token }))
}

#[test]
fn what_is_signed_here_verifies_there() {
    for key_type in KeyType::ALL {
        let key = ours(key_type);
        let jws = sign_compact(&key, Typ::Record, PAYLOAD.as_bytes());
        for jws in [Some(jws.clone()), flipped(key_type, &jws)].into_iter().flatten() {
            assert_eq!(verified_there(&public(&key), TYP, &jws).as_deref(), Some(PAYLOAD), "{jws}");
        }
        // That it would notice.
        let other = ours(key_type);
        assert_eq!(verified_there(&public(&other), TYP, &jws), None);
        assert_eq!(verified_there(&public(&key), "subrosa-job", &jws), None);
    }
}

#[test]
fn what_is_signed_there_verifies_here() {
    for key_type in KeyType::ALL {
        let key = Key::generate(key_type);
        let order = json!({ "do": "sign", "key": key.private, "typ": TYP, "payload": PAYLOAD });
        let jws = text(order).unwrap();
        let mut signatures = BTreeSet::new();
        for jws in [Some(jws.clone()), flipped(key_type, &jws)].into_iter().flatten() {
            let verified = verify_compact(Typ::Record, jws.as_bytes(), 4096).unwrap();
            assert_eq!(verified.payload, PAYLOAD.as_bytes());
            assert_eq!(verified.signer.thumbprint().to_string(), key.thumbprint);
            signatures.insert(jws);
        }
        // A low s and a high one, whichever jwcrypto has chosen.
        assert_eq!(signatures.len(), if key_type == KeyType::Secp256k1 { 2 } else { 1 });
        let error = verify_compact(Typ::Job, jws.as_bytes(), 4096).unwrap_err();
        assert_eq!(error, JwsError::WrongType { expected: Typ::Job });
    }
}

#[test]
fn a_public_key_is_no_secret_to_authenticate_with() {
    for key_type in KeyType::ALL {
        let key = ours(key_type);
        let order = json!({ "do": "authenticate", "key": public(&key), "typ": TYP, "payload": PAYLOAD });
        let jws = text(order).unwrap();
        let error = verify_compact(Typ::Record, jws.as_bytes(), 4096).unwrap_err();
        assert_eq!(error, JwsError::UnsupportedAlgorithm);
    }
}

fn job() -> Job {
    Job::new(Description {
        worker: "echo".parse().unwrap(),
        client: None,
        label: Some("signed by several".to_owned()),
        client_key: *RecipientKey::generate(&mut rand::rng()).public(),
        psk_id: None,
        reply: Namespace::default().reply("AliceAliceAlice01").unwrap(),
        created_ms: 1_800_000_000_000,
        expires_ms: 1_800_000_060_000,
        timeout_ms: 60_000,
        max_attempts: 1,
        cancel: Sha256Hash([1; 32]),
        close: Sha256Hash([2; 32]),
        input: None,
    })
    .unwrap()
}

#[test]
fn launch_requests_signed_here_verify_there_for_each_signer() {
    let keys = KeyType::ALL.map(ours);
    let request = LaunchRequest::new(job(), &keys.iter().collect::<Vec<_>>()).unwrap();
    let token = std::str::from_utf8(request.bytes()).unwrap();
    for key in &keys {
        let payload = verified_there(&public(key), "subrosa-job", token).unwrap();
        assert_eq!(payload.as_bytes(), request.job().bytes());
    }
    for key_type in KeyType::ALL {
        assert_eq!(verified_there(&public(&ours(key_type)), "subrosa-job", token), None);
    }
}

#[test]
fn launch_requests_signed_there_verify_here_with_every_signer() {
    let job = job();
    let keys = [KeyType::Ed25519, KeyType::Secp256k1, KeyType::Secp256k1].map(Key::generate);
    let private: Vec<_> = keys.iter().map(|key| key.private.as_str()).collect();
    let payload = std::str::from_utf8(job.bytes()).unwrap();
    let order = json!({ "do": "sign_general", "keys": private, "typ": "subrosa-job", "payload": payload });
    let token = text(order).unwrap();
    let request = LaunchRequest::parse(token.as_bytes(), &Namespace::default()).unwrap();
    assert_eq!(request.job().id(), job.id());
    let signers: BTreeSet<_> = request.verify().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(signers, keys.iter().map(|key| key.thumbprint.clone()).collect());

    // The other s of one signer is as good; one bit of it is not.
    let mut other: Value = serde_json::from_str(&token).unwrap();
    let signature = other["signatures"][1]["signature"].as_str().unwrap().to_owned();
    let flipped = ask_one(json!({ "do": "flip", "token": signature })).unwrap();
    assert_ne!(flipped, signature.as_str());
    other["signatures"][1]["signature"] = flipped;
    let request = LaunchRequest::parse(other.to_string().as_bytes(), &Namespace::default()).unwrap();
    assert_eq!(request.verify().unwrap().len(), 3);
    other["signatures"][1]["signature"] = other["signatures"][2]["signature"].clone();
    let request = LaunchRequest::parse(other.to_string().as_bytes(), &Namespace::default()).unwrap();
    assert!(request.verify().is_err());
}
