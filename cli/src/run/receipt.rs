//! Where `subrosa run --receipt` keeps a receipt, and beside it its salt.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use subrosa_client::SaltedReceipt;

use crate::{
    exit::{Exit, Failure},
    new_file,
};

/// New files, made before the job is launched: a result is not the time to find out that a disk is full
/// of other things, or that a receipt of another job stands there.
pub(crate) struct Files {
    receipt: New,
    salt: New,
    cert: New,
}

/// A file that is removed again unless something was written to it.
struct New {
    path: PathBuf,
    file: File,
    written: bool,
}

impl Files {
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let beside = |ending| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        // A receipt is made to be shown; its salt is for those who may know what it is about.
        Ok(Self {
            receipt: New::create(path.to_owned(), 0o644)?,
            salt: New::create(beside(".salt"), 0o600)?,
            cert: New::create(beside(".cert"), 0o644)?,
        })
    }

    /// Writes the receipt as it was signed, a compact JWS; its salt as base64url; and the certificate of a
    /// worker that has one.
    pub(crate) fn keep(mut self, receipt: &SaltedReceipt) -> Result<(), Failure> {
        self.salt.write(&receipt.salt.reveal())?;
        if let Some(cert) = &receipt.cert {
            self.cert.write(cert)?;
        }
        self.receipt.write(&receipt.jws)
    }
}

impl New {
    fn create(path: PathBuf, mode: u32) -> Result<Self, Failure> {
        let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        match opened {
            Ok(file) => Ok(Self { path, file, written: false }),
            Err(error) => Err(new_file::cannot_make(&path, &error)),
        }
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.written = true;
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.write_all(b"\n"));
        written.map_err(|error| Failure::because(Exit::Failure, new_file::cannot_write(&self.path, &error)))
    }
}

impl Drop for New {
    fn drop(&mut self) {
        if !self.written {
            // There is nothing in it; that it stays is no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_file_is_not_touched_and_an_unused_one_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, salt) = (folder.path().join("receipt"), folder.path().join("receipt.salt"));
        drop(Files::create(&path).unwrap());
        assert!(!path.exists() && !salt.exists());

        std::fs::write(&salt, "a salt").unwrap();
        let refused = Files::create(&path).map(|_| ()).unwrap_err();
        assert!(format!("{:#}", refused.error).ends_with("receipt.salt exists already: move it away first"));
        assert!(!path.exists(), "no half of it stays");
        assert_eq!(std::fs::read_to_string(&salt).unwrap(), "a salt");
    }
}
