//! A job's public file: the launch request, byte for byte as it is sent.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use subrosa_client::{LaunchRequest, Namespace};
use subrosa_protocol::launch::MAX_REQUEST_BYTES;

use crate::{
    exit::{Exit, Failure},
    new_file,
};

/// Where a job's file is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct JobFile {
    /// The job's file
    pub(crate) file: PathBuf,
    /// The first token of every subject
    #[arg(long, value_name = "TOKEN", env = "SUBROSA_NAMESPACE", default_value = "subrosa")]
    pub(crate) namespace: Namespace,
}

impl JobFile {
    pub(crate) fn read(&self) -> Result<LaunchRequest, Failure> {
        let said = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("cannot use the job's file {}: {error}", self.file.display()))
        };
        let mut bytes = Vec::new();
        let limit = MAX_REQUEST_BYTES as u64 + 1;
        let file = File::open(&self.file).map_err(|error| said(&error))?;
        file.take(limit).read_to_end(&mut bytes).map_err(|error| said(&error))?;
        LaunchRequest::parse(&bytes, &self.namespace).map_err(|error| said(&error))
    }

    /// Puts `request` in the place of what is there, as a whole or not at all.
    pub(super) fn replace(&self, request: &LaunchRequest) -> Result<(), Failure> {
        replace(&self.file, request.bytes())
            .map_err(|error| Failure::because(Exit::Failure, new_file::cannot_write(&self.file, &error)))
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Whoever has put a link there wants the file that it leads to.
    let path = path.canonicalize()?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(fs::metadata(&path)?.permissions())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
