//! Faults of what jobs run on, in each phase of a job: nothing is lost, and nothing runs twice.
//!
//! `docs/faults.md` says which fault is tried where.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

mod children;
mod clock;
mod cluster;
mod disk;
mod launcher;
mod network;
mod scene;
mod server;
mod shifted;
mod stopped;
mod timeouts;
mod told;
mod worker;

/// The program that users run.
const PROGRAM: &str = env!("CARGO_BIN_EXE_subrosa-under-test");
/// A worker whose function waits.
const GATED: &str = env!("CARGO_BIN_EXE_gated-worker");
