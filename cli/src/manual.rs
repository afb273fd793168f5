//! `subrosa completions` and `subrosa man`: what packagers install beside the program.

use std::{fs, io::Write as _, path::PathBuf};

use clap::Command;
use clap_complete::Shell;

use crate::{exit::Failure, output};

/// Options of `subrosa completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Options of `subrosa man`.
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// Write one page for each command into this directory, instead of the program's own to standard output
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn completions(args: &Completions, mut command: Command) -> Result<(), Failure> {
    // Into memory first: the generator panics where it cannot write, as into a pipe that was closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "subrosa", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}

pub(crate) fn man(args: &Man, command: Command, json: bool) -> Result<(), Failure> {
    let Some(dir) = &args.dir else {
        return Ok(clap_mangen::Man::new(command).render(&mut std::io::stdout())?);
    };
    fs::create_dir_all(dir)?;
    clap_mangen::generate_to(command, dir)?;
    if json {
        output::json(&serde_json::json!({ "dir": dir }))?;
    }
    Ok(())
}
