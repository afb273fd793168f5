use super::*;
use crate::{encoding::b64u, identity::SigningKey, secret::Secret};

fn key(seed: u8) -> PublicKey {
    SigningKey::from_seed(&Secret::take(&mut [seed; 32])).public()
}

fn id(seed: u8) -> Thumbprint {
    key(seed).thumbprint()
}

fn name(text: &str) -> WorkerName {
    text.parse().unwrap()
}

/// A key set of one key with further members.
fn set_with(more: &str) -> String {
    let jwk = serde_json::to_string(&key(1)).unwrap();
    format!(r#"{{"keys":[{}{more}}}]}}"#, jwk.strip_suffix('}').unwrap())
}

fn read(text: &str) -> Result<Trust, TrustError> {
    Trust::from_jwk_set(text.as_bytes())
}

fn refusal(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn a_key_without_a_role_is_a_workers_for_every_name() {
    for text in [
        set_with(""),
        set_with(r#","role":"worker""#),
        set_with(r#","use":"sig","kid":"a","alg":"EdDSA","key_ops":["verify"],"future":[{}]"#),
    ] {
        let trust = read(&text).unwrap();
        assert_eq!(trust.worker(&id(1), &name("echo")), Ok(()));
        let unknown = Untrusted::Unknown { key: id(2), role: Role::Worker };
        assert_eq!(trust.worker(&id(2), &name("echo")), Err(unknown));
        let role = Role::Launcher;
        assert_eq!(trust.launcher(&id(1)), Err(Untrusted::Role { key: id(1), role }));
        let role = Role::Authority;
        assert_eq!(trust.authority(&id(1), &name("echo")), Err(Untrusted::Role { key: id(1), role }));
    }
}

#[test]
fn a_role_is_good_for_nothing_else() {
    let launcher = read(&set_with(r#","role":"launcher""#)).unwrap();
    assert_eq!(launcher.launcher(&id(1)), Ok(()));
    assert!(matches!(launcher.worker(&id(1), &name("echo")), Err(Untrusted::Role { .. })));
    assert!(matches!(launcher.authority(&id(1), &name("echo")), Err(Untrusted::Role { .. })));
    assert!(matches!(launcher.launcher(&id(2)), Err(Untrusted::Unknown { .. })));

    let authority = read(&set_with(r#","role":"authority""#)).unwrap();
    assert_eq!(authority.authority(&id(1), &name("echo")), Ok(()));
    assert!(matches!(authority.worker(&id(1), &name("echo")), Err(Untrusted::Role { .. })));
    assert!(matches!(authority.launcher(&id(1)), Err(Untrusted::Role { .. })));
}

#[test]
fn names_limit_what_a_key_is_good_for() {
    let trust = read(&set_with(r#","workers":["echo","sum"]"#)).unwrap();
    assert_eq!(trust.worker(&id(1), &name("echo")), Ok(()));
    assert_eq!(trust.worker(&id(1), &name("sum")), Ok(()));
    let other = Untrusted::Worker { key: id(1), worker: name("prove") };
    assert_eq!(trust.worker(&id(1), &name("prove")), Err(other));

    let authority = read(&set_with(r#","role":"authority","workers":["echo"]"#)).unwrap();
    assert_eq!(authority.authority(&id(1), &name("echo")), Ok(()));
    assert!(matches!(authority.authority(&id(1), &name("sum")), Err(Untrusted::Worker { .. })));
}

#[test]
fn one_key_may_have_several_roles() {
    let trust = Trust::default()
        .with_key(key(1), Role::Launcher, None)
        .with_key(key(1), Role::Worker, Some(vec![name("echo")]))
        .with_key(key(1), Role::Worker, Some(vec![name("sum")]));
    assert_eq!(trust.launcher(&id(1)), Ok(()));
    assert_eq!(trust.worker(&id(1), &name("echo")), Ok(()));
    assert_eq!(trust.worker(&id(1), &name("sum")), Ok(()));
    assert!(trust.worker(&id(1), &name("prove")).is_err());
}

#[test]
fn unknown_roles_are_refused() {
    for role in [r#""admin""#, r#""Worker""#, r#""""#, "null", "1", r#"["worker"]"#] {
        assert_eq!(
            refusal(&set_with(&format!(r#","role":{role}"#))),
            "`keys[0]` has an unknown `role`: it is one of worker, launcher and authority",
            "{role}"
        );
    }
}

#[test]
fn invalid_names_are_refused() {
    for names in
        ["[]", "null", "\"echo\"", "{}", "[1]", "[\"\"]", "[\"echo\",\"*\"]", "[\"Echo\"]", "[[\"echo\"]]"]
    {
        let error = refusal(&set_with(&format!(r#","workers":{names}"#)));
        assert!(error.starts_with("`keys[0]` has invalid `workers`: "), "{names}: {error}");
    }
    let error = refusal(&set_with(r#","role":"launcher","workers":["echo"]"#));
    assert!(error.contains("a launcher's key cannot be limited"), "{error}");
}

#[test]
fn a_key_that_cannot_be_used_refuses_the_set() {
    let good = serde_json::to_string(&key(1)).unwrap();
    let second = |jwk: &str| refusal(&format!(r#"{{"keys":[{good},{jwk}]}}"#));
    for (jwk, expected) in [
        (r#"{"kty":"RSA","n":"AA","e":"AQAB"}"#, "is of a kind that is not supported here"),
        (r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#, "is of a kind that is not supported here"),
        (r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#, "is of a kind that is not supported here"),
        (r#"{"crv":"Ed25519"}"#, "has no text `kty`"),
        (r#"{"kty":"OKP","crv":"Ed25519"}"#, "has no text `x`"),
        (r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#, "has a member `x` that has 1 bytes, expected 32"),
        (r#"{"kty":"oct","k":"AA"}"#, "has the private member `k`"),
        (r#"{"kty":"OKP","crv":"Ed25519","x":"AA","d":"AA"}"#, "has the private member `d`"),
    ] {
        let error = second(jwk);
        assert!(error.starts_with(&format!("`keys[1]` {expected}")), "{jwk}: {error}");
    }
    let weak = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, b64u([0; 32]));
    assert_eq!(second(&weak), "`keys[1]` is no valid key of its kind: make a new one");
}

#[test]
fn what_is_no_key_set_is_refused() {
    for (text, expected) in [
        ("{}", "the key set has no member `keys`"),
        (r#"{"keys":[],"keys":[]}"#, "the key set has the member `keys` twice in one object"),
        ("", "the key set is not JSON: EOF while parsing a value at line 1 column 0"),
    ] {
        assert_eq!(refusal(text), expected);
    }
    assert!(read(r#"{"keys":{}}"#).is_err());
    assert!(read(r#"{"keys":["a"]}"#).is_err());
    assert!(read(r#"{"keys":[]}"#).is_ok());
    assert!(read(&set_with(r#","role":"worker","role":"launcher""#)).is_err());
}

#[test]
fn a_key_set_has_at_most_1_mib() {
    let mut text = set_with("");
    text.push_str(&" ".repeat(MAX_TRUST_BYTES - text.len()));
    assert!(read(&text).is_ok());
    text.push(' ');
    assert!(matches!(read(&text), Err(TrustError::TooLarge)));
}

#[test]
fn pinned_keys_are_workers() {
    let trust = Trust::pinned([key(1), key(2)]);
    assert_eq!(trust.worker(&id(2), &name("echo")), Ok(()));
    assert!(trust.worker(&id(3), &name("echo")).is_err());
    assert!(trust.launcher(&id(1)).is_err());
}

#[test]
fn nobody_is_trusted_by_default() {
    assert!(Trust::default().worker(&id(1), &name("echo")).is_err());
    assert!(Trust::default().launcher(&id(1)).is_err());
    assert!(Trust::default().authority(&id(1), &name("echo")).is_err());
}

#[test]
fn trusting_any_worker_trusts_no_launcher() {
    let trust = Trust::danger_trust_any_worker();
    assert_eq!(trust.worker(&id(1), &name("echo")), Ok(()));
    assert!(trust.launcher(&id(1)).is_err());
    assert!(trust.authority(&id(1), &name("echo")).is_err());
    let trust = trust.with_key(key(1), Role::Launcher, None);
    assert_eq!(trust.launcher(&id(1)), Ok(()));
    assert!(trust.launcher(&id(2)).is_err());
}

#[test]
fn a_launchers_key_with_names_is_never_trusted() {
    let trust = Trust::default().with_key(key(1), Role::Launcher, Some(vec![name("echo")]));
    assert!(trust.launcher(&id(1)).is_err());
}

#[test]
fn a_copy_does_not_change_with_the_original() {
    let trust = Trust::pinned([key(1)]);
    let more = trust.clone().with_key(key(2), Role::Worker, None);
    assert!(trust.worker(&id(2), &name("echo")).is_err());
    assert!(more.worker(&id(2), &name("echo")).is_ok());
}

#[test]
fn what_is_written_is_read_again() {
    let trust = Trust::pinned([key(1)]).with_key(key(2), Role::Launcher, None).with_key(
        key(3),
        Role::Authority,
        Some(vec![name("echo")]),
    );
    let text = trust.to_json();
    let again = read(&text).unwrap();
    assert_eq!(again.to_json(), text);
    assert_eq!(again.worker(&id(1), &name("sum")), Ok(()));
    assert_eq!(again.launcher(&id(2)), Ok(()));
    assert_eq!(again.authority(&id(3), &name("echo")), Ok(()));
    assert!(again.authority(&id(3), &name("sum")).is_err());
    assert_eq!(read(&Trust::default().to_json()).unwrap().to_json(), Trust::default().to_json());
}

#[test]
fn files_are_named_in_errors() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trust.json");
    let shown = path.display();
    let error = Trust::from_file(&path).unwrap_err();
    assert!(matches!(error, TrustError::Read { .. }));
    assert!(error.to_string().contains(&shown.to_string()), "{error}");

    std::fs::write(&path, "{").unwrap();
    let error = Trust::from_file(&path).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{shown}: the key set is not JSON: ")), "{error}");

    std::fs::write(&path, vec![b' '; MAX_TRUST_BYTES + 2]).unwrap();
    let error = Trust::from_file(&path).unwrap_err().to_string();
    assert_eq!(error, format!("{shown}: the key set has more than 1048576 bytes"));

    std::fs::write(&path, set_with("")).unwrap();
    assert!(Trust::from_file(&path).unwrap().worker(&id(1), &name("echo")).is_ok());
    assert!(Trust::from_file(directory.path()).is_err());
}

#[test]
fn a_refusal_names_the_key() {
    let refused = |trust: &Trust, seed| trust.worker(&id(seed), &name("echo")).unwrap_err().to_string();
    let trust = Trust::default().with_key(key(1), Role::Launcher, None).with_key(
        key(2),
        Role::Worker,
        Some(vec![name("sum")]),
    );
    assert_eq!(refused(&trust, 1), format!("the key {} is known, but not as a worker", id(1)));
    assert_eq!(refused(&trust, 2), format!("the key {} is trusted, but not for the worker echo", id(2)));
    let unknown = format!("the key {} is unknown: if it is the worker's, add it to the trust file", id(3));
    assert_eq!(refused(&trust, 3), unknown);
}
