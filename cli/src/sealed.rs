//! How a job's secrets are sealed in a file: in the format of age, for a passphrase or for age's recipients.

use std::{
    fs::{self, File},
    io::{ErrorKind, IsTerminal as _, Read},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use age::{
    DecryptError, Decryptor, Encryptor, IdentityFile, Recipient, scrypt,
    secrecy::{ExposeSecret as _, SecretString},
    x25519,
};
use subrosa_client::JobSecrets;
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure};

/// The cost of a guess at a passphrase, as a power of two: a second and 256 MiB.
const WORK_FACTOR: u8 = 18;
/// The highest cost that a file may ask of whoever opens it.
const MAX_WORK_FACTOR: u8 = 20;
/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

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
        let text = secrets.to_bytes();
        let by_passphrase;
        let recipients: Vec<&dyn Recipient> = if self.recipient.is_empty() {
            let passphrase = passphrase(self.passphrase_file.as_deref(), Asked::New)?;
            let mut recipient = scrypt::Recipient::new(passphrase);
            recipient.set_work_factor(WORK_FACTOR);
            by_passphrase = recipient;
            vec![&by_passphrase]
        } else {
            self.recipient.iter().map(|recipient| recipient as &dyn Recipient).collect()
        };
        let failed = |error: &dyn std::fmt::Display| {
            Failure::because(Exit::Failure, format!("cannot seal the job's secrets: {error}"))
        };
        let encryptor = Encryptor::with_recipients(recipients.into_iter()).map_err(|error| failed(&error))?;
        let mut sealed = Vec::new();
        let mut writer = encryptor.wrap_output(&mut sealed).map_err(|error| failed(&error))?;
        std::io::Write::write_all(&mut writer, &text).map_err(|error| failed(&error))?;
        writer.finish().map_err(|error| failed(&error))?;
        Ok(sealed)
    }
}

impl Unseal {
    /// The secrets in this file.
    pub(crate) fn open(&self, path: &Path) -> Result<JobSecrets, Failure> {
        let said = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("cannot open the job's secrets in {}: {error}", path.display()))
        };
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => said(&"there is no such file: name it with --secrets"),
            _ => said(&error),
        })?;
        let sealed = read(file).map_err(|error| said(&error))?;
        let decryptor = Decryptor::new(sealed.as_slice());
        let decryptor =
            decryptor.map_err(|_| said(&"it is no file in age's format that can be read here"))?;
        let text = match (&self.identity_file, decryptor.is_scrypt()) {
            (None, false) => {
                return Err(said(&"they are sealed for an age recipient: name its --identity-file"));
            }
            (Some(_), true) => return Err(said(&"they are sealed by a passphrase, not for an identity")),
            (Some(identities), false) => {
                let identities = read_private(identities)?;
                let parsed =
                    IdentityFile::from_buffer(identities.as_slice()).map_err(|error| said(&error))?;
                let identities = parsed.into_identities().map_err(|error| said(&error))?;
                unsealed(decryptor.decrypt(identities.iter().map(|identity| identity.as_ref())))
            }
            (None, true) => {
                let passphrase = passphrase(self.passphrase_file.as_deref(), Asked::Known)?;
                let mut identity = scrypt::Identity::new(passphrase);
                identity.set_max_work_factor(MAX_WORK_FACTOR);
                unsealed(decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)))
            }
        };
        let text = text.map_err(|error| match error {
            DecryptError::NoMatchingKeys => said(&"the identity file has no key that opens them"),
            DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
                said(&"the passphrase is wrong, or the file was altered")
            }
            error => said(&error),
        })?;
        JobSecrets::from_bytes(&text).map_err(|error| said(&error))
    }
}

/// All that is sealed, in one allocation that is wiped.
fn unsealed(reader: Result<impl Read, DecryptError>) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    Ok(read(reader?)?)
}

fn read(from: impl Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // Never grown: what a growing vector leaves behind is not wiped.
    let mut bytes = Zeroizing::new(vec![0; MAX_BYTES as usize]);
    let mut from = from.take(MAX_BYTES);
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest)? {
            0 => break,
            more => filled += more,
        }
    }
    if filled as u64 == MAX_BYTES {
        return Err(std::io::Error::other(format!("it has {MAX_BYTES} bytes or more")));
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
    read(file).map_err(failed)
}

/// Whether there is a passphrase yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    New,
    Known,
}

fn passphrase(file: Option<&Path>, asked: Asked) -> Result<SecretString, Failure> {
    let passphrase: SecretString = match file {
        Some(path) => {
            let text = read_private(path)?;
            let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let line = std::str::from_utf8(line);
            let line = line.map_err(|_| Failure::usage(format!("{} is not UTF-8", path.display())))?;
            line.into()
        }
        None => typed(asked)?,
    };
    if passphrase.expose_secret().is_empty() {
        return Err(Failure::usage("the passphrase is empty"));
    }
    Ok(passphrase)
}

fn typed(asked: Asked) -> Result<SecretString, Failure> {
    // The prompt is for whoever sits there: a script would wait for ever.
    if !std::io::stderr().is_terminal() {
        let instead = match asked {
            Asked::New => "--passphrase-file, or --recipient",
            Asked::Known => "--passphrase-file",
        };
        let text = format!("there is no terminal to ask for the passphrase on: use {instead}");
        return Err(Failure::usage(text));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt)
            .map(SecretString::from)
            .map_err(|error| Failure::usage(format!("cannot ask for the passphrase: {error}")))
    };
    let passphrase = ask("Passphrase of the job's secrets: ")?;
    if asked == Asked::New && ask("The same again: ")?.expose_secret() != passphrase.expose_secret() {
        return Err(Failure::usage("the passphrases differ"));
    }
    Ok(passphrase)
}
