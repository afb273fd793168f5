//! Checking a receipt offline: each thing that was checked, by name.

use super::{Receipt, Salt};
use crate::{
    id::Sha256Hash,
    identity::{PublicKey, Trust},
};

/// What a receipt is held against. What is absent is not checked, and the findings do not speak of it.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The keys that may serve.
    pub trust: &'a Trust,
    /// The worker's certificate, for who trusts its authority and not the key itself.
    pub cert: Option<&'a str>,
    /// The receipt's salt, without which neither result nor input can be checked.
    pub salt: Option<&'a Salt>,
    /// The result's bytes.
    pub result: Option<&'a [u8]>,
    /// The bytes of the client's options and of its payload; empty where there were none.
    pub input: Option<(&'a [u8], &'a [u8])>,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What: `signature`, `worker`, `result` or `input`.
    pub name: &'static str,
    /// What was found: that it holds, or why it does not.
    pub outcome: Result<String, String>,
}

/// What became of a receipt that was checked.
#[derive(Clone, Debug)]
pub struct Verification {
    /// What it says and who signed it, if its signature holds.
    pub receipt: Option<(Receipt, PublicKey)>,
    /// Each thing that was checked.
    pub findings: Vec<Finding>,
}

impl Verification {
    /// Whether everything that was checked holds.
    pub fn holds(&self) -> bool {
        self.findings.iter().all(|finding| finding.outcome.is_ok())
    }
}

/// Checks a receipt, a compact JWS, against what there is. It asks nobody.
///
/// The signature and the signer are always checked, result and input where they are given.
///
/// ```
/// # use std::collections::BTreeSet;
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// # use subrosa_protocol::{id::*, identity::*, receipt::{Evidence, Receipt, Salt, check}};
/// # let mut rng = UnwrapErr(SysRng);
/// # let (key, salt) = (SigningKey::generate(&mut rng), Salt::random(&mut rng));
/// # let jws = Receipt {
/// #     job: JobId::of(b"a job"), worker: "echo".parse()?, attempt: Attempt::FIRST,
/// #     started_ms: 1, finished_ms: 2, client: None, signers: BTreeSet::new(),
/// #     input_hash: salt.input_hash(Sha256Hash::of("null"), Sha256Hash::of("77")),
/// #     result_hash: salt.result_hash(Sha256Hash::of("78")),
/// # }.sign(&key);
/// let trust = Trust::pinned([key.public()]);
/// let evidence =
///     Evidence { trust: &trust, cert: None, salt: Some(&salt), result: Some(b"78"), input: Some((b"null", b"77")) };
/// let verified = check(&jws, &evidence);
/// let names: Vec<_> = verified.findings.iter().map(|finding| finding.name).collect();
/// assert_eq!(names, ["signature", "worker", "result", "input"]);
/// assert!(verified.holds());
///
/// assert!(!check(&jws, &Evidence { result: Some(b"79"), ..evidence }).holds());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn check(jws: &str, evidence: &Evidence<'_>) -> Verification {
    let (receipt, signer) = match Receipt::verify(jws) {
        Ok(verified) => verified,
        Err(error) => {
            let signature = Finding { name: "signature", outcome: Err(error.to_string()) };
            return Verification { receipt: None, findings: vec![signature] };
        }
    };
    let key = signer.thumbprint();
    let signature = Finding { name: "signature", outcome: Ok(format!("made by the key {key}")) };
    // At the time that the receipt itself names: a certificate may have run out since.
    let trusted = evidence.trust.vouched(&key, &receipt.worker, evidence.cert, receipt.finished_ms);
    let trusted = trusted.map(|()| format!("the key is trusted to serve as {}", receipt.worker));
    let worker = Finding { name: "worker", outcome: trusted.map_err(|reason| reason.to_string()) };
    let result = evidence.result.map(|result| {
        let hash = |salt: &Salt| salt.result_hash(Sha256Hash::of_secret(result));
        salted("result", evidence.salt, hash, receipt.result_hash)
    });
    let input = evidence.input.map(|(options, payload)| {
        let hash =
            |salt: &Salt| salt.input_hash(Sha256Hash::of_secret(options), Sha256Hash::of_secret(payload));
        salted("input", evidence.salt, hash, receipt.input_hash)
    });
    let findings = [Some(signature), Some(worker), result, input].into_iter().flatten().collect();
    Verification { receipt: Some((receipt, signer)), findings }
}

fn salted(
    name: &'static str,
    salt: Option<&Salt>,
    hash: impl FnOnce(&Salt) -> Sha256Hash,
    stated: Sha256Hash,
) -> Finding {
    let outcome = match salt.map(hash) {
        Some(hash) if hash == stated => Ok(format!("the {name} is the one that the receipt is for")),
        Some(_) => Err(format!("the receipt is for another {name}, or has another salt")),
        None => Err(format!("without the salt, nobody can tell whether the receipt is for this {name}")),
    };
    Finding { name, outcome }
}
