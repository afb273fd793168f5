//! `subrosa run --detach`: the job goes on, and what opens its result goes into a file, sealed.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

use age::x25519;
use serde_json::json;
use subrosa_client::{DetachError, Job, Launchers, Ticket};
use tempfile::NamedTempFile;

use super::{show::Show, shown_until};
use crate::{
    exit::{Exit, Failure},
    nats::Nats,
    new_file, output,
    sealed::Lock,
    ticket::TICKET,
};

/// Options of `subrosa run --detach`.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Leaving the job")]
pub(super) struct Leaving {
    /// End as soon as the job runs, and keep what opens its result in a ticket, for `subrosa result`
    #[arg(long, conflicts_with = "receipt")]
    detach: bool,
    /// Where the ticket goes, a new file; the first 8 digits of the job's id and .ticket by default
    #[arg(long, value_name = "FILE", requires = "detach")]
    ticket: Option<PathBuf>,
    /// Seal the ticket by the passphrase in the first line of this file, instead of asking on the terminal
    #[arg(long, value_name = "FILE", requires = "detach", conflicts_with_all = ["ticket_key", "recipient"])]
    ticket_passphrase_file: Option<PathBuf>,
    /// Seal the ticket for the key in this age identity file, instead of by a passphrase
    #[arg(long, value_name = "FILE", requires = "detach", conflicts_with = "recipient")]
    ticket_key: Option<PathBuf>,
    /// Seal the ticket for this age recipient (age1…) instead of by a passphrase; may be repeated
    #[arg(long, value_name = "RECIPIENT", requires = "detach")]
    recipient: Vec<x25519::Recipient>,
}

/// Where a ticket goes, and whom it is sealed for. The place is there before the job is launched.
pub(super) struct Place {
    file: NamedTempFile,
    path: Option<PathBuf>,
    lock: Lock,
    /// Whom `subrosa result` is to believe.
    trust: String,
}

impl Leaving {
    /// Where the ticket goes, if the job is to be left.
    pub(super) fn place(&self, trust: String) -> Result<Option<Place>, Failure> {
        if !self.detach {
            return Ok(None);
        }
        if let Some(path) = &self.ticket {
            // Before anybody thinks of a passphrase; what comes in between is left alone all the same.
            new_file::check_absent(path)?;
        }
        let lock = match (&self.ticket_key, self.recipient.as_slice()) {
            (Some(identities), _) => Lock::identities(identities)?,
            (None, []) => Lock::passphrase(self.ticket_passphrase_file.as_deref(), &TICKET)?,
            (None, recipients) => Lock::recipients(recipients),
        };
        let directory = self.ticket.as_deref().map_or(Path::new("."), new_file::directory);
        let file = tempfile::Builder::new().prefix(".subrosa-").suffix(".ticket").tempfile_in(directory);
        let file = file.map_err(|error| {
            // Its name is a temporary one, which says nothing to anybody.
            let error = std::io::Error::from(error.kind());
            Failure::usage(new_file::cannot_write(directory, &error))
        })?;
        Ok(Some(Place { file, path: self.ticket.clone(), lock, trust }))
    }
}

impl Place {
    /// Writes the ticket, as a whole or not at all, and over nothing.
    fn keep(self, ticket: &Ticket) -> Result<PathBuf, Failure> {
        let Self { mut file, path, lock, .. } = self;
        let named = || format!("{:.8}.ticket", ticket.job().to_string()).into();
        let path = path.unwrap_or_else(named);
        let failed =
            |error: &std::io::Error| Failure::because(Exit::Failure, new_file::cannot_write(&path, error));
        let sealed = lock.seal(&ticket.to_bytes(), &TICKET)?;
        file.write_all(&sealed).and_then(|()| file.as_file().sync_all()).map_err(|error| failed(&error))?;
        file.persist_noclobber(&path).map_err(|error| failed(&error.error))?;
        // Its name, too, outlasts a crash, where the file system can say so.
        if let Some(Err(error)) = File::open(new_file::directory(&path)).ok().map(|folder| folder.sync_all())
        {
            tracing::debug!(%error, "the ticket's folder was not synced");
        }
        Ok(path)
    }
}

/// Leaves the job once it runs.
pub(super) async fn leave(mut job: Job, show: &Show, place: Place, nats: &Nats) -> Result<(), Failure> {
    let id = *job.id();
    show.launched(&id);
    let events = job.events();
    let detached = shown_until(job.detach(), events, show).await;
    show.over();
    let ticket = match detached {
        Ok(ticket) => ticket,
        Err(DetachError::Finished(outcome)) => return show.outcome(&id, &outcome),
        Err(DetachError::Job(error)) => return Err(Failure::from(error).reporting(json!({ "job": id }))),
        Err(error) => return Err(Failure::new(Exit::Failure, error)),
    };
    let trust = place.trust.clone();
    let path = match place.keep(&ticket) {
        Ok(path) => path,
        Err(failure) => {
            // Nobody could ever open its result.
            let launchers = Launchers::new(nats.connect("subrosa run").await?, nats.namespace.clone());
            let cancelled = launchers.cancel(&id, &ticket.cancel_token(), nats.patience()).await;
            let state = cancelled.map_or_else(|_| "running".to_owned(), |state| state.state);
            return Err(failure.context(format!("there is no ticket, and the job is {state}")));
        }
    };
    show.left(&id, ticket.attempt(), &path, &trust)
}

impl Show {
    fn left(
        &self,
        job: &subrosa_client::JobId,
        attempt: u16,
        path: &Path,
        trust: &str,
    ) -> Result<(), Failure> {
        if self.is_json() {
            output::json(&json!({ "job": job, "state": "running", "attempt": attempt, "ticket": path }))?;
            return Ok(());
        }
        output::line(format_args!("{}", path.display()))?;
        let path = path.display();
        self.say(&format!("the job runs on; its result is opened by: subrosa result {path} {trust}"));
        Ok(())
    }
}
