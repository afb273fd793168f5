//! Traces for OpenTelemetry: exported as OTLP over HTTP, if the standard variables say so.

mod http;

use std::{
    env,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{
    Context,
    trace::{
        Span as _, SpanBuilder, SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
        Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
use subrosa_transport::trace::{Propagate, TARGET, TraceContext, propagate_by};
use thiserror::Error;
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::registry::LookupSpan;

use self::http::Plain;

/// Who makes the spans.
const SCOPE: &str = "subrosa";
/// How long the last spans may take to leave when the process ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why no traces are exported although they are to be.
#[derive(Debug, Error)]
pub(crate) enum ExporterError {
    #[error("{0} is no http:// URL: TLS is for a collector beside this process to add")]
    Endpoint(&'static str),
    #[error("{0} must be http/protobuf: nothing else is spoken")]
    Protocol(&'static str),
    #[error("{0}")]
    Other(String),
}

/// Exports spans in batches, on a thread of its own.
#[derive(Debug)]
pub(crate) struct Exporter {
    provider: SdkTracerProvider,
    endpoint: String,
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The first of these variables that is set.
fn first(names: [&'static str; 2]) -> Option<(&'static str, String)> {
    names.into_iter().find_map(|name| Some((name, variable(name)?)))
}

impl Exporter {
    /// None unless the environment names an endpoint.
    pub(crate) fn from_env(service: &'static str) -> Result<Option<Self>, ExporterError> {
        let is =
            |name: &str, value: &str| variable(name).is_some_and(|found| found.eq_ignore_ascii_case(value));
        let endpoint = first(["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]);
        let Some((name, endpoint)) = endpoint else { return Ok(None) };
        if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        if !endpoint.starts_with("http://") {
            return Err(ExporterError::Endpoint(name));
        }
        let protocol = first(["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
        if let Some((name, _)) = protocol.filter(|(_, protocol)| protocol != "http/protobuf") {
            return Err(ExporterError::Protocol(name));
        }
        let other = |error: &dyn std::fmt::Display| ExporterError::Other(error.to_string());
        let exporter = SpanExporter::builder().with_http().with_http_client(Plain).build();
        let mut resource = Resource::builder();
        if variable("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name(service);
        }
        let mut provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter.map_err(|error| other(&error))?)
            .with_resource(resource.build());
        if variable("OTEL_TRACES_SAMPLER").is_none() {
            // Whoever sends a message does not decide what is traced here.
            provider = provider.with_sampler(Sampler::AlwaysOn);
        }
        Ok(Some(Self { provider: provider.build(), endpoint: shown(&endpoint) }))
    }

    pub(crate) fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let tracer = self.provider.tracer(SCOPE);
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
    }

    /// Has this process's spans exported.
    pub(crate) fn install(&self) {
        opentelemetry::global::set_tracer_provider(self.provider.clone());
        propagate();
    }

    /// Where to, for logs.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FAREWELL) {
            tracing::debug!(%error, "not all traces were exported");
        }
    }
}

/// A URL without the user and password that it may hold.
fn shown(url: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let authority = rest.split('/').next().unwrap_or_default();
    format!("http://{}", authority.rsplit('@').next().unwrap_or_default())
}

/// Whether a span is one of those that make up a trace.
pub(crate) fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET
}

/// Makes the spans of `tracing` parts of the traces that messages come with, and sends the trace with messages, as
/// an OpenTelemetry layer of `tracing-opentelemetry` in this process knows them. For programs that have such a layer
/// of their own; [`Telemetry`](crate::Telemetry) does it by itself.
pub fn propagate() {
    propagate_by(OpenTelemetry);
}

/// By `tracing-opentelemetry`.
struct OpenTelemetry;

impl Propagate for OpenTelemetry {
    fn current(&self) -> Option<TraceContext> {
        let context = Span::current().context();
        let span = context.span();
        let span = span.span_context();
        let sampled = u8::from(span.is_sampled());
        let parent = format!("00-{}-{}-{sampled:02x}", span.trace_id(), span.span_id());
        let state = span.trace_state().header();
        span.is_valid().then(|| TraceContext::parse(&parent, Some(&state))).flatten()
    }

    fn adopt(&self, span: &Span, came: &TraceContext) {
        // Refused for a span that nobody exports.
        let _ = span.set_parent(remote(came));
    }

    fn past(&self, name: &'static str, came: Option<&TraceContext>, began_ms: u64) {
        let began: SystemTime = UNIX_EPOCH + Duration::from_millis(began_ms);
        let parent = came.map_or_else(|| Span::current().context(), remote);
        let tracer = opentelemetry::global::tracer(SCOPE);
        let span = SpanBuilder::from_name(name).with_start_time(began.min(SystemTime::now()));
        tracer.build_with_context(span, &parent).end();
    }
}

fn remote(came: &TraceContext) -> Context {
    let mut fields = came.traceparent().split('-').skip(1);
    let mut field = || fields.next().unwrap_or_default();
    let trace = TraceId::from_hex(field()).unwrap_or(TraceId::INVALID);
    let parent = SpanId::from_hex(field()).unwrap_or(SpanId::INVALID);
    let sampled = u8::from_str_radix(field(), 16).unwrap_or_default() & 1;
    let state = came.tracestate().and_then(|state| state.parse::<TraceState>().ok()).unwrap_or_default();
    let span = SpanContext::new(trace, parent, TraceFlags::new(sampled), true, state);
    Context::new().with_remote_span_context(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_the_parent() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = remote(&TraceContext::parse(parent, Some("a=1")).unwrap());
        let span = context.span();
        let span = span.span_context();
        assert!(span.is_valid() && span.is_remote() && span.is_sampled());
        assert_eq!(span.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(span.span_id().to_string(), "00f067aa0ba902b7");
        assert_eq!(span.trace_state().header(), "a=1");
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(shown("http://me:s3cr3t@collector:4318/v1"), "http://collector:4318");
        assert_eq!(shown("http://[::1]:4318"), "http://[::1]:4318");
    }
}
