//! `subrosa job`: jobs that several parties sign before they are launched.

mod draft;
mod file;
mod seal;
mod show;
mod sign;

use clap::Subcommand;

pub(crate) use self::{draft::secrets_of, file::JobFile, seal::Unseal};
use crate::exit::Failure;

/// What to do with a job's file.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a job for others to sign: a public file for them, and a sealed one with its secrets
    New(draft::Args),
    /// Show a job, and add one party's signature to its file; this takes no network
    Sign(sign::Args),
    /// Show a job, who has signed it, and whether each signature holds; exits with 1 if one does not
    Show(show::Args),
    /// Put the signatures of several copies of a job into one file
    Join(sign::Join),
}

pub(crate) fn run(command: &Command, json: bool) -> Result<(), Failure> {
    match command {
        Command::New(args) => draft::run(args, json),
        Command::Sign(args) => sign::run(args, json),
        Command::Show(args) => show::run(args, json),
        Command::Join(args) => sign::join(args, json),
    }
}
