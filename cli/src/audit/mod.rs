//! `subrosa audit`: a job's records as evidence, which anyone verifies offline.

mod archive;
mod export;
mod report;
mod text;
mod verify;

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::Subcommand;
use subrosa_client::JobId;
use subrosa_protocol::audit::{History, MAX_FILE_BYTES, Message, read_file};
use subrosa_transport::Stored;

use crate::{
    exit::{Exit, Failure},
    interrupt::{block_on, droppable},
    trusted::Trusted,
};

/// What to do with a job's history.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a job's records to a file, one JSON object a line
    Export(export::Args),
    /// Write all jobs' histories to a directory, a file each as by `export`; the next time, what is new
    Archive(archive::Args),
    /// Judge a history offline: a verdict for each record, and exit code 1 if any is BAD
    Verify(verify::Args),
    /// Write a history and its verdicts as a web page that needs nothing else
    Report(report::Args),
}

impl Command {
    pub(crate) fn run(self, json: bool) -> Result<(), Failure> {
        match self {
            Self::Export(args) => block_on(droppable(export::run(args, json))),
            Self::Archive(args) => block_on(droppable(archive::run(args, json))),
            Self::Verify(args) => verify::run(&args, json),
            Self::Report(args) => report::run(&args, json),
        }
    }
}

/// A job's records as they are stored, to be judged or exported.
pub(crate) fn messages(stored: &[Stored]) -> Vec<Message> {
    stored.iter().map(|stored| Message::new(stored.bytes.to_vec())).collect()
}

/// A history, and by whom to judge it.
#[derive(Debug, clap::Args)]
struct Evidence {
    /// The history, as `audit export` writes it; `-` for standard input
    history: PathBuf,
    #[command(flatten)]
    trusted: Trusted,
    /// The job that it has to be the history of: its whole id
    #[arg(long, value_name = "ID")]
    job: Option<JobId>,
}

impl Evidence {
    /// Reads all of it, and judges.
    fn judge(&self) -> Result<History, Failure> {
        let trust = self.trusted.read()?;
        Ok(History::judge(&self.messages()?, self.job, &trust))
    }

    fn messages(&self) -> Result<Vec<Message>, Failure> {
        let name = self.history.display();
        let bytes = bytes(&self.history)
            .map_err(|error| Failure::new(Exit::Usage, error).context(format!("cannot read {name}")))?;
        read_file(&bytes).map_err(|error| Failure::new(Exit::Usage, error).context(name.to_string()))
    }
}

/// The file's bytes; what is more than a history may have is left unread.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let limit = MAX_FILE_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// How the command ends that has shown this history.
fn verdict(history: &History) -> Result<(), Failure> {
    match (history.bad(), history.messages.len()) {
        (_, 0) => Err(Failure::because(Exit::Failure, "the history is empty, which is BAD")),
        (0, _) => Ok(()),
        (bad, all) => {
            Err(Failure::because(Exit::Failure, format!("of {all} messages in the history, BAD: {bad}")))
        }
    }
}
