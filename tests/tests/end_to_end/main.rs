//! Whole jobs on a real nats-server, with a launcher and workers in processes of their own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod demo;
mod eavesdropper;
mod failures;
mod jobs;
mod trust;

/// The program that users run.
const PROGRAM: &str = env!("CARGO_BIN_EXE_subrosa-under-test");
