use super::*;
use crate::secret::Secret;

const MAX_BYTES: usize = 4096;

fn key() -> SigningKey {
    SigningKey::from_seed(&Secret::take(&mut [1; 32]))
}

fn x() -> String {
    b64u(
        serde_json::to_value(key().public()).unwrap()["x"].as_str().map(|x| b64u_decode(x).unwrap()).unwrap(),
    )
}

fn jwk() -> String {
    serde_json::to_string(&key().public()).unwrap()
}

/// A compact JWS with any header, and a signature that does hold.
fn with_header(header: &str) -> String {
    let signed = format!("{}.{}", b64u(header), b64u("payload"));
    let signature = b64u(key().sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn verify_job(jws: &str) -> Result<Verified, JwsError> {
    verify_compact(Typ::Job, jws.as_bytes(), MAX_BYTES)
}

fn refusal(header: &str) -> JwsError {
    verify_job(&with_header(header)).unwrap_err()
}

#[test]
fn what_is_signed_verifies() {
    for payload in [b"".as_slice(), b"payload", &[0xFF; 1000]] {
        let jws = sign_compact(&key(), Typ::Record, payload);
        let verified = verify_compact(Typ::Record, jws.as_bytes(), MAX_BYTES).unwrap();
        assert_eq!(verified.payload, payload);
        assert_eq!(verified.signer, key().public());
    }
}

#[test]
fn the_header_is_that_of_the_protocol() {
    let jws = sign_compact(&key(), Typ::Cert, b"");
    let header = String::from_utf8(b64u_decode(jws.split('.').next().unwrap()).unwrap()).unwrap();
    assert_eq!(header, format!(r#"{{"alg":"EdDSA","typ":"subrosa-cert+jwt","jwk":{}}}"#, jwk()));
}

#[test]
fn both_names_of_the_algorithm_are_read() {
    for alg in ["EdDSA", "Ed25519"] {
        let jws = with_header(&format!(r#"{{"alg":"{alg}","typ":"subrosa-job","jwk":{}}}"#, jwk()));
        assert_eq!(verify_job(&jws).unwrap().payload, b"payload", "{alg}");
    }
}

#[test]
fn other_algorithms_are_refused() {
    for alg in ["none", "None", "", "HS256", "ES256K", "ES256", "RS256", "Ed448", "eddsa"] {
        let header = format!(r#"{{"alg":"{alg}","typ":"subrosa-job","jwk":{}}}"#, jwk());
        assert_eq!(refusal(&header), JwsError::UnsupportedAlgorithm, "{alg}");
    }
    let unsigned = format!(r#"{{"alg":"none","typ":"subrosa-job","jwk":{}}}"#, jwk());
    let unsigned = format!("{}.{}.", b64u(unsigned), b64u("payload"));
    assert_eq!(verify_job(&unsigned).unwrap_err(), JwsError::UnsupportedAlgorithm);
}

#[test]
fn a_signature_is_good_for_one_use() {
    let all = [Typ::Job, Typ::Worker, Typ::Receipt, Typ::Record, Typ::Cert];
    for made in all {
        let jws = sign_compact(&key(), made, b"{}");
        for asked in all {
            match verify_compact(asked, jws.as_bytes(), MAX_BYTES) {
                Ok(_) => assert_eq!(made, asked),
                Err(error) => {
                    assert_ne!(made, asked);
                    assert_eq!(error, JwsError::WrongType { expected: asked });
                }
            }
        }
    }
    for typ in ["JWT", "Subrosa-Job", "application/subrosa-job", ""] {
        let header = format!(r#"{{"alg":"EdDSA","typ":"{typ}","jwk":{}}}"#, jwk());
        assert_eq!(refusal(&header), JwsError::WrongType { expected: Typ::Job }, "{typ}");
    }
}

#[test]
fn a_signature_does_not_survive_a_change_of_type() {
    let record = sign_compact(&key(), Typ::Record, b"payload");
    let job = sign_compact(&key(), Typ::Job, b"payload");
    let header = job.split_once('.').unwrap().0;
    let moved = format!("{header}.{}", record.split_once('.').unwrap().1);
    assert_eq!(verify_job(&moved).unwrap_err(), JwsError::BadSignature);
}

#[test]
fn the_header_has_exactly_three_members() {
    let good = format!(r#""alg":"EdDSA","typ":"subrosa-job","jwk":{}"#, jwk());
    assert!(verify_job(&with_header(&format!("{{{good}}}"))).is_ok());
    for more in [
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""b64":false"#,
        r#""b64":true"#,
        r#""b64":false,"crit":["b64"]"#,
        r#""kid":"1""#,
        r#""jku":"https://example.org""#,
        r#""x5c":[]"#,
        r#""cty":"json""#,
        r#""zip":"DEF""#,
        r#""alg":"EdDSA""#,
        r#""ty\u0070":"subrosa-job""#,
    ] {
        let error = refusal(&format!("{{{good},{more}}}"));
        assert!(matches!(error, JwsError::Header(_)), "{more}: {error}");
    }
    for header in [
        r#"{"alg":"EdDSA","typ":"subrosa-job"}"#.to_owned(),
        r#"{"alg":"EdDSA","typ":"subrosa-job","kid":"1"}"#.to_owned(),
        format!(r#"{{"alg":"EdDSA","jwk":{}}}"#, jwk()),
        format!(r#"{{"typ":"subrosa-job","jwk":{}}}"#, jwk()),
        format!(r#"{{"alg":"EdDSA","typ":null,"jwk":{}}}"#, jwk()),
        format!(r#"{{"alg":"EdDSA","typ":"subrosa-job","jwk":[{}]}}"#, jwk()),
        format!("{{{good}}}x"),
        format!(r#"["EdDSA","subrosa-job",{}]"#, jwk()),
        "[]".to_owned(),
        "null".to_owned(),
        String::new(),
    ] {
        let error = refusal(&header);
        assert!(matches!(error, JwsError::Header(_)), "{header}: {error}");
    }
}

#[test]
fn a_missing_member_of_the_header_is_named() {
    let error = refusal(r#"{"alg":"EdDSA","typ":"subrosa-job"}"#);
    assert_eq!(error.to_string(), "the protected header has no member `jwk`");
}

#[test]
fn the_headers_key_is_the_bare_public_key() {
    let header = |jwk: &str| format!(r#"{{"alg":"EdDSA","typ":"subrosa-job","jwk":{jwk}}}"#);
    let with = |more: &str| header(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"{more}}}"#, x()));
    assert!(verify_job(&with_header(&with(""))).is_ok());
    for private in [r#","d":"AQEB""#, r#","d":null"#, r#","k":"AA""#, r#","use":"sig","d":"""#] {
        assert_eq!(refusal(&with(private)), JwsError::PrivateKey, "{private}");
    }
    for other in [r#","use":"sig""#, r#","kid":"1""#, r#","alg":"EdDSA""#, r#","y":"AA""#] {
        assert_eq!(refusal(&with(other)), JwsError::Key(KeyError::OtherMember), "{other}");
    }
    assert!(matches!(refusal(&with(&format!(r#","x":"{}""#, x()))), JwsError::Header(_)));
    let ec = format!(r#"{{"kty":"EC","crv":"P-256","x":"{0}","y":"{0}"}}"#, x());
    assert_eq!(refusal(&header(&ec)), JwsError::Key(KeyError::Unsupported));
    let weak = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, b64u([0; 32]));
    assert_eq!(refusal(&header(&weak)), JwsError::Key(KeyError::Weak));
}

#[test]
fn another_key_in_the_header_does_not_verify() {
    let other = SigningKey::from_seed(&Secret::take(&mut [2; 32]));
    let jwk = serde_json::to_string(&other.public()).unwrap();
    let header = format!(r#"{{"alg":"EdDSA","typ":"subrosa-job","jwk":{jwk}}}"#);
    assert_eq!(refusal(&header), JwsError::BadSignature);
}

/// RFC 8037, appendix A.4: a good signature, but its header says neither what for nor by whom.
#[test]
fn the_jws_of_rfc_8037_is_refused() {
    let jws = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIb\
               QR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let error = verify_job(jws).unwrap_err();
    assert_eq!(error.to_string(), "the protected header has no member `typ`");
}

#[test]
fn a_compact_jws_has_three_parts() {
    let jws = sign_compact(&key(), Typ::Job, b"payload");
    let (signed, _) = jws.rsplit_once('.').unwrap();
    for bad in ["", ".", "a.b", signed, &format!("{jws}."), &format!("{jws}.x"), &jws.replace('.', "")] {
        assert_eq!(verify_job(bad).unwrap_err(), JwsError::NotCompact, "{bad}");
    }
    for bad in ["..", &format!("{jws}\n"), &format!(" {jws}"), &format!("{jws}="), &jws[..jws.len() - 1]] {
        assert!(verify_job(bad).is_err(), "{bad}");
    }
    assert!(verify_compact(Typ::Job, b"\xFF.\xFF.\xFF", MAX_BYTES).is_err());
}

#[test]
fn base64url_has_one_spelling() {
    let jws = sign_compact(&key(), Typ::Job, b"payload");
    let (signed, signature) = jws.rsplit_once('.').unwrap();
    // 64 bytes leave four bits of the last character unused.
    let last = signature.chars().last().unwrap();
    assert!("AQgw".contains(last));
    let spelled = |last: char| format!("{signed}.{}{last}", &signature[..signature.len() - 1]);
    assert!(verify_job(&spelled(last)).is_ok());
    let next = char::from(u8::try_from(last).unwrap() + 1);
    let error = verify_job(&spelled(next)).unwrap_err();
    assert!(matches!(error, JwsError::Encoding { what: "signature", .. }), "{error}");

    // The same header, signed as it is spelled, but with unused bits set.
    let mut header = format!(r#"{{"alg":"EdDSA","typ":"subrosa-job","jwk":{}}}"#, jwk());
    while header.len() % 3 == 0 {
        header.push(' ');
    }
    let mut spelled = b64u(&header);
    let last = spelled.pop().unwrap();
    spelled.push(char::from(u8::try_from(last).unwrap() + 1));
    let signed = format!("{spelled}.{}", b64u("payload"));
    let jws = format!("{signed}.{}", b64u(key().sign(signed.as_bytes())));
    let error = verify_job(&jws).unwrap_err();
    assert!(matches!(error, JwsError::Encoding { what: "protected header", .. }), "{error}");

    // The same for the payload: "cGF5bG9hZA" with unused bits set.
    let header = sign_compact(&key(), Typ::Job, b"").split_once('.').unwrap().0.to_owned();
    let signed = format!("{header}.cGF5bG9hZB");
    let jws = format!("{signed}.{}", b64u(key().sign(signed.as_bytes())));
    let error = verify_job(&jws).unwrap_err();
    assert!(matches!(error, JwsError::Encoding { what: "payload", .. }), "{error}");
}

#[test]
fn every_byte_counts() {
    let jws = sign_compact(&key(), Typ::Job, b"payload");
    for at in 0..jws.len() {
        let mut forged = jws.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert!(verify_compact(Typ::Job, &forged, MAX_BYTES).is_err(), "{at}");
        assert!(verify_compact(Typ::Job, &jws.as_bytes()[..at], MAX_BYTES).is_err(), "{at}");
    }
}

#[test]
fn sizes_are_limited() {
    let jws = sign_compact(&key(), Typ::Job, b"payload");
    assert!(verify_compact(Typ::Job, jws.as_bytes(), jws.len()).is_ok());
    let error = verify_compact(Typ::Job, jws.as_bytes(), jws.len() - 1).unwrap_err();
    assert_eq!(error, JwsError::TooLarge { what: "JWS", max_bytes: jws.len() - 1 });

    let mut header = format!(r#"{{"alg":"EdDSA","typ":"subrosa-job","jwk":{}}}"#, jwk());
    header.push_str(&" ".repeat(MAX_HEADER_BYTES - header.len()));
    assert!(verify_job(&with_header(&header)).is_ok());
    header.push(' ');
    let too_large = JwsError::TooLarge { what: "protected header", max_bytes: MAX_HEADER_BYTES };
    assert_eq!(refusal(&header), too_large);
}

#[test]
fn one_of_several_signatures_verifies() {
    let payload = b64u("payload");
    let signature = Signature::sign(&key(), Typ::Job, &payload);
    assert_eq!(signature.verify(Typ::Job, &payload), Ok(key().public()));
    assert_eq!(signature.verify(Typ::Job, &b64u("other")), Err(JwsError::BadSignature));
    assert_eq!(signature.verify(Typ::Record, &payload), Err(JwsError::WrongType { expected: Typ::Record }));
    // It is the compact form's signature.
    let compact = format!("{}.{payload}.{}", signature.protected, signature.signature);
    assert_eq!(compact, sign_compact(&key(), Typ::Job, b"payload"));
}

#[test]
fn a_payload_cannot_move_into_the_header() {
    let payload = b64u("payload");
    let signature = Signature::sign(&key(), Typ::Job, &payload);
    let moved =
        Signature { protected: format!("{}.{payload}", signature.protected), signature: signature.signature };
    assert!(matches!(moved.verify(Typ::Job, ""), Err(JwsError::Encoding { .. })));
}

#[test]
fn an_unprotected_header_is_refused() {
    let signature = Signature::sign(&key(), Typ::Job, "");
    let text = serde_json::to_string(&signature).unwrap();
    assert_eq!(json::parse::<Signature>(text.as_bytes()), Ok(signature));
    for more in [r#""header":{}"#, r#""header":{"kid":"1"}"#, r#""header":null"#, r#""other":1"#] {
        let text = format!("{},{more}}}", text.strip_suffix('}').unwrap());
        assert!(json::parse::<Signature>(text.as_bytes()).is_err(), "{more}");
    }
    assert!(json::parse::<Signature>(br#"["AA","AA"]"#).is_err());
}

#[test]
fn errors_do_not_repeat_the_header() {
    for header in [
        format!(r#"{{"alg":"hunter2","typ":"subrosa-job","jwk":{}}}"#, jwk()),
        format!(r#"{{"alg":"EdDSA","typ":"hunter2","jwk":{}}}"#, jwk()),
        r#"{"alg":"EdDSA","typ":"subrosa-job","jwk":"hunter2"}"#.to_owned(),
        r#"{"alg":"EdDSA","typ":"subrosa-job","jwk":{"kty":"hunter2"}}"#.to_owned(),
    ] {
        let error = refusal(&header);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
