//! What JetStream says while it cannot serve: a server that starts or stops, a cluster without a leader.

use async_nats::jetstream::ErrorCode;
use serde::Deserialize;

use crate::Message;

/// Its errors that say that it is off, for the account or altogether.
const OFF: [ErrorCode; 2] = [ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT, ErrorCode::JETSTREAM_NOT_ENABLED];
/// Its other errors that pass, as those do.
const PASSING: [ErrorCode; 2] = [ErrorCode::CLUSTER_NOT_AVAILABLE, ErrorCode::CLUSTER_NOT_LEADER];
/// The longest answer that is looked at, in bytes: its errors are short.
const MAX_ERROR_BYTES: usize = 4096;

#[derive(Deserialize)]
struct Answer {
    error: Error,
}

#[derive(Deserialize)]
struct Error {
    err_code: ErrorCode,
}

/// Whether an error of JetStream's passes, by its code.
pub(crate) fn passes(code: ErrorCode) -> bool {
    PASSING.contains(&code) || is_off(code)
}

/// Whether an error of JetStream's says that it is off, by its code.
pub(crate) fn is_off(code: ErrorCode) -> bool {
    OFF.contains(&code)
}

/// Whether this is an error that passes. What is stored comes with headers, and so is none.
pub(crate) fn is_passing(answer: &Message) -> bool {
    answer.headers.is_none()
        && answer.payload.len() <= MAX_ERROR_BYTES
        && serde_json::from_slice(&answer.payload).is_ok_and(|Answer { error }| passes(error.err_code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(payload: &'static str) -> Message {
        let (subject, reply, headers, status) = ("_INBOX.a".to_owned(), None, None, None);
        Message { subject, reply, payload: payload.into(), headers, status }
    }

    #[test]
    fn errors_that_pass_are_told_from_others_and_from_what_is_stored() {
        let passing = r#"{"type":"x","error":{"code":503,"err_code":10008,"description":"unavailable"}}"#;
        assert!(is_passing(&answer(passing)));
        let stored = Message { headers: Some(async_nats::HeaderMap::new()), ..answer(passing) };
        assert!(!is_passing(&stored));
        for other in [
            r#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#,
            r#"{"error":"10008"}"#,
            r#"{"stream":"S","seq":1}"#,
            "",
        ] {
            assert!(!is_passing(&answer(other)), "{other}");
        }
    }
}
