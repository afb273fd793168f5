//! What a job's history tells when the job is over.

use std::path::Path;

use subrosa::local::Plan;
use subrosa_client::{JobError, JobId};
use subrosa_protocol::{
    audit::{self, Message},
    record::{Event, Record},
};
use subrosa_tests::{
    gate::WORKER,
    lab::{Lab, PATIENCE},
};
use subrosa_transport::History;
use tokio::time::Instant;

use crate::{GATED, PROGRAM};

/// The records of a job, with their attempts, once the last of them is `end`. They are a good history.
pub(crate) async fn told(lab: &Lab, worker: &str, job: &JobId, end: &str) -> Vec<(&'static str, u16)> {
    let records = lab.records(worker, job, end).await;
    let history = History::new(lab.connection().await, Default::default());
    let messages = history.all(&worker.parse().unwrap(), job, Instant::now() + PATIENCE).await.unwrap();
    let messages: Vec<_> = messages.iter().map(|stored| Message::new(&*stored.bytes)).collect();
    let judged = audit::History::judge(&messages, Some(*job), &lab.local.trust().unwrap());
    assert!(judged.is_good() && judged.is_finished(), "{judged:?}");
    records.iter().map(|record| (record.event.name(), record.attempt)).collect()
}

/// The code and the public text of the last of these records.
pub(crate) fn reason(records: &[Record]) -> (&str, &str) {
    match &records.last().unwrap().event {
        Event::Failed(reason) | Event::Expired(reason) => (&reason.code, &reason.text),
        other => panic!("{}", other.name()),
    }
}

/// How a job has ended for its client: the state, the code, and the public text.
pub(crate) fn ended(error: &JobError) -> (&str, &str, &str) {
    match error {
        JobError::Ended { state, code: Some(code), reason: Some(reason) } => (state, code, reason),
        other => panic!("{other}"),
    }
}

/// The history of a job that was done in its first attempt.
pub(crate) const DONE_AT_ONCE: [(&str, u16); 4] =
    [("queued", 0), ("taken", 1), ("running", 1), ("closed", 1)];

/// The history of a job whose first attempt was lost while the function ran.
pub(crate) const DONE_AGAIN: [(&str, u16); 6] =
    [("queued", 0), ("taken", 1), ("running", 1), ("taken", 2), ("running", 2), ("closed", 2)];

/// A deployment with the gated worker, which somebody else runs.
pub(crate) async fn resident() -> Lab {
    let plan = Plan { others: vec![WORKER.to_owned()], ..Plan::of(PROGRAM, []) };
    Lab::configured(plan, |_, config| impatient(config)).await
}

/// A deployment in which launchers start the gated worker; after a change to its configuration.
pub(crate) async fn started(launchers: usize, change: impl FnOnce(&mut toml::Table)) -> Lab {
    let plan = Plan { others: vec![WORKER.to_owned()], launchers, ..Plan::of(PROGRAM, []) };
    Lab::configured(plan, |lab, config| {
        impatient(config);
        let toml::Value::Table(mut worker) = lab.started(WORKER, &[GATED]) else { unreachable!() };
        change(&mut worker);
        config.insert("worker".to_owned(), vec![worker].into());
    })
    .await
}

/// Has what is lost noticed soon; a child that answers late on a busy machine is not lost.
pub(crate) fn impatient(config: &mut toml::Table) {
    config.extend(toml::toml! { timing = { ack_wait = "5s", probe = "1s", silence = "6s" } });
}

/// The path of a file, as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
