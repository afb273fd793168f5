//! Judges, when all is over: each job's history by itself, and against what its client has heard and what its
//! function has written down.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_client::{JobError, JobId};
use subrosa_protocol::{
    audit::{History, Message},
    identity::Trust,
    record::{Event, Reason, Record, code},
};
use subrosa_tests::chores::Run;
use subrosa_transport::Stored;

use crate::jobs::{Heard, Outcome};

/// How often the function of each attempt has begun and ended.
#[derive(Default)]
pub(crate) struct Runs(BTreeMap<JobId, BTreeMap<u16, (u32, u32)>>);

impl Runs {
    pub(crate) fn new(written: impl IntoIterator<Item = Run>) -> Self {
        let mut runs = Self::default();
        for Run { job, attempt, ended } in written {
            let (begun, over) = runs.0.entry(job).or_default().entry(attempt).or_default();
            *if ended { over } else { begun } += 1;
        }
        runs
    }

    pub(crate) fn jobs(&self) -> impl Iterator<Item = &JobId> {
        self.0.keys()
    }
}

/// All that is known of a job.
pub(crate) struct Case<'a> {
    pub(crate) heard: &'a Heard,
    pub(crate) messages: &'a [Stored],
    pub(crate) trust: &'a Trust,
    pub(crate) runs: &'a Runs,
    /// The jobs of which a result is stored.
    pub(crate) stored: &'a BTreeSet<JobId>,
}

impl Case<'_> {
    /// What is wrong with it; nothing, if all is well.
    pub(crate) fn faults(&self) -> Vec<String> {
        let messages: Vec<_> = self.messages.iter().map(|stored| Message::new(&*stored.bytes)).collect();
        let history = History::judge(&messages, Some(self.heard.id), self.trust);
        let bad = history.messages.iter().enumerate().filter_map(|(number, message)| {
            message.fault.as_ref().map(|fault| format!("record {number} is BAD: {fault}"))
        });
        let mut faults: Vec<_> = bad.collect();
        match history.last().filter(|_| history.is_finished()) {
            Some(last) => faults.extend(disagreement(&self.heard.outcome, last)),
            None => faults.push("it has not ended".to_owned()),
        }
        let records: Vec<_> = history.messages.iter().filter_map(|message| message.record.as_ref()).collect();
        self.check_runs(&records, &mut faults);
        if let [.., Event::Finished, Event::Closed { .. }] = &*events(&records)
            && self.stored.contains(&self.heard.id)
        {
            faults.push("its result was taken, and is still stored".to_owned());
        }
        faults
    }

    /// Each attempt runs once, and only if its record says so; and none runs after the one with the result.
    fn check_runs(&self, records: &[&Record], faults: &mut Vec<String>) {
        let running = |attempt| {
            records.iter().any(|it| it.attempt == attempt && matches!(it.event, Event::Running { .. }))
        };
        let none = BTreeMap::new();
        let runs = self.runs.0.get(&self.heard.id).unwrap_or(&none);
        for (attempt, (begun, ended)) in runs {
            if *begun != 1 || *ended > 1 {
                faults.push(format!("attempt {attempt} has begun {begun} times and ended {ended} times"));
            }
            if !running(*attempt) {
                faults.push(format!("attempt {attempt} ran, and no record says so"));
            }
        }
        if let Outcome::Done(attempt) = self.heard.outcome {
            if runs.get(&attempt) != Some(&(1, 1)) {
                faults.push(format!("attempt {attempt} has a result and did not run"));
            }
            if runs.keys().any(|run| *run > attempt) {
                faults.push(format!("it ran again after attempt {attempt} had its result"));
            }
        }
    }
}

fn events<'a>(records: &[&'a Record]) -> Vec<&'a Event> {
    records.iter().map(|record| &record.event).collect()
}

/// How what the client has heard disagrees with the last record.
fn disagreement(outcome: &Outcome, last: &Record) -> Option<String> {
    let event = &last.event;
    let failed =
        |codes: &[&str]| matches!(event, Event::Failed(Reason { code, .. }) if codes.contains(&&**code));
    let agrees = match outcome {
        Outcome::Done(attempt) => matches!(event, Event::Closed { .. }) && last.attempt >= *attempt,
        // Who has died before it could write down the failure leaves a job that nobody wants: it is cancelled
        // by its client, or its attempts are used up.
        Outcome::Failed(JobError::Worker { code, .. } | JobError::Handler { code, .. }) => {
            failed(&[code.word(), code::ATTEMPTS_USED_UP]) || matches!(event, Event::Cancelled { .. })
        }
        Outcome::Failed(JobError::Ended { state, code, .. }) => {
            event.name() == state && (code.is_none() || failed(&[code.as_deref().unwrap_or_default()]))
        }
        Outcome::Failed(JobError::Cancelled { reason: Some(_) }) => matches!(event, Event::Cancelled { .. }),
        // Nobody could tell the client then how it ended.
        Outcome::Failed(JobError::Cancelled { reason: None }) => !matches!(event, Event::Closed { .. }),
        // It may have been done by then.
        Outcome::Dropped => true,
        Outcome::Failed(_) => false,
    };
    (!agrees).then(|| format!("the client has heard {outcome:?}, and the last record is {event:?}"))
}
