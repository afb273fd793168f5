//! Certificates, which are JWTs.

use serde_json::json;
use subrosa_protocol::identity::{Certificate, KeyType, PublicKey, Role, Trust};
use subrosa_transport::now_ms;

use crate::jwcrypto::{Key, ask_one, ours, public, text};

#[test]
fn certificates_issued_here_hold_there() {
    for (authority, worker) in [KeyType::Ed25519, KeyType::Secp256k1]
        .into_iter()
        .flat_map(|authority| KeyType::ALL.map(|worker| (ours(authority), ours(worker))))
    {
        let issued_s = now_ms() / 1000;
        let certificate = |issued_s| Certificate {
            worker: "echo".parse().unwrap(),
            key: worker.public(),
            issued_s,
            expires_s: issued_s + 3600,
            image: None,
        };
        let read = |certificate: Certificate, key: &str| {
            let jwt = certificate.sign(&authority);
            ask_one(json!({ "do": "read_certificate", "key": key, "token": jwt }))
        };
        let claims = read(certificate(issued_s), &public(&authority)).unwrap();
        assert_eq!(claims["sub"], "echo");
        assert_eq!(claims["iat"], issued_s);
        let jwk = claims["cnf"]["jwk"].to_string();
        assert_eq!(PublicKey::from_jwk(jwk.as_bytes()).unwrap(), worker.public());
        // That it would notice.
        assert_eq!(read(certificate(issued_s - 86_400), &public(&authority)), None);
        assert_eq!(read(certificate(issued_s), &public(&worker)), None);
    }
}

#[test]
fn certificates_issued_there_hold_here() {
    for key_type in KeyType::ALL {
        let (authority, worker) = (Key::generate(key_type), ours(key_type));
        let (key, name) = (worker.thumbprint(), "echo".parse().unwrap());
        let claims = json!({
            "sub": "echo", "cnf": { "jwk": worker.public() }, "iat": 1_800_000_000, "exp": 1_800_086_400,
        });
        let order = json!({ "do": "certify", "key": authority.private, "claims": claims });
        let jwt = text(order).unwrap();
        let trust = Trust::default().with_key(
            PublicKey::from_jwk(authority.public.as_bytes()).unwrap(),
            Role::Authority,
            None,
        );
        trust.vouched(&key, &name, Some(&jwt), 1_800_000_001_000).unwrap();
        assert!(trust.vouched(&key, &name, Some(&jwt), 1_800_087_000_000).is_err());
        assert!(trust.vouched(&key, &"prove".parse().unwrap(), Some(&jwt), 1_800_000_001_000).is_err());
        assert!(trust.vouched(&ours(key_type).thumbprint(), &name, Some(&jwt), 1_800_000_001_000).is_err());
    }
}
