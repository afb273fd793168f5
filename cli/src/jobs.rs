//! `subrosa jobs`: every job's state, and how it goes on.

use std::io;

use serde::Serialize;
use subrosa_client::{JobId, Trust};
use subrosa_protocol::{
    id::WorkerName,
    json::Int,
    record::{Event, Record},
};
use subrosa_transport::{Passing, Records};
use tokio::time::Instant;

use crate::{
    exit::{Exit, Failure},
    job_id::unread,
    nats::Nats,
    output::{self, FAINT},
};

/// What a job's last record may show it to be.
const STATES: [&str; 9] =
    ["queued", "taken", "running", "finished", "closed", "failed", "cancelled", "expired", "broken"];

/// Options of `subrosa jobs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only jobs for this worker
    #[arg(long, value_name = "NAME")]
    worker: Option<WorkerName>,
    /// Only jobs in this state
    #[arg(long, value_name = "STATE", value_parser = STATES)]
    state: Option<String>,
    /// The latest N jobs at most
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Go on, and print each further record as it comes
    #[arg(long)]
    watch: bool,
    /// Verify the records by this trust file; what does not verify is shown as broken
    #[arg(long, value_name = "FILE", env = "SUBROSA_TRUST_FILE")]
    trust: Option<std::path::PathBuf>,
    #[command(flatten)]
    nats: Nats,
}

/// A job as its last record tells.
#[derive(Debug, Serialize)]
struct Row {
    job: JobId,
    worker: WorkerName,
    state: &'static str,
    attempt: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_ms: Option<Int>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(crate) async fn run(args: Args, json: bool) -> Result<(), Failure> {
    let trust = args.trust.as_ref().map(Trust::from_file).transpose();
    let trust = trust.map_err(|error| Failure::new(Exit::Usage, error))?;
    let connection = args.nats.connect("subrosa jobs").await?;
    let failed = |error| unread(error, "the list of jobs", &args.nats);
    let records = Records::new(connection, args.nats.namespace.clone());
    let deadline = Instant::now() + args.nats.patience();
    let mut records = records.follow("jobs", deadline).await.map_err(failed)?;
    let mut rows = std::collections::VecDeque::new();
    while let Some(record) = records.next_known().await.map_err(failed)? {
        let row = Row::read(record, trust.as_ref());
        // A job that goes on meanwhile comes again.
        rows.retain(|earlier: &Row| (&earlier.worker, &earlier.job) != (&row.worker, &row.job));
        if args.wants(&row) {
            rows.push_back(row);
            if rows.len() > args.limit {
                rows.pop_front();
            }
        }
    }
    match (json, args.watch) {
        (true, true) => rows.iter().try_for_each(output::json)?,
        (true, false) => output::json(&serde_json::json!({ "jobs": rows }))?,
        (false, _) => show(rows.make_contiguous())?,
    }
    if !args.watch {
        return Ok(());
    }
    loop {
        let row = Row::read(records.next().await.map_err(failed)?, trust.as_ref());
        if args.wants(&row) {
            if json { output::json(&row)? } else { row.show()? }
        }
    }
}

impl Args {
    fn wants(&self, row: &Row) -> bool {
        self.worker.as_ref().is_none_or(|worker| *worker == row.worker)
            && self.state.as_deref().is_none_or(|state| state == row.state)
    }
}

impl Row {
    fn read(passing: Passing, trust: Option<&Trust>) -> Self {
        let Passing { worker, job, stored } = passing;
        let record = match trust {
            Some(trust) => {
                Record::verify(&stored.bytes, &job, &worker, trust).map(|verified| verified.record)
            }
            None => Record::read_unverified(&stored.bytes),
        };
        let record = record.ok().filter(|record| record.job == job);
        let Some(record) = record else {
            return Self { job, worker, state: "broken", attempt: 0, at_ms: None, code: None, reason: None };
        };
        let state = record.event.name();
        let reason = match record.event {
            Event::Failed(reason) | Event::Expired(reason) | Event::Cancelled { reason, .. } => Some(reason),
            _ => None,
        };
        let (code, reason) = reason.map(|reason| (reason.code, reason.text)).unzip();
        let at_ms = Int::try_from(record.at_ms).ok();
        let reason = reason.filter(|text| !text.is_empty());
        Self { job, worker, state, attempt: record.attempt, at_ms, code, reason }
    }

    fn cells(&self) -> [String; 6] {
        let job: String = self.job.to_string().chars().take(12).collect();
        let at = self.at_ms.map_or_else(|| "?".to_owned(), |at_ms| output::time(at_ms.get()));
        let code = self.code.as_deref().map(output::printable).unwrap_or_default();
        [at, job, self.worker.to_string(), self.state.to_owned(), self.attempt.to_string(), code]
    }

    /// One line, as records come.
    fn show(&self) -> io::Result<()> {
        let [at, job, worker, state, attempt, code] = self.cells();
        output::line(format_args!("{FAINT}{at}{FAINT:#}  {job}  {worker}  {state}  {attempt}  {code}"))
    }
}

fn show(rows: &[Row]) -> io::Result<()> {
    let cells: Vec<_> = rows.iter().map(Row::cells).collect();
    output::table(["LAST RECORD", "JOB", "WORKER", "STATE", "ATTEMPT", "CODE"], &cells)
}
