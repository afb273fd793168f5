//! Whole jobs on a real nats-server, with a launcher and workers in processes of their own.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

mod attacks;
mod audit;
mod bad_input;
mod cancelling;
mod certificates;
mod certified;
mod commands;
mod connection_files;
mod deaths;
mod demo;
mod eavesdropper;
mod failures;
mod flood;
mod health;
mod job_files;
mod jobs;
mod launcher;
mod lifecycle;
mod outages;
mod overtaken;
mod policies;
mod prompts;
mod races;
mod receipts;
mod reload;
mod stored;
mod telling;
mod tickets;
mod traces;
mod trust;

/// The program that users run.
const PROGRAM: &str = env!("CARGO_BIN_EXE_subrosa-under-test");
/// The launcher by itself, as operators run it.
const LAUNCHER: &str = env!("CARGO_BIN_EXE_subrosa-launcher-under-test");
/// A worker whose function waits.
const GATED: &str = env!("CARGO_BIN_EXE_gated-worker");

/// A launcher by itself, on a deployment's configuration, that is listened to.
fn guarded_launcher(lab: &subrosa_tests::lab::Lab) -> subrosa_tests::processes::Running {
    let mut command = subrosa_tests::lab::guarded(PROGRAM, LAUNCHER);
    command.arg("--config").arg(lab.local.launcher_config()).env_remove("RUST_LOG");
    subrosa_tests::processes::Running::start(command)
}

/// Has a lost worker noticed as quickly as can be.
fn impatient(config: &mut toml::Table) {
    config.extend(toml::toml! { timing = { ack_wait = "5s", probe = "1s" } });
}
