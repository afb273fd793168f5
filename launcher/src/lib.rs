//! The launcher: admits jobs, queues them, starts workers, keeps the jobs' histories.
//!
//! A launcher is a service on NATS. It checks a launch request, writes the job's first record, and puts the
//! job in the queue; it answers for the job's state, ends it for whoever shows the right token, and starts
//! workers that do not run by themselves. All state lies in the records, so that any number of launchers
//! run beside each other, and each can be killed at any time.
//!
//! A launcher cannot read a job: options, payload and result are sealed between client and worker. But a
//! worker that it starts itself is in its hands.
//!
//! [`run`] is all of it; [`setup`] makes the streams that it needs.

mod admission;
mod backend;
pub mod config;
mod ends;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    //! What the fuzz targets (`fuzz/`) reach behind the API, and no part of it.

    pub use crate::admission::verdict;
}
pub mod guard;
mod launcher;
mod numbers;
mod office;
mod quota;
mod refused;
mod sample;
mod service;
mod status;
mod streams;
mod sweep;
mod workers;

pub use self::{
    backend::DockerError,
    config::{Config, ConfigError},
    error::Error,
    guard::Guard,
    launcher::{Launcher, cancel, run, setup},
    streams::{Difference, StreamsError},
};
pub use subrosa_protocol::id::JobId;
