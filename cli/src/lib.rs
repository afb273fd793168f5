//! The command that people type, as a library: the program itself is one line, so that tests can build
//! the very same one.
//!
//! | module | what |
//! |---|---|
//! | [`demo`] | everything in one go, telling the story as it happens |
//! | `dev`, `run`, `result`, `job`, `verify`, `audit`, `status`, `cancel`, `jobs`, `workers`, `key`, `cert`, `doctor`, `manual` | the other commands, a module each |
//! | `nats`, `job_id`, `new_file`, `prompt`, `sealed`, `ticket`, `trusted`, `output`, `exit`, `interrupt` | what they share: options, printing, ends |
//! | [`local`] | a whole deployment on this machine: server, launcher, workers |
//! | [`server`] | a real nats-server, found or provided |

mod audit;
mod cancel;
mod cert;
pub mod demo;
mod dev;
mod doctor;
mod exit;
mod internal;
mod interrupt;
mod job;
mod job_id;
mod jobs;
mod key;
pub mod local;
mod manual;
mod nats;
mod new_file;
mod output;
mod prompt;
mod result;
mod run;
mod sealed;
pub mod server;
mod status;
mod ticket;
mod trusted;
mod verify;
mod workers;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use subrosa_launcher::guard;
use subrosa_telemetry::Telemetry;

use crate::exit::{Exit, Failure};

/// Hand a job to a worker somewhere else without anyone between reading it.
#[derive(Debug, Parser)]
#[command(name = "subrosa", version, propagate_version = true, after_help = Exit::table())]
struct Cli {
    /// Print JSON on standard output, for scripts
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one sealed job on this machine, and tell what each party sees of it
    Demo(demo::Args),
    /// Run NATS, a launcher and the example workers on this machine, until Ctrl-C
    Dev(dev::Args),
    /// Run one job, and print its result
    Run(Box<run::Args>),
    /// Open the result of a job that `run --detach` has left, with its ticket
    Result(Box<result::Args>),
    /// Make jobs that several parties sign before they are launched
    #[command(subcommand)]
    Job(job::Command),
    /// Check what somebody else has signed, offline
    #[command(subcommand)]
    Verify(verify::Command),
    /// Say where a job is
    Status(status::Args),
    /// Cancel a job by its cancel token or ticket
    Cancel(cancel::Args),
    /// List the jobs, and watch them go on
    Jobs(jobs::Args),
    /// List the workers that may be launched
    Workers(workers::Args),
    /// Make signing keys, and show them
    #[command(subcommand)]
    Key(key::Command),
    /// Vouch for workers' keys as an authority, and look at what one says
    #[command(subcommand)]
    Cert(cert::Command),
    /// Keep jobs' histories as evidence, and judge them offline
    #[command(subcommand)]
    Audit(audit::Command),
    /// Check server, streams, permissions, clock and keys, and say what to do
    Doctor(doctor::Args),
    /// Print a completion script for a shell
    Completions(manual::Completions),
    /// Print the manual page
    Man(manual::Man),
    /// Run a part of a local deployment
    #[command(subcommand, hide = true)]
    Internal(internal::Part),
}

impl Command {
    fn run(self, json: bool) -> Result<(), Failure> {
        use interrupt::{block_on, droppable};
        match self {
            Self::Demo(args) => block_on(droppable(demo::run(&args, json))),
            Self::Dev(args) => block_on(dev::run(args, json)),
            Self::Run(args) => {
                let _telemetry = Telemetry::quiet("subrosa");
                block_on(run::run(*args, json))
            }
            Self::Result(args) => block_on(result::run(*args, json)),
            Self::Verify(command) => verify::run(&command, json),
            Self::Job(command) => job::run(&command, json),
            Self::Status(args) => block_on(droppable(status::run(args, json))),
            Self::Cancel(args) => block_on(droppable(cancel::run(args, json))),
            Self::Jobs(args) => block_on(droppable(jobs::run(args, json))),
            Self::Workers(args) => block_on(droppable(workers::run(args, json))),
            Self::Key(command) => key::run(&command, json),
            Self::Audit(command) => command.run(json),
            Self::Cert(command) => cert::run(&command, json),
            Self::Doctor(args) => block_on(droppable(doctor::run(args, json))),
            Self::Completions(args) => manual::completions(&args, Cli::command()),
            Self::Man(args) => manual::man(&args, Cli::command(), json),
            Self::Internal(part) => Ok(part.run()?),
        }
    }
}

/// The program. How it ends stands in `--help`, as a table of exit codes.
pub fn main() -> ExitCode {
    if let Some(error) = guard::exec_if_asked(std::env::args_os()) {
        output::failure(&error.into(), false);
        return ExitCode::FAILURE;
    }
    let Cli { command, json } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    match command.run(json) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read has enough, and is gone: nobody wants to hear of it.
        Err(failure) if failure.is_closed_pipe() => failure.exit.into(),
        Err(failure) => {
            output::failure(&failure, json);
            failure.exit.into()
        }
    }
}

/// Says what is wrong with the command line; or shows the help that it asks for.
fn not_understood(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return if error.print().is_ok() { ExitCode::SUCCESS } else { Exit::Failure.into() };
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        let text = error.to_string();
        // As in every other error, `message` is what follows this word.
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        output::error_as_json(Exit::Usage, text, &serde_json::Value::Null);
    }
    // There is nobody to tell, then.
    let _ = error.print();
    Exit::Usage.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_opens_secrets_is_for_a_prepared_job_only() {
        for option in ["--secrets", "--passphrase-file", "--identity-file"] {
            let parsed = |job: &[&str]| {
                let line = ["subrosa", "run", "--trust", "trust.json", option, "file"];
                Cli::try_parse_from(line.iter().chain(job)).map(|_| ())
            };
            assert!(parsed(&["--job", "job.json"]).is_ok(), "{option}");
            assert!(parsed(&["echo"]).unwrap_err().to_string().contains(option));
        }
    }

    #[test]
    fn a_job_is_cancelled_by_its_id_and_token_or_by_its_ticket() {
        let parsed = |more: &[&str]| {
            Cli::try_parse_from(["subrosa", "cancel"].iter().chain(more))
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        let missing = parsed(&[]).unwrap_err();
        for named in ["<JOB|--ticket <FILE>>", "--token-file <FILE>"] {
            assert!(missing.contains(named), "{missing}");
        }
        parsed(&["--ticket", "file"]).unwrap();
        parsed(&["01234567", "--token-file", "file"]).unwrap();
        // As base64url may be.
        parsed(&["01234567", "--token", "-Gg_"]).unwrap();
        assert!(parsed(&["01234567"]).unwrap_err().contains("--token-file"));
        assert!(parsed(&["01234567", "--ticket", "file"]).unwrap_err().contains("--ticket"));
    }

    #[test]
    fn values_are_numbers() {
        for good in ["77", "101", "-1"] {
            assert!(Cli::try_parse_from(["subrosa", "demo", "--value", good]).is_ok(), "{good}");
        }
        let error = Cli::try_parse_from(["subrosa", "demo", "--value", "abc"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--value"), "{error}");
    }
}
