//! How the demo tells what happens. Colours switch themselves off; the progress bar is on a terminal only.

use std::io::IsTerminal as _;

use anstream::println;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use subrosa_client::{Event, JobId, Outcome, State};
use subrosa_examples::create_proof::Proof;
use subrosa_protocol::{audit::History, encoding::hex};
use subrosa_transport::Message;

use super::run::happened;
use crate::{
    local::Local,
    output::{BAD, FAINT, GOOD, STRONG},
};

/// What the broker has seen, in numbers.
pub(super) struct Seen {
    /// From the start of the demo to the verified result.
    pub(super) seconds: f64,
    pub(super) messages: usize,
    pub(super) bytes: usize,
    /// Whether something of the job's content was found in it.
    pub(super) leaked: bool,
}

/// Tells the story, or, for scripts, keeps quiet until its end.
pub(super) struct Story {
    json: bool,
    bar: ProgressBar,
    started: std::time::Instant,
}

impl Story {
    pub(super) fn new(json: bool) -> Self {
        let shown = !json && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(100), target);
        if let Ok(style) = ProgressStyle::with_template("  {msg:<10} {bar:40} {percent:>3} %") {
            bar.set_style(style);
        }
        Self { json, bar, started: std::time::Instant::now() }
    }

    fn say(&self, name: &str, text: &str) {
        if !self.json {
            self.bar.suspend(|| println!("  {STRONG}{name:<22}{STRONG:#} {text}"));
        }
    }

    pub(super) fn title(&self) {
        if !self.json {
            println!("{STRONG}A proof about a secret value, made by a worker somewhere else.{STRONG:#}\n");
        }
    }

    pub(super) fn cast(&self, local: &Local, process: bool) {
        let pid = |child: Option<&tokio::process::Child>| {
            child.and_then(tokio::process::Child::id).map_or_else(|| "?".to_owned(), |pid| pid.to_string())
        };
        self.say("nats-server", &format!("with JetStream at {}", local.server.url()));
        let launcher = pid(local.launchers.first());
        self.say("launcher", &format!("process {launcher}: admits jobs, queues them, keeps their history"));
        let worker = if process {
            "create-proof: the launcher starts a process for each job, and is trusted like it".to_owned()
        } else {
            format!("process {}: create-proof, resident, pulls its jobs itself", pid(local.workers.first()))
        };
        self.say("worker", &worker);
    }

    pub(super) fn launched(&self, job: &JobId, value: i64, label: &str) {
        if !self.json {
            println!();
        }
        self.say("the client knows", &format!("value = {value}, bound to \"{label}\""));
        self.say("job", &format!("{FAINT}{job}{FAINT:#}"));
    }

    pub(super) fn event(&self, event: &Event) {
        if let Event::Progress { fraction, .. } = event {
            self.bar.set_message("proving");
            self.bar.set_position((fraction * 100.0).round().clamp(0.0, 100.0) as u64);
            return;
        }
        let text = match event {
            Event::State(State::Queued) => "queued: a launcher has admitted it".to_owned(),
            Event::State(State::Prepared) => "the worker has the options and is ready".to_owned(),
            Event::State(State::Running) => "the worker has the value; its function runs".to_owned(),
            Event::State(State::Done) => "the result is here, and checked".to_owned(),
            Event::Attempt { number, max, worker } => {
                format!("attempt {number} of {max}: a worker has proven to hold the trusted key {worker}")
            }
            Event::Untrusted(worker) => format!("a worker answered that is not trusted: {}", worker.worker),
            Event::Log { line, .. } => format!("the worker says: {line}"),
            _ => return,
        };
        let milliseconds = self.started.elapsed().as_millis();
        self.say(&format!("{milliseconds:>6} ms"), &text);
    }

    pub(super) fn broker(&self, messages: &[Message], job: &JobId) {
        self.bar.finish_and_clear();
        if self.json {
            return;
        }
        println!("\n  {STRONG}the broker sees{STRONG:#}");
        let id = job.to_string();
        let of_job =
            messages.iter().filter(|message| message.subject.contains(&id) && message.status.is_none());
        for message in of_job.filter(|message| message.subject.contains(".v1.client.")) {
            let kind = message.subject.rsplit('.').next().unwrap_or_default();
            let start = hex(message.payload.get(..20).unwrap_or(&message.payload));
            println!("    {kind:<10} {:>6} bytes  {FAINT}{start}…{FAINT:#}", message.payload.len());
        }
        let bytes: usize = messages.iter().map(|message| message.payload.len()).sum();
        println!("    and {} messages with {bytes} bytes in all", messages.len());
    }

    pub(super) fn launcher(&self, history: &History) {
        self.say("the launcher sees", &format!("{}, each record signed", happened(history).join(" → ")));
        self.say("the worker learned", "options and value, in memory, until the job was over");
    }

    pub(super) fn verified(&self, job: &JobId, outcome: &Outcome<Proof>, history: &History, seen: &Seen) {
        if self.json {
            let report = serde_json::json!({
                "verified": true,
                "job": job,
                "worker": outcome.worker,
                "attempt": outcome.attempt,
                "proof": outcome.value,
                "history": happened(history),
                "receipt": outcome.receipt.jws,
                "seconds": seen.seconds,
                "broker": { "messages": seen.messages, "bytes": seen.bytes },
            });
            println!("{report}");
            return;
        }
        println!();
        println!(
            "{GOOD}✔ verified{GOOD:#}: the value lies between 0 and 100, and the proof does not show it"
        );
        println!(
            "{GOOD}✔ sealed{GOOD:#}:   neither value nor label stands in anything that the broker carried"
        );
        let receipt = &outcome.receipt.receipt;
        println!(
            "{GOOD}✔ receipt{GOOD:#}:  signed by the worker {}, whose key the deployment's authority certified",
            outcome.worker
        );
        println!("            input  {FAINT}{}{FAINT:#}", receipt.input_hash);
        println!(
            "            result {FAINT}{}{FAINT:#}; neither tells anything without the salt",
            receipt.result_hash
        );
        println!(
            "{GOOD}✔ history{GOOD:#}:  {} records, each GOOD: signed by who may, in its place, nothing missing",
            history.messages.len()
        );
        println!("{GOOD}✔ erased{GOOD:#}:   both sides have overwritten the job's keys");
        println!("  {:.2} s from the start to the verified result", seen.seconds);
    }

    pub(super) fn failed(&self) {
        if !self.json {
            println!(
                "\n{BAD}✘ failed{BAD:#}: the client was told, sealed; the history says no more than a code"
            );
        }
    }
}
