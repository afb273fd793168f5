//! `subrosa demo`: one sealed job from start to verified result, and what each party sees of it.

mod observer;
mod run;
mod story;

use std::process::ExitCode;

use tokio::{runtime::Builder, signal};

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
        tokio::select! {
            verified = run::run(args) => verified.map(|()| ExitCode::SUCCESS),
            interrupted = signal::ctrl_c() => {
                interrupted?;
                anstream::eprintln!("interrupted");
                Ok(ExitCode::from(130))
            }
        }
    })
}
