//! Requests to a launcher as bytes, good and bad, and its answers as they travel.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use subrosa_protocol::{
    encoding::b64u,
    hpke::RecipientKey,
    id::{JobId, Sha256Hash},
    identity::{Signature, SigningKey, Typ},
};
use subrosa_transport::{Connection, Message, now_ms};

use crate::lab::PATIENCE;

/// The cancel token of [`job`].
pub const CANCEL: [u8; 32] = [1; 32];
/// The close token of [`job`].
pub const CLOSE: [u8; 32] = [2; 32];

/// A good job for this worker, to be spoilt. Every one has a key of its own, and so another id.
pub fn job(worker: &str) -> Value {
    let key = RecipientKey::generate(&mut rand::rng());
    json!({
        "v": 1,
        "worker": worker,
        "suite": "x25519",
        "client_key": b64u(key.public().as_bytes()),
        "reply": "subrosa.v1.client.NobodyListensHere0",
        "created_ms": now_ms(),
        "expires_ms": now_ms() + 600_000,
        "timeout_ms": 60_000,
        "max_attempts": 3,
        "cancel": Sha256Hash::of(CANCEL),
        "close": Sha256Hash::of(Sha256Hash::of(CLOSE).0),
    })
}

/// The id of a job.
pub fn id(job: &[u8]) -> JobId {
    JobId::of(job)
}

/// A launch request for a job, whatever that is, signed by these.
pub fn request(job: &[u8], signers: &[&SigningKey]) -> Value {
    let payload = b64u(job);
    let signatures: Vec<Signature> =
        signers.iter().map(|key| Signature::sign(key, Typ::Job, &payload)).collect();
    json!({ "payload": payload, "signatures": signatures })
}

/// An error of a service, as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The number in HTTP's manner.
    pub number: u16,
    /// The code.
    pub code: String,
    /// What it says.
    pub message: String,
}

/// Asks a service, and takes its answer apart.
pub async fn ask(connection: &Connection, subject: &str, body: impl Into<Vec<u8>>) -> Result<Value, Refusal> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let body = Bytes::from(body.into());
    read(&connection.request_until(subject, None, body, deadline).await.unwrap())
}

/// Asks NATS itself, once.
pub async fn ask_once(connection: &Connection, subject: &str) -> Value {
    let answer = connection.request(subject, None, Bytes::new(), Duration::from_secs(20)).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

/// Takes an answer apart: JSON, or an error in three headers and no body.
fn read(answer: &Message) -> Result<Value, Refusal> {
    let header = |name: &str| {
        let value = answer.headers.as_ref().and_then(|headers| headers.get(name));
        value.map(|value| value.as_str().to_owned())
    };
    let Some(number) = header("Nats-Service-Error-Code") else {
        assert_eq!(header("Nats-Service-Error"), None);
        assert_eq!(header("Subrosa-Error"), None);
        return Ok(serde_json::from_slice(&answer.payload).unwrap());
    };
    assert!(answer.payload.is_empty(), "an error has no body");
    let error: Value = serde_json::from_str(&header("Subrosa-Error").unwrap()).unwrap();
    assert_eq!(error.as_object().unwrap().len(), 2, "{error}");
    let text = |member: &str| error.get(member).and_then(Value::as_str).unwrap().to_owned();
    assert_eq!(header("Nats-Service-Error"), Some(text("code")), "the header has the same code");
    Err(Refusal { number: number.parse().unwrap(), code: text("code"), message: text("message") })
}
