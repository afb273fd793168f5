//! Whom a command believes that judges what others have signed, offline.

use std::path::PathBuf;

use subrosa_client::{Trust, identity::Revoked};

use crate::exit::{Exit, Failure};

/// The files that say so.
#[derive(Debug, clap::Args)]
pub(crate) struct Trusted {
    /// The trust file: keys of workers and launchers, and of authorities that certify workers
    #[arg(long, value_name = "FILE", env = "SUBROSA_TRUST_FILE")]
    trust: PathBuf,
    /// A file with the thumbprints of keys that count no more, one a line
    #[arg(long, value_name = "FILE", env = "SUBROSA_REVOKED_FILE")]
    revoked: Option<PathBuf>,
}

impl Trusted {
    /// What they say.
    pub(crate) fn read(&self) -> Result<Trust, Failure> {
        let trust = Trust::from_file(&self.trust).map_err(|error| Failure::new(Exit::Usage, error))?;
        let Some(revoked) = &self.revoked else { return Ok(trust) };
        let revoked = Revoked::from_file(revoked).map_err(|error| Failure::new(Exit::Usage, error))?;
        Ok(trust.with_revoked(revoked))
    }
}
