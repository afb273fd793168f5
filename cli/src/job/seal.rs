//! The options that say how a job's secrets are sealed and opened.

use std::path::{Path, PathBuf};

use age::x25519;
use subrosa_client::JobSecrets;

use crate::{
    exit::Failure,
    interrupt,
    sealed::{Lock, Unlock, What},
};

const SECRETS: What = What {
    name: "the job's secrets",
    absent: "name it with --secrets",
    max_bytes: 64 * 1024,
    options: "--passphrase-file, or --recipient",
};

/// For whom the secrets are sealed.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sealing the secrets")]
pub(crate) struct Seal {
    /// Read the passphrase from the first line of this file, instead of from the terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Seal for this age recipient (age1…) instead of a passphrase; may be repeated
    #[arg(long, value_name = "RECIPIENT", conflicts_with = "passphrase_file")]
    recipient: Vec<x25519::Recipient>,
}

/// Who opens the secrets.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Opening the secrets")]
pub(crate) struct Unseal {
    /// Read the passphrase from the first line of this file, instead of from the terminal
    #[arg(long, value_name = "FILE", requires = "job", conflicts_with = "worker")]
    passphrase_file: Option<PathBuf>,
    /// The age identity file of a recipient, where no passphrase was chosen
    #[arg(long, value_name = "FILE", requires = "job", conflicts_with_all = ["passphrase_file", "worker"])]
    identity_file: Option<PathBuf>,
}

impl Seal {
    /// The secrets as they are to be stored.
    pub(super) fn seal(&self, secrets: &JobSecrets) -> Result<Vec<u8>, Failure> {
        let lock = if self.recipient.is_empty() {
            Lock::passphrase(self.passphrase_file.as_deref(), &SECRETS)?
        } else {
            Lock::recipients(&self.recipient)
        };
        let text = secrets.to_bytes();
        interrupt::unless_told(move || lock.seal(&text, &SECRETS))?
    }
}

impl Unseal {
    /// The secrets in this file.
    pub(crate) fn open(&self, path: &Path) -> Result<JobSecrets, Failure> {
        let (passphrase_file, identity_file) =
            (self.passphrase_file.as_deref(), self.identity_file.as_deref());
        let text = Unlock { passphrase_file, identity_file }.open(path, &SECRETS)?;
        JobSecrets::from_bytes(&text).map_err(|error| {
            Failure::usage(format!("cannot open the job's secrets in {}: {error}", path.display()))
        })
    }
}
