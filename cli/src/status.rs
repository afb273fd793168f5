//! `subrosa status`: where a job is.

use std::io;

use subrosa_client::{JobState, Launchers};

use crate::{
    exit::Failure,
    job_id::JobRef,
    nats::Nats,
    output::{self, FAINT, STRONG},
};

/// Options of `subrosa status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The job's id, or a unique prefix of 8 digits or more
    job: JobRef,
    #[command(flatten)]
    nats: Nats,
}

pub(crate) async fn run(args: Args, json: bool) -> Result<(), Failure> {
    let connection = args.nats.connect("subrosa status").await?;
    let job = args.job.resolve(&connection, &args.nats).await?;
    let launchers = Launchers::new(connection, args.nats.namespace.clone());
    let state = launchers.status(&job, args.nats.patience()).await?;
    if json {
        output::json(&state)?;
    } else {
        show(&state)?;
    }
    Ok(())
}

fn show(state: &JobState) -> io::Result<()> {
    let line = |name: &str, value: Option<String>| {
        value.map_or(Ok(()), |value| output::line(format_args!("{FAINT}{name:<8}{FAINT:#} {value}")))
    };
    line("job", state.job.map(|job| job.to_string()))?;
    line("worker", state.worker.as_ref().map(ToString::to_string))?;
    line("state", Some(format!("{STRONG}{}{STRONG:#}", state.state)))?;
    line("attempt", Some(state.attempt.to_string()))?;
    line("since", state.at_ms.map(|at_ms| output::time(at_ms.get())))?;
    line("code", state.code.clone())?;
    line("reason", state.reason.clone())
}
