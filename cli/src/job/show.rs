//! What a job says, for whoever is to sign it, and who has.

use std::{fmt::Write as _, path::PathBuf};

use serde::Serialize;
use subrosa_client::{JobId, LaunchRequest, Salt, SecretsError, Thumbprint, check_input};
use subrosa_protocol::{
    id::{Sha256Hash, WorkerName},
    job::Job,
};
use subrosa_transport::now_ms;

use super::file::JobFile;
use crate::{
    exit::{Exit, Failure},
    output::{self, BAD, FAINT, GOOD, WARN, moment, printable, span},
    run::input::Input,
};

/// Options of `subrosa job show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    job: JobFile,
    #[command(flatten)]
    payload: Payload,
}

/// The payload that a job is to be bound to, as its client has shown it.
#[derive(Debug, clap::Args)]
pub(super) struct Payload {
    /// Check that the job is bound to this payload: JSON, or @FILE, or - for standard input
    #[arg(long, value_name = "JSON", requires = "salt_file")]
    payload: Option<Input>,
    /// Take the payload as bytes, whatever they are
    #[arg(long, requires = "payload")]
    bytes: bool,
    /// The file with the salt, which the client has shown with the payload
    #[arg(long, value_name = "FILE", requires = "payload")]
    salt_file: Option<PathBuf>,
}

impl Payload {
    /// Whether the job is bound to it; nothing, if it is not asked for.
    pub(super) fn check(&self, job: &Job) -> Result<Option<bool>, Failure> {
        let (Some(payload), Some(salt)) = (&self.payload, &self.salt_file) else { return Ok(None) };
        let payload = payload.read()?;
        let payload = if self.bytes { payload } else { payload.json("--payload")? };
        let salt = Input::File(salt.clone()).read()?.into_bytes();
        let salt = std::str::from_utf8(&salt).unwrap_or_default().trim_end().parse::<Salt>();
        let salt = salt.map_err(|error| Failure::new(Exit::Usage, error))?;
        match check_input(job, &salt, payload.as_bytes()) {
            Ok(()) => Ok(Some(true)),
            Err(SecretsError::Payload) => Ok(Some(false)),
            Err(error) => Err(Failure::new(Exit::Usage, error)),
        }
    }
}

pub(super) fn run(args: &Args, json: bool) -> Result<(), Failure> {
    let request = args.job.read()?;
    let shown = Shown::of(&request, args.payload.check(request.job())?);
    let broken = shown.broken();
    match (json, broken) {
        (true, Some(broken)) => Err(broken.reporting(serde_json::to_value(&shown).unwrap_or_default())),
        (true, None) => Ok(output::json(&shown)?),
        (false, broken) => {
            output::line(format_args!("{}", shown.text()))?;
            broken.map_or(Ok(()), Err)
        }
    }
}

/// All of a job that a signer has to know.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    job: JobId,
    worker: WorkerName,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Thumbprint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    suite: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    psk_id: Option<String>,
    created_ms: u64,
    expires_ms: u64,
    expired: bool,
    timeout_ms: u64,
    max_attempts: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Sha256Hash>,
    /// Whether it is bound to the payload that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_fits: Option<bool>,
    reply: String,
    /// Members that this program does not know.
    unknown: Vec<String>,
    signatures: Vec<Signed>,
    /// Whether the owner is among them; true for an anonymous job.
    owner_signed: bool,
}

/// One signature.
#[derive(Debug, Serialize)]
struct Signed {
    number: usize,
    holds: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<Thumbprint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Shown {
    pub(super) fn of(request: &LaunchRequest, payload_fits: Option<bool>) -> Self {
        let (job, d) = (request.job(), request.job().description());
        let signed = |(number, signature): (usize, Result<Thumbprint, _>)| match signature {
            Ok(signer) => Signed { number, holds: true, signer: Some(signer), reason: None },
            Err(error) => {
                let error: subrosa_client::identity::JwsError = error;
                Signed { number, holds: false, signer: None, reason: Some(error.to_string()) }
            }
        };
        let signatures: Vec<Signed> = (1..).zip(request.signatures()).map(signed).collect();
        let has_signed = |key| signatures.iter().any(|signature| signature.signer == Some(key));
        Self {
            job: *job.id(),
            worker: d.worker.clone(),
            owner: d.client,
            label: d.label.clone(),
            suite: job.suite().to_owned(),
            psk_id: d.psk_id.clone(),
            created_ms: d.created_ms,
            expires_ms: d.expires_ms,
            expired: job.expired(now_ms()),
            timeout_ms: d.timeout_ms,
            max_attempts: d.max_attempts,
            input: d.input,
            payload_fits,
            reply: d.reply.to_string(),
            unknown: job.unknown_members(),
            owner_signed: d.client.is_none_or(has_signed),
            signatures,
        }
    }

    /// What keeps everybody from taking the job.
    fn broken(&self) -> Option<Failure> {
        let bad = self.signatures.iter().find(|signature| !signature.holds);
        let text = match (bad, self.payload_fits) {
            (Some(Signed { number, reason, .. }), _) => {
                format!("signature {number} does not hold: {}", reason.as_deref().unwrap_or_default())
            }
            (None, Some(false)) => SecretsError::Payload.to_string(),
            (None, _) => return None,
        };
        Some(Failure::because(Exit::Failure, text))
    }

    pub(super) fn print_to_stderr(&self) {
        anstream::eprintln!("{}", self.text());
    }

    fn text(&self) -> String {
        // Escaped: what a label shows is what it is.
        let quoted = |text: &str| format!("{text:?}");
        let mut rows = vec![
            ("job", self.job.to_string()),
            ("worker", self.worker.to_string()),
            (
                "owner",
                self.owner.map_or_else(|| "none: the job is anonymous".to_owned(), |it| it.to_string()),
            ),
            ("label", self.label.as_deref().map_or_else(|| "none".to_owned(), quoted)),
            ("created", moment(self.created_ms)),
            ("expires", format!("{}{}", moment(self.expires_ms), if self.expired { ": OVER" } else { "" })),
            ("timeout", format!("{} for each attempt", span(self.timeout_ms))),
            ("attempts", format!("{} at most", self.max_attempts)),
            ("suite", printable(&self.suite)),
        ];
        if let Some(psk_id) = &self.psk_id {
            rows.push(("psk", quoted(psk_id)));
        }
        rows.push((
            "input",
            match &self.input {
                Some(input) => format!(
                    "bound to one payload{}: {input}",
                    match self.payload_fits {
                        Some(true) => ", the one given",
                        Some(false) => ", NOT the one given",
                        None => "",
                    }
                ),
                None => "any payload: the job is bound to none".to_owned(),
            },
        ));
        rows.push(("answers", printable(&self.reply)));
        let mut text = String::new();
        for (name, value) in rows {
            let _ = writeln!(text, "{FAINT}{name:<10}{FAINT:#}{value}");
        }
        for name in &self.unknown {
            let _ = writeln!(
                text,
                "{WARN}unknown{WARN:#}   it also says {}, which is not known here",
                quoted(name)
            );
        }
        self.signatures_to(&mut text);
        text.truncate(text.trim_end().len());
        text
    }

    fn signatures_to(&self, text: &mut String) {
        if self.signatures.is_empty() {
            let _ = writeln!(text, "{FAINT}signed by{FAINT:#} nobody yet");
        }
        for Signed { number, signer, reason, .. } in &self.signatures {
            let _ = match signer {
                Some(signer) => {
                    let owner = if self.owner == Some(*signer) { ", the owner" } else { "" };
                    writeln!(text, "{GOOD}signed by{GOOD:#} {signer}{owner}")
                }
                None => {
                    let reason = reason.as_deref().map(printable).unwrap_or_default();
                    writeln!(text, "{BAD}BAD{BAD:#}       signature {number} does not hold: {reason}")
                }
            };
        }
        if !self.owner_signed {
            let _ = writeln!(text, "{WARN}missing{WARN:#}   the owner has not signed yet");
        }
    }
}
