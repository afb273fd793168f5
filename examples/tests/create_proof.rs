//! The proof that `create-proof` makes: what it accepts, and that nothing else gets through.

#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::cell::RefCell;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use curve25519_dalek::{
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
};
use subrosa_examples::create_proof::{
    MAX_VALUE, Options, Payload, Proof, ProveError, VerifyError, prove, verify,
};
use tari_bulletproofs_plus::{
    Transcript, commitment_opening::CommitmentOpening, generators::pedersen_gens::ExtensionDegree,
    range_parameters::RangeParameters, range_statement::RangeStatement, range_witness::RangeWitness,
    ristretto::RistrettoRangeProof, ristretto::create_pedersen_gens_with_extension_degree,
};

const LABEL: &str = "a label";

fn proof_of(value: i64) -> Result<Proof, ProveError> {
    prove(Options { label: LABEL.to_owned() }, Payload { value }, |_| {})
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[test]
fn values_in_range_are_proven() {
    for value in [0, 1, 50, 77, 99, 100] {
        let proof = proof_of(value).unwrap();
        assert_eq!(verify(&proof, LABEL), Ok(()), "{value}");
        assert_eq!((decode(&proof.commitment).len(), decode(&proof.proof).len()), (32, 449));
    }
}

#[test]
fn other_values_are_refused_without_being_repeated() {
    for value in [101, 255, 256, 356, i64::MAX, -1, -100, i64::MIN] {
        let error = proof_of(value).unwrap_err();
        assert!(matches!(error, ProveError::OutOfRange), "{error:?}");
        assert_eq!(error.to_string(), "the value is not between 0 and 100");
    }
    for text in [r#"{"value":18446744073709551615}"#, r#"{"value":1.5}"#, r#"{"value":"7"}"#, "{}"] {
        assert!(serde_json::from_str::<Payload>(text).is_err(), "{text}");
    }
}

#[test]
fn progress_goes_from_nothing_to_all() {
    let seen = RefCell::new(Vec::new());
    let options = Options { label: LABEL.to_owned() };
    prove(options, Payload { value: 77 }, |fraction| seen.borrow_mut().push(fraction)).unwrap();
    let seen = seen.into_inner();
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!((seen.first(), seen.last()), (Some(&0.0), Some(&1.0)));
}

#[test]
fn two_proofs_of_a_value_have_nothing_in_common() {
    let (one, other) = (proof_of(77).unwrap(), proof_of(77).unwrap());
    assert_ne!(one.commitment, other.commitment);
    // The first byte says how many blindings there are.
    for (a, b) in decode(&one.proof)[1..].chunks(32).zip(decode(&other.proof)[1..].chunks(32)) {
        assert_ne!(a, b);
    }
}

#[test]
fn a_proof_holds_for_its_label_only() {
    let proof = proof_of(77).unwrap();
    for label in ["", "a labe", "a label ", "A label"] {
        assert_eq!(verify(&proof, label), Err(VerifyError::Label));
        let renamed = Proof { label: label.to_owned(), ..proof.clone() };
        assert_eq!(verify(&renamed, label), Err(VerifyError::Invalid));
    }
}

#[test]
fn a_proof_holds_for_its_commitment_only() {
    let (one, other) = (proof_of(77).unwrap(), proof_of(77).unwrap());
    let swapped = Proof { commitment: other.commitment, ..one.clone() };
    assert_eq!(verify(&swapped, LABEL), Err(VerifyError::Invalid));

    // The commitment that the verifier computes, in place of the one that it is given.
    let commitment = CompressedRistretto::from_slice(&decode(&one.commitment)).unwrap();
    let rest = parameters(8).h_base() * Scalar::from(MAX_VALUE) - commitment.decompress().unwrap();
    let mirrored = Proof { commitment: encode(rest.compress().as_bytes()), ..one };
    assert_eq!(verify(&mirrored, LABEL), Err(VerifyError::Invalid));
}

#[test]
fn one_changed_bit_anywhere_breaks_it() {
    let proof = proof_of(77).unwrap();
    let changed = |text: &str, index: usize| {
        let mut bytes = decode(text);
        bytes[index] ^= 1 << (index % 8);
        encode(bytes)
    };
    for index in 0..449 {
        let changed = Proof { proof: changed(&proof.proof, index), ..proof.clone() };
        assert!(verify(&changed, LABEL).is_err(), "byte {index} of the proof");
    }
    for index in 0..32 {
        let changed = Proof { commitment: changed(&proof.commitment, index), ..proof.clone() };
        assert!(verify(&changed, LABEL).is_err(), "byte {index} of the commitment");
    }
}

#[test]
fn malformed_members_are_named() {
    let good = proof_of(77).unwrap();
    let bytes = decode(&good.proof);
    let texts = [
        String::new(),
        "*".to_owned(),
        "=".to_owned(),
        format!("{}=", good.proof),
        format!("{} ", good.proof),
        encode(&bytes[..448]),
        encode(&bytes[..417]),
        encode([bytes.clone(), vec![0]].concat()),
        encode([0xFF; 449]),
        "A".repeat(1 << 20),
    ];
    for text in texts {
        for member in ["commitment", "proof"] {
            let mut bad = good.clone();
            *(if member == "proof" { &mut bad.proof } else { &mut bad.commitment }) = text.clone();
            let error = verify(&bad, LABEL).unwrap_err();
            assert!(
                matches!(error, VerifyError::Malformed { member: named, .. } if named == member),
                "{error}"
            );
        }
    }
    // No point, and another spelling of the same bytes: 32 bytes leave two bits of the last letter unused.
    let (start, last) = good.commitment.split_at(42);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet.find(last).unwrap() + 1;
    for commitment in [encode([0xFF; 32]), format!("{start}{}", &alphabet[next..=next])] {
        let error = verify(&Proof { commitment, ..good.clone() }, LABEL).unwrap_err();
        assert!(matches!(error, VerifyError::Malformed { member: "commitment", .. }), "{error}");
    }
}

fn parameters(bits: usize) -> RangeParameters<RistrettoPoint> {
    let bases = create_pedersen_gens_with_extension_degree(ExtensionDegree::DefaultPedersen);
    RangeParameters::init(bits, 2, bases).unwrap()
}

/// What a prover can do that goes around the check: commit to `value`, and prove that it and `rest` have
/// `bits` bits, whatever their sum.
fn forge(value: u64, rest: u64, bits: usize) -> Proof {
    let parameters = parameters(bits);
    let blinding = Scalar::random(&mut rand::rng());
    let commit = |value: u64, blinding: Scalar| {
        parameters.pc_gens().commit(&Scalar::from(value), &[blinding]).unwrap()
    };
    let commitment = commit(value, blinding);
    let commitments = vec![commitment, commit(rest, -blinding)];
    let openings =
        vec![CommitmentOpening::new(value, vec![blinding]), CommitmentOpening::new(rest, vec![-blinding])];
    let witness = RangeWitness::init(openings).unwrap();
    let statement = RangeStatement::init(parameters, commitments, vec![None, None], None).unwrap();
    let mut transcript = Transcript::new(b"subrosa example create-proof 1");
    transcript.append_u64(b"largest value", 100);
    transcript.append_message(b"label", LABEL.as_bytes());
    let proof = RistrettoRangeProof::prove(&mut transcript, &statement, &witness).unwrap();
    let commitment = encode(commitment.compress().as_bytes());
    Proof { commitment, proof: encode(proof.to_bytes()), label: LABEL.to_owned() }
}

#[test]
fn what_goes_around_the_check_does_not_verify() {
    // Made in the same way, a true proof verifies: the others fail for their sums only.
    for value in 0..=100 {
        assert_eq!(verify(&forge(value, 100 - value, 8), LABEL), Ok(()), "{value}");
    }
    for (value, rest) in
        [(101, 0), (101, 1), (101, 255), (255, 101), (200, 156), (255, 0), (77, 24), (77, 22)]
    {
        assert_eq!(verify(&forge(value, rest, 8), LABEL), Err(VerifyError::Invalid), "{value} and {rest}");
    }
    // Sums that are 100 only where 64 bits wrap.
    for (value, rest) in [(u64::MAX, 101), (101, u64::MAX), (1 << 63, (1 << 63) + 100)] {
        assert!(verify(&forge(value, rest, 64), LABEL).is_err(), "{value} and {rest}");
    }
    // True, but with more bits: another statement than the expected one.
    assert!(verify(&forge(50, 50, 64), LABEL).is_err());
}
