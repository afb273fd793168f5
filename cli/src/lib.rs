//! The command that people type, as a library: the program itself is one line, so that tests can build
//! the very same one.
//!
//! | module | what |
//! |---|---|
//! | [`demo`] | everything in one go, telling the story as it happens |
//! | [`local`] | a whole deployment on this machine: server, launcher, workers |
//! | [`server`] | a real nats-server, found or provided |

pub mod demo;
mod internal;
pub mod local;
pub mod server;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use subrosa_launcher::guard;

/// Hand a job to a worker somewhere else without anyone between reading it.
#[derive(Debug, Parser)]
#[command(name = "subrosa", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one sealed job on this machine, and tell what each party sees of it
    Demo(demo::Args),
    /// Run a program that ends with its parent
    #[command(name = guard::SUBCOMMAND, hide = true)]
    Guard(guard::Args),
    /// Run a part of a local deployment
    #[command(subcommand, hide = true)]
    Internal(internal::Part),
}

/// The program. Exit codes: 0 for success, 1 for failure, 2 for a command line that is not understood, 130
/// after Ctrl-C.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.command {
        Command::Demo(args) => demo::main(&args),
        Command::Guard(args) => Err(args.exec().into()),
        Command::Internal(part) => part.run().map(|()| ExitCode::SUCCESS),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("{}error:{} {error:#}", ERROR.render(), ERROR.render_reset());
            ExitCode::FAILURE
        }
    }
}

/// Switches itself off where there is no terminal, or `NO_COLOR` is set.
const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
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
