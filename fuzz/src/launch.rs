//! A launch request.

use crate::verdict::agreed;

/// Gives the request to everyone who reads one.
pub fn check(input: &[u8]) {
    // Whatever they agree on.
    let _ = agreed(input);
}
