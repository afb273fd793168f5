//! Sessions' keys, from either end.

use serde::Deserialize;
use subrosa_protocol::{
    hpke::{self, Enc, Exporter, Mode, Psk, RecipientKey},
    job::Job,
    subject::Namespace,
};

use super::{
    Case, Verdict,
    fields::{Given, Hex},
    ok, same,
};
use crate::generate::hpke as derived;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionCase {
    job: String,
    client_secret: Option<Hex>,
    client_key: Option<Hex>,
    worker_secret: Option<Hex>,
    enc: Option<Hex>,
    psk_id: Option<String>,
    psk: Option<Hex>,
    nonce: Option<Hex>,
    info: Option<Hex>,
    shared_secret: Option<Hex>,
    exporter_secret: Option<Hex>,
    options_key: Option<Hex>,
    to_client_key: Option<Hex>,
    to_worker_key: Option<Hex>,
}

pub(crate) fn session(case: &Case) -> Verdict {
    let members: SessionCase = case.read()?;
    let job =
        Job::parse(members.job.clone().into_bytes(), &Namespace::default()).map_err(|e| e.to_string())?;
    let client_key = job.description().client_key;
    if let Some(expected) = &members.client_key {
        same("client_key", client_key.as_bytes(), expected.0.as_slice())?;
    }
    let psk = match (&members.psk_id, &members.psk) {
        (Some(id), Some(key)) => Some(Psk::new(id.as_bytes(), &key.0).map_err(|error| error.to_string())?),
        _ => None,
    };
    same("psk_id", job.description().psk_id.clone(), members.psk_id.clone())?;
    let mode = psk.as_ref().map_or(Mode::Base, Mode::Psk);
    let mut exporters = Vec::new();
    if let Some(secret) = &members.worker_secret {
        let mut rng = Given::new(secret.array::<32>()?);
        let Ok((enc, exporter)) = hpke::setup_sender(&mut rng, &client_key, &job.info(), mode) else {
            return Ok("no_session".to_owned());
        };
        if let Some(expected) = &members.enc {
            same("enc", enc.as_bytes(), expected.0.as_slice())?;
        }
        exporters.push(exporter);
    }
    if let (Some(secret), Some(enc)) = (&members.client_secret, &members.enc) {
        let key = RecipientKey::generate(&mut Given::new(secret.array::<32>()?));
        same("client_key", key.public(), &client_key)?;
        let enc = Enc::try_from(enc.0.as_slice()).map_err(|error| error.to_string())?;
        let Ok(exporter) = hpke::setup_recipient(&key, &enc, &job.info(), mode) else {
            return Ok("no_session".to_owned());
        };
        exporters.push(exporter);
    }
    if exporters.is_empty() {
        return Err("no end's secret".to_owned());
    }
    same("info", Some(job.info().as_slice()), members.info.as_ref().map(|info| info.0.as_slice()))?;
    exporters.iter().try_for_each(|exporter| compare(&members, exporter))?;
    inner_secrets(&members, &exporters[0])?;
    ok()
}

/// What the crate does not show. Each secret in the file has to give the next one, and the last one the crate's
/// keys.
fn inner_secrets(members: &SessionCase, exporter: &Exporter) -> Result<(), String> {
    let (Some(shared), Some(inner), Some(info)) =
        (&members.shared_secret, &members.exporter_secret, &members.info)
    else {
        return Err("a secret is missing".to_owned());
    };
    let psk = match (&members.psk_id, &members.psk) {
        (Some(id), Some(key)) => Some(derived::Psk { id, key: key.array()? }),
        _ => None,
    };
    let here = derived::exporter_secret(&shared.array()?, &info.0, psk.as_ref());
    same("exporter_secret", here.as_slice(), inner.0.as_slice())?;
    let here = exporter.export::<44>(&[b"subrosa/1 options"]);
    same("exporter_secret", *here.expose(), derived::export(&inner.array()?, b"subrosa/1 options"))
}

fn compare(members: &SessionCase, exporter: &Exporter) -> Result<(), String> {
    let nonce = members.nonce.as_ref().map(|nonce| nonce.0.as_slice()).unwrap_or_default();
    let compare = |name, context: &[&[u8]], expected: &Option<Hex>| {
        let here = exporter.export::<44>(context);
        same(name, Some(here.expose().as_slice()), expected.as_ref().map(|key| key.0.as_slice()))
    };
    compare("options_key", &[b"subrosa/1 options"], &members.options_key)?;
    compare("to_client_key", &[b"subrosa/1 worker to client", nonce], &members.to_client_key)?;
    compare("to_worker_key", &[b"subrosa/1 client to worker", nonce], &members.to_worker_key)
}
