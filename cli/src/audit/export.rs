//! `subrosa audit export`: a job's history, as it is stored.

use std::path::PathBuf;

use subrosa_client::JobId;
use subrosa_protocol::{
    audit::{History as Judged, MAX_MESSAGES, write_line},
    id::WorkerName,
};
use subrosa_transport::{Connection, History, Records, Stored};
use tokio::time::Instant;

use super::messages;
use crate::{
    exit::{Exit, Failure},
    job_id::{JobRef, unread},
    nats::Nats,
    new_file, output,
};

/// What cannot be read is told with this.
const WHAT: &str = "a job's history";

/// Options of `subrosa audit export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The job's id, or a unique prefix of 8 digits or more
    job: JobRef,
    /// A new file to write to, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    nats: Nats,
}

pub(crate) async fn run(args: Args, json: bool) -> Result<(), Failure> {
    let connection = args.nats.connect("subrosa audit").await?;
    let id = args.job.resolve(&connection, &args.nats).await?;
    let (worker, stored) = history(&connection, &args.nats, &id).await?;
    if stored.len() > MAX_MESSAGES {
        let text =
            format!("the history has {} messages; one of at most {MAX_MESSAGES} can be judged", stored.len());
        return Err(Failure::because(Exit::Failure, text));
    }
    let sequences = stored.iter().map(|stored| Some(stored.sequence));
    let lines = messages(&stored).into_iter().zip(sequences);
    let lines = lines.map(|(message, sequence)| write_line(&message, sequence));
    let Some(path) = &args.out else {
        return Ok(lines.into_iter().try_for_each(|line| output::line(format_args!("{line}")))?);
    };
    let text: String = lines.map(|line| line + "\n").collect();
    // What was kept as evidence is not lost to what the stream says by now.
    new_file::create(path, text.as_bytes(), 0o644)?;
    if json {
        let said = serde_json::json!({ "job": id, "worker": worker, "messages": stored.len(), "file": path });
        output::json(&said)?;
    } else {
        output::line(format_args!("{} messages of job {id}", stored.len()))?;
    }
    Ok(())
}

/// The job's messages, under the name of the worker that it is for.
///
/// A worker can write under its own name and any id. So of several histories that is the job's which shows the
/// job.
async fn history(
    connection: &Connection,
    nats: &Nats,
    id: &JobId,
) -> Result<(WorkerName, Vec<Stored>), Failure> {
    let deadline = Instant::now() + nats.patience();
    let failed = |error| unread(error, WHAT, nats);
    let records = Records::new(connection.clone(), nats.namespace.clone());
    let jobs = records.jobs(deadline).await.map_err(failed)?;
    let history = History::new(connection.clone(), nats.namespace.clone());
    let mut found = None;
    for (worker, _) in jobs.into_iter().filter(|(_, other)| other == id) {
        let stored = history.all(&worker, id, deadline).await.map_err(failed)?;
        let shown = Judged::judge(&messages(&stored), Some(*id), &subrosa_client::Trust::default()).job;
        if shown.is_some_and(|job| *job.worker() == worker) {
            return Ok((worker, stored));
        }
        found.get_or_insert((worker, stored));
    }
    found.ok_or_else(|| Failure::because(Exit::UnknownJob, format!("there is no job {id}")))
}
