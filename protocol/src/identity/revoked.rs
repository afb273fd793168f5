//! Keys that count no more, whatever was once said for them.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::{Thumbprint, ThumbprintError};

/// The largest revocation file, in bytes.
pub const MAX_REVOKED_BYTES: usize = 1 << 20;

/// The thumbprints of revoked keys.
///
/// As a file: one thumbprint a line; empty lines and lines that begin with `#` are ignored.
///
/// ```
/// use subrosa_protocol::identity::Revoked;
///
/// let revoked = Revoked::parse(b"# stolen in May\nkPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k\n")?;
/// assert!(revoked.contains(&"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k".parse()?));
/// assert!(Revoked::parse(b"a key that nobody can read").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked(BTreeSet<Thumbprint>);

/// Why a revocation file was refused. One line that cannot be read refuses all of it: skipping it would leave a
/// key in force that somebody believes revoked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RevokedError {
    /// The file cannot be read.
    #[error("cannot read the revocation file {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// What is in the file is refused.
    #[error("{}: {reason}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: Box<Self>,
    },
    /// Larger than [`MAX_REVOKED_BYTES`].
    #[error("the revocation list has more than {MAX_REVOKED_BYTES} bytes")]
    TooLarge,
    /// A line that is no thumbprint.
    #[error("line {line} of the revocation list: {reason}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong.
        reason: ThumbprintError,
    },
    /// Not text.
    #[error("the revocation list is not UTF-8")]
    NotText,
}

impl Revoked {
    /// Reads a list.
    ///
    /// # Errors
    ///
    /// See [`RevokedError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RevokedError> {
        if bytes.len() > MAX_REVOKED_BYTES {
            return Err(RevokedError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| RevokedError::NotText)?;
        let mut revoked = BTreeSet::new();
        for (line, text) in (1..).zip(text.lines().map(str::trim)) {
            if !text.is_empty() && !text.starts_with('#') {
                revoked.insert(text.parse().map_err(|reason| RevokedError::Line { line, reason })?);
            }
        }
        Ok(Self(revoked))
    }

    /// Reads a list from a file.
    ///
    /// # Errors
    ///
    /// See [`RevokedError`]. The error names the file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, RevokedError> {
        let path = path.as_ref();
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_REVOKED_BYTES as u64 + 1).read_to_end(&mut bytes))
            .map_err(|reason| RevokedError::Read { path: path.to_owned(), reason })?;
        Self::parse(&bytes)
            .map_err(|reason| RevokedError::InFile { path: path.to_owned(), reason: Box::new(reason) })
    }

    /// Whether this key is revoked.
    pub fn contains(&self, key: &Thumbprint) -> bool {
        self.0.contains(key)
    }
}

impl FromIterator<Thumbprint> for Revoked {
    fn from_iter<I: IntoIterator<Item = Thumbprint>>(keys: I) -> Self {
        Self(keys.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    const OTHER: &str = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";

    #[test]
    fn a_line_is_a_key() {
        let revoked = Revoked::parse(format!("# two\n\n {ONE}\r\n\t{OTHER}\n{ONE}").as_bytes()).unwrap();
        assert_eq!(revoked, Revoked::from_iter([ONE, OTHER].map(|key| key.parse().unwrap())));
        assert_eq!(Revoked::parse(b"").unwrap(), Revoked::default());
    }

    #[test]
    fn one_line_that_cannot_be_read_refuses_all() {
        for line in ["kPrK", &format!("{ONE} stolen"), &format!("{ONE},{OTHER}"), &format!("{ONE}=")] {
            let error = Revoked::parse(format!("{OTHER}\n{line}\n").as_bytes()).unwrap_err();
            assert!(matches!(error, RevokedError::Line { line: 2, .. }), "{line}: {error}");
        }
        assert!(matches!(Revoked::parse(&[0xFF]), Err(RevokedError::NotText)));
        assert!(matches!(Revoked::parse(&vec![b'\n'; MAX_REVOKED_BYTES + 1]), Err(RevokedError::TooLarge)));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Revoked::from_file("/nowhere/revoked").unwrap_err().to_string();
        assert!(error.contains("/nowhere/revoked"), "{error}");
    }
}
