//! What a client that has come back believes of what is stored.

use serde::Deserialize;
use subrosa_protocol::{
    hpke::RecipientKey,
    id::{Attempt, Sha256Hash},
    identity::Trust,
    job::Job,
    session::client::{Inputs, Launched, OptionsError, Stored},
    subject::Namespace,
};

use super::{
    Case, Verdict,
    fields::{Given, Hex},
    ok, same,
};

const NOW_MS: u64 = 1_800_000_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCase {
    job: String,
    client_secret: Hex,
    trust: String,
    #[serde(default)]
    signers: Vec<String>,
    attempt: u16,
    #[serde(default)]
    options: String,
    #[serde(default)]
    payload: String,
    opening: Hex,
    done: Hex,
    result: Option<String>,
    worker: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
}

pub(crate) fn stored(case: &Case) -> Verdict {
    let it: StoredCase = case.read()?;
    let job = Job::parse(it.job.into_bytes(), &Namespace::default()).map_err(|error| error.to_string())?;
    let trust = Trust::from_jwk_set(it.trust.as_bytes()).map_err(|error| error.to_string())?;
    let signers: Result<_, _> = it.signers.iter().map(|signer| signer.parse()).collect();
    let signers = signers.map_err(|_| "`signers` are none".to_owned())?;
    let key = RecipientKey::generate(&mut Given::new(it.client_secret.array::<32>()?));
    let attempt = Attempt::new(it.attempt).map_err(|error| error.to_string())?;
    let client = Launched::resumed(job, signers, key, attempt, 1 << 20);
    let inputs = Inputs { options: Sha256Hash::of(it.options), payload: Sha256Hash::of(it.payload) };
    match client.open_stored(&it.opening.0, it.done.0, &inputs, &trust, NOW_MS) {
        Ok(Stored::Result(found)) => {
            same("result", Some(found.opened.body()), it.result.as_deref().map(str::as_bytes))?;
            same("worker", Some(found.worker.to_string()), it.worker)?;
            ok()
        }
        Ok(Stored::Failed(error)) => {
            same("error_code", Some(error.code.word()), it.error_code.as_deref())?;
            same("error_message", Some(error.message), it.error_message)?;
            ok()
        }
        Ok(Stored::Unproven(_)) => Ok("unproven".to_owned()),
        Err(OptionsError::Untrusted { .. }) => Ok("untrusted".to_owned()),
        Err(_) => Ok("drop".to_owned()),
    }
}
