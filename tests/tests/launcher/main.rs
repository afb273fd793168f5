//! The launcher alone, on a real nats-server: asked, swept and ended without any client or worker.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

mod archive;
mod bench;
mod children;
mod deployment;
mod domain;
mod killed;
mod lame_duck;
mod power_loss;
mod quota;
mod requests;
mod rights;
mod roles;
mod rotation;
mod streams;
mod sweep;
mod sync_interval;

/// The program that users run.
const PROGRAM: &str = env!("CARGO_BIN_EXE_subrosa-under-test");
