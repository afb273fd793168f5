//! What `subrosa run` and `subrosa result` tell: the result on standard output, everything else on standard error.

use std::io::{IsTerminal as _, Write as _, stderr, stdout};

use anstream::eprintln;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::value::RawValue;
use subrosa_client::{Event, JobId, Outcome, State, Thumbprint, Timings};
use subrosa_protocol::encoding::b64u;

use crate::{
    exit::Failure,
    output::{self, FAINT, WARN, printable},
};

/// Tells what happens.
pub(crate) struct Show {
    json: bool,
    quiet: bool,
    bar: ProgressBar,
}

/// A result, for scripts. One of `result` and `result_b64u` is there.
#[derive(Serialize)]
struct Report<'a> {
    job: &'a JobId,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_b64u: Option<String>,
    worker: Thumbprint,
    attempt: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    timings_ms: Option<TimingsMs>,
}

/// A result that is to be shown.
pub(crate) struct Arrived<'a> {
    pub(crate) value: &'a [u8],
    pub(crate) worker: Thumbprint,
    pub(crate) attempt: u16,
    /// Where the same program has launched the job.
    pub(crate) timings: Option<&'a Timings>,
}

/// When each step was, from the launch.
#[derive(Serialize)]
struct TimingsMs {
    queued: u128,
    taken: u128,
    ready: u128,
    payload: u128,
    done: u128,
}

impl TimingsMs {
    fn of(timings: &Timings) -> Self {
        Self {
            queued: timings.queued.as_millis(),
            taken: timings.taken.as_millis(),
            ready: timings.ready.as_millis(),
            payload: timings.payload.as_millis(),
            done: timings.done.as_millis(),
        }
    }
}

impl Show {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        let shown = !quiet && !json && stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(1000), target);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}") {
            bar.set_style(style);
        }
        Self { json, quiet, bar }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    pub(crate) fn say(&self, text: &str) {
        if !self.quiet && !self.json {
            self.bar.suspend(|| eprintln!("{text}"));
        }
    }

    pub(crate) fn over(&self) {
        self.bar.finish_and_clear();
    }

    pub(crate) fn launched(&self, job: &JobId) {
        self.say(&format!("{FAINT}job{FAINT:#} {job}"));
    }

    pub(crate) fn event(&self, event: &Event) {
        match event {
            Event::State(state) => self.bar.set_message(word(*state)),
            Event::Attempt { number: 1, worker, .. } => self.say(&format!("{FAINT}worker{FAINT:#} {worker}")),
            Event::Attempt { number, max, worker } => {
                self.say(&format!("{WARN}attempt {number} of {max}{WARN:#} by {worker}"));
            }
            Event::Progress { fraction, message } => {
                self.bar.set_position(permille(*fraction));
                self.bar.set_message(printable(message));
            }
            Event::Log { level, line } => {
                self.say(&format!("{FAINT}{level:?}{FAINT:#} {}", printable(line)));
            }
            Event::Untrusted(worker) => self.say(&format!(
                "{WARN}not trusted{WARN:#} {} answered: {}; the job waits on",
                worker.worker, worker.reason
            )),
            _ => {}
        }
    }

    /// The result of a job that this program has launched.
    pub(crate) fn outcome(&self, job: &JobId, outcome: &Outcome<Vec<u8>>) -> Result<(), Failure> {
        let Outcome { value, worker, attempt, timings, .. } = outcome;
        let arrived = Arrived { value, worker: *worker, attempt: *attempt, timings: Some(timings) };
        self.result(job, arrived)
    }

    /// The result, as it came.
    pub(crate) fn result(&self, job: &JobId, arrived: Arrived<'_>) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        let Arrived { value, worker, attempt, timings } = arrived;
        let text: Option<&RawValue> = serde_json::from_slice(value).ok();
        if self.json {
            output::json(&Report {
                job,
                state: "closed",
                result: text,
                result_b64u: text.is_none().then(|| b64u(value)),
                worker,
                attempt,
                timings_ms: timings.map(TimingsMs::of),
            })?;
            return Ok(());
        }
        let mut out = stdout().lock();
        out.write_all(value)?;
        if text.is_some() {
            out.write_all(b"\n")?;
        }
        out.flush()?;
        if let Some(timings) = timings {
            self.say(&format!("{FAINT}done{FAINT:#} in {:.3} s", timings.done.as_secs_f64()));
        }
        Ok(())
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Queued => "queued",
        State::Taken => "taken",
        State::Prepared => "prepared",
        State::Running => "running",
        State::Done => "done",
        _ => "",
    }
}

/// A peer's fraction; what is none counts as nothing.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped to 0 to 1000")]
fn permille(fraction: f64) -> u64 {
    (fraction.clamp(0.0, 1.0) * 1000.0) as u64
}
