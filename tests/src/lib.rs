//! What the end-to-end tests share.
//!
//! | module | what |
//! |---|---|
//! | [`lab`] | a deployment on a real nats-server, with workers of the test's own |
//! | [`eavesdropper`] | everything that the broker carries, and what can be found in it |

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on says so")]

pub mod eavesdropper;
pub mod lab;
