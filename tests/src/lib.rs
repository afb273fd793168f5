//! What the end-to-end tests share.
//!
//! | module | what |
//! |---|---|
//! | [`lab`] | a deployment on a real nats-server, with workers of the test's own |
//! | [`checkpoint`] | a place on a process's way to the server where it is stopped at a message |
//! | [`chores`] | a worker's function that does what it is told, and is counted |
//! | [`clock`] | processes whose clock is an hour off |
//! | [`cluster`] | a cluster of three real servers, whose nodes can be killed and started again |
//! | [`collector`] | a collector of traces that keeps what it is sent |
//! | [`eavesdropper`] | everything that the broker carries, and what can be found in it |
//! | [`flood`] | bad launch requests, as many and as fast as one likes |
//! | [`container`] | a nats-server in a container |
//! | [`image`] | an image that tests share |
//! | [`launcher`] | a launcher in the test's own process |
//! | [`raw`] | requests to a launcher as bytes, good and bad |
//! | [`runs`] | how often functions have run |
//! | [`skipped`] | what is said of a test that this machine cannot run |
//! | [`start`] | how long a job waits for its worker |
//! | [`gate`] | a worker's function that waits until the test lets it go on |
//! | [`teller`] | a worker's function that says a lot, sealed, and ends in every way |
//! | [`memory`] | the memory of live processes, and what can be found in it |
//! | [`metrics`] | health checks and metrics, asked for as an operator's tools do |
//! | [`python`] | an interpreter with the pinned packages |
//! | [`relay`] | a relay before the server, whose way can be blocked, cut and opened again |
//! | [`processes`] | processes of a test's own, and what is left of them |

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "a test that cannot go on says so"
)]

pub mod checkpoint;
pub mod chores;
pub mod clock;
pub mod cluster;
pub mod collector;
pub mod container;
pub mod eavesdropper;
pub mod flood;
pub mod gate;
pub mod image;
pub mod lab;
pub mod launcher;
pub mod memory;
pub mod metrics;
pub mod processes;
pub mod python;
pub mod raw;
pub mod relay;
pub mod runs;
pub mod skipped;
pub mod start;
pub mod teller;
