//! `subrosa cancel`: a job is cancelled by whoever has its cancel token.

use std::path::PathBuf;

use subrosa_client::{CancelToken, Launchers};
use zeroize::Zeroizing;

use crate::{
    exit::{Exit, Failure},
    job_id::JobRef,
    nats::Nats,
    output,
    ticket::{self, Opening},
};

/// The longest token file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1024;

/// Options of `subrosa cancel`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The job's id, or a unique prefix of 8 digits or more
    #[arg(required_unless_present = "ticket")]
    job: Option<JobRef>,
    /// The job's ticket, as `run --detach` wrote it; it is removed with the job's end
    #[arg(long, value_name = "FILE", conflicts_with_all = ["job", "token_file", "token"])]
    ticket: Option<PathBuf>,
    /// The file with the cancel token, as `run --cancel-token` wrote it
    #[arg(long, value_name = "FILE", required_unless_present_any = ["token", "ticket"])]
    token_file: Option<PathBuf>,
    /// The cancel token itself; others on this machine can see it in the list of processes
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    token: Option<String>,
    #[command(flatten)]
    opening: Opening,
    #[command(flatten)]
    nats: Nats,
}

pub(crate) async fn run(args: Args, json: bool) -> Result<(), Failure> {
    let (job, token) = args.order()?;
    let connection = args.nats.connect("subrosa cancel").await?;
    let job = job.resolve(&connection, &args.nats).await?;
    let launchers = Launchers::new(connection, args.nats.namespace.clone());
    let state = launchers.cancel(&job, &token, args.nats.patience()).await?;
    if let Some(ticket) = &args.ticket {
        ticket::remove(ticket)?;
    }
    if state.state != "cancelled" {
        let text = format!("the job had ended before: {}", state.state);
        let report = serde_json::json!({ "job": job, "state": state.state });
        return Err(Failure::because(Exit::Failure, text).reporting(report));
    }
    if json {
        output::json(&state)?
    } else {
        output::line(format_args!("{job}: cancelled"))?
    }
    Ok(())
}

impl Args {
    /// Which job, and what cancels it.
    fn order(&self) -> Result<(JobRef, CancelToken), Failure> {
        if let Some(path) = &self.ticket {
            let ticket = self.opening.open(path, &self.nats.namespace)?;
            return Ok((JobRef::Id(*ticket.job()), ticket.cancel_token()));
        }
        let wrong = |_| Failure::usage("--token is no cancel token, which is 43 characters of base64url");
        let token: CancelToken = match (self.token.clone().map(Zeroizing::new), &self.token_file) {
            (Some(token), _) => token.parse().map_err(wrong)?,
            (None, Some(file)) => read(file)?,
            (None, None) => return Err(Failure::usage("give the cancel token, as --token-file FILE")),
        };
        let job = self.job.clone().ok_or_else(|| Failure::usage("say which job"))?;
        Ok((job, token))
    }
}

fn read(file: &PathBuf) -> Result<CancelToken, Failure> {
    let bad = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("{} has no cancel token: {error}", file.display()))
    };
    let length = std::fs::metadata(file).map_err(|error| bad(&error))?.len();
    if length > MAX_FILE_BYTES {
        return Err(bad(&format_args!("it has more than {MAX_FILE_BYTES} bytes")));
    }
    let text = Zeroizing::new(std::fs::read_to_string(file).map_err(|error| bad(&error))?);
    text.trim().parse().map_err(|error| bad(&error))
}
