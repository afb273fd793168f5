//! What came of a run.

use std::{fmt, sync::Arc};

use serde::de::DeserializeOwned;
use subrosa_client::{Event, JobError, LogLevel, Parameters};
use subrosa_protocol::record::Record;

use crate::{
    Weakness,
    peer::{Heard, Outcome},
    verdict,
    world::World,
};

/// What came of a run: the result, what was reported on the way, and the records that it left.
///
/// ```
/// # use serde_json::Value;
/// # use subrosa_worker::{Job, Launched, LogLevel};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let run = subrosa_testing::run(async |job: Job<Launched>| {
///     let (_, job) = job.options::<Value>(&"version 1").await?;
///     let (_, job) = job.ready::<Value>(&()).await?;
///     job.progress(0.5, "halfway");
///     job.log(LogLevel::Warn, "that took long");
///     job.done(&77).await
/// })
/// .await;
/// assert_eq!(run.result::<u32>().unwrap(), 77);
/// assert_eq!(run.parameters().unwrap().json::<String>().unwrap(), "version 1");
/// assert_eq!((run.progress(), run.log()), (vec![0.5], vec![(LogLevel::Warn, "that took long")]));
/// # }
/// ```
pub struct Ran {
    world: Arc<World>,
    outcome: Result<Vec<u8>, Arc<JobError>>,
    events: Vec<Event>,
    heard: Heard,
    ended: bool,
}

impl Ran {
    pub(crate) fn new(
        world: Arc<World>,
        outcome: Outcome,
        events: Vec<Event>,
        heard: Heard,
        ended: bool,
    ) -> Self {
        Self { world, outcome: outcome.map_err(Arc::new), events, heard, ended }
    }

    /// The result, as the client gets it.
    ///
    /// # Errors
    ///
    /// What the client is told in its place, and [`JobError::Result`] if it is of another type.
    pub fn result<T: DeserializeOwned>(&self) -> Result<T, Arc<JobError>> {
        self.outcome.as_ref().map_err(Arc::clone)?;
        match &self.heard.said().result {
            Some(result) => result.json().map_err(|error| Arc::new(error.into())),
            None => Err(Arc::new(JobError::Closed)),
        }
    }

    /// The result's bytes.
    ///
    /// # Errors
    ///
    /// What the client is told in its place.
    pub fn result_bytes(&self) -> Result<&[u8], Arc<JobError>> {
        self.outcome.as_deref().map_err(Arc::clone)
    }

    /// What the function said with its first step, if it came to that.
    pub fn parameters(&self) -> Option<Parameters> {
        self.heard.said().parameters.clone()
    }

    /// What the function said when it was ready for the payload, if it came to that.
    pub fn ready(&self) -> Option<Parameters> {
        self.heard.said().ready.clone()
    }

    /// Everything that the client was told on the way.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// How far the function said that it was, each time.
    pub fn progress(&self) -> Vec<f64> {
        let fraction = |event: &Event| match event {
            Event::Progress { fraction, .. } => Some(*fraction),
            _ => None,
        };
        self.events.iter().filter_map(fraction).collect()
    }

    /// The log lines that the function sent.
    pub fn log(&self) -> Vec<(LogLevel, &str)> {
        let line = |event| match event {
            &Event::Log { level, ref line } => Some((level, line.as_str())),
            _ => None,
        };
        self.events.iter().filter_map(line).collect()
    }

    /// The job's records, as anyone with the launcher's rights sees them.
    pub fn records(&self) -> Vec<Record> {
        let job = self.heard.said().job;
        job.map(|job| self.world.records_of(&job)).unwrap_or_default()
    }

    /// The names of the job's records: `queued`, `taken`, `running` and `closed`, if all went well.
    pub fn history(&self) -> Vec<&'static str> {
        self.records().iter().map(|record| record.event.name()).collect()
    }

    /// How many hostile messages were read by a peer.
    pub fn reached(&self) -> usize {
        self.world.reached.get()
    }

    /// Says whether the attack has done any harm that shows: see [`Weakness`]. Whether a result is right
    /// only the test can tell.
    ///
    /// # Errors
    ///
    /// The first weakness.
    pub fn withstood(&self) -> Result<(), Weakness> {
        if !self.ended {
            return Err(Weakness::StillRunning);
        }
        verdict::judge(&self.world, self.outcome.as_ref().err().map(|error| &**error))
    }
}

impl fmt::Debug for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ran")
            .field("outcome", &self.outcome)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}
