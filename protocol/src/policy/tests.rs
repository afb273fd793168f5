use rand::{rand_core::UnwrapErr, rngs::SysRng};

use super::*;
use crate::{
    hpke::RecipientKey,
    id::Sha256Hash,
    identity::{Revoked, SigningKey},
    job::Description,
    launch::LaunchRequest,
    subject::Namespace,
};

fn keys<const N: usize>() -> [SigningKey; N] {
    [(); N].map(|()| SigningKey::generate(&mut UnwrapErr(SysRng)))
}

fn policy(needed: usize, keys: &[&SigningKey]) -> Policy {
    Policy::at_least(needed, keys.iter().map(|key| key.thumbprint())).unwrap()
}

fn revoked(keys: &[&SigningKey]) -> Trust {
    let text: String = keys.iter().map(|key| format!("{}\n", key.thumbprint())).collect();
    Trust::default().with_revoked(Revoked::parse(text.as_bytes()).unwrap())
}

/// A job of this owner, or of nobody.
fn job(owner: Option<&SigningKey>) -> Job {
    let description = Description {
        worker: "echo".parse().unwrap(),
        client: owner.map(SigningKey::thumbprint),
        label: None,
        client_key: *RecipientKey::generate(&mut UnwrapErr(SysRng)).public(),
        psk_id: None,
        reply: Namespace::default().reply("AliceAliceAlice01").unwrap(),
        created_ms: 1,
        expires_ms: 2,
        timeout_ms: 3,
        max_attempts: 4,
        cancel: Sha256Hash::of("cancel"),
        close: Sha256Hash::of("close"),
        input: None,
    };
    Job::new(description).unwrap()
}

/// What a policy says to an anonymous job that these have signed.
fn asked(policy: &Policy, signed: &[&SigningKey], trust: &Trust) -> Result<Option<TooFew>, Unauthorized> {
    let request = LaunchRequest::new(job(None), signed).unwrap();
    policy.check(request.job(), &request.verify().unwrap(), trust)
}

fn too_few(needed: usize, found: usize) -> Result<Option<TooFew>, Unauthorized> {
    Err(TooFew { needed, found }.into())
}

#[test]
fn every_number_of_signers_is_enough_from_the_threshold_on() {
    let [a, b, c] = keys();
    let all = [&a, &b, &c];
    for needed in 1..=3 {
        let policy = policy(needed, &all);
        for signed in 0..=3 {
            let expected = if signed >= needed { Ok(None) } else { too_few(needed, signed) };
            assert_eq!(asked(&policy, &all[..signed], &Trust::default()), expected, "{signed} of {needed}");
        }
    }
}

#[test]
fn anyone_is_everyone() {
    let [a] = keys();
    for signed in [&[][..], &[&a], &[&a, &a]] {
        assert_eq!(asked(&Policy::anyone(), signed, &Trust::default()), Ok(None));
    }
}

#[test]
fn two_signatures_by_one_key_count_once() {
    let [a, b, c] = keys();
    let two = policy(2, &[&a, &b, &c]);
    assert_eq!(asked(&two, &[&a, &a], &Trust::default()), too_few(2, 1));
    assert_eq!(asked(&two, &[&a, &a, &a, &b], &Trust::default()), Ok(None));
}

#[test]
fn strangers_do_not_count_and_do_no_harm() {
    let [a, b, stranger, other] = keys();
    let two = policy(2, &[&a, &b]);
    assert_eq!(asked(&two, &[&a, &stranger, &other], &Trust::default()), too_few(2, 1));
    assert_eq!(asked(&two, &[&a, &b, &stranger], &Trust::default()), Ok(None));
}

#[test]
fn a_revoked_key_never_counts() {
    let [a, b, c] = keys();
    let two = policy(2, &[&a, &b, &c]);
    assert_eq!(asked(&two, &[&a, &b], &revoked(&[&a])), too_few(2, 1));
    assert_eq!(asked(&two, &[&a, &b, &c], &revoked(&[&a])), Ok(None));
    assert_eq!(asked(&two, &[&a, &b, &c], &revoked(&[&a, &b, &c])), too_few(2, 0));
}

#[test]
fn a_job_whose_owner_is_revoked_is_refused_in_every_mode() {
    let [owner, a] = keys();
    let request = LaunchRequest::new(job(Some(&owner)), &[&owner, &a]).unwrap();
    let signers = request.verify().unwrap();
    let refused = Err(Unauthorized::OwnerRevoked { owner: owner.thumbprint() });
    let one = policy(1, &[&a]);
    for policy in [one.clone(), one.clone().in_mode(Mode::Warn), one.in_mode(Mode::Off), Policy::anyone()] {
        assert_eq!(policy.check(request.job(), &signers, &revoked(&[&owner])), refused);
        // Another's revocation is no matter of the owner's.
        let of_another = policy.check(request.job(), &signers, &revoked(&[&a]));
        assert_ne!(of_another, refused);
    }
}

#[test]
fn the_modes_refuse_warn_and_do_not_look() {
    let [a, b] = keys();
    let two = policy(2, &[&a, &b]);
    assert_eq!(two, two.clone().in_mode(Mode::Enforce), "it is the default");
    let asked = |mode, signed: &[&SigningKey]| asked(&two.clone().in_mode(mode), signed, &Trust::default());
    assert_eq!(asked(Mode::Enforce, &[&a]), too_few(2, 1));
    assert_eq!(asked(Mode::Warn, &[&a]), Ok(Some(TooFew { needed: 2, found: 1 })));
    assert_eq!(asked(Mode::Off, &[&a]), Ok(None));
    for mode in [Mode::Enforce, Mode::Warn, Mode::Off] {
        assert_eq!(asked(mode, &[&a, &b]), Ok(None), "nothing to say");
        assert_eq!(mode.to_string().parse(), Ok(mode));
    }
    assert_eq!("Enforce".parse::<Mode>(), Err(ModeError));
    let said = Unauthorized::TooFew(TooFew { needed: 2, found: 1 });
    assert!(said.to_string().contains("needs signatures by 2 of its keys, and 1 count"), "{said}");
    assert_eq!(said.code(), Code::Unauthorized);
}

/// A JWK Set of these.
fn set(keys: &[Value]) -> Vec<u8> {
    json::to_vec(&serde_json::json!({ "keys": keys }))
}

fn jwk(key: &SigningKey) -> Value {
    serde_json::to_value(key.public().to_jwk()).unwrap()
}

fn refusal(bytes: &[u8], needed: usize) -> String {
    Policy::from_jwk_set(bytes, needed).unwrap_err().to_string()
}

#[test]
fn keys_are_read_from_a_key_set() {
    let [a, b, c] = keys();
    let mut named = jwk(&b);
    named["kid"] = "bob".into();
    let read = Policy::from_jwk_set(&set(&[jwk(&a), named.clone(), jwk(&c)]), 2).unwrap();
    assert_eq!(read, policy(2, &[&a, &b, &c]));
    // The same key under another `kid` is the same key.
    let twice = set(&[jwk(&a), jwk(&b), named]);
    assert_eq!(Policy::from_jwk_set(&twice, 2).unwrap(), policy(2, &[&a, &b]));
    assert_eq!(
        refusal(&twice, 3),
        "3 of 2 signers cannot be asked for: give a number from 1 to 2",
        "three entries, two keys"
    );
}

#[test]
fn a_number_that_no_job_or_every_job_reaches_is_refused() {
    let [a] = keys();
    assert!(refusal(&set(&[jwk(&a)]), 0).contains("a number from 1 to 1"));
    assert!(refusal(&set(&[jwk(&a)]), 2).contains("a number from 1 to 1"));
    assert!(refusal(&set(&[]), 1).contains("name at least one key"));
    let many = keys::<17>();
    let many = || many.iter().map(SigningKey::thumbprint);
    assert!(Policy::at_least(16, many()).is_ok());
    assert!(matches!(Policy::at_least(17, many()), Err(PolicyError::OverLimit { needed: 17 })));
}

#[test]
fn a_key_set_with_anything_wrong_in_it_is_refused() {
    let [a, b] = keys();
    let with = |member: &str, value: &str| {
        let mut changed = jwk(&b);
        changed[member] = value.into();
        refusal(&set(&[jwk(&a), changed]), 1)
    };
    assert!(with("d", "AA").contains("`keys[1]` has the private member `d`"));
    assert!(with("k", "AA").contains("`keys[1]` has the private member `k`"));
    assert!(with("role", "worker").contains("`keys[1]` has a `role`, as in a trust file"));
    assert!(with("workers", "x").contains("`keys[1]` has a `workers`, as in a trust file"));
    assert!(with("kty", "RSA").contains("`keys[1]`"));
    assert!(with("x", "AAAA").contains("`keys[1]`"));
    for bad in [&b"{}"[..], b"[]", b"{\"keys\":{}}", b"{\"keys\":[1]}", b"{\"keys\":[],\"keys\":[]}", b""] {
        assert!(refusal(bad, 1).starts_with("the set of signers "), "{}", refusal(bad, 1));
    }
    let padded = |bytes: usize| {
        let mut text = set(&[jwk(&a)]);
        text.resize(bytes, b' ');
        text
    };
    assert!(Policy::from_jwk_set(&padded(MAX_SIGNERS_BYTES), 1).is_ok());
    assert!(refusal(&padded(MAX_SIGNERS_BYTES + 1), 1).contains("more than"));
}

#[test]
fn a_file_that_is_refused_is_named() {
    let path = std::env::temp_dir().join(format!("subrosa-signers-{}.json", std::process::id()));
    let refused = Policy::from_file(&path, 1).unwrap_err().to_string();
    assert!(refused.starts_with("cannot read the signers file ") && refused.contains("subrosa-signers-"));
    std::fs::write(&path, "{}").unwrap();
    let refused = Policy::from_file(&path, 1).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    assert!(refused.contains("subrosa-signers-") && refused.contains("keys"), "{refused}");
    // No more of it is read than a signers file has.
    assert!(matches!(Policy::from_file("/dev/zero", 1), Err(PolicyError::InFile { .. })));
}
