//! `subrosa doctor`: looks at everything that a job needs, and says what to do about what is missing.

mod files;
mod server;

use std::{io, path::PathBuf};

use serde::Serialize;
use subrosa_protocol::id::WorkerName;

use crate::{
    exit::{Exit, Failure},
    nats::Nats,
    output::{self, BAD, FAINT, GOOD, WARN},
};

/// Options of `subrosa doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A signing key to look at
    #[arg(long, value_name = "FILE", env = "SUBROSA_KEY_FILE")]
    key: Option<PathBuf>,
    /// A trust file to look at
    #[arg(long, value_name = "FILE", env = "SUBROSA_TRUST_FILE")]
    trust: Option<PathBuf>,
    /// Check what the worker of this name needs, instead of what a client needs
    #[arg(long, value_name = "NAME")]
    worker: Option<WorkerName>,
    /// The token of subrosa.v1.client.TOKEN that this user may listen to; a random one by default
    #[arg(long, value_name = "TOKEN", env = "SUBROSA_REPLY_TOKEN")]
    reply_token: Option<String>,
    #[command(flatten)]
    nats: Nats,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// As it should be.
    Good,
    /// It may do, but look at it.
    Warn,
    /// It has to be mended.
    Bad,
    /// It could not be looked at, and need not be.
    Skipped,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Check {
    fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Status::Good, found: found.into(), advice: None }
    }

    fn skipped(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Status::Skipped, found: found.into(), advice: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, status: Status::Warn, found: found.into(), advice: Some(advice.into()) }
    }

    fn bad(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, status: Status::Bad, found: found.into(), advice: Some(advice.into()) }
    }

    fn show(&self) -> io::Result<()> {
        let (style, sign) = match self.status {
            Status::Good => (GOOD, "✔"),
            Status::Warn => (WARN, "!"),
            Status::Bad => (BAD, "✘"),
            Status::Skipped => (FAINT, "-"),
        };
        output::line(format_args!(
            "{style}{sign}{style:#} {:<12} {}",
            self.name,
            output::printable(&self.found)
        ))?;
        if let Some(advice) = &self.advice {
            output::line(format_args!("  {:<12} {FAINT}{advice}{FAINT:#}", ""))?;
        }
        Ok(())
    }
}

/// Looks at everything; fails if something has to be mended.
pub(crate) async fn run(args: Args, json: bool) -> Result<(), Failure> {
    let (mut checks, trust) = files::checks(&args);
    checks.extend(server::checks(&args, trust.as_ref()).await);
    let bad = checks.iter().filter(|check| check.status == Status::Bad).count();
    if json {
        let report = serde_json::json!({ "good": bad == 0, "checks": checks });
        if bad == 0 {
            output::json(&report)?;
        }
        return if bad == 0 { Ok(()) } else { Err(failed(bad).reporting(report)) };
    }
    checks.iter().try_for_each(Check::show)?;
    if bad == 0 { Ok(()) } else { Err(failed(bad)) }
}

fn failed(bad: usize) -> Failure {
    let things = if bad == 1 { "one thing has" } else { "several things have" };
    Failure::because(Exit::Failure, format!("{things} to be mended"))
}
