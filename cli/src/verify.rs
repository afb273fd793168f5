//! `subrosa verify`: what somebody else has signed, checked offline.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde::Serialize;
use serde_json::json;
use subrosa_client::{
    Receipt, Salt,
    identity::load_cert,
    receipt::{Evidence, Finding, MAX_RECEIPT_BYTES, Verification, check},
};
use subrosa_protocol::id::Sha256Hash;

use crate::{
    exit::{Exit, Failure},
    output::{self, BAD, FAINT, GOOD},
    trusted::Trusted,
};

/// The largest result, options or payload that is read, in bytes.
const MAX_DATA_BYTES: u64 = 1 << 30;
/// The longest file with a salt, in bytes: 43 characters, and white space.
const MAX_SALT_BYTES: u64 = 256;

/// What to verify.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a worker's receipt, offline, and say each thing that was checked
    Receipt(ReceiptArgs),
}

/// Options of `subrosa verify receipt`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReceiptArgs {
    /// The receipt, as `subrosa run --receipt` writes it
    receipt: PathBuf,
    #[command(flatten)]
    trusted: Trusted,
    /// The worker's certificate, if the trust file names its authority and not its key
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The result that it is said to be for
    #[arg(long, value_name = "FILE", requires = "salts")]
    result: Option<PathBuf>,
    /// The options that it is said to be for
    #[arg(long, value_name = "FILE", requires = "salts", requires = "payload")]
    options: Option<PathBuf>,
    /// The payload that it is said to be for
    #[arg(long, value_name = "FILE", requires = "salts", requires = "options")]
    payload: Option<PathBuf>,
    /// The receipt's salt. Others on this machine can see it here: prefer --salt-file
    #[arg(long, value_name = "SALT", group = "salts")]
    salt: Option<String>,
    /// The file with the receipt's salt
    #[arg(long, value_name = "FILE", group = "salts")]
    salt_file: Option<PathBuf>,
}

/// What was checked, for scripts.
#[derive(Serialize)]
struct Check<'a> {
    name: &'a str,
    good: bool,
    found: &'a str,
}

pub(crate) fn run(command: &Command, json: bool) -> Result<(), Failure> {
    let Command::Receipt(args) = command;
    receipt(args, json)
}

fn receipt(args: &ReceiptArgs, json: bool) -> Result<(), Failure> {
    let trust = args.trusted.read()?;
    // One byte more than a receipt has, and the newline that files end with.
    let jws = text(&args.receipt, MAX_RECEIPT_BYTES as u64 + 2)?;
    let jws = jws.trim_ascii_end();
    let salt = salt(args)?;
    let cert = args.cert.as_ref().map(load_cert).transpose();
    let cert = cert.map_err(|error| Failure::new(Exit::Usage, error))?.map(|(cert, _)| cert);
    let data = |path: &Option<PathBuf>| path.as_ref().map(|path| read(path, MAX_DATA_BYTES)).transpose();
    let (result, options, payload) = (data(&args.result)?, data(&args.options)?, data(&args.payload)?);
    let stated = Receipt::verify(jws).ok().map(|(receipt, _)| receipt);
    let stated = salt.as_ref().zip(stated.as_ref());
    let result = result.as_deref().map(|result| as_sent(stated, result));
    let input = options.as_deref().zip(payload.as_deref());
    let input = input.map(|(options, payload)| both_as_sent(stated, options, payload));
    let checked =
        check(jws, &Evidence { trust: &trust, cert: cert.as_deref(), salt: salt.as_ref(), result, input });
    show(&checked, json)
}

/// The result as the worker sent it. JSON may have white space around it in a file, as this command itself
/// ends a result with a newline; where only the inside fits, it is that.
fn as_sent<'a>(stated: Option<(&Salt, &Receipt)>, result: &'a [u8]) -> &'a [u8] {
    let fits = |bytes: &[u8]| {
        stated.is_some_and(|(salt, receipt)| salt.result_hash(Sha256Hash::of(bytes)) == receipt.result_hash)
    };
    let inside = result.trim_ascii();
    if !fits(result) && fits(inside) { inside } else { result }
}

/// The same for options and payload, whose hash is one.
fn both_as_sent<'a>(
    stated: Option<(&Salt, &Receipt)>,
    options: &'a [u8],
    payload: &'a [u8],
) -> (&'a [u8], &'a [u8]) {
    let fits = |(options, payload): &(&[u8], &[u8])| {
        stated.is_some_and(|(salt, receipt)| {
            salt.input_hash(Sha256Hash::of(options), Sha256Hash::of(payload)) == receipt.input_hash
        })
    };
    let spelled = [options, options.trim_ascii()].into_iter();
    let mut all =
        spelled.flat_map(|options| [payload, payload.trim_ascii()].map(|payload| (options, payload)));
    all.find(fits).unwrap_or((options, payload))
}

fn salt(args: &ReceiptArgs) -> Result<Option<Salt>, Failure> {
    let text = match (&args.salt, &args.salt_file) {
        (Some(salt), _) => salt.clone(),
        (None, Some(path)) => text(path, MAX_SALT_BYTES)?,
        (None, None) => return Ok(None),
    };
    text.trim_ascii().parse().map(Some).map_err(|error| Failure::new(Exit::Usage, error))
}

fn text(path: &Path, max_bytes: u64) -> Result<String, Failure> {
    String::from_utf8(read(path, max_bytes)?)
        .map_err(|_| Failure::usage(format!("{} is not text", path.display())))
}

fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(max_bytes + 1).read_to_end(&mut bytes));
    read.map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    if bytes.len() as u64 > max_bytes {
        return Err(Failure::usage(format!("{} has more than {max_bytes} bytes", path.display())));
    }
    Ok(bytes)
}

fn show(checked: &Verification, as_json: bool) -> Result<(), Failure> {
    let failed = || Failure::because(Exit::Failure, "the receipt does not hold");
    if as_json {
        let report = report(checked);
        if !checked.holds() {
            return Err(failed().reporting(report));
        }
        output::json(&report)?;
        return Ok(());
    }
    checked.findings.iter().try_for_each(line)?;
    for (name, options) in [("result", "--result"), ("input", "--options and --payload")] {
        if checked.receipt.is_some() && checked.findings.iter().all(|finding| finding.name != name) {
            output::line(format_args!(
                "{FAINT}-{FAINT:#} {name:<12} {FAINT}not checked: give {options}, and the salt{FAINT:#}"
            ))?;
        }
    }
    if let Some((receipt, _)) = &checked.receipt {
        summary(receipt)?;
    }
    if checked.holds() { Ok(()) } else { Err(failed()) }
}

fn line(finding: &Finding) -> io::Result<()> {
    let (style, sign, found) = match &finding.outcome {
        Ok(found) => (GOOD, "✔", found),
        Err(found) => (BAD, "✘", found),
    };
    output::line(format_args!("{style}{sign}{style:#} {:<12} {}", finding.name, output::printable(found)))
}

/// What the receipt says; to be believed as far as the checks go.
fn summary(receipt: &Receipt) -> io::Result<()> {
    let row = |name, value: String| output::line(format_args!("  {name:<12} {FAINT}{value}{FAINT:#}"));
    let Receipt { job, worker, attempt, client, signers, started_ms, finished_ms, .. } = receipt;
    row("job", job.to_string())?;
    row("run by", format!("{worker}, attempt {attempt}"))?;
    row("run", format!("{} to {}", output::time(*started_ms), output::time(*finished_ms)))?;
    row("client", client.map_or_else(|| "anonymous".to_owned(), |client| client.to_string()))?;
    signers.iter().try_for_each(|signer| row("signed by", signer.to_string()))
}

fn report(checked: &Verification) -> serde_json::Value {
    let checks: Vec<_> = checked
        .findings
        .iter()
        .map(|Finding { name, outcome }| {
            let (Ok(found) | Err(found)) = outcome;
            Check { name, good: outcome.is_ok(), found }
        })
        .collect();
    let mut report = json!({ "good": checked.holds(), "checks": checks });
    if let (Some((receipt, signer)), Some(report)) = (&checked.receipt, report.as_object_mut()) {
        let signers: Vec<_> = receipt.signers.iter().collect();
        let members = json!({
            "job": receipt.job,
            "worker": receipt.worker,
            "attempt": receipt.attempt.get(),
            "started_ms": receipt.started_ms,
            "finished_ms": receipt.finished_ms,
            "client": receipt.client,
            "signers": signers,
        });
        report.insert("receipt".to_owned(), members);
        report.insert("signer".to_owned(), json!(signer.thumbprint()));
    }
    report
}
