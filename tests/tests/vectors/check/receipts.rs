//! Receipts, as an auditor checks them.

use serde::Deserialize;
use subrosa_protocol::{
    identity::Trust,
    receipt::{Evidence, Salt, check},
};

use super::{Case, Verdict, ok, same};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptCase {
    trust: String,
    receipt: String,
    salt: Option<String>,
    result: Option<String>,
    options: Option<String>,
    payload: Option<String>,
    signer: Option<String>,
    job_id: Option<String>,
    worker: Option<String>,
    attempt: Option<u16>,
    started_ms: Option<u64>,
    finished_ms: Option<u64>,
    client: Option<String>,
    signers: Option<Vec<String>>,
}

pub(crate) fn receipt(case: &Case) -> Verdict {
    let members: ReceiptCase = case.read()?;
    let trust = Trust::from_jwk_set(members.trust.as_bytes()).map_err(|error| error.to_string())?;
    let Ok(salt) = members.salt.as_deref().map(str::parse::<Salt>).transpose() else {
        return Ok("refused".to_owned());
    };
    let input = members.options.as_deref().zip(members.payload.as_deref());
    let evidence = Evidence {
        trust: &trust,
        cert: None,
        salt: salt.as_ref(),
        result: members.result.as_deref().map(str::as_bytes),
        input: input.map(|(options, payload)| (options.as_bytes(), payload.as_bytes())),
    };
    let checked = check(&members.receipt, &evidence);
    let (true, Some((receipt, signer))) = (checked.holds(), &checked.receipt) else {
        return Ok("refused".to_owned());
    };
    same("signer", Some(signer.thumbprint().to_string()), members.signer)?;
    same("job_id", Some(receipt.job.to_string()), members.job_id)?;
    same("worker", Some(receipt.worker.to_string()), members.worker)?;
    same("attempt", Some(receipt.attempt.get()), members.attempt)?;
    same("started_ms", Some(receipt.started_ms), members.started_ms)?;
    same("finished_ms", Some(receipt.finished_ms), members.finished_ms)?;
    same("client", receipt.client.map(|client| client.to_string()), members.client)?;
    let signers = receipt.signers.iter().map(ToString::to_string).collect();
    same("signers", Some(signers), members.signers)?;
    ok()
}
