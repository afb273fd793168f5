//! `subrosa demo`: one sealed job from start to verified result, and what each party sees of it.

mod observer;
mod run;
mod story;

use std::process::ExitCode;

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

/// Options of `subrosa demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The secret value, to be proven to lie between 0 and 100
    #[arg(long, value_name = "N", default_value_t = 77, allow_negative_numbers = true)]
    value: i64,
    /// Let the launcher start one process for the job, instead of a resident worker
    #[arg(long)]
    process: bool,
    /// Print one JSON object instead of the story
    #[arg(long)]
    json: bool,
}

/// Runs the demo. Whatever it started has ended when it returns.
pub(crate) fn main(args: &Args) -> anyhow::Result<ExitCode> {
    // The children's parent-death signal is bound to this thread.
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        // Before anything is started or said: from now on these end the demo in order.
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            verified = run::run(args) => verified.map(|()| ExitCode::SUCCESS),
            _ = interrupt.recv() => {
                anstream::eprintln!("interrupted");
                Ok(ExitCode::from(130))
            }
            _ = terminate.recv() => {
                anstream::eprintln!("terminated");
                Ok(ExitCode::from(143))
            }
        }
    })
}
