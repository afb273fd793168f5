//! `subrosa key`: signing keys, as JWK files.

use std::{io, path::PathBuf};

use clap::{
    Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use subrosa_client::{
    SigningKey, Thumbprint,
    identity::{
        KeyType, PublicKey,
        file::{self, KeyFileError},
    },
};

use crate::{
    exit::{Exit, Failure},
    output,
};

/// What to do with a key.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a signing key, in a new file that only its owner can read
    New {
        /// The file; an existing one is never overwritten
        file: PathBuf,
        /// The kind of key
        #[arg(long = "type", value_name = "TYPE", default_value_t, value_parser = key_type())]
        key_type: KeyType,
    },
    /// Print a key's public half, as a JWK for a trust file
    Show {
        /// A private or public key file
        file: PathBuf,
    },
    /// Print a key's name: its RFC 7638 thumbprint
    Thumbprint {
        /// A private or public key file
        file: PathBuf,
    },
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

/// The kinds, for the help and completions as well.
fn key_type() -> impl TypedValueParser<Value = KeyType> {
    PossibleValuesParser::new([KeyType::Ed25519, KeyType::Secp256k1].map(KeyType::as_str))
        .try_map(|kind| kind.parse::<KeyType>())
}

pub(crate) fn run(command: &Command, json: bool) -> Result<(), Failure> {
    match command {
        Command::New { file, key_type } => {
            // Straight from the system: whoever found a generator's seed could make the key again.
            let key = SigningKey::generate_type(*key_type, &mut UnwrapErr(SysRng));
            file::create(file, &key)?;
            let thumbprint = key.thumbprint();
            if json {
                output::json(&serde_json::json!({ "file": file, "thumbprint": thumbprint }))?;
            } else {
                output::line(format_args!("{thumbprint}"))?;
            }
        }
        Command::Show { file } => {
            let jwk = public(file)?.to_jwk();
            match serde_json::to_string_pretty(&jwk) {
                Ok(text) if !json => output::line(format_args!("{text}"))?,
                _ => output::json(&jwk)?,
            }
        }
        Command::Thumbprint { file } => show(public(file)?.thumbprint(), json)?,
    }
    Ok(())
}

fn show(thumbprint: Thumbprint, json: bool) -> io::Result<()> {
    if json {
        output::json(&serde_json::json!({ "thumbprint": thumbprint }))
    } else {
        output::line(format_args!("{thumbprint}"))
    }
}

/// The public half of the key in this file.
pub(crate) fn public(path: &PathBuf) -> Result<PublicKey, Failure> {
    match file::load_public(path) {
        Ok(key) => Ok(key),
        // With a private member: then the rules for private key files hold.
        Err(refused) => match file::load(path) {
            Ok(key) => Ok(key.public().clone()),
            Err(error @ KeyFileError::LooseMode { .. }) => Err(error.into()),
            Err(_) => Err(refused.into()),
        },
    }
}
