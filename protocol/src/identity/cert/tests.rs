use super::*;
use crate::{
    encoding::{b64u, b64u_decode},
    identity::{KeyType, Revoked, Role, Thumbprint, Trust, Untrusted, vouchers::MAX_KEPT},
    secret::Secret,
};

const NOW_S: u64 = 1_800_000_000;
const NOW_MS: u64 = NOW_S * 1000;
const TOLERANCE_S: u64 = CLOCK_TOLERANCE_MS / 1000;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::take(&mut [seed; 32]))
}

fn authority() -> SigningKey {
    key(1)
}

fn worker() -> SigningKey {
    key(2)
}

fn id(seed: u8) -> Thumbprint {
    key(seed).thumbprint()
}

fn name(text: &str) -> WorkerName {
    text.parse().unwrap()
}

fn certificate() -> Certificate {
    Certificate {
        worker: name("echo"),
        key: worker().public(),
        issued_s: NOW_S,
        expires_s: NOW_S + 1000,
        image: None,
    }
}

fn image(digit: char) -> ImageDigest {
    format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap()
}

fn trust() -> Trust {
    Trust::default().with_key(authority().public(), Role::Authority, None)
}

fn vouched(jwt: &str) -> Result<(), Untrusted> {
    trust().vouched(&id(2), &name("echo"), Some(jwt), NOW_MS)
}

/// A certificate with any claims, and a signature that does hold.
fn with_claims(claims: &str) -> CertError {
    Certificate::verify(sign_compact(&authority(), Typ::Cert, claims.as_bytes()).as_bytes()).unwrap_err()
}

#[test]
fn the_claims_are_those_of_the_protocol() {
    let certificate = Certificate { image: Some(image('a')), ..certificate() };
    let jwt = certificate.sign(&authority());
    let payload = b64u_decode(jwt.split('.').nth(1).unwrap()).unwrap();
    let jwk = serde_json::to_string(&worker().public()).unwrap();
    let (exp, image) = (NOW_S + 1000, "a".repeat(64));
    let expected = format!(
        r#"{{"sub":"echo","cnf":{{"jwk":{jwk}}},"iat":{NOW_S},"exp":{exp},"image":"sha256:{image}"}}"#
    );
    assert_eq!(String::from_utf8(payload).unwrap(), expected);
    let certified = Certificate::verify(jwt.as_bytes()).unwrap();
    assert_eq!(certified, Certified { certificate, authority: authority().public() });
}

#[test]
fn keys_of_both_types_certify_and_are_certified() {
    let mut rng = rand::rng();
    for (of_authority, of_worker) in
        KeyType::ALL.into_iter().flat_map(|one| KeyType::ALL.map(|other| (one, other)))
    {
        let authority = SigningKey::generate_type(of_authority, &mut rng);
        let worker = SigningKey::generate_type(of_worker, &mut rng);
        let jwt = Certificate { key: worker.public(), ..certificate() }.sign(&authority);
        let trust = Trust::default().with_key(authority.public(), Role::Authority, None);
        trust.vouched(&worker.thumbprint(), &name("echo"), Some(&jwt), NOW_MS).unwrap();
    }
}

#[test]
fn an_authoritys_word_makes_a_key_a_workers() {
    let jwt = certificate().sign(&authority());
    assert_eq!(vouched(&jwt), Ok(()));
    let unknown = Untrusted::Unknown { key: id(2), role: Role::Worker };
    assert_eq!(trust().vouched(&id(2), &name("echo"), None, NOW_MS), Err(unknown));
}

#[test]
fn a_certificate_is_for_one_key_and_one_name() {
    let jwt = certificate().sign(&authority());
    let other = |key, what| Err(Untrusted::OtherCertificate { key, what });
    assert_eq!(trust().vouched(&id(3), &name("echo"), Some(&jwt), NOW_MS), other(id(3), "key"));
    assert_eq!(trust().vouched(&id(2), &name("sum"), Some(&jwt), NOW_MS), other(id(2), "worker"));
}

#[test]
fn dates_hold_within_two_minutes() {
    let at = |seconds: u64| certificate().check_time(seconds * 1000);
    let (first, last) = (NOW_S - TOLERANCE_S, NOW_S + 1000 + TOLERANCE_S);
    assert_eq!(at(first - 1), Err(CertError::NotYet { issued_s: NOW_S }));
    assert_eq!(at(first), Ok(()));
    assert_eq!(at(last - 1), Ok(()));
    assert_eq!(at(last), Err(CertError::Expired { expires_s: NOW_S + 1000 }));
    let jwt = certificate().sign(&authority());
    let late = trust().vouched(&id(2), &name("echo"), Some(&jwt), last * 1000);
    let reason = Box::new(CertError::Expired { expires_s: NOW_S + 1000 });
    assert_eq!(late, Err(Untrusted::Certificate { key: id(2), reason }));
}

#[test]
fn what_is_known_expires_all_the_same() {
    let (jwt, trust) = (certificate().sign(&authority()), trust());
    let at = |seconds: u64| trust.vouched(&id(2), &name("echo"), Some(&jwt), seconds * 1000);
    assert_eq!(at(NOW_S), Ok(()));
    assert!(matches!(at(NOW_S + 2000), Err(Untrusted::Certificate { .. })));
    assert_eq!(at(NOW_S), Ok(()));
}

#[test]
fn only_authorities_certify() {
    let jwt = certificate().sign(&key(3));
    let reason = Box::new(Untrusted::Unknown { key: id(3), role: Role::Authority });
    assert_eq!(vouched(&jwt), Err(Untrusted::Authority { key: id(2), reason }));
    // A launcher or another worker is none, nor is an authority for other names.
    for (role, names) in
        [(Role::Launcher, None), (Role::Worker, None), (Role::Authority, Some(vec![name("sum")]))]
    {
        let trust = Trust::default().with_key(key(3).public(), role, names);
        let refused = trust.vouched(&id(2), &name("echo"), Some(&jwt), NOW_MS);
        assert!(matches!(refused, Err(Untrusted::Authority { .. })), "{refused:?}");
    }
}

#[test]
fn nobody_certifies_himself() {
    let jwt = certificate().sign(&worker());
    assert_eq!(Certificate::verify(jwt.as_bytes()), Err(CertError::SelfSigned));
    // Not even an authority.
    let trust = Trust::default().with_key(worker().public(), Role::Authority, None);
    let refused = trust.vouched(&id(2), &name("echo"), Some(&jwt), NOW_MS);
    assert_eq!(refused, Err(Untrusted::Certificate { key: id(2), reason: Box::new(CertError::SelfSigned) }));
}

#[test]
fn revoked_keys_count_in_no_role() {
    let jwt = certificate().sign(&authority());
    let ask = |trust: &Trust| trust.vouched(&id(2), &name("echo"), Some(&jwt), NOW_MS);
    let trust = trust().with_key(key(4).public(), Role::Launcher, None);
    // It is known by now.
    assert_eq!(ask(&trust), Ok(()));
    let revoked = |seed: u8| trust.clone().with_revoked(Revoked::from_iter([id(seed)]));
    assert_eq!(ask(&revoked(2)), Err(Untrusted::Revoked { key: id(2) }));
    let reason = Box::new(Untrusted::Revoked { key: id(1) });
    assert_eq!(ask(&revoked(1)), Err(Untrusted::Authority { key: id(2), reason }));
    assert_eq!(revoked(4).launcher(&id(4)), Err(Untrusted::Revoked { key: id(4) }));
    assert!(revoked(4).is_revoked(&id(4)));
    let pinned = Trust::pinned([worker().public()]).with_revoked(Revoked::from_iter([id(2)]));
    assert_eq!(pinned.worker(&id(2), &name("echo")), Err(Untrusted::Revoked { key: id(2) }));
    let anyone = Trust::danger_trust_any_worker().with_revoked(Revoked::from_iter([id(2)]));
    assert_eq!(anyone.worker(&id(2), &name("echo")), Err(Untrusted::Revoked { key: id(2) }));
    assert_eq!(anyone.worker(&id(3), &name("echo")), Ok(()));
}

#[test]
fn an_image_that_is_asked_for_has_to_be_certified() {
    let with = |image| Certificate { image, ..certificate() }.sign(&authority());
    let asking = trust().with_image(image('a'));
    let ask = |jwt: Option<&str>| asking.vouched(&id(2), &name("echo"), jwt, NOW_MS);
    assert_eq!(ask(Some(&with(Some(image('a'))))), Ok(()));
    let other = Err(Untrusted::OtherCertificate { key: id(2), what: "image" });
    assert_eq!(ask(Some(&with(Some(image('b'))))), other);
    assert_eq!(ask(Some(&with(None))), other);
    // A pin says nothing about images.
    let pinned = asking.clone().with_key(worker().public(), Role::Worker, None);
    let refused = pinned.vouched(&id(2), &name("echo"), None, NOW_MS);
    assert_eq!(refused, Err(Untrusted::Uncertified { key: id(2) }));
    assert_eq!(pinned.vouched(&id(2), &name("echo"), Some(&with(Some(image('a')))), NOW_MS), Ok(()));
}

#[test]
fn a_pin_needs_no_certificate_and_a_bad_one_does_it_no_harm() {
    let pinned = Trust::pinned([worker().public()]);
    assert_eq!(pinned.vouched(&id(2), &name("echo"), None, NOW_MS), Ok(()));
    assert_eq!(pinned.vouched(&id(2), &name("echo"), Some("junk"), NOW_MS), Ok(()));
}

#[test]
fn a_signature_for_another_use_certifies_nothing() {
    let jwt = certificate().sign(&authority());
    let claims = b64u_decode(jwt.split('.').nth(1).unwrap()).unwrap();
    for typ in [Typ::Job, Typ::Worker, Typ::Receipt, Typ::Record] {
        let moved = sign_compact(&authority(), typ, &claims);
        let expected = Err(CertError::Signature(JwsError::WrongType { expected: Typ::Cert }));
        assert_eq!(Certificate::verify(moved.as_bytes()), expected);
    }
}

#[test]
fn every_altered_claim_is_noticed() {
    let jwt = Certificate { image: Some(image('a')), ..certificate() }.sign(&authority());
    let [header, payload, signature] = jwt.split('.').collect::<Vec<_>>()[..] else { panic!("{jwt}") };
    let claims = String::from_utf8(b64u_decode(payload).unwrap()).unwrap();
    for (from, to) in [
        ("echo", "ecko"),
        ("1800000000", "1700000000"),
        ("1800001000", "1900001000"),
        ("sha256:a", "sha256:b"),
        ("Ed25519", "Ed25518"),
    ] {
        let altered = claims.replacen(from, to, 1);
        assert_ne!(altered, claims, "{from}");
        let jwt = format!("{header}.{}.{signature}", b64u(altered));
        assert_eq!(vouched(&jwt).unwrap_err().to_string(), bad_signature(), "{from}");
    }
}

fn bad_signature() -> String {
    let reason = Box::new(CertError::Signature(JwsError::BadSignature));
    Untrusted::Certificate { key: id(2), reason }.to_string()
}

#[test]
fn claims_that_break_a_rule_are_refused() {
    let jwk = serde_json::to_string(&worker().public()).unwrap();
    let private = jwk.replace('{', r#"{"d":"AAAA","#);
    let claims = |sub: &str, jwk: &str, times: &str| {
        with_claims(&format!(r#"{{"sub":{sub},"cnf":{{"jwk":{jwk}}},{times}}}"#))
    };
    let times = r#""iat":1,"exp":2"#;
    for error in [
        claims(r#""Echo""#, &jwk, times),
        claims("null", &jwk, times),
        claims(r#""echo""#, &private, times),
        claims(r#""echo""#, "{}", times),
        claims(r#""echo""#, &jwk, r#""iat":1"#),
        claims(r#""echo""#, &jwk, r#""iat":1,"exp":2.5"#),
        claims(r#""echo""#, &jwk, r#""iat":1,"exp":2,"exp":3"#),
        claims(r#""echo""#, &jwk, r#""iat":1,"exp":2,"image":null"#),
    ] {
        assert!(matches!(error, CertError::Json(_)), "{error}");
        assert!(!error.to_string().contains("AAAA"));
    }
    for exp in [1, 0] {
        let error = claims(r#""echo""#, &jwk, &format!(r#""iat":1,"exp":{exp}"#));
        assert_eq!(error, CertError::Invalid { member: "exp", rule: "is not after its `iat`" });
    }
    for image in ["", "sha256:", "sha256:AA", "a"] {
        let error = claims(r#""echo""#, &jwk, &format!(r#"{times},"image":"{image}""#));
        assert_eq!(error, CertError::Invalid { member: "image", rule: "is no image's digest" });
    }
}

#[test]
fn a_long_certificate_is_refused_unread() {
    let error = Certificate::verify(&vec![b'a'; MAX_CERT_BYTES + 1]).unwrap_err();
    assert!(matches!(error, CertError::Signature(JwsError::TooLarge { .. })), "{error}");
}

#[test]
fn only_so_many_certificates_are_kept() {
    let trust = trust();
    let issue = |number: u64| Certificate { issued_s: NOW_S - number, ..certificate() }.sign(&authority());
    for number in 0..=MAX_KEPT as u64 {
        trust.vouched(&id(2), &name("echo"), Some(&issue(number)), NOW_MS).unwrap();
        assert!(trust.certificates_kept() <= MAX_KEPT);
    }
    assert_eq!(trust.certificates_kept(), MAX_KEPT);
    // What does not hold is not kept, nor is anything kept twice.
    let _ = trust.vouched(&id(2), &name("echo"), Some("junk"), NOW_MS).unwrap_err();
    trust.vouched(&id(2), &name("echo"), Some(&issue(0)), NOW_MS).unwrap();
    assert_eq!(trust.certificates_kept(), MAX_KEPT);
}

#[test]
fn a_file_may_end_in_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("echo.cert");
    let jwt = certificate().sign(&authority());
    for end in ["", "\n", "\r\n"] {
        std::fs::write(&path, format!("{jwt}{end}")).unwrap();
        let (text, certified) = load_cert(&path).unwrap();
        assert_eq!((text.as_str(), certified.certificate), (jwt.as_str(), certificate()));
    }
    std::fs::write(&path, "junk").unwrap();
    let error = load_cert(&path).unwrap_err().to_string();
    assert!(error.starts_with(&path.display().to_string()), "{error}");
}
