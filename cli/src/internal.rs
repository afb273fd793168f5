//! The parts of a local deployment, each in a process of its own: this program started again.

use std::path::PathBuf;

use crate::local::keys;
use clap::{Subcommand, ValueEnum};
use subrosa_launcher::guard::Guard;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

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
    /// A worker, configured by its environment.
    Worker {
        /// Which.
        example: Example,
    },
}

impl Part {
    /// Runs until SIGTERM.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
        match self {
            Self::Launcher { config } => launcher(config),
            Self::Keys(args) => args.run(),
            Self::Worker { example: Example::CreateProof } => Ok(subrosa_examples::create_proof::main()?),
            Self::Worker { example: Example::Echo } => Ok(subrosa_examples::echo::main()?),
        }
    }
}

fn launcher(config: &std::path::Path) -> anyhow::Result<()> {
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
