//! The test vectors of `tests/vectors/`, which are for other implementations too.
//!
//! `generate` writes them without the crates that they check, `check` reads them with those crates, and
//! `python` has a second implementation read them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

mod altered;
mod check;
mod files;
mod generate;
mod python;
