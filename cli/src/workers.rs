//! `subrosa workers`: what may be launched.

use subrosa_client::{
    KnownWorker, Launchers, Trust,
    identity::{PublicKey, Untrusted},
};

use crate::{
    exit::{Exit, Failure},
    nats::Nats,
    output,
};

/// Options of `subrosa workers`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Say which of the keys this trust file trusts
    #[arg(long, value_name = "FILE", env = "SUBROSA_TRUST_FILE")]
    trust: Option<std::path::PathBuf>,
    #[command(flatten)]
    nats: Nats,
}

pub(crate) async fn run(args: Args, json: bool) -> Result<(), Failure> {
    let trust = args.trust.map(Trust::from_file).transpose();
    let trust = trust.map_err(|error| Failure::new(Exit::Usage, error))?;
    let connection = args.nats.connect("subrosa workers").await?;
    let launchers = Launchers::new(connection, args.nats.namespace.clone());
    let workers = launchers.workers(args.nats.patience()).await?;
    if json {
        output::json(&serde_json::json!({ "workers": workers }))?;
        return Ok(());
    }
    let mut rows = Vec::new();
    for worker in &workers {
        let policy = worker.policy.as_str().map_or_else(|| worker.policy.to_string(), str::to_owned);
        let keys = keys(worker, trust.as_ref());
        rows.push([
            worker.worker.to_string(),
            output::printable(&worker.backend),
            output::printable(&policy),
            keys,
        ]);
    }
    output::table(["WORKER", "BACKEND", "WHO MAY LAUNCH IT", "KEYS"], &rows)?;
    Ok(())
}

/// A worker's keys by their thumbprints. What the launcher says is no reason to trust one.
fn keys(worker: &KnownWorker, trust: Option<&Trust>) -> String {
    let shown = worker.keys.iter().map(|key| {
        let Ok(key) = PublicKey::from_jwk(key.to_string().as_bytes()) else { return "?".to_owned() };
        let key = key.thumbprint();
        match trust.map(|trust| trust.worker(&key, &worker.worker)) {
            None => key.to_string(),
            Some(Ok(())) => format!("{key} (trusted)"),
            Some(Err(Untrusted::Unknown { .. }))
                if trust.is_some_and(|trust| trust.has_authority(&worker.worker)) =>
            {
                format!("{key} (trusted if it is certified)")
            }
            Some(Err(_)) => format!("{key} (not trusted)"),
        }
    });
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}
