//! `subrosa audit report`: a history and its verdicts for people who would rather look.

mod html;
mod page;

use std::{fs, path::PathBuf};

use super::{Evidence, verdict};
use crate::{
    exit::{Exit, Failure},
    output,
};

/// Options of `subrosa audit report`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    evidence: Evidence,
    /// The page to write, in place of one that is there
    #[arg(long, value_name = "FILE")]
    html: PathBuf,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<(), Failure> {
    let history = args.evidence.judge()?;
    let path = &args.html;
    fs::write(path, page::page(&history)).map_err(|error| {
        Failure::new(Exit::Usage, error).context(format!("cannot write {}", path.display()))
    })?;
    let report =
        serde_json::json!({ "good": history.is_good(), "finished": history.is_finished(), "html": path });
    let verdict = verdict(&history);
    match (json, &verdict) {
        (true, Ok(())) => output::json(&report)?,
        (true, Err(_)) => {}
        (false, _) => output::line(format_args!("{}", path.display()))?,
    }
    verdict.map_err(|failure| failure.reporting(report))
}
