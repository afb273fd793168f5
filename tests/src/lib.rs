//! What the end-to-end tests share.
//!
//! | module | what |
//! |---|---|
//! | [`lab`] | a deployment on a real nats-server, with workers of the test's own |
//! | [`eavesdropper`] | everything that the broker carries, and what can be found in it |
//! | [`container`] | a nats-server in a container |
//! | [`raw`] | requests to a launcher as bytes, good and bad |
//! | [`gate`] | a worker's function that waits until the test lets it go on |
//! | [`processes`] | processes of a test's own, and what is left of them |

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

pub mod container;
pub mod eavesdropper;
pub mod gate;
pub mod lab;
pub mod processes;
pub mod raw;
