//! What a program says on standard error, and which traces it exports.
//!
//! What libraries say from *debug* down is never logged: `async-nats` and `bollard` print whole messages and requests
//! there, with the tokens and passwords in them.

use std::io::IsTerminal as _;

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::otel::{self, Exporter};

/// Logs and exports traces until it is dropped: then what is left of traces is exported.
#[derive(Debug)]
#[must_use = "what is dropped exports nothing more"]
pub struct Telemetry {
    _exporter: Option<Exporter>,
}

impl Telemetry {
    /// Logs to standard error what `RUST_LOG` says, or else from *info* on, and exports traces if the standard
    /// variables of OpenTelemetry say where to, as `service` unless they say otherwise. Does nothing if the process
    /// logs already.
    ///
    /// Whatever `RUST_LOG` says, only targets that start with `subrosa` are logged below *info*: libraries would print
    /// secrets. A program that wants more of its own has a subscriber of its own.
    ///
    /// That traces cannot be exported is logged as an error, and keeps nobody from working.
    pub fn start(service: &'static str) -> Self {
        Self::start_with(service, "info,async_nats=warn")
    }

    /// As [`Telemetry::start`], and logs nothing unless `RUST_LOG` says so.
    pub fn quiet(service: &'static str) -> Self {
        Self::start_with(service, "off")
    }

    fn start_with(service: &'static str, otherwise: &str) -> Self {
        if tracing::dispatcher::has_been_set() {
            return Self { _exporter: None };
        }
        let exporter = Exporter::from_env(service);
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(otherwise));
        let log = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_filter(filter.and(filter_fn(is_harmless)));
        let traces = exporter.as_ref().ok().and_then(Option::as_ref).map(|exporter| {
            // Spans, and no events: those are for the log.
            exporter.layer().with_filter(filter_fn(|metadata| metadata.is_span() && otel::is_ours(metadata)))
        });
        // Somebody else may have been first.
        let _ = tracing_subscriber::registry().with(log).with(traces).try_init();
        match exporter {
            Ok(exporter) => {
                if let Some(exporter) = &exporter {
                    exporter.install();
                    tracing::info!(endpoint = exporter.endpoint(), "exporting traces");
                }
                Self { _exporter: exporter }
            }
            Err(error) => {
                tracing::error!(%error, "NO TRACES ARE EXPORTED");
                Self { _exporter: None }
            }
        }
    }
}

/// Whether it is known what such events hold: ours no secrets, others' none from *info* on.
fn is_harmless(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || metadata.target().starts_with("subrosa")
}
