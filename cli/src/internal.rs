//! The parts of a local deployment, each in a process of its own: this program started again.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use subrosa_launcher::guard::Guard;
use subrosa_telemetry::Telemetry;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};
use zeroize::Zeroizing;

use crate::local::keys;

/// A worker of the examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Example {
    /// Proves that a value lies between 0 and 100 without showing it.
    CreateProof,
    /// Returns what it was given.
    Echo,
}

impl Example {
    /// The worker's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateProof => "create-proof",
            Self::Echo => "echo",
        }
    }
}

/// A part of a local deployment.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// A launcher.
    Launcher {
        /// Its configuration.
        #[arg(long)]
        config: PathBuf,
    },
    /// The keys of a deployment: those that do not exist yet are made, and all are named in a trust file.
    Keys(keys::Args),
    /// Copies of files that only this user can read: key files have to be so, and a mounted Kubernetes secret is not.
    Files {
        /// The folder with the files.
        #[arg(long)]
        from: PathBuf,
        /// The folder for the copies.
        #[arg(long)]
        to: PathBuf,
    },
    /// A worker, configured by its environment.
    Worker {
        /// Which.
        example: Example,
    },
}

impl Part {
    /// Runs until SIGTERM.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let _telemetry = Telemetry::start(match self {
            Self::Launcher { .. } => "subrosa-launcher",
            Self::Keys(_) | Self::Files { .. } => "subrosa",
            Self::Worker { example } => example.name(),
        });
        match self {
            Self::Launcher { config } => launcher(config),
            Self::Keys(args) => args.run(),
            Self::Files { from, to } => files(from, to),
            Self::Worker { example: Example::CreateProof } => Ok(subrosa_examples::create_proof::main()?),
            Self::Worker { example: Example::Echo } => Ok(subrosa_examples::echo::main()?),
        }
    }
}

fn files(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let path = entry.path();
        // Kubernetes' links to the files lie beside folders of its own.
        if fs::metadata(&path)?.is_file() {
            let text = Zeroizing::new(fs::read_to_string(&path).with_context(|| path.display().to_string())?);
            keys::replace(&to.join(entry.file_name()), &text, 0o600)?;
        }
    }
    Ok(())
}

fn launcher(config: &Path) -> anyhow::Result<()> {
    let config = subrosa_launcher::Config::from_file(config)?;
    let guard = Guard::this_program()?;
    // The children's parent-death signal is bound to this thread.
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        subrosa_launcher::run(&config, &guard, async move {
            terminate.recv().await;
        })
        .await?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn copies_of_handed_in_files_are_for_their_user_alone() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        // As Kubernetes lays a secret.
        fs::create_dir_all(at("secret/..data")).unwrap();
        fs::create_dir(at("keys")).unwrap();
        fs::write(at("secret/..data/key.jwk"), "a key").unwrap();
        symlink("..data/key.jwk", at("secret/key.jwk")).unwrap();
        files(&at("secret"), &at("keys")).unwrap();
        files(&at("secret"), &at("keys")).unwrap();
        let copies: Vec<_> =
            fs::read_dir(at("keys")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(copies, ["key.jwk"]);
        assert_eq!(fs::read_to_string(at("keys/key.jwk")).unwrap(), "a key");
        assert_eq!(fs::metadata(at("keys/key.jwk")).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(files(&at("none"), &at("keys")).is_err());
    }
}
