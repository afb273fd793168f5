use super::*;

fn prepared() -> PreparedJob {
    Draft::new("echo").bind_input(&77).prepare().unwrap()
}

#[test]
fn secrets_come_back_as_they_were_kept() {
    let PreparedJob { request, secrets } = prepared();
    let kept = secrets.to_bytes();
    let read = JobSecrets::from_bytes(&kept).unwrap();
    assert_eq!(*read.to_bytes(), *kept);
    assert_eq!(read.check_job(request.job()), Ok(()));
    let unbound = Draft::new("echo").prepare().unwrap();
    let read = JobSecrets::from_bytes(&unbound.secrets.to_bytes()).unwrap();
    assert_eq!(read.check_job(unbound.request.job()), Ok(()));
}

#[test]
fn debug_shows_the_name_only() {
    assert_eq!(format!("{:?}", prepared().secrets), "JobSecrets");
    let draft = Draft::new("echo").label("public").bind_input(&77);
    assert_eq!(
        format!("{draft:?}"),
        "Draft { worker: \"echo\", .. }",
        "a hash without a salt can be guessed"
    );
}

#[test]
fn nothing_secret_stands_in_the_request() {
    let PreparedJob { request, secrets } = prepared();
    let kept: serde_json::Value = serde_json::from_slice(&secrets.to_bytes()).unwrap();
    let said = String::from_utf8_lossy(request.job().bytes()).into_owned();
    for name in ["client_key", "cancel", "close", "salt"] {
        let secret = kept[name].as_str().unwrap();
        assert!(secret.len() == 43 && !said.contains(secret), "{name}");
    }
}

#[test]
fn secrets_of_another_job_are_refused_even_under_its_id() {
    let (one, other) = (prepared(), prepared());
    let (expected, found) = (*one.request.job().id(), *other.request.job().id());
    let error = other.secrets.check_job(one.request.job());
    assert_eq!(error, Err(SecretsError::AnotherJob { expected, found }));
    // Member by member.
    let text =
        |secrets: &JobSecrets| serde_json::from_slice::<serde_json::Value>(&secrets.to_bytes()).unwrap();
    for member in ["client_key", "cancel", "close"] {
        let mut forged = text(&one.secrets);
        forged[member] = text(&other.secrets)[member].clone();
        let forged = JobSecrets::from_bytes(forged.to_string().as_bytes()).unwrap();
        assert_eq!(forged.check_job(one.request.job()), Err(SecretsError::Mismatch), "{member}");
    }
    let mut forged = text(&one.secrets);
    forged.as_object_mut().unwrap().remove("salt");
    let forged = JobSecrets::from_bytes(forged.to_string().as_bytes()).unwrap();
    assert_eq!(forged.check_job(one.request.job()), Err(SecretsError::Mismatch));
}

#[test]
fn a_bound_job_takes_its_own_payload_only() {
    let PreparedJob { request, secrets } = prepared();
    assert_eq!(secrets.check_payload(request.job(), b"77"), Ok(()));
    for other in [b"78".as_slice(), b"", b" 77"] {
        assert_eq!(secrets.check_payload(request.job(), other), Err(SecretsError::Payload));
    }
    let salt = secrets.salt().unwrap();
    assert_eq!(check_input(request.job(), salt, b"77"), Ok(()));
    assert_eq!(check_input(request.job(), salt, b"78"), Err(SecretsError::Payload));

    let PreparedJob { request: unbound, secrets: none } = Draft::new("echo").prepare().unwrap();
    assert_eq!(none.check_payload(unbound.job(), b"anything"), Ok(()));
    assert!(none.salt().is_none());
    assert_eq!(check_input(unbound.job(), salt, b"77"), Err(SecretsError::Payload));
    assert_eq!(none.check_payload(request.job(), b"77"), Err(SecretsError::Mismatch));
}

#[test]
fn other_texts_are_no_secrets() {
    let kept = prepared().secrets.to_bytes();
    let kept = std::str::from_utf8(&kept).unwrap();
    for (from, to) in [("\"v\":1", "\"v\":2"), ("\"salt\":\"", "\"salt\":\"x"), ("\"job\"", "\"jobs\"")] {
        let changed = kept.replace(from, to);
        assert_ne!(changed, kept);
        assert!(JobSecrets::from_bytes(changed.as_bytes()).is_err(), "{to}");
    }
    assert!(matches!(JobSecrets::from_bytes(&[b' '; 5000]), Err(SecretsError::TooLarge)));
}
