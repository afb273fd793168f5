//! `subrosa cert`: what an authority says of workers' keys.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};
use subrosa_client::{
    Trust,
    identity::{CertError, CertFileError, Certificate, Certified, ImageDigest, file as key_file, load_cert},
};
use subrosa_protocol::id::WorkerName;
use subrosa_transport::now_ms;

use crate::{
    exit::{Exit, Failure},
    key, new_file,
    output::{self, BAD, DAY_S, FAINT, GOOD, moment},
    trusted::Trusted,
};

/// What to do with a certificate.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Certify a worker's key as an authority, for all clients that trust this authority
    Issue(Issue),
    /// Show what a certificate says; its signature is verified, whose it is not judged
    Show {
        /// The certificate's file
        file: PathBuf,
    },
    /// Check whether a certificate counts now, thing by thing; exits with 1 if it does not
    Verify(Verify),
}

/// Options of `subrosa cert issue`.
#[derive(Debug, clap::Args)]
pub(crate) struct Issue {
    /// The authority's private key
    #[arg(long, value_name = "FILE")]
    authority: PathBuf,
    /// The name that the worker may serve
    #[arg(long, value_name = "NAME")]
    worker: WorkerName,
    /// The worker's key, of which the public half is enough
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// How long it holds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: u64,
    /// The image that the worker is to run, as sha256:DIGEST
    #[arg(long, value_name = "DIGEST")]
    image: Option<ImageDigest>,
    /// A new file to write it to, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Options of `subrosa cert verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The certificate's file
    file: PathBuf,
    #[command(flatten)]
    trusted: Trusted,
    /// The name that it is to be for
    #[arg(long, value_name = "NAME")]
    worker: Option<WorkerName>,
    /// The image that it is to be for
    #[arg(long, value_name = "DIGEST")]
    image: Option<ImageDigest>,
}

impl From<CertFileError> for Failure {
    fn from(error: CertFileError) -> Self {
        let exit = match error {
            CertFileError::InFile { .. } => Exit::Failure,
            _ => Exit::Usage,
        };
        Self::new(exit, error)
    }
}

impl From<CertError> for Failure {
    fn from(error: CertError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

pub(crate) fn run(command: &Command, json: bool) -> Result<(), Failure> {
    match command {
        Command::Issue(args) => issue(args, json),
        Command::Show { file } => {
            let (_, certified) = load_cert(file)?;
            if json {
                output::json(&said(&certified, []))?
            } else {
                print(&certified)?
            }
            Ok(())
        }
        Command::Verify(args) => verify(args, json),
    }
}

fn issue(args: &Issue, json: bool) -> Result<(), Failure> {
    let authority = key_file::load(&args.authority)?;
    let issued_s = now_ms() / 1000;
    let certificate = Certificate {
        worker: args.worker.clone(),
        key: key::public(&args.key)?,
        issued_s,
        expires_s: issued_s + args.days * DAY_S,
        image: args.image.clone(),
    };
    let jwt = certificate.sign(&authority);
    // Nothing leaves here that nobody would take.
    let certified = Certificate::verify(jwt.as_bytes())?;
    if let Some(out) = &args.out {
        new_file::create(out, format!("{jwt}\n").as_bytes(), 0o644)?;
    }
    match (json, &args.out) {
        (true, out) => {
            output::json(&said(&certified, [("certificate", jwt.into()), ("file", json!(out))]))?;
        }
        (false, Some(_)) => print(&certified)?,
        (false, None) => output::line(format_args!("{jwt}"))?,
    }
    Ok(())
}

/// What it says, for scripts; and what else there is to say.
fn said<const N: usize>(certified: &Certified, more: [(&str, Value); N]) -> Value {
    let Certified { certificate: it, authority } = certified;
    let said = json!({
        "worker": it.worker, "key": it.key.thumbprint(), "authority": authority.thumbprint(),
        "issued_s": it.issued_s, "expires_s": it.expires_s, "image": it.image.as_ref().map(ToString::to_string),
    });
    let said = said.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone()));
    said.chain(more.map(|(name, value)| (name.to_owned(), value))).collect()
}

fn print(certified: &Certified) -> Result<(), Failure> {
    let Certified { certificate: it, authority } = certified;
    let time = |second: u64| moment(second.saturating_mul(1000));
    let image = it.image.as_ref().map_or_else(|| "any".to_owned(), ToString::to_string);
    for (name, value) in [
        ("worker", it.worker.to_string()),
        ("key", format!("{} ({})", it.key.thumbprint(), it.key.key_type())),
        ("authority", format!("{} ({})", authority.thumbprint(), authority.key_type())),
        ("issued", time(it.issued_s)),
        ("expires", time(it.expires_s)),
        ("image", image),
    ] {
        output::line(format_args!("{FAINT}{name:<10}{FAINT:#}{value}"))?;
    }
    Ok(())
}

fn verify(args: &Verify, json: bool) -> Result<(), Failure> {
    let trust = args.trusted.read()?;
    let (_, certified) = load_cert(&args.file)?;
    let checks = args.checks(&trust, &certified);
    let bad = checks.iter().find_map(|(_, judged)| judged.as_ref().err());
    let failure = bad.map(|reason| Failure::because(Exit::Failure, format!("it does not count: {reason}")));
    if json {
        let checks = checks.iter().map(|(what, judged)| {
            json!({ "check": what, "good": judged.is_ok(), "reason": judged.as_ref().err() })
        });
        let more = [("checks", checks.collect()), ("good", failure.is_none().into())];
        let report = said(&certified, more);
        return match failure {
            None => Ok(output::json(&report)?),
            Some(failure) => Err(failure.reporting(report)),
        };
    }
    print(&certified)?;
    for (what, judged) in &checks {
        match judged {
            Ok(()) => output::line(format_args!("{GOOD}good{GOOD:#}      {what}"))?,
            Err(reason) => output::line(format_args!("{BAD}BAD{BAD:#}       {what}: {reason}"))?,
        }
    }
    failure.map_or(Ok(()), Err)
}

impl Verify {
    /// Each thing that has to be so. The signature is: the certificate would not have been read otherwise.
    fn checks(&self, trust: &Trust, certified: &Certified) -> Vec<(&'static str, Result<(), String>)> {
        let Certified { certificate: it, authority } = certified;
        let (key, authority) = (it.key.thumbprint(), authority.thumbprint());
        let name = self.worker.as_ref().unwrap_or(&it.worker);
        let holds = |good: bool, reason: String| if good { Ok(()) } else { Err(reason) };
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let mut checks = vec![
            ("signature", Ok(())),
            ("authority", trust.authority(&authority, name).map_err(|error| text(&error))),
            ("dates", it.check_time(now_ms()).map_err(|error| text(&error))),
            ("revocation", holds(!trust.is_revoked(&key), format!("the worker's key {key} is revoked"))),
        ];
        if self.worker.is_some() {
            checks.push(("worker", holds(it.worker == *name, format!("it is for the worker {}", it.worker))));
        }
        if let Some(image) = &self.image {
            let found = it.image.as_ref().map_or_else(
                || "it names no image".to_owned(),
                |found| format!("it is for the image {found}"),
            );
            checks.push(("image", holds(it.image.as_ref() == Some(image), found)));
        }
        checks
    }
}
