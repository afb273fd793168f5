//! `subrosa audit archive`: all histories, each in a file of its own, before the stream lets go of them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget};
use serde::{Deserialize, Serialize};
use subrosa_protocol::audit::write_line;
use subrosa_transport::{History, Passing, Records, Stored};
use tokio::time::Instant;

use super::messages;
use crate::{
    exit::{Exit, Failure},
    job_id::unread,
    nats::Nats,
    output,
};

/// What cannot be read is told with this.
const WHAT: &str = "the jobs' histories";
/// The file that says how far an archive goes.
const STATE: &str = "archive.json";
/// How often that is written down.
const EVERY: u64 = 100;

/// Options of `subrosa audit archive`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The archive: a directory, made if it is not there
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Read all histories again, also those that have not changed since the last time
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    nats: Nats,
}

/// How far an archive goes.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    /// The last record that is in it, by its sequence in the stream.
    sequence: u64,
    /// When that stream was made, as the server writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<String>,
}

/// What was done.
#[derive(Debug, Default, Serialize)]
struct Done {
    /// Histories that were written.
    written: u64,
    /// Histories that had not changed.
    unchanged: u64,
    /// How far the archive goes now.
    sequence: u64,
}

pub(crate) async fn run(args: Args, json: bool) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        Failure::because(Exit::Failure, format!("cannot write to {}: {error}", args.to.display()))
    };
    fs::create_dir_all(&args.to).map_err(failed)?;
    let before = if args.all { State::default() } else { State::read(&args.to)? };
    let connection = args.nats.connect("subrosa audit").await?;
    let unreadable = |error| unread(error, WHAT, &args.nats);
    let deadline = || Instant::now() + args.nats.patience();
    let histories = History::new(connection.clone(), args.nats.namespace.clone());
    let records = Records::new(connection, args.nats.namespace.clone());
    let made = records.made(deadline()).await.map_err(unreadable)?;
    if before.made.as_ref().is_some_and(|before| *before != made) {
        let reason = format!("the stream of the records was made {made}");
        return Err(another_stream(before.sequence, &reason));
    }
    let state = |sequence| State { sequence, made: Some(made.clone()) };
    // The last record of each job, in their order in the stream.
    let mut records = records.follow("archive", deadline()).await.map_err(unreadable)?;
    let (mut done, mut end, bar) = (Done { sequence: before.sequence, ..Done::default() }, 0, bar(json));
    while let Some(Passing { worker, job, stored }) = records.next_known().await.map_err(unreadable)? {
        end = stored.sequence;
        if stored.sequence <= before.sequence {
            done.unchanged += 1;
            continue;
        }
        let history = histories.all(&worker, &job, deadline()).await.map_err(unreadable)?;
        let directory = args.to.join(worker.as_str());
        write_history(&directory, &job.to_string(), &history).map_err(failed)?;
        (done.written, done.sequence) = (done.written + 1, stored.sequence);
        bar.set_message(format!("{} histories, at record {}", done.written, done.sequence));
        if done.written % EVERY == 0 {
            state(done.sequence).write(&args.to).map_err(failed)?;
        }
    }
    bar.finish_and_clear();
    if end < before.sequence {
        return Err(another_stream(before.sequence, &format!("the last record of the stream is {end}")));
    }
    state(done.sequence).write(&args.to).map_err(failed)?;
    if json {
        output::json(&done)?;
    } else {
        let Done { written, unchanged, sequence } = done;
        output::line(format_args!(
            "{written} histories written, {unchanged} unchanged, to record {sequence}"
        ))?;
    }
    Ok(())
}

/// What is in the archive already cannot be told from what is not.
fn another_stream(sequence: u64, reason: &str) -> Failure {
    let text = format!(
        "the archive goes to record {sequence} of a stream, but {reason}: it was restored or made anew, and its records \
         bear other numbers; use --all, and another directory if it is another stream"
    );
    Failure::because(Exit::Failure, text)
}

fn bar(json: bool) -> ProgressBar {
    if json || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

impl State {
    fn read(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join(STATE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::usage(format!("cannot read {}: {error}", path.display()))),
        };
        serde_json::from_slice(&text)
            .map_err(|error| Failure::usage(format!("{}: {error}; use --all to begin anew", path.display())))
    }

    fn write(&self, directory: &Path) -> io::Result<()> {
        replace(&directory.join(STATE), &serde_json::to_vec(self)?)
    }
}

/// Writes a history as `audit export` does. What the file has from before the first message that is still in the
/// stream stays in it.
fn write_history(directory: &Path, job: &str, history: &[Stored]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let path = directory.join(format!("{job}.jsonl"));
    let mut lines = match fs::read_to_string(&path) {
        Ok(text) => numbered(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(error),
    };
    if let Some(first) = history.first() {
        lines.retain(|sequence, _| *sequence < first.sequence);
    }
    for (message, stored) in messages(history).iter().zip(history) {
        lines.insert(stored.sequence, write_line(message, Some(stored.sequence)));
    }
    let text: String = lines.into_values().map(|line| line + "\n").collect();
    replace(&path, text.as_bytes())
}

/// The lines of a file, by the sequence that each has.
fn numbered(text: &str) -> BTreeMap<u64, String> {
    let sequence = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?.get("seq")?.as_u64();
    text.lines().filter_map(|line| Some((sequence(line)?, line.to_owned()))).collect()
}

/// There is the old file or the new one, and never half of it.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(sequence: u64) -> Stored {
        Stored { subject: String::new(), sequence, bytes: format!("a.b.{sequence}").into() }
    }

    #[test]
    fn what_the_stream_has_let_go_of_stays_in_the_archive() {
        let directory = tempfile::tempdir().unwrap();
        let read = || fs::read_to_string(directory.path().join("job.jsonl")).unwrap();
        write_history(directory.path(), "job", &[stored(3), stored(5)]).unwrap();
        assert_eq!(numbered(&read()).into_keys().collect::<Vec<_>>(), [3, 5]);
        write_history(directory.path(), "job", &[stored(5), stored(8)]).unwrap();
        assert_eq!(numbered(&read()).into_keys().collect::<Vec<_>>(), [3, 5, 8]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing half written is left");
    }
}
