//! Keys: alone, in a trust file, in a header, in a private key's file.

use serde_json::{Map, Value};
use subrosa_protocol::{
    fuzzing::read_private,
    id::Sha256Hash,
    identity::{KeyType, PublicKey, Trust, Typ, verify_compact},
    json::{self, JsonError},
};

use crate::world::Party;

/// Reads a key wherever one can stand.
pub fn check(input: &[u8]) {
    let key = PublicKey::from_jwk(input);
    assert_eq!(key, PublicKey::from_jwk(input), "read twice, in two ways");
    let object = json::parse::<Map<String, Value>>(input);
    if object.is_err() {
        assert!(key.is_err() && read_private(input).is_err(), "not even an object");
        return;
    }
    if let Ok(key) = &key {
        is_a_key(key, &object.expect("an object"));
    }
    in_a_trust_file(input, key.as_ref().ok());
    in_a_header(input, key.as_ref().ok());
    if let Ok(private) = read_private(input) {
        assert!(key.is_err(), "a private key was taken for a public one");
        let written = serde_json::to_vec(&private.public().to_jwk()).expect("a JWK");
        assert_eq!(PublicKey::from_jwk(&written), Ok(private.public()));
    }
}

fn is_a_key(key: &PublicKey, members: &Map<String, Value>) {
    let text = |member: &str| members[member].as_str().expect("a text");
    let kind = match key.key_type() {
        KeyType::Ed25519 => ("OKP", "Ed25519"),
        KeyType::Secp256k1 => ("EC", "secp256k1"),
        other => panic!("a key of type {other}"),
    };
    assert_eq!((text("kty"), text("crv")), kind);
    for member in ["d", "k", "p", "q", "dp", "dq", "qi", "oth"] {
        assert!(!members.contains_key(member), "a private member in a public key");
    }
    let written = json::to_vec(&key.to_jwk());
    let y = if kind.0 == "EC" { format!(r#","y":"{}""#, text("y")) } else { String::new() };
    let one = format!(r#"{{"crv":"{}","kty":"{}","x":"{}"{y}}}"#, kind.1, kind.0, text("x"));
    assert_eq!(written, one.into_bytes());
    assert_eq!(PublicKey::from_jwk(&written).as_ref(), Ok(key));
    assert_eq!(json::parse::<PublicKey>(&written).as_ref(), Ok(key));
    assert_eq!(key.thumbprint().to_string(), Sha256Hash::of(&written).to_string());
    assert_eq!(key.thumbprint().to_string().parse(), Ok(key.thumbprint()));
}

/// A set of this one key.
fn in_a_trust_file(input: &[u8], key: Option<&PublicKey>) {
    let set = [br#"{"keys":["#, input, b"]}"].concat();
    let trust = Trust::from_jwk_set(&set);
    if let Ok(trust) = &trust {
        let key = key.expect("trusted, but no key");
        let written = trust.to_json();
        let again = Trust::from_jwk_set(written.as_bytes()).expect("what was read can be written and read");
        assert_eq!(again.to_json(), written);
        let name = "echo".parse().expect("a name");
        let print = key.thumbprint();
        assert_eq!(again.worker(&print, &name), trust.worker(&print, &name));
        assert_eq!(again.launcher(&print), trust.launcher(&print));
        assert_eq!(again.authority(&print, &name), trust.authority(&print, &name));
        let roles = [trust.worker(&print, &name), trust.launcher(&print), trust.authority(&print, &name)];
        assert!(roles.iter().filter(|role| role.is_ok()).count() <= 1, "one key, two roles");
    }
    if key.is_none() {
        assert!(trust.is_err(), "no key, but trusted");
    }
}

/// A header with this key, which its holder has signed.
fn in_a_header(input: &[u8], key: Option<&PublicKey>) {
    let header = [br#"{"alg":"EdDSA","typ":"subrosa-record","jwk":"#, input, b"}"].concat();
    let jws = Party::Worker.sign(&header, b"");
    let verified = verify_compact(Typ::Record, jws.as_bytes(), 16_384);
    let own = Party::Worker.key().public();
    match verified {
        Ok(verified) => assert_eq!((Some(&verified.signer), &verified.signer), (key, &own)),
        Err(_) if key == Some(&own) => {
            let members: Map<String, Value> = serde_json::from_slice(input).expect("an object");
            let deep = matches!(json::parse::<Value>(&header), Err(JsonError::TooDeep));
            assert!(members.len() > 3 || header.len() > 2048 || deep, "the signer's own key is refused");
        }
        Err(_) => {}
    }
}
