//! A collector of traces, as OpenTelemetry's exporters know it: it keeps what it is sent.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value, trace::v1::ResourceSpans,
};
use prost::Message as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::AbortOnDropHandle;

/// Listens until it is dropped.
pub struct Collector {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    _listening: AbortOnDropHandle<()>,
}

/// A span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Whose it is.
    pub service: String,
    /// Its name.
    pub name: String,
    /// The trace that it belongs to.
    pub trace: Vec<u8>,
    /// Its own id.
    pub id: Vec<u8>,
    /// Its parent's; empty if it has none.
    pub parent: Vec<u8>,
}

impl Collector {
    /// A collector of one's own.
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let kept = bodies.clone();
        let _listening = AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let kept = kept.clone();
                tokio::spawn(async move {
                    // Whoever is killed halfway has sent nothing.
                    if let Ok(body) = read(stream).await {
                        kept.lock().unwrap().push(body);
                    }
                });
            }
        }));
        Self { address, bodies, _listening }
    }

    /// The variables that have a program export its traces here.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", self.address)),
            // In milliseconds.
            ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
        ]
    }

    /// Everything that was sent, as it came.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.bodies.lock().unwrap().clone()
    }

    /// The spans in it.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.bodies();
        let requests = requests.iter().map(|body| ExportTraceServiceRequest::decode(&**body).unwrap());
        requests.flat_map(|request| request.resource_spans).flat_map(spans).collect()
    }
}

fn spans(from: ResourceSpans) -> Vec<Span> {
    let attributes = from.resource.map(|resource| resource.attributes).unwrap_or_default();
    let service = attributes.into_iter().find(|attribute| attribute.key == "service.name");
    let service = match service.and_then(|service| service.value?.value) {
        Some(Value::StringValue(service)) => service,
        other => panic!("whose is it: {other:?}"),
    };
    let spans = from.scope_spans.into_iter().flat_map(|scope| scope.spans);
    spans
        .map(|span| Span {
            service: service.clone(),
            name: span.name,
            trace: span.trace_id,
            id: span.span_id,
            parent: span.parent_span_id,
        })
        .collect()
}

/// Reads one request, and answers it.
async fn read(stream: TcpStream) -> std::io::Result<Vec<u8>> {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while {
        line.clear();
        stream.read_line(&mut line).await? > 2
    } {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
    Ok(body)
}
