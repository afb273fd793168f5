//! Proofs, records, certificates and trust files.

use serde::Deserialize;
use subrosa_protocol::{
    id::{Attempt, JobId, Sha256Hash, WorkerName},
    identity::{Certificate, Proof, Revoked, Thumbprint, Trust},
    record::Record,
};

use super::{
    Case, Verdict,
    fields::{Hex, Text},
    ok, same,
};

fn read<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is none"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProofCase {
    job_id: String,
    worker: String,
    enc: Hex,
    attempt: u16,
    proof: String,
    signer: Option<String>,
}

pub(crate) fn proof(case: &Case) -> Verdict {
    let members: ProofCase = case.read()?;
    let expected = Proof {
        job: read(&members.job_id)?,
        worker: read(&members.worker)?,
        enc: Sha256Hash::of(&members.enc.0),
        attempt: Attempt::new(members.attempt).map_err(|error| error.to_string())?,
    };
    match Proof::verify(&members.proof, &expected) {
        Ok(signer) => {
            same("signer", Some(signer.thumbprint().to_string()), members.signer).and_then(|()| ok())
        }
        Err(_) => Ok("refused".to_owned()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordCase {
    job_id: String,
    worker: String,
    trust: String,
    record: String,
    before: Option<Text>,
    signer: Option<String>,
    event: Option<String>,
    at_ms: Option<u64>,
    attempt: Option<u16>,
}

pub(crate) fn record(case: &Case) -> Verdict {
    let members: RecordCase = case.read()?;
    let (job, worker): (JobId, WorkerName) = (read(&members.job_id)?, read(&members.worker)?);
    let trust = Trust::from_jwk_set(members.trust.as_bytes()).map_err(|error| error.to_string())?;
    let Ok(verified) = Record::verify(members.record.as_bytes(), &job, &worker, &trust) else {
        return Ok("refused".to_owned());
    };
    let record = verified.record;
    if members.before.is_some_and(|before| record.prev != Some(Sha256Hash::of(before.bytes()))) {
        return Ok("refused".to_owned());
    }
    same("signer", Some(verified.signer.to_string()), members.signer)?;
    same("event", Some(record.event.name()), members.event.as_deref())?;
    same("at_ms", Some(record.at_ms), members.at_ms)?;
    same("attempt", Some(record.attempt), members.attempt)?;
    ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustCase {
    set: String,
    key: Option<String>,
    good_for: Option<Vec<String>>,
}

pub(crate) fn trust(case: &Case) -> Verdict {
    let members: TrustCase = case.read()?;
    let Ok(trust) = Trust::from_jwk_set(members.set.as_bytes()) else {
        return Ok("refused".to_owned());
    };
    let key: Thumbprint = read(&members.key.unwrap_or_default())?;
    let workers =
        ["echo", "prove"].map(|name| (format!("worker {name}"), trust.worker(&key, &name.parse().unwrap())));
    let launcher = [("launcher".to_owned(), trust.launcher(&key))];
    let authorities = ["echo", "prove"]
        .map(|name| (format!("authority {name}"), trust.authority(&key, &name.parse().unwrap())));
    let here = workers
        .into_iter()
        .chain(launcher)
        .chain(authorities)
        .filter_map(|(name, good)| good.is_ok().then_some(name));
    same("good_for", Some(here.collect()), members.good_for)?;
    ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CertCase {
    trust: String,
    revoked: Option<String>,
    image: Option<String>,
    worker: String,
    key: String,
    now_ms: u64,
    cert: String,
    authority: Option<String>,
}

pub(crate) fn cert(case: &Case) -> Verdict {
    let members: CertCase = case.read()?;
    let mut trust = Trust::from_jwk_set(members.trust.as_bytes()).map_err(|error| error.to_string())?;
    if let Some(revoked) = members.revoked {
        trust = trust.with_revoked(Revoked::parse(revoked.as_bytes()).map_err(|error| error.to_string())?);
    }
    if let Some(image) = members.image {
        trust = trust.with_image(read(&image)?);
    }
    let (key, worker) = (read(&members.key)?, read(&members.worker)?);
    if trust.vouched(&key, &worker, Some(&members.cert), members.now_ms).is_err() {
        return Ok("refused".to_owned());
    }
    let certified = Certificate::verify(members.cert.as_bytes()).map_err(|error| error.to_string())?;
    same("authority", Some(certified.authority.thumbprint().to_string()), members.authority)?;
    ok()
}
