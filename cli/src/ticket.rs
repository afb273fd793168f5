//! A ticket's file: opened, and removed once it is used.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use subrosa_client::{MAX_TICKET_BYTES, Namespace, Ticket};

use crate::{
    exit::{Exit, Failure},
    sealed::{Unlock, What},
};

/// How a ticket is spoken of.
pub(crate) const TICKET: What = What {
    name: "the ticket",
    absent: "it is removed when it is used",
    // What age adds is less than a thousandth.
    max_bytes: MAX_TICKET_BYTES + MAX_TICKET_BYTES / 512,
    options: "--ticket-passphrase-file, --ticket-key, or --recipient",
};

/// Who opens the ticket.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Opening the ticket")]
pub(crate) struct Opening {
    /// Read the passphrase from the first line of this file, instead of from the terminal
    #[arg(long, value_name = "FILE", requires = "ticket")]
    passphrase_file: Option<PathBuf>,
    /// The age identity file that the ticket is sealed for, where no passphrase was chosen
    #[arg(long, value_name = "FILE", requires = "ticket", conflicts_with = "passphrase_file")]
    identity_file: Option<PathBuf>,
}

impl Opening {
    /// The ticket in this file, for a job in this namespace.
    pub(crate) fn open(&self, path: &Path, namespace: &Namespace) -> Result<Ticket, Failure> {
        let (passphrase_file, identity_file) =
            (self.passphrase_file.as_deref(), self.identity_file.as_deref());
        let text = Unlock { passphrase_file, identity_file }.open(path, &TICKET)?;
        Ticket::from_bytes(&text, namespace)
            .map_err(|error| Failure::usage(format!("cannot open the ticket in {}: {error}", path.display())))
    }
}

/// Removes a ticket that is used up. What was in it is overwritten first, as far as the file system lets anybody.
pub(crate) fn remove(path: &Path) -> Result<(), Failure> {
    let overwritten = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let length = file.metadata()?.len();
        io::copy(&mut io::Read::take(io::repeat(0), length), &mut file)?;
        file.flush()?;
        file.sync_all()
    };
    overwritten().and_then(|()| fs::remove_file(path)).map_err(|error| {
        let text = format!("the ticket {} is used up, but cannot be removed: {error}", path.display());
        Failure::because(Exit::Failure, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_that_is_used_is_overwritten_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("ticket"), folder.path().join("other"));
        fs::write(&path, "sealed").unwrap();
        fs::hard_link(&path, &other).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
        assert_eq!(fs::read(&other).unwrap(), [0; 6]);
        assert!(format!("{:#}", remove(&path).unwrap_err().error).contains("cannot be removed"));
    }
}
