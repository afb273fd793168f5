//! The stream of records, with JetStream's answers.

use std::collections::HashMap;

use async_nats::HeaderMap;
use bytes::Bytes;
use serde_json::json;
use subrosa_transport::{Message, Stored};

/// JetStream's error: the expected last sequence is not the last one.
const WRONG_LAST_SEQUENCE: u64 = 10071;

/// Every job's messages, by subject.
#[derive(Debug, Default)]
pub(crate) struct Records {
    sequence: u64,
    histories: HashMap<String, Vec<Stored>>,
}

impl Records {
    /// All of a job's messages, in order.
    pub(crate) fn all(&self, subject: &str) -> &[Stored] {
        self.histories.get(subject).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn last(&self, subject: &str) -> Option<&Stored> {
        self.all(subject).last()
    }

    /// Stores a message if the last one on its subject is the one with this sequence, 0 for none; if not,
    /// says what the last one is.
    pub(crate) fn append(&mut self, subject: &str, expected: u64, bytes: Bytes) -> Result<u64, u64> {
        let last = self.last(subject).map_or(0, |last| last.sequence);
        if last != expected {
            return Err(last);
        }
        self.sequence += 1;
        let stored = Stored { subject: subject.to_owned(), sequence: self.sequence, bytes };
        self.histories.entry(subject.to_owned()).or_default().push(stored);
        Ok(self.sequence)
    }

    /// What JetStream answers to a publication.
    pub(crate) fn publish(&mut self, message: &Message) -> Message {
        let header = |headers: &HeaderMap| {
            headers.get("Nats-Expected-Last-Subject-Sequence").and_then(|value| value.as_str().parse().ok())
        };
        let expected = message.headers.as_ref().and_then(header).unwrap_or_default();
        let answer = match self.append(&message.subject, expected, message.payload.clone()) {
            Ok(sequence) => json!({ "stream": "RECORDS", "seq": sequence }),
            Err(last) => json!({ "error": {
                "code": 400, "err_code": WRONG_LAST_SEQUENCE, "description": format!("wrong last sequence: {last}"),
            } }),
        };
        answered(answer.to_string(), None)
    }

    /// What JetStream answers to a direct get of a subject's last message.
    pub(crate) fn direct_get(&self, subject: &str) -> Message {
        match self.last(subject) {
            Some(stored) => {
                let mut headers = HeaderMap::new();
                headers.insert("Nats-Sequence", stored.sequence.to_string());
                headers.insert("Nats-Subject", stored.subject.as_str());
                answered(stored.bytes.clone(), Some(headers))
            }
            None => Message { status: Some(404), ..answered(Bytes::new(), None) },
        }
    }
}

/// What JetStream answers to a publication that finds no room.
pub(crate) fn full() -> Message {
    let error = json!({ "code": 503, "err_code": 10077, "description": "maximum bytes exceeded" });
    answered(json!({ "error": error }).to_string(), None)
}

/// An answer, to be addressed.
pub(crate) fn answered(payload: impl Into<Bytes>, headers: Option<HeaderMap>) -> Message {
    Message { subject: String::new(), reply: None, payload: payload.into(), headers, status: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_writers_who_expect_the_same_one_wins() {
        let mut records = Records::default();
        assert_eq!(records.append("a", 0, Bytes::from_static(b"1")), Ok(1));
        assert_eq!(records.append("b", 0, Bytes::from_static(b"1")), Ok(2));
        assert_eq!(records.append("a", 1, Bytes::from_static(b"2")), Ok(3));
        assert_eq!(records.append("a", 1, Bytes::from_static(b"3")), Err(3));
        assert_eq!(records.append("a", 0, Bytes::from_static(b"3")), Err(3));
        assert_eq!(records.all("a").len(), 2);
        assert_eq!(records.last("a").map(|stored| &*stored.bytes), Some(&b"2"[..]));
    }
}
