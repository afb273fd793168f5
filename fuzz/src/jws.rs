//! Signatures: compact, and one of several.
//!
//! The first byte of the input chooses. If it is even, the rest is a compact JWS. If it is odd, the rest is a
//! protected header that somebody signs as it is.

use serde_json::Value;
use subrosa_protocol::{
    encoding::{b64u, b64u_decode},
    identity::{
        Certificate, JwsError, KeyType, MAX_CERT_BYTES, MAX_HEADER_BYTES, Signature, Typ, Verified,
        verify_compact,
    },
    json,
};

use crate::world::Party;

const TYPES: [Typ; 5] = [Typ::Job, Typ::Worker, Typ::Receipt, Typ::Record, Typ::Cert];
const MAX_BYTES: usize = 8192;

/// Verifies a signature, of whatever the input chooses.
pub fn check(input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else { return };
    if choice % 2 == 0 {
        verify(rest);
    } else {
        let party = Party::pick(choice / 2);
        let jws = party.sign(rest, b"what is signed");
        if let Some(verified) = verify(jws.as_bytes()) {
            assert_eq!(verified.payload, b"what is signed");
            assert_eq!(verified.signer, party.key().public(), "signed by another key");
        }
    }
}

/// Verifies for every use, in every form that there is.
fn verify(jws: &[u8]) -> Option<Verified> {
    let verdicts = TYPES.map(|typ| verify_compact(typ, jws, MAX_BYTES));
    let mut good = None;
    for (typ, verdict) in TYPES.into_iter().zip(verdicts) {
        let again = verify_compact(typ, jws, MAX_BYTES);
        assert_eq!(format!("{verdict:?}"), format!("{again:?}"), "verified twice, with two outcomes");
        one_of_several(typ, jws, &verdict);
        let Ok(verified) = verdict else { continue };
        assert!(good.is_none(), "good for two uses");
        is_spelled_in_one_way(typ, jws, &verified);
        good = Some(verified);
    }
    certifies(jws);
    good
}

/// A certificate is signed as one, and not by the key that it is for.
fn certifies(jws: &[u8]) {
    let signed = verify_compact(Typ::Cert, jws, MAX_CERT_BYTES);
    match Certificate::verify(jws) {
        Ok(certified) => {
            assert_eq!(signed.expect("signed").signer, certified.authority);
            assert_ne!(certified.certificate.key, certified.authority);
            let certificate = certified.certificate;
            assert!(certificate.issued_s < certificate.expires_s);
            let again = Certificate::verify(certificate.sign(Party::Stranger.key()).as_bytes());
            assert!(
                again.is_ok_and(|again| again.certificate == certificate) || is_the_strangers(&certificate)
            );
        }
        Err(error) => assert_eq!(Certificate::verify(jws).map(|_| ()), Err(error), "read twice, in two ways"),
    }
}

fn is_the_strangers(certificate: &Certificate) -> bool {
    certificate.key == Party::Stranger.key().public()
}

/// The same parts as one of several signatures: the same verdict, where there are three parts of text.
fn one_of_several(typ: Typ, jws: &[u8], compact: &Result<Verified, JwsError>) {
    if matches!(compact, Err(JwsError::TooLarge { what: "JWS", .. } | JwsError::NotCompact)) {
        return;
    }
    let Ok(text) = std::str::from_utf8(jws) else { return };
    let parts: Vec<&str> = text.split('.').collect();
    let [protected, payload, signature] = parts[..] else { panic!("three parts") };
    let of_several = Signature { protected: protected.to_owned(), signature: signature.to_owned() };
    let written = json::to_vec(&of_several);
    assert_eq!(json::parse::<Signature>(&written).as_ref(), Ok(&of_several));
    match (compact, of_several.verify(typ, payload)) {
        (Ok(compact), several) => assert_eq!(several.as_ref(), Ok(&compact.signer)),
        // There the caller decodes the payload.
        (Err(JwsError::Encoding { what: "payload", .. }), Ok(_)) => assert!(b64u_decode(payload).is_err()),
        (Err(compact), several) => assert_eq!(several.as_ref(), Err(compact)),
    }
}

/// There is one text for these parts, and the header says what it has to, and nothing else.
fn is_spelled_in_one_way(typ: Typ, jws: &[u8], verified: &Verified) {
    assert!(jws.len() <= MAX_BYTES);
    let text = std::str::from_utf8(jws).expect("what verifies is text");
    let parts: Vec<Vec<u8>> = text.split('.').map(|part| b64u_decode(part).expect("base64url")).collect();
    assert_eq!(parts.iter().map(b64u).collect::<Vec<_>>().join("."), text);
    let [protected, payload, signature] = &parts[..] else { panic!("three parts") };
    assert_eq!(payload, &verified.payload);
    assert_eq!(signature.len(), 64);
    assert!(protected.len() <= MAX_HEADER_BYTES);
    let header: Value = serde_json::from_slice(protected).expect("JSON");
    assert_eq!(header.as_object().expect("an object").len(), 3);
    assert_eq!(header["typ"], typ.as_str());
    let algorithms: &[&str] = match verified.signer.key_type() {
        KeyType::Ed25519 => &["EdDSA", "Ed25519"],
        KeyType::Secp256k1 => &["ES256K"],
        other => panic!("a key of type {other}"),
    };
    assert!(header["alg"].as_str().is_some_and(|alg| algorithms.contains(&alg)), "{header}");
    let written = serde_json::to_value(verified.signer.to_jwk()).expect("a JWK");
    assert_eq!(header["jwk"], written, "exactly what its thumbprint is made of");

    // One character less, one more, and one bit of the signature: none of it verifies.
    for other in [&text[..text.len() - 1], &format!("{text}A"), &format!("{text}."), &format!("{text} ")] {
        assert!(verify_compact(typ, other.as_bytes(), MAX_BYTES).is_err());
    }
    let mut forged = signature.clone();
    forged[0] ^= 1;
    let forged = [b64u(protected), b64u(payload), b64u(forged)].join(".");
    assert_eq!(verify_compact(typ, forged.as_bytes(), MAX_BYTES).map(|_| ()), Err(JwsError::BadSignature));
    let too_large = verify_compact(typ, jws, jws.len() - 1);
    assert!(matches!(too_large, Err(JwsError::TooLarge { .. })));
}
