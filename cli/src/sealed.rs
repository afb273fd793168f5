//! What is kept sealed in a file: in the format of age, by a passphrase or for age's recipients.

use std::{
    fs::{self, File},
    io::{ErrorKind, IsTerminal as _, Read, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use age::{
    DecryptError, Decryptor, Encryptor, IdentityFile, Recipient, scrypt,
    secrecy::{ExposeSecret as _, SecretString},
};
use zeroize::Zeroizing;

use crate::{
    exit::{Exit, Failure},
    interrupt, prompt,
};

/// The cost of a guess at a passphrase, as a power of two: a second and 256 MiB.
const WORK_FACTOR: u8 = 18;
/// The highest cost that a file may ask of whoever opens it.
const MAX_WORK_FACTOR: u8 = 20;
/// The largest file with a passphrase or identities that is read, in bytes.
const MAX_KEY_BYTES: usize = 64 * 1024;

/// What is sealed, in words and in numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct What {
    /// As in *the ticket*.
    pub(crate) name: &'static str,
    /// What to do where there is no such file.
    pub(crate) absent: &'static str,
    /// The largest sealed file that is read, in bytes.
    pub(crate) max_bytes: usize,
    /// The options that spare whoever seals it being asked for a passphrase.
    pub(crate) options: &'static str,
}

/// Whom something is sealed for. It is known before there is anything to seal.
pub(crate) struct Lock(Vec<Box<dyn Recipient + Send>>);

/// Who opens what is sealed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unlock<'a> {
    pub(crate) passphrase_file: Option<&'a Path>,
    pub(crate) identity_file: Option<&'a Path>,
}

impl Lock {
    /// For whoever knows the passphrase in this file; without one it is asked for.
    pub(crate) fn passphrase(file: Option<&Path>, what: &What) -> Result<Self, Failure> {
        let mut recipient = scrypt::Recipient::new(passphrase(file, Asked::New, what)?);
        recipient.set_work_factor(WORK_FACTOR);
        Ok(Self(vec![Box::new(recipient)]))
    }

    /// For each of these.
    pub(crate) fn recipients(recipients: &[age::x25519::Recipient]) -> Self {
        let boxed =
            |recipient: &age::x25519::Recipient| Box::new(recipient.clone()) as Box<dyn Recipient + Send>;
        Self(recipients.iter().map(boxed).collect())
    }

    /// For whoever has this file of age identities.
    pub(crate) fn identities(path: &Path) -> Result<Self, Failure> {
        let said = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("cannot use the age identities in {}: {error}", path.display()))
        };
        let file = read_private(path)?;
        let identities = IdentityFile::from_buffer(file.as_slice()).map_err(|error| said(&error))?;
        let recipients = identities.to_recipients().map_err(|error| said(&error))?;
        if recipients.is_empty() {
            return Err(said(&"it has none"));
        }
        Ok(Self(recipients))
    }

    /// The text as it is to be stored.
    pub(crate) fn seal(&self, text: &[u8], what: &What) -> Result<Vec<u8>, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::because(Exit::Failure, format!("cannot seal {}: {error}", what.name))
        };
        let recipients = self.0.iter().map(|recipient| recipient.as_ref() as &dyn Recipient);
        let encryptor = Encryptor::with_recipients(recipients).map_err(|error| failed(&error))?;
        let mut sealed = Vec::new();
        let mut writer = encryptor.wrap_output(&mut sealed).map_err(|error| failed(&error))?;
        writer.write_all(text).map_err(|error| failed(&error))?;
        writer.finish().map_err(|error| failed(&error))?;
        Ok(sealed)
    }
}

impl Unlock<'_> {
    /// What is sealed in this file.
    pub(crate) fn open(&self, path: &Path, what: &What) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let said = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("cannot open {} in {}: {error}", what.name, path.display()))
        };
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => said(&format_args!("there is no such file: {}", what.absent)),
            _ => said(&error),
        })?;
        // No more than there is, as far as the file says; and one byte to see that it ends there.
        let length = file.metadata().ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len());
        let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
        let limit = length.saturating_add(1).min(what.max_bytes);
        let sealed = read(file, limit).map_err(|error| said(&error))?;
        let decryptor = Decryptor::new(sealed.as_slice());
        let decryptor =
            decryptor.map_err(|_| said(&"it is no file in age's format that can be read here"))?;
        // What is inside is shorter than what is around it.
        let length = sealed.len();
        let text = match (self.identity_file, decryptor.is_scrypt()) {
            (None, false) => {
                return Err(said(&"sealed for an age recipient: name its --identity-file"));
            }
            (Some(_), true) => return Err(said(&"sealed by a passphrase, not for an identity")),
            (Some(identities), false) => {
                let identities = read_private(identities)?;
                let parsed =
                    IdentityFile::from_buffer(identities.as_slice()).map_err(|error| said(&error))?;
                let identities = parsed.into_identities().map_err(|error| said(&error))?;
                decrypted(decryptor, length, identities.iter().map(|identity| identity.as_ref()))
            }
            (None, true) => {
                let passphrase = passphrase(self.passphrase_file, Asked::Known, what)?;
                let mut identity = scrypt::Identity::new(passphrase);
                identity.set_max_work_factor(MAX_WORK_FACTOR);
                drop(decryptor);
                // It takes a second or more.
                interrupt::unless_told(move || {
                    let decryptor = Decryptor::new(sealed.as_slice())?;
                    decrypted(decryptor, length, std::iter::once(&identity as &dyn age::Identity))
                })?
            }
        };
        text.map_err(|error| match error {
            DecryptError::NoMatchingKeys => said(&"the identity file has no key that fits"),
            DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
                said(&"the passphrase is wrong, or the file was altered")
            }
            error => said(&error),
        })
    }
}

fn decrypted<'a>(
    decryptor: Decryptor<&[u8]>,
    length: usize,
    identities: impl Iterator<Item = &'a dyn age::Identity>,
) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    Ok(read(decryptor.decrypt(identities)?, length)?)
}

/// All there is, in one allocation that is wiped; less than `limit` bytes.
fn read(from: impl Read, limit: usize) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // Never grown: what a growing vector leaves behind is not wiped.
    let mut bytes = Zeroizing::new(vec![0; limit]);
    let mut from = from.take(limit as u64);
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest)? {
            0 => break,
            more => filled += more,
        }
    }
    if filled == limit {
        return Err(std::io::Error::other(format!("it has {limit} bytes or more")));
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// What a file says that nobody else may read. A pipe is fine, too.
fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(failed)?;
    let metadata: fs::Metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.is_file() && mode & 0o077 != 0 {
        let path = path.display();
        return Err(Failure::usage(format!(
            "{path} has mode {mode:04o}, which lets others at it: run `chmod 600 {path}`"
        )));
    }
    read(file, MAX_KEY_BYTES).map_err(failed)
}

/// Whether there is a passphrase yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    New,
    Known,
}

fn passphrase(file: Option<&Path>, asked: Asked, what: &What) -> Result<SecretString, Failure> {
    let passphrase: SecretString = match file {
        Some(path) => {
            let text = read_private(path)?;
            let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let line = std::str::from_utf8(line);
            let line = line.map_err(|_| Failure::usage(format!("{} is not UTF-8", path.display())))?;
            line.into()
        }
        None => typed(asked, what)?,
    };
    if passphrase.expose_secret().is_empty() {
        return Err(Failure::usage("the passphrase is empty"));
    }
    Ok(passphrase)
}

fn typed(asked: Asked, what: &What) -> Result<SecretString, Failure> {
    // The prompt is for whoever sits there: a script would wait for ever.
    if !std::io::stderr().is_terminal() {
        let instead = if asked == Asked::New { what.options } else { "--passphrase-file" };
        let text = format!("there is no terminal to ask for the passphrase on: use {instead}");
        return Err(Failure::usage(text));
    }
    let passphrase = prompt::ask(format!("Passphrase of {}: ", what.name))?;
    if asked == Asked::New
        && prompt::ask("The same again: ".to_owned())?.expose_secret() != passphrase.expose_secret()
    {
        return Err(Failure::usage("the passphrases differ"));
    }
    Ok(passphrase)
}
