//! `subrosa job new`: a job for others to sign.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use subrosa_client::{Draft, Namespace, identity::Thumbprint};

use super::seal::Seal;
use crate::{
    exit::Failure,
    key, new_file,
    output::{self, FAINT},
    run::{input::Input, seconds},
};

/// Options of `subrosa job new`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The worker's name
    worker: String,
    /// Where the job goes, to be given to the signers; an existing file is never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where the job's secrets go, sealed; beside the job, as NAME.secrets.age, by default
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// Whose job it is: a key file, of which the public half is enough. Without one, the job is anonymous
    #[arg(long, value_name = "FILE")]
    owner: Option<PathBuf>,
    /// A public text that everyone between client and worker can read
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// How long until all have signed and a worker has the job
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = seconds())]
    expires_in: u64,
    /// How long one attempt may run
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = seconds())]
    timeout: u64,
    /// How many attempts may be made if workers are lost
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=10))]
    attempts: u16,
    /// The payload that the job is to be bound to: JSON, or @FILE, or - for standard input
    #[arg(long, value_name = "JSON", requires = "bind_input")]
    payload: Option<Input>,
    /// Bind the job to the payload, so that the signers approve it and no other
    #[arg(long, requires = "payload")]
    bind_input: bool,
    /// Take the payload as bytes, whatever they are
    #[arg(long, requires = "payload")]
    bytes: bool,
    /// Where the salt goes that proves the payload to those signers who are to see it
    #[arg(long, value_name = "FILE", requires = "bind_input")]
    salt_file: Option<PathBuf>,
    /// The token of subrosa.v1.client.TOKEN that the client may listen to; a random one by default
    #[arg(long, value_name = "TOKEN", env = "SUBROSA_REPLY_TOKEN")]
    reply_token: Option<String>,
    /// The first token of every subject
    #[arg(long, value_name = "TOKEN", env = "SUBROSA_NAMESPACE", default_value = "subrosa")]
    namespace: Namespace,
    #[command(flatten)]
    seal: Seal,
}

pub(super) fn run(args: &Args, json: bool) -> Result<(), Failure> {
    let draft = args.draft()?;
    let secrets_file = args.secrets.clone().unwrap_or_else(|| secrets_of(&args.out));
    for path in [&args.out, &secrets_file].into_iter().chain(&args.salt_file) {
        // Before anybody thinks of a passphrase; what comes in between is left alone all the same.
        new_file::check_absent(path)?;
    }
    let prepared = draft.prepare()?;
    let sealed = args.seal.seal(&prepared.secrets)?;
    let salt = prepared.secrets.salt().zip(args.salt_file.as_ref());
    new_file::create(&secrets_file, &sealed, 0o600)?;
    let salted = salt.map_or(Ok(()), |(salt, path)| {
        new_file::create(path, format!("{}\n", *salt.reveal()).as_bytes(), 0o600)
    });
    salted.and_then(|()| new_file::create(&args.out, prepared.request.bytes(), 0o644)).inspect_err(|_| {
        // Of a job that nobody has.
        let _ = fs::remove_file(&secrets_file);
    })?;
    let job = prepared.request.job();
    if json {
        let expires_ms = job.description().expires_ms;
        output::json(&json!({
            "job": job.id(), "file": args.out, "secrets": secrets_file, "expires_ms": expires_ms,
        }))?;
        return Ok(());
    }
    output::line(format_args!("{}", job.id()))?;
    anstream::eprintln!("{FAINT}for the signers{FAINT:#}  {}", args.out.display());
    anstream::eprintln!("{FAINT}for you alone{FAINT:#}    {}", secrets_file.display());
    Ok(())
}

impl Args {
    fn draft(&self) -> Result<Draft, Failure> {
        let mut draft = Draft::new(&self.worker)
            .expires_in(Duration::from_secs(self.expires_in))
            .timeout(Duration::from_secs(self.timeout))
            .max_attempts(self.attempts)
            .namespace(self.namespace.clone());
        if let Some(owner) = &self.owner {
            let owner: Thumbprint = key::public(owner)?.thumbprint();
            draft = draft.owner(owner);
        }
        if let Some(label) = &self.label {
            draft = draft.label(label);
        }
        if let Some(token) = &self.reply_token {
            draft = draft.reply_token(token);
        }
        if let Some(payload) = &self.payload {
            let payload = payload.read()?;
            let payload = if self.bytes { payload } else { payload.json("--payload")? };
            draft = draft.bind_input_bytes(payload.as_bytes());
        }
        Ok(draft)
    }
}

/// Where the secrets of the job in `file` are, if nothing else is said.
pub(crate) fn secrets_of(file: &Path) -> PathBuf {
    file.with_extension("secrets.age")
}
