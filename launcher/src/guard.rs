//! Ties a child process to its parent: when the parent dies, by whatever signal, the child dies too.
//!
//! Killing children on the way out covers every end of a process but one: its own SIGKILL (or the kernel's,
//! when memory runs out). For that one Linux has the parent-death signal, which a process must ask for
//! itself. Asking between `fork` and `exec` takes `unsafe` in Rust; so our programs have a hidden subcommand
//! instead, [`SUBCOMMAND`], that asks for the signal and then becomes the program:
//!
//! ```text
//! subrosa guard <parent's pid> <program> [its arguments…]
//! subrosa guard <parent's pid> -        (it reads from its standard input what to become)
//! ```
//!
//! The process keeps its id, its environment and its standard streams on the way. For jobs, a guard is started
//! ahead, and told what to become when there is one.
//!
//! # The thread matters
//!
//! Linux sends the signal when the *thread* that spawned the child ends, not when the process does. So spawn
//! from a thread that lives as long as the process: the main thread, where our programs' current-thread
//! runtime runs, and not from one of a thread pool. What is spawned by a test dies with that test's thread.
//!
//! # Where it holds
//!
//! On Linux. Elsewhere the program is started all the same, and a child is only killed when the
//! [`Command`]'s child is dropped. A set-user-id program loses the signal when it is executed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use tokio::process::Command;

pub(crate) use self::waiting::{Program, Waiting};

/// The name of the hidden subcommand that our programs answer with [`exec_if_asked`].
pub const SUBCOMMAND: &str = "guard";

/// Makes commands whose process dies with this one.
///
/// ```
/// # use std::path::Path;
/// # use subrosa_launcher::Guard;
/// let guard = Guard::new("/usr/bin/subrosa".into());
/// assert_eq!(guard.program(), Path::new("/usr/bin/subrosa"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    program: PathBuf,
}

impl Guard {
    /// A guard that goes through the program that is running.
    ///
    /// # Errors
    ///
    /// The path of the running program cannot be found out.
    pub fn this_program() -> io::Result<Self> {
        std::env::current_exe().map(Self::new)
    }

    /// A guard that goes through another program that has the subcommand, for callers that have none
    /// themselves, as tests.
    pub fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// The program that has the subcommand.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A command that runs `program` and dies with the thread that spawns it, and also when its
    /// [`Child`](tokio::process::Child) is dropped. Arguments added to it are the program's. It is in a process
    /// group of its own, so that Ctrl-C on a terminal reaches this process alone, which ends its children in
    /// order.
    ///
    /// Whether `program` can be executed at all shows after the spawn only: if it cannot, the child writes
    /// why to its standard error and exits with a failure.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(SUBCOMMAND).arg(std::process::id().to_string()).arg(program).kill_on_drop(true);
        command.process_group(0);
        command
    }
}

/// Becomes the program that the command line names, if it begins with [`SUBCOMMAND`]. For the first line of `main`:
/// the guard stands in the way of every job, and to parse the command line of a whole program takes longer than the
/// rest of it.
///
/// Returns only if that is not asked for, or has failed: then why, to be printed before the program ends.
pub fn exec_if_asked(mut args: impl Iterator<Item = OsString>) -> Option<io::Error> {
    if args.nth(1)? != SUBCOMMAND {
        return None;
    }
    let parent = args.next().and_then(|parent| parent.to_str()?.parse().ok());
    let (Some(parent), Some(program)) = (parent, args.next()) else {
        let text = "name the parent's process id, and the program to run";
        return Some(io::Error::new(io::ErrorKind::InvalidInput, text));
    };
    Some(match bind(parent) {
        Ok(()) if program == waiting::TOLD => waiting::wait(),
        Ok(()) => cannot_run(&program, &std::process::Command::new(&program).args(args).exec()),
        Err(error) => error,
    })
}

/// Asks to be killed when the parent dies, and checks that it is still `parent`.
///
/// The check comes after the request: a parent that died before it sent no signal, but its child has another
/// parent by then.
fn bind(parent: u32) -> io::Result<()> {
    die_with_parent()?;
    if std::os::unix::process::parent_id() == parent {
        Ok(())
    } else {
        Err(io::Error::other(format!("process {parent}, which asked for this one, has died")))
    }
}

fn cannot_run(program: &OsStr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot run {}: {error}", program.display()))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn die_with_parent() -> io::Result<()> {
    let signal = rustix::process::Signal::KILL;
    rustix::process::set_parent_process_death_signal(Some(signal)).map_err(io::Error::from)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn die_with_parent() -> io::Result<()> {
    Ok(())
}

mod waiting;

#[cfg(test)]
mod tests;
