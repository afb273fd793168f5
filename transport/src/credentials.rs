//! NATS credentials files: a user's JWT with its key, or the key alone, as `nk -gen user` writes it.

use std::{fs, io, path::Path};

use async_nats::ConnectOptions;
use zeroize::Zeroizing;

/// The largest such file, in bytes. A JWT with many rights in it has some thousand.
const MAX_BYTES: u64 = 1 << 20;

/// Reads such a file.
pub(crate) fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    if fs::metadata(path)?.len() > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    fs::read_to_string(path).map(Zeroizing::new)
}

/// Adds what stands in the file at this path.
pub(crate) fn add(options: ConnectOptions, path: &Path) -> io::Result<ConnectOptions> {
    let text = read(path)?;
    match seed(&text) {
        Some(seed) => Ok(options.nkey(seed.to_owned())),
        None => options.credentials(&text),
    }
}

/// The seed of a user's nkey, if there is nothing else in it but comments.
pub(crate) fn seed(text: &str) -> Option<&str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let seed = lines.next().filter(|line| line.starts_with("SU"))?;
    lines.next().is_none().then_some(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_a_key_alone_is_known_by_its_only_line() {
        let key = "SUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY";
        assert_eq!(seed(&format!("# of nobody\n\n {key}\n")), Some(key));
        assert_eq!(seed(&format!("{key}\n{key}\n")), None);
        assert_eq!(seed(&format!("-----BEGIN NATS USER JWT-----\neyJ0\n{key}\n")), None);
        assert_eq!(seed(""), None);
    }
}
