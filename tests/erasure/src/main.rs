//! The two ends of a job, as an app and a worker would write them, in builds that tell their keys to the
//! test `erasure`. What they say on standard output or error tells the test how far they are.

mod client;
mod worker;

use clap::Parser;
use rand::{Rng as _, rand_core::UnwrapErr, rngs::SysRng};
use subrosa_protocol::{encoding::hex, exposure};
use zeroize::Zeroizing;

#[derive(Parser)]
enum Role {
    /// Launches one job, and stays.
    Client(client::Args),
    /// Serves jobs.
    Worker(worker::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    match Role::parse() {
        Role::Client(args) => client::run(args).await,
        Role::Worker(args) => worker::run(args).await,
    }
}

/// A text to be said in a job, told like a key. Whoever has it overwrites it, as an app would.
fn body(name: &str) -> Zeroizing<String> {
    let mut bytes = [0; 16];
    // No generator of our own, whose buffer would keep it.
    UnwrapErr(SysRng).fill_bytes(&mut bytes);
    let text = Zeroizing::new(hex(bytes));
    exposure::born(name, text.as_bytes());
    text
}
