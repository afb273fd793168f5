//! `subrosa audit verify`: a verdict for each record, offline.

use std::io;

use serde::Serialize;
use subrosa_client::{JobId, Thumbprint};
use subrosa_protocol::{
    audit::{History, Judged},
    id::{Sha256Hash, WorkerName},
    json::Int,
    record::{Event, Record},
};

use super::{
    Evidence,
    text::{utc, visible},
    verdict,
};
use crate::{
    exit::Failure,
    output::{self, BAD, FAINT, GOOD, STRONG, WARN},
};

/// Options of `subrosa audit verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    evidence: Evidence,
}

/// A verdict, for scripts.
#[derive(Serialize)]
struct Report<'a> {
    good: bool,
    finished: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<JobId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<&'a WorkerName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Thumbprint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signers: Option<Vec<&'a Thumbprint>>,
    messages: Vec<Row<'a>>,
}

/// A message, for scripts.
#[derive(Serialize)]
struct Row<'a> {
    number: usize,
    verdict: &'static str,
    hash: Sha256Hash,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    /// An ending's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_ms: Option<Int>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<&'a Thumbprint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    /// Who certifies the signer, if the trust file does not name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    authority: Option<&'a Thumbprint>,
    /// A word for what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<(), Failure> {
    let history = args.evidence.judge()?;
    let report = serde_json::to_value(Report::of(&history)).unwrap_or_default();
    let verdict = verdict(&history);
    match (json, &verdict) {
        (false, _) => show(&history)?,
        (true, Ok(())) => output::json(&report)?,
        // It stands beside the error.
        (true, Err(_)) => {}
    }
    verdict.map_err(|failure| failure.reporting(report))
}

impl<'a> Report<'a> {
    fn of(history: &'a History) -> Self {
        let job = history.job.as_ref().map(|job| job.description());
        Self {
            good: history.is_good(),
            finished: history.is_finished(),
            state: history.last().map(|record| record.event.name()),
            job: history.id,
            worker: job.map(|job| &job.worker),
            label: job.and_then(|job| job.label.as_deref()),
            client: job.and_then(|job| job.client),
            signers: history.signers.as_ref().map(|signers| signers.iter().collect()),
            messages: (1..)
                .zip(&history.messages)
                .map(|(number, message)| Row::of(number, message))
                .collect(),
        }
    }
}

impl<'a> Row<'a> {
    fn of(number: usize, message: &'a Judged) -> Self {
        let record = message.record.as_ref();
        Self {
            number,
            verdict: if message.is_good() { "GOOD" } else { "BAD" },
            hash: message.hash,
            event: record.map(|record| record.event.name()),
            code: record.and_then(|record| code(&record.event)),
            attempt: record.map(|record| record.attempt),
            at_ms: record.and_then(|record| Int::try_from(record.at_ms).ok()),
            signer: message.signer.as_ref(),
            role: message.role.map(|role| role.as_str()),
            authority: message.authority.as_ref(),
            fault: message.fault.as_ref().map(|fault| fault.code()),
            reason: message.fault.as_ref().map(ToString::to_string),
        }
    }
}

fn show(history: &History) -> io::Result<()> {
    for (number, message) in (1..).zip(&history.messages) {
        show_message(number, message)?;
    }
    let line = |name: &str, value: Option<String>| {
        value.map_or(Ok(()), |value| output::line(format_args!("{FAINT}{name:<8}{FAINT:#} {value}")))
    };
    let job = history.job.as_ref().map(|job| job.description());
    line("job", history.id.map(|id| id.to_string()))?;
    line("worker", job.map(|job| job.worker.to_string()))?;
    line("label", job.and_then(|job| job.label.as_deref()).map(visible))?;
    line("client", job.and_then(|job| job.client).map(|client| client.to_string()))?;
    for signer in history.signers.iter().flat_map(|signers| signers.iter()) {
        line("signer", Some(signer.to_string()))?;
    }
    line("state", history.last().map(|record| record.event.name().to_owned()))?;
    match (history.is_good(), history.is_finished()) {
        (true, true) => {
            output::line(format_args!("{GOOD}GOOD{GOOD:#}: every record counts, to the job's end"))
        }
        (true, false) => output::line(format_args!(
            "{GOOD}GOOD{GOOD:#}, but {WARN}unfinished{WARN:#}: the job had not ended, or its end was cut off"
        )),
        // Said as the error that the command ends with.
        (false, _) => Ok(()),
    }
}

fn show_message(number: usize, message: &Judged) -> io::Result<()> {
    let (style, word) = if message.is_good() { (GOOD, "GOOD") } else { (BAD, "BAD ") };
    let what = message.record.as_ref().map_or_else(|| "no record".to_owned(), what);
    let by = message.signer.map_or_else(String::new, |signer| {
        // Whose key it is was not asked if something else was wrong before.
        let role = message.role.map_or("the key", |role| role.as_str());
        format!("  {FAINT}by {role} {signer}{FAINT:#}")
    });
    output::line(format_args!("{style}{word}{style:#} {number:>3}  {what}{by}"))?;
    match &message.fault {
        Some(fault) => {
            output::line(format_args!("          {style}{}{style:#}", visible(&fault.to_string())))
        }
        None => Ok(()),
    }
}

fn what(record: &Record) -> String {
    let attempt = Some(record.attempt).filter(|attempt| *attempt > 0);
    let attempt = attempt.map_or_else(String::new, |attempt| format!(", attempt {attempt}"));
    let code = code(&record.event).map_or_else(String::new, |code| format!(", {}", visible(code)));
    format!("{}  {STRONG}{}{STRONG:#}{attempt}{code}", utc(record.at_ms), record.event.name())
}

/// An ending's code.
fn code(event: &Event) -> Option<&str> {
    match event {
        Event::Failed(reason) | Event::Expired(reason) | Event::Cancelled { reason, .. } => {
            Some(&reason.code)
        }
        _ => None,
    }
}
