//! Limits of size: exactly as much is read, and one byte more is refused for its size alone, unread.

use std::{fs, os::unix::fs::PermissionsExt as _};

use subrosa_fuzz::{
    record,
    verdict::agreed,
    world::{Party, namespace},
};
use subrosa_launcher::config::{Config, ConfigError, EXAMPLE, MAX_CONFIG_BYTES};
use subrosa_protocol::{
    identity::{
        JwsError, MAX_PROOF_BYTES, MAX_TRUST_BYTES, Proof, ProofError, Trust, TrustError, Typ,
        file::{self, KeyFileError, MAX_KEY_FILE_BYTES},
        verify_compact,
    },
    launch::{LaunchError, LaunchRequest, MAX_REQUEST_BYTES},
    record::{MAX_RECORD_BYTES, RecordError},
    refusal::Code,
    wire::{Head, MAX_HEAD_BYTES},
};
use subrosa_transport::Alive;

use crate::readers::{all, job, request};

/// A good text with spaces behind it.
fn filled(text: &[u8], bytes: usize) -> Vec<u8> {
    assert!(text.len() < bytes);
    let mut text = text.to_vec();
    text.resize(bytes, b' ');
    text
}

#[test]
fn a_launch_request_that_is_too_large_is_not_read() {
    let good = request(job().bytes());
    assert!(agreed(&filled(&good, MAX_REQUEST_BYTES)).is_ok());
    assert_eq!(agreed(&filled(&good, MAX_REQUEST_BYTES + 1)).unwrap_err(), Code::TooLarge);
    // What cannot be read at all is refused for its size, if that is the first thing to be seen.
    assert_eq!(agreed(&vec![0xFF; MAX_REQUEST_BYTES]).unwrap_err(), Code::BadRequest);
    for bytes in [MAX_REQUEST_BYTES + 1, 10 * MAX_REQUEST_BYTES] {
        assert_eq!(agreed(&vec![0xFF; bytes]).unwrap_err(), Code::TooLarge);
        let refused = LaunchRequest::parse(&vec![0xFF; bytes], &namespace()).unwrap_err();
        assert_eq!(refused, LaunchError::TooLarge { bytes });
    }
}

#[test]
fn a_record_that_is_too_large_is_not_read() {
    let too_large = JwsError::TooLarge { what: "JWS", max_bytes: MAX_RECORD_BYTES };
    for bytes in [MAX_RECORD_BYTES + 1, 10 * MAX_RECORD_BYTES] {
        let refused = record::agreed(&vec![0xFF; bytes], None).unwrap_err();
        assert_eq!(refused, RecordError::Signature(too_large.clone()));
    }
    let refused = record::agreed(&vec![0xFF; MAX_RECORD_BYTES], None).unwrap_err();
    assert_eq!(refused, RecordError::Signature(JwsError::NotCompact));
}

#[test]
fn a_header_that_is_too_large_is_not_read() {
    let reader = all().into_iter().find(|reader| reader.name == "header").unwrap();
    let good = reader.good.to_string();
    assert!((reader.takes)(&filled(good.as_bytes(), 2048)));
    assert!(!(reader.takes)(&filled(good.as_bytes(), 2049)));
    let refused = |header: &str, signature: &str| {
        let jws = format!("{header}.{}.{signature}", "*".repeat(5000));
        verify_compact(Typ::Record, jws.as_bytes(), MAX_RECORD_BYTES).unwrap_err()
    };
    // 2732 characters are 2049 bytes. What is behind the header is worse, and nobody has got to that.
    let too_large = JwsError::TooLarge { what: "protected header", max_bytes: 2048 };
    assert_eq!(refused(&"*".repeat(2732), "*"), too_large);
    assert!(matches!(refused(&"*".repeat(2731), "*"), JwsError::Encoding { what: "protected header", .. }));
}

#[test]
fn a_proof_that_is_too_large_is_not_read() {
    let proof = Proof {
        job: *job().id(),
        worker: "echo".parse().unwrap(),
        enc: subrosa_protocol::id::Sha256Hash::of(b"enc"),
        attempt: subrosa_protocol::id::Attempt::FIRST,
    };
    let refused = Proof::verify(&"*".repeat(MAX_PROOF_BYTES + 1), &proof).unwrap_err();
    let too_large = JwsError::TooLarge { what: "JWS", max_bytes: MAX_PROOF_BYTES };
    assert_eq!(refused, ProofError::Signature(too_large));
    let refused = Proof::verify(&"*".repeat(MAX_PROOF_BYTES), &proof).unwrap_err();
    assert_eq!(refused, ProofError::Signature(JwsError::NotCompact));
}

#[test]
fn heads_and_questions_have_a_limit_too() {
    assert!(Head::parse(&filled(b"{}", MAX_HEAD_BYTES)).is_some());
    assert!(Head::parse(&filled(b"{}", MAX_HEAD_BYTES + 1)).is_none());
    assert!(Alive::parse(&filled(br#"{"attempt":1}"#, 1024)).is_some());
    assert!(Alive::parse(&filled(br#"{"attempt":1}"#, 1025)).is_none());
}

#[test]
fn files_that_are_too_large_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let write = |bytes: usize| {
        fs::write(&path, vec![0xFF; bytes]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    };

    write(MAX_KEY_FILE_BYTES + 1);
    for refused in [file::load(&path).map(|_| ()), file::load_public(&path).map(|_| ())] {
        assert!(matches!(refused, Err(KeyFileError::TooLarge { .. })), "{refused:?}");
    }
    write(MAX_KEY_FILE_BYTES);
    assert!(matches!(file::load(&path), Err(KeyFileError::Json { .. })));

    write(MAX_TRUST_BYTES + 1);
    let TrustError::InFile { reason, .. } = Trust::from_file(&path).unwrap_err() else { panic!("no file") };
    assert!(matches!(*reason, TrustError::TooLarge), "{reason}");
    assert!(matches!(Trust::from_jwk_set(&vec![0xFF; MAX_TRUST_BYTES]), Err(TrustError::Json(_))));

    let config = format!("{EXAMPLE}{}", "#".repeat(MAX_CONFIG_BYTES - EXAMPLE.len()));
    assert!(Config::from_toml(&config).is_ok());
    assert!(matches!(Config::from_toml(&format!("{config}\0")), Err(ConfigError::TooLarge)));
}

#[test]
fn what_a_job_may_hold_is_limited_for_everyone() {
    let reader = all().into_iter().find(|reader| reader.name == "job").unwrap();
    for (pointer, most) in [("/label", 1024), ("/psk_id", 256), ("/worker", 64)] {
        for (bytes, taken) in [(most, true), (most + 1, false), (40_000, false)] {
            let text = reader.replaced(pointer, &format!("{:?}", "x".repeat(bytes)));
            assert_eq!((reader.takes)(text.as_bytes()), taken, "{pointer} of {bytes} bytes");
        }
    }
    for (bytes, taken) in [(15, false), (16, true), (64, true), (65, false), (40_000, false)] {
        let reply = format!("\"subrosa.v1.client.{}\"", "x".repeat(bytes));
        assert_eq!((reader.takes)(reader.replaced("/reply", &reply).as_bytes()), taken, "{bytes}");
    }
    // Seventeen signatures, of which each holds.
    let alice = Party::Stranger.key();
    for (count, verdict) in [(16, Ok(())), (17, Err(Code::BadRequest))] {
        let one = LaunchRequest::new(job(), &[alice]).unwrap();
        let mut many: serde_json::Value = serde_json::from_slice(one.bytes()).unwrap();
        many["signatures"] = vec![many["signatures"][0].clone(); count].into();
        assert_eq!(agreed(many.to_string().as_bytes()).map(|_| ()), verdict, "{count} signatures");
    }
}
