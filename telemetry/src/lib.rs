//! What a launcher and a resident worker tell an operator about themselves: whether they are alive and ready,
//! and in which numbers. Nothing of it says more of a job than that there is one.
//!
//! | module | what |
//! |---|---|
//! | [`Health`] | what has to be so for a process to be alive, and to be ready |
//! | [`Endpoint`] | `/healthz`, `/readyz` and `/metrics` over HTTP |
//! | [`Nats`], [`tell_tally`] | numbers that others keep: a connection's, a tally's |
//! | [`probe`] | asks such an endpoint, for health checks in images without a shell |

mod collected;
mod endpoint;
mod health;
#[cfg(feature = "otel")]
mod logging;
#[cfg(feature = "otel")]
mod otel;
mod probe;

/// The library that the numbers are kept with.
pub use prometheus_client as metrics;

pub use self::{
    collected::{Nats, tell_tally},
    endpoint::{Endpoint, EndpointError},
    health::Health,
    probe::{ProbeError, Question, probe},
};
#[cfg(feature = "otel")]
pub use self::{logging::Telemetry, otel::propagate};
