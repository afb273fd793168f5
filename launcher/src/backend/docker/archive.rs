//! The files that a container gets, as the archive in which an engine takes them.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use bytes::Bytes;
use zeroize::Zeroizing;

/// The largest of these files, in bytes: trust files with thousands of keys are smaller.
const MAX_FILE_BYTES: u64 = 4 << 20;
const BLOCK: usize = 512;

/// A POSIX archive in which everything belongs to one user, and is for nobody else. It is overwritten when it is
/// dropped.
pub(super) struct Archive {
    user: u32,
    bytes: Zeroizing<Vec<u8>>,
}

impl Archive {
    /// With the directory that it is unpacked to.
    pub(super) fn new(user: u32) -> Self {
        let mut archive = Self { user, bytes: Zeroizing::new(Vec::new()) };
        archive.append(&header("./", 0o500, user, 0, b'5'));
        archive
    }

    /// Adds a file, which only that user can read.
    pub(super) fn add(&mut self, name: &str, path: &Path) -> io::Result<()> {
        let file = File::open(path)?;
        let size = usize::try_from(file.metadata()?.len()).unwrap_or_default();
        let mut content = Zeroizing::new(Vec::with_capacity(size.min(MAX_FILE_BYTES as usize) + 1));
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
        if content.len() as u64 > MAX_FILE_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 4 MiB"));
        }
        self.append(&header(name, 0o400, self.user, content.len(), b'0'));
        self.append(&content);
        self.append(&vec![0; content.len().next_multiple_of(BLOCK) - content.len()]);
        Ok(())
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Bytes {
        self.append(&[0; 2 * BLOCK]);
        Bytes::from_owner(self.bytes)
    }

    /// A vector that grows by itself leaves its old content behind.
    fn append(&mut self, bytes: &[u8]) {
        let mut longer = Zeroizing::new(Vec::with_capacity(self.bytes.len() + bytes.len()));
        longer.extend_from_slice(&self.bytes);
        longer.extend_from_slice(bytes);
        self.bytes = longer;
    }
}

/// The header of one entry, as POSIX 1003.1 (`pax`, ustar interchange format) has it. Names are short here.
fn header(name: &str, mode: u32, user: u32, size: usize, kind: u8) -> Vec<u8> {
    let octal = |value: usize, digits: usize| format!("{value:0digits$o}\0").into_bytes();
    let mut before = name.as_bytes().to_vec();
    before.resize(100, 0);
    before.extend(octal(mode as usize, 7));
    before.extend(octal(user as usize, 7));
    before.extend(octal(user as usize, 7));
    before.extend(octal(size, 11));
    before.extend(octal(0, 11));
    let mut after = vec![kind];
    after.resize(1 + 100, 0);
    after.extend(b"ustar\x0000");
    after.resize(BLOCK - before.len() - 8, 0);
    // The sum counts its own field as spaces.
    let sum =
        before.iter().chain(&after).map(|byte| usize::from(*byte)).sum::<usize>() + 8 * usize::from(b' ');
    before.extend(octal(sum, 6));
    before.push(b' ');
    before.extend(after);
    before
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn tar_finds_in_it_what_was_put_in() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("odd"), vec![b'x'; 700]).unwrap();
        std::fs::write(path("even"), vec![b'y'; 1024]).unwrap();
        let mut archive = Archive::new(65_532);
        archive.add("key.jwk", &path("odd")).unwrap();
        archive.add("trust.json", &path("even")).unwrap();
        assert!(archive.add("none", &path("none")).is_err());
        assert!(archive.add("endless", Path::new("/dev/zero")).is_err());
        std::fs::write(path("archive"), archive.finish()).unwrap();
        let listed =
            Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(path("archive")).output().unwrap();
        assert!(listed.status.success(), "{listed:?}");
        let listed = String::from_utf8(listed.stdout).unwrap();
        let fields: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
        let seen: Vec<_> = fields.iter().map(|f| (f[0], f[1], f[2], *f.last().unwrap())).collect();
        assert_eq!(
            seen,
            [
                ("dr-x------", "65532/65532", "0", "./"),
                ("-r--------", "65532/65532", "700", "key.jwk"),
                ("-r--------", "65532/65532", "1024", "trust.json"),
            ]
        );
    }
}
