//! A worker's receipt.
//!
//! The first byte of the input chooses. If it is even, the rest is a receipt as somebody shows it. If it is odd,
//! the rest is what a worker signs as one.

use subrosa_protocol::{
    identity::{Typ, sign_compact},
    launch::MAX_SIGNATURES,
    receipt::{Evidence, MAX_RECEIPT_BYTES, Receipt, check as check_offline},
};

use crate::world::{Party, trust};

/// Reads a receipt, of whatever the input chooses.
pub fn check(input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else { return };
    if choice % 2 == 0 {
        let Ok(jws) = std::str::from_utf8(rest) else { return };
        agreed(jws);
    } else {
        signed(rest, Party::pick(choice / 2));
    }
}

/// Whether what this party signs as a receipt is one; see [`agreed`].
pub fn signed(payload: &[u8], signer: Party) -> bool {
    agreed(&sign_compact(signer.key(), Typ::Receipt, payload))
}

/// Reads a receipt as a client and as an auditor do, and compares what they say: whether it is one.
fn agreed(jws: &str) -> bool {
    let read = Receipt::verify(jws);
    let checked =
        check_offline(jws, &Evidence { trust: trust(), cert: None, salt: None, result: None, input: None });
    assert_eq!(checked.receipt, read.clone().ok(), "read twice, in two ways");
    let Ok((receipt, signer)) = read else {
        assert!(!checked.holds());
        return false;
    };
    assert!(jws.len() <= MAX_RECEIPT_BYTES);
    let trusted = trust().worker(&signer.thumbprint(), &receipt.worker).is_ok();
    assert_eq!(checked.holds(), trusted, "without data, who signed is all that counts");
    assert!(receipt.signers.len() <= MAX_SIGNATURES && (1..=10).contains(&receipt.attempt.get()));
    assert!(receipt.started_ms < 1 << 53 && receipt.finished_ms < 1 << 53);
    assert!(receipt.client.is_none_or(|client| receipt.signers.contains(&client)));
    let again = receipt.sign(Party::Worker.key());
    assert_eq!(Receipt::verify(&again), Ok((receipt, Party::Worker.key().public())));
    true
}
