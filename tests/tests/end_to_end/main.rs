//! Whole jobs on a real nats-server, with a launcher and workers in processes of their own.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

mod bad_input;
mod demo;
mod eavesdropper;
mod failures;
mod jobs;
mod launcher;
mod lifecycle;
mod outages;
mod trust;

/// The program that users run.
const PROGRAM: &str = env!("CARGO_BIN_EXE_subrosa-under-test");
/// The launcher by itself, as operators run it.
const LAUNCHER: &str = env!("CARGO_BIN_EXE_subrosa-launcher-under-test");
