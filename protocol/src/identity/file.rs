//! Key files: a JWK each, and a mode that keeps the private ones private.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{KeyError, KeyType, PublicKey, SigningKey, jwk};
use crate::{
    json::{self, JsonError},
    member,
    secret::Secret,
};

/// The largest key file, in bytes.
pub const MAX_KEY_FILE_BYTES: usize = 16 * 1024;

/// The mode of a private key file. Fewer permissions are fine, more are refused.
const PRIVATE_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;

/// Why a key file was not read or written. Every message names the file and none repeats what is in it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// There is no such file.
    #[error("there is no key file {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// There is a file already. A key is never overwritten.
    #[error("{} exists already: move it away first", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A directory, a pipe or a device.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A looser mode than 0600: others may have read the key.
    #[error(
        "the key file {} has mode {mode:04o}, which is looser than 0600: run `chmod 600 {}`",
        path.display(), path.display()
    )]
    LooseMode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Larger than [`MAX_KEY_FILE_BYTES`].
    #[error("{} has more than {MAX_KEY_FILE_BYTES} bytes, which is no key file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The system says no.
    #[error("cannot use the key file {}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// Not the JSON that a key file is.
    #[error("the key file {} {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: JsonError,
    },
    /// Not a key that can be used.
    #[error("the key file {} {reason}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: KeyError,
    },
    /// A public key, where it takes the private one.
    #[error("the key file {} has the public half only: name the private key's file", path.display())]
    Public {
        /// The file.
        path: PathBuf,
    },
    /// The two halves are not of one key.
    #[error("the key file {} has an `x` that does not belong to its `d`", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
    },
}

/// A private key file. `d` is borrowed, so that the only copy of it is in the text, which is wiped.
#[derive(Deserialize)]
struct PrivateJwk<'a> {
    kty: String,
    crv: String,
    d: &'a str,
    x: String,
    #[serde(default, deserialize_with = "member::present")]
    y: Option<String>,
}

/// Reads a private key.
///
/// # Errors
///
/// A file that is missing, open to others (a looser mode than 0600), or not a key; the error says which
/// file, and what to do about it.
pub fn load(path: impl AsRef<Path>) -> Result<SigningKey, KeyFileError> {
    let path = path.as_ref();
    let (file, metadata) = open(path)?;
    refuse_loose_mode(&metadata, path)?;
    read_private(&read(file, &metadata, path)?, path)
}

/// Reads what is in a private key's file; errors name `path`.
pub(crate) fn read_private(text: &[u8], path: &Path) -> Result<SigningKey, KeyFileError> {
    let jwk: PrivateJwk<'_> = json::parse(text).map_err(|reason| match PublicKey::from_jwk(text) {
        Ok(_) => KeyFileError::Public { path: path.to_owned() },
        Err(_) => KeyFileError::Json { path: path.to_owned(), reason },
    })?;
    let refused = |reason| KeyFileError::Key { path: path.to_owned(), reason };
    let key_type = jwk::key_type(&jwk.kty, &jwk.crv).map_err(refused)?;
    let d =
        |d: &str| Secret::from_b64u(d).map_err(|reason| refused(KeyError::Encoding { member: "d", reason }));
    let (public, key) = match key_type {
        KeyType::Ed25519 => {
            let public = jwk::ed25519(&jwk.x).map_err(refused)?;
            (public, SigningKey::from_seed(&d(jwk.d)?))
        }
        KeyType::Secp256k1 => {
            let y = jwk.y.ok_or_else(|| refused(KeyError::Missing { member: "y" }))?;
            let public = jwk::secp256k1(&jwk.x, &y).map_err(refused)?;
            (public, SigningKey::secp256k1(&d(jwk.d)?).map_err(refused)?)
        }
    };
    if key.public() == public { Ok(key) } else { Err(KeyFileError::Mismatch { path: path.to_owned() }) }
}

/// Writes a private key to a new file of mode 0600.
///
/// # Errors
///
/// A file that exists already is left alone: whoever lost a key cannot get it back.
pub fn create(path: impl AsRef<Path>, key: &SigningKey) -> Result<(), KeyFileError> {
    let public = serde_json::to_value(key.public()).unwrap_or_default();
    let member = |name| public.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let d = key.d();
    let y = match member("y") {
        "" => String::new(),
        y => format!(r#"","y":"{y}"#),
    };
    let parts = [
        r#"{"kty":""#,
        member("kty"),
        r#"","crv":""#,
        member("crv"),
        r#"","d":""#,
        &d,
        r#"","x":""#,
        member("x"),
        &y,
        "\"}\n",
    ];
    // `concat` allocates once, so no half-written copy stays behind.
    let text = Zeroizing::new(parts.concat());
    write_new(path.as_ref(), text.as_bytes(), PRIVATE_MODE)
}

/// Reads a public key from a JWK file. A private key is refused.
///
/// # Errors
///
/// A file that is missing or not a public key; the error names it.
pub fn load_public(path: impl AsRef<Path>) -> Result<PublicKey, KeyFileError> {
    let path = path.as_ref();
    let (file, metadata) = open(path)?;
    let text = read(file, &metadata, path)?;
    PublicKey::from_jwk(&text).map_err(|reason| KeyFileError::Key { path: path.to_owned(), reason })
}

/// Writes a public key to a new file of mode 0644.
///
/// # Errors
///
/// A file that exists already is left alone.
pub fn write_public(path: impl AsRef<Path>, key: &PublicKey) -> Result<(), KeyFileError> {
    let mut text = json::to_vec(key);
    text.push(b'\n');
    write_new(path.as_ref(), &text, PUBLIC_MODE)
}

/// Opens a regular file. What is checked is the file that is open, not what the path may mean by then.
fn open(path: &Path) -> Result<(File, Metadata), KeyFileError> {
    let failed = |reason: io::Error| match reason.kind() {
        ErrorKind::NotFound => KeyFileError::Missing { path: path.to_owned() },
        _ => KeyFileError::Io { path: path.to_owned(), reason },
    };
    let regular = |metadata: Metadata| {
        if metadata.is_file() { Ok(metadata) } else { Err(KeyFileError::NotAFile { path: path.to_owned() }) }
    };
    // Asked before opening as well, because opening a pipe waits until somebody writes into it.
    regular(fs::metadata(path).map_err(failed)?)?;
    let file = File::open(path).map_err(failed)?;
    let metadata = regular(file.metadata().map_err(failed)?)?;
    Ok((file, metadata))
}

/// Reads the file into one allocation, which is wiped afterwards.
fn read(mut file: File, metadata: &Metadata, path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let bytes = usize::try_from(metadata.len()).ok().filter(|bytes| *bytes <= MAX_KEY_FILE_BYTES);
    let bytes = bytes.ok_or_else(|| KeyFileError::TooLarge { path: path.to_owned() })?;
    let mut text = Zeroizing::new(vec![0; bytes]);
    file.read_exact(&mut text).map_err(|reason| KeyFileError::Io { path: path.to_owned(), reason })?;
    Ok(text)
}

#[cfg(unix)]
fn refuse_loose_mode(metadata: &Metadata, path: &Path) -> Result<(), KeyFileError> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = metadata.permissions().mode() & 0o7777;
    if mode & !PRIVATE_MODE == 0 {
        Ok(())
    } else {
        Err(KeyFileError::LooseMode { path: path.to_owned(), mode })
    }
}

#[cfg(not(unix))]
fn refuse_loose_mode(_: &Metadata, _: &Path) -> Result<(), KeyFileError> {
    Ok(())
}

fn write_new(path: &Path, text: &[u8], mode: u32) -> Result<(), KeyFileError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let failed = |reason: io::Error| match reason.kind() {
        ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.to_owned() },
        _ => KeyFileError::Io { path: path.to_owned(), reason },
    };
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(text).and_then(|()| file.sync_all()).map_err(|reason| {
        // Half a key is worse than none: it would be in the way of the next try.
        let _ = fs::remove_file(path);
        failed(reason)
    })
}

#[cfg(test)]
mod tests;
