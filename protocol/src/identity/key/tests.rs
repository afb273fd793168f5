use super::*;
use crate::encoding::{b64u_array, hex_array};

/// RFC 8037, appendix A.1.
const D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn key() -> SigningKey {
    SigningKey::from_seed(&Secret::take(&mut b64u_array(D).unwrap()))
}

#[test]
fn keys_and_thumbprints_are_those_of_rfc_8037() {
    assert_eq!(
        serde_json::to_string(&key().public()).unwrap(),
        format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{X}"}}"#)
    );
    assert_eq!(*key().d(), D);
    assert_eq!(key().thumbprint().to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(key().public().thumbprint(), key().thumbprint());
}

#[test]
fn signatures_are_those_of_rfc_8037() {
    let signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = key().sign(signed);
    assert_eq!(
        b64u(signature),
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );
    assert!(key().public().verifies(signed, &signature));
    assert!(!key().public().verifies(b"other", &signature));
}

#[test]
fn debug_shows_thumbprints_only() {
    let thumbprint = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    assert_eq!(format!("{:?}", key()), format!("SigningKey({thumbprint})"));
    assert_eq!(format!("{:?}", key().public()), format!("PublicKey({thumbprint})"));
}

#[test]
fn generated_keys_differ() {
    let mut rng = rand::rng();
    assert_ne!(SigningKey::generate(&mut rng).public(), SigningKey::generate(&mut rng).public());
}

/// Every point whose order divides the cofactor, in its canonical encoding.
const SMALL_ORDER: [&str; 8] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
];

#[test]
fn keys_of_small_order_are_refused() {
    for bytes in SMALL_ORDER {
        let bytes = hex_array(bytes).unwrap();
        assert!(ed25519_dalek::VerifyingKey::from_bytes(&bytes).unwrap().is_weak());
        assert_eq!(PublicKey::ed25519(&bytes), Err(KeyError::Weak));
        let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, b64u(bytes));
        assert_eq!(PublicKey::from_jwk(jwk.as_bytes()), Err(KeyError::Weak));
    }
}

#[test]
fn non_canonical_keys_are_refused() {
    let mut taken_by_others = 0;
    for sign in [0, 0x80] {
        // y + p for every y that leaves room: 0 to 18.
        for low in 0xED..=0xFF {
            let mut bytes = [0xFF; 32];
            (bytes[0], bytes[31]) = (low, 0x7F | sign);
            assert_eq!(PublicKey::ed25519(&bytes), Err(KeyError::Weak));
            let lenient = ed25519_dalek::VerifyingKey::from_bytes(&bytes);
            taken_by_others += usize::from(lenient.is_ok_and(|key| !key.is_weak()));
            // The same point in its own encoding is a key, if it is a point and of large order.
            let mut canonical = [0; 32];
            (canonical[0], canonical[31]) = (low - 0xED, sign);
            let point = ed25519_dalek::VerifyingKey::from_bytes(&canonical).is_ok_and(|key| !key.is_weak());
            assert_eq!(PublicKey::ed25519(&canonical).is_ok(), point);
        }
    }
    assert!(taken_by_others > 0, "the check is needed");
    // x is zero, and said to be negative.
    for y in [SMALL_ORDER[0], SMALL_ORDER[1]] {
        let mut bytes = hex_array::<32>(y).unwrap();
        bytes[31] |= 0x80;
        assert_eq!(PublicKey::ed25519(&bytes), Err(KeyError::Weak));
    }
}

#[test]
fn bytes_that_are_no_point_are_refused() {
    let mut bytes = [0; 32];
    bytes[0] = 2;
    assert_eq!(PublicKey::ed25519(&bytes), Err(KeyError::Weak));
}

#[test]
fn only_reduced_signatures_verify() {
    let signature = key().sign(b"message");
    // s + l verifies wherever nobody checks that s is reduced.
    let order = hex_array::<32>("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut forged = signature;
    let mut carry = 0;
    for (byte, add) in forged[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    assert_eq!(carry, 0);
    assert!(key().public().verifies(b"message", &signature));
    assert!(!key().public().verifies(b"message", &forged));
    // s = l, that is 0.
    forged[32..].copy_from_slice(&order);
    assert!(!key().public().verifies(b"message", &forged));
}

#[test]
fn signatures_with_a_point_of_small_order_do_not_verify() {
    for point in SMALL_ORDER {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&hex_array::<32>(point).unwrap());
        assert!(!key().public().verifies(b"message", &signature));
    }
}

#[test]
fn every_bit_of_a_signature_counts() {
    let signature = key().sign(b"message");
    for bit in 0..512 {
        let mut forged = signature;
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(!key().public().verifies(b"message", &forged), "bit {bit}");
    }
}

#[test]
fn a_public_key_is_a_jwk_with_public_members() {
    let read = |more: &str| {
        PublicKey::from_jwk(format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}"{more}}}"#).as_bytes())
    };
    assert_eq!(read(""), Ok(key().public()));
    assert_eq!(read(r#","use":"sig","kid":"1","x5c":[],"future":{}"#), Ok(key().public()));
    for member in ["d", "k", "p", "q", "dp", "dq", "qi", "oth"] {
        for value in ["\"secret\"", "null", "[]"] {
            let error = read(&format!(r#","{member}":{value}"#)).unwrap_err();
            assert_eq!(error, KeyError::Private { member });
            assert!(!error.to_string().contains("secret"));
        }
    }
}

#[test]
fn other_and_incomplete_keys_are_refused() {
    let error = |text: &str| PublicKey::from_jwk(text.as_bytes()).unwrap_err().to_string();
    for (text, expected) in [
        ("[]".to_owned(), "does not fit: expected a map at line 1 column 0"),
        (format!(r#"{{"crv":"Ed25519","x":"{X}"}}"#), "has no text `kty`"),
        (r#"{"kty":"OKP","crv":"Ed25519"}"#.to_owned(), "has no text `x`"),
        (r#"{"kty":"OKP","crv":"Ed25519","x":1}"#.to_owned(), "has no text `x`"),
        (
            r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#.to_owned(),
            "has a member `x` that has 1 bytes, expected 32",
        ),
        (
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, X.replace("URo", "URp")),
            "has a member `x` that is not canonical base64url without padding",
        ),
    ] {
        assert_eq!(error(&text), expected, "{text}");
    }
    for (kty, crv) in
        [("OKP", "X25519"), ("OKP", "Ed448"), ("EC", "Ed25519"), ("RSA", ""), ("okp", "Ed25519")]
    {
        let text = format!(r#"{{"kty":"{kty}","crv":"{crv}","x":"{X}","y":"{X}"}}"#);
        assert_eq!(PublicKey::from_jwk(text.as_bytes()), Err(KeyError::Unsupported), "{text}");
    }
}

#[test]
fn serde_reads_what_it_writes_and_nothing_private() {
    let text = serde_json::to_vec(&key().public()).unwrap();
    assert_eq!(json::parse::<PublicKey>(&text), Ok(key().public()));
    let private = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}","d":"{D}"}}"#);
    let error = json::parse::<PublicKey>(private.as_bytes()).unwrap_err();
    assert!(!error.to_string().contains(D));
}

mod secp256k1 {
    use super::*;

    /// The order of the curve's group (SEC 2, section 2.4.1).
    const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

    fn key() -> SigningKey {
        SigningKey::secp256k1(&Secret::take(&mut [1; 32])).unwrap()
    }

    /// The other signature that holds: s is replaced by n - s.
    fn other_s(signature: &[u8; 64]) -> [u8; 64] {
        let order = hex_array::<32>(ORDER).unwrap();
        let mut other = *signature;
        let mut borrow = 0;
        for (byte, n) in other[32..].iter_mut().zip(order).rev() {
            let difference = i16::from(n) - i16::from(*byte) - borrow;
            borrow = i16::from(difference < 0);
            *byte = u8::try_from(difference.rem_euclid(256)).unwrap();
        }
        assert_eq!(borrow, 0);
        other
    }

    #[test]
    fn a_key_is_a_jwk_of_rfc_8812() {
        let public = key().public();
        let (x, y) =
            ("G4TFVntSZ1msW5reUWQwN-uRX4p41eepSfx6HI9gUo8", "cM4DrX_hQegCgpoLbWGV4-HLHKMoghqJ4sVJmkDOX78");
        let jwk = serde_json::to_string(&public).unwrap();
        assert!(jwk.starts_with(r#"{"crv":"secp256k1","kty":"EC","x":""#), "{jwk}");
        assert_eq!(PublicKey::from_jwk(jwk.as_bytes()), Ok(public.clone()));
        assert_eq!(public.key_type(), KeyType::Secp256k1);
        // A point of the curve is needed, and both coordinates.
        let with = |y: &str| format!(r#"{{"crv":"secp256k1","kty":"EC","x":"{x}"{y}}}"#);
        let refused = |text: String| PublicKey::from_jwk(text.as_bytes()).unwrap_err();
        assert_eq!(refused(with("")), KeyError::Missing { member: "y" });
        assert_eq!(refused(with(&format!(r#","y":"{x}""#))), KeyError::Weak);
        assert_eq!(refused(with(&format!(r#","y":"{y}","d":"{x}""#))), KeyError::Private { member: "d" });
        assert_eq!(refused(r#"{"crv":"secp256k1","kty":"OKP","x":"AA"}"#.to_owned()), KeyError::Unsupported);
    }

    #[test]
    fn what_it_signs_verifies_with_either_s() {
        let signature = key().sign(b"message");
        assert_eq!(signature, key().sign(b"message"), "deterministic");
        let public = key().public();
        assert!(public.verifies(b"message", &signature));
        assert!(public.verifies(b"message", &other_s(&signature)));
        assert!(!public.verifies(b"other", &signature));
        assert!(!public.verifies(b"message", &[0; 64]));
        for bit in 0..512 {
            let mut forged = signature;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(!public.verifies(b"message", &forged), "bit {bit}");
        }
    }

    #[test]
    fn a_private_key_is_a_scalar_that_is_neither_zero_nor_too_large() {
        for scalar in ["00".repeat(32), ORDER.to_owned(), "ff".repeat(32)] {
            let mut scalar = hex_array::<32>(&scalar).unwrap();
            assert_eq!(SigningKey::secp256k1(&Secret::take(&mut scalar)).unwrap_err(), KeyError::Weak);
        }
    }

    #[test]
    fn an_algorithm_fits_its_own_kind_of_key() {
        let ed25519 = super::key().public();
        for (alg, ed, ec) in [
            ("EdDSA", true, false),
            ("Ed25519", true, false),
            ("ES256K", false, true),
            ("ES256", false, false),
        ] {
            assert_eq!((ed25519.fits(alg), key().public().fits(alg)), (ed, ec), "{alg}");
        }
    }
}
