//! `subrosa cancel`: a job is cancelled by whoever has its cancel token.

use std::path::PathBuf;

use anstream::eprintln;
use subrosa_client::{CancelToken, JobState, Launchers, Ticket, Trust};
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
#[command(group = clap::ArgGroup::new("which").required(true).args(["job", "ticket"]))]
pub(crate) struct Args {
    /// The job's id, or a unique prefix of 8 digits or more
    job: Option<JobRef>,
    /// The job's ticket, as `run --detach` wrote it; with --trust, it is removed with the job's end
    #[arg(long, value_name = "FILE", conflicts_with_all = ["job", "token_file", "token"])]
    ticket: Option<PathBuf>,
    /// The trust file, for --ticket: the ticket is removed if somebody whom it names has signed the job's end
    #[arg(long, value_name = "FILE", env = "SUBROSA_TRUST_FILE")]
    trust: Option<PathBuf>,
    /// The file with the cancel token, as `run --cancel-token` wrote it
    #[arg(long, value_name = "FILE", required_unless_present_any = ["token", "ticket"])]
    token_file: Option<PathBuf>,
    /// The cancel token itself; others on this machine can see it in the list of processes
    // One of 64 begins with a hyphen.
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file", allow_hyphen_values = true)]
    token: Option<String>,
    #[command(flatten)]
    opening: Opening,
    #[command(flatten)]
    nats: Nats,
}

/// Which job, and what cancels it.
struct Order {
    job: JobRef,
    token: CancelToken,
    ticket: Option<Held>,
}

/// A ticket, and whom to believe that it is of no more use.
struct Held {
    path: PathBuf,
    ticket: Ticket,
    trust: Option<Trust>,
}

pub(crate) async fn run(args: Args, json: bool) -> Result<(), Failure> {
    let order = args.order()?;
    let connection = args.nats.connect("subrosa cancel").await?;
    let job = order.job.resolve(&connection, &args.nats).await?;
    let launchers = Launchers::new(connection, args.nats.namespace.clone());
    let state = launchers.cancel(&job, &order.token, args.nats.patience()).await?;
    if let Some(held) = &order.ticket {
        held.remove_if_over(&state)?;
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
    fn order(&self) -> Result<Order, Failure> {
        if let Some(path) = &self.ticket {
            let trust = self.trust.as_ref().map(Trust::from_file).transpose();
            let trust = trust.map_err(|error| Failure::new(Exit::Usage, error))?;
            let ticket = self.opening.open(path, &self.nats.namespace)?;
            let (job, token) = (JobRef::Id(*ticket.job()), ticket.cancel_token());
            return Ok(Order { job, token, ticket: Some(Held { path: path.clone(), ticket, trust }) });
        }
        let wrong = |_| Failure::usage("--token is no cancel token, which is 43 characters of base64url");
        let token: CancelToken = match (self.token.clone().map(Zeroizing::new), &self.token_file) {
            (Some(token), _) => token.parse().map_err(wrong)?,
            (None, Some(file)) => read(file)?,
            (None, None) => return Err(Failure::usage("give the cancel token, as --token-file FILE")),
        };
        let job = self.job.clone().ok_or_else(|| Failure::usage("say which job, or name its --ticket"))?;
        Ok(Order { job, token, ticket: None })
    }
}

impl Held {
    /// Removes the ticket, if what the launcher says is proven. Otherwise it may still open a result.
    fn remove_if_over(&self, state: &JobState) -> Result<(), Failure> {
        let why = match &self.trust {
            Some(trust) if self.ticket.is_over(state, trust) => return ticket::remove(&self.path),
            Some(_) => "nobody who is trusted has signed the job's end",
            None => "without --trust, a launcher's word is all there is of the job's end",
        };
        eprintln!("the ticket {} stays: {why}", self.path.display());
        Ok(())
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
