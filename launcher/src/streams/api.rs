//! Asks JetStream about streams and consumers.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use bytes::Bytes;
use serde_json::{Map, Value};
use subrosa_transport::{Connection, RequestError};
use tokio::time::Instant;

use super::{StreamsError, wanted::Wanted};

/// How long one request to JetStream is tried.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// JetStream's errors where there is none.
const NOT_ENABLED: [ErrorCode; 2] =
    [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT];

/// Asks JetStream.
pub(super) struct Api<'a> {
    pub(super) connection: &'a Connection,
    /// For messages.
    pub(super) url: String,
}

/// JetStream's error.
pub(super) struct ApiError {
    code: ErrorCode,
    description: String,
}

impl ApiError {
    pub(super) fn refused(self, wanted: &Wanted) -> StreamsError {
        let Self { code, description } = self;
        StreamsError::Refused { name: wanted.name.clone(), code: code.0, description }
    }
}

impl Api<'_> {
    /// The settings on the server; none if it does not exist.
    pub(super) async fn found(&self, wanted: &Wanted) -> Result<Option<Map<String, Value>>, StreamsError> {
        match self.ask(&wanted.name, &wanted.info, Bytes::new()).await? {
            Ok(mut answer) => match answer.remove("config") {
                Some(Value::Object(config)) => Ok(Some(config)),
                _ => Err(StreamsError::Malformed { name: wanted.name.clone() }),
            },
            // A consumer of a stream that is not there is not there either.
            Err(ApiError { code: ErrorCode::STREAM_NOT_FOUND | ErrorCode::CONSUMER_NOT_FOUND, .. }) => {
                Ok(None)
            }
            Err(error) => Err(error.refused(wanted)),
        }
    }

    pub(super) async fn ask(
        &self,
        name: &str,
        request: &str,
        body: Bytes,
    ) -> Result<Result<Map<String, Value>, ApiError>, StreamsError> {
        let no_jetstream = || StreamsError::NoJetStream { url: self.url.clone() };
        let deadline = Instant::now() + DEADLINE;
        let answer =
            match self.connection.request_until(&self.connection.api(request), None, body, deadline).await {
                Err(RequestError::NoResponders { .. }) => return Err(no_jetstream()),
                answer => answer?,
            };
        let malformed = || StreamsError::Malformed { name: name.to_owned() };
        let Ok(Value::Object(mut answer)) = serde_json::from_slice(&answer.payload) else {
            return Err(malformed());
        };
        let Some(error) = answer.remove("error") else { return Ok(Ok(answer)) };
        let code = ErrorCode(error.get("err_code").and_then(Value::as_u64).unwrap_or_default());
        if NOT_ENABLED.contains(&code) {
            return Err(no_jetstream());
        }
        let description = error.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Err(ApiError { code, description }))
    }
}
