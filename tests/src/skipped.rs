//! Tests that this machine cannot run.

use std::io::{self, Write as _};

/// Says why a test does nothing, past the test runner: of a test that passes it shows nothing.
pub fn skipped(why: &str) {
    let _ = writeln!(io::stderr(), "\nSKIPPED: {why}\n");
}
