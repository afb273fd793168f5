//! `/healthz`, `/readyz` and `/metrics` over HTTP.
//!
//! Whoever reaches it may ask what it likes: one small request per connection, a limited number of connections
//! for a limited time each. Nothing that is sent is kept.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::{encoding::text::encode, registry::Registry};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::Health;

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 32;
/// How long one connection may last.
const LONGEST: Duration = Duration::from_secs(5);
/// How long the head of its request may take: who is silent holds a place that somebody else waits for.
const HEAD: Duration = Duration::from_secs(1);
/// The largest head of a request, in bytes: the least that hyper can be told.
const HEAD_BYTES: usize = 8192;
/// The most headers of a request.
const HEADERS: usize = 32;
/// How long to wait when no connection can be accepted, as when there are no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// An endpoint that cannot be offered.
#[derive(Debug, Error)]
#[error("cannot listen on {address} for health checks: {reason}")]
pub struct EndpointError {
    /// Where.
    pub address: SocketAddr,
    /// What the system says.
    pub reason: io::Error,
}

/// Answers health checks and scrapes until it is dropped.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    _accepting: AbortOnDropHandle<()>,
}

/// What is told.
#[derive(Debug)]
struct Told {
    health: Health,
    registry: Registry,
}

impl Endpoint {
    /// Listens on this address, whose port may be 0. The address is logged; that others than this machine can
    /// ask is a warning.
    ///
    /// # Errors
    ///
    /// An address that cannot be listened on.
    pub async fn listen(
        address: SocketAddr,
        health: Health,
        registry: Registry,
    ) -> Result<Self, EndpointError> {
        let failed = |reason| EndpointError { address, reason };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if address.ip().is_loopback() {
            tracing::info!(%address, "answering health checks");
        } else {
            tracing::warn!(%address, "answering health checks and telling its numbers to whoever reaches it");
        }
        let told = Arc::new(Told { health, registry });
        let _accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, told)));
        Ok(Self { address, _accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: TcpListener, told: Arc<Told>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Dropped, and so aborted, with this task.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let told = told.clone();
                connections.spawn(async move {
                    // Too slow, or gone: nobody else is concerned.
                    let _ = timeout(LONGEST, serve(stream, told)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a health check was not accepted");
                sleep(PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, told: Arc<Told>) {
    let service = service_fn(move |request| {
        let told = told.clone();
        async move { Ok::<_, Infallible>(told.answer(&request)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a health check was not answered");
    }
}

impl Told {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if !["/healthz", "/readyz", "/metrics"].contains(&path) {
            return response(StatusCode::NOT_FOUND, TEXT, "there is /healthz, /readyz and /metrics\n".into());
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut refused =
                response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD are allowed\n".into());
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match path {
            "/metrics" => {
                let mut text = String::new();
                match encode(&mut text, &self.registry) {
                    Ok(()) => response(StatusCode::OK, OPEN_METRICS, text),
                    Err(_) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, String::new()),
                }
            }
            "/readyz" => state("ready", &self.health.unready()),
            _ => {
                let dead = self.health.dead();
                state(
                    "alive",
                    &dead.iter().map(|task| format!("the task {task} has ended")).collect::<Vec<_>>(),
                )
            }
        }
    }
}

/// 200 and what it is, or 503 and a line for each reason why it is not.
fn state(what: &str, against: &[impl AsRef<str>]) -> Response<Full<Bytes>> {
    if against.is_empty() {
        return response(StatusCode::OK, TEXT, format!("{what}\n"));
    }
    let reasons = against.iter().map(|reason| format!("not {what}: {}\n", reason.as_ref())).collect();
    response(StatusCode::SERVICE_UNAVAILABLE, TEXT, reasons)
}

fn response(status: StatusCode, content: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
