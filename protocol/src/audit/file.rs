//! A history as a file: one JSON object a line.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    encoding::{b64u, b64u_chars, b64u_decode},
    id::Sha256Hash,
    json::{self, Int, JsonError},
    member,
    record::MAX_RECORD_BYTES,
};

/// The largest file, in bytes.
pub const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;
/// The most messages of a history. A job's own records are 23 at most.
pub const MAX_MESSAGES: usize = 1000;
/// The longest line: a message in base64url, and what stands around it.
const MAX_LINE_BYTES: usize = b64u_chars(MAX_RECORD_BYTES) + 128;

/// A message of a job's history, as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Its bytes.
    Whole(Vec<u8>),
    /// The hash of one that is larger than a record can be: enough to tell which message names it.
    TooLarge(Sha256Hash),
}

impl Message {
    /// The message with these bytes.
    pub fn new(bytes: impl AsRef<[u8]> + Into<Vec<u8>>) -> Self {
        if bytes.as_ref().len() > MAX_RECORD_BYTES {
            Self::TooLarge(Sha256Hash::of(bytes))
        } else {
            Self::Whole(bytes.into())
        }
    }

    /// Its hash, which its successor names.
    pub fn hash(&self) -> Sha256Hash {
        match self {
            Self::Whole(bytes) => Sha256Hash::of(bytes),
            Self::TooLarge(hash) => *hash,
        }
    }
}

/// A line.
#[derive(Serialize, Deserialize)]
struct Line {
    /// The message's sequence in the stream. Nobody has signed it: for people.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    seq: Option<Int>,
    /// A message that has the characters of a compact JWS only.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    record: Option<String>,
    /// Any other message.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    message: Option<String>,
    /// The hash of a message that is too large.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    too_large: Option<Sha256Hash>,
}

/// Why a file is not read as a history.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileError {
    /// Larger than [`MAX_FILE_BYTES`].
    #[error("the history has more than {MAX_FILE_BYTES} bytes")]
    TooLarge,
    /// More messages than [`MAX_MESSAGES`].
    #[error("the history has more than {MAX_MESSAGES} messages")]
    TooMany,
    /// A line that is longer than any message makes it.
    #[error("line {line} has more than {MAX_LINE_BYTES} bytes")]
    LineTooLong {
        /// Which, from 1.
        line: usize,
    },
    /// A line that is not such an object.
    #[error("line {line} {reason}")]
    Json {
        /// Which, from 1.
        line: usize,
        /// Why.
        reason: JsonError,
    },
    /// A line that has not exactly one of the ways to hold a message, or holds it in another way than they say.
    #[error("line {line} does not hold one message, as `record`, `message` or `too_large`")]
    NoMessage {
        /// Which, from 1.
        line: usize,
    },
}

/// Writes a message as a line of a file, without the line's end.
///
/// ```
/// # use subrosa_protocol::audit::{Message, read_file, write_line};
/// let message = Message::new(b"e30.e30.AA".as_slice());
/// let line = write_line(&message, Some(7));
/// assert_eq!(line, r#"{"seq":7,"record":"e30.e30.AA"}"#);
/// assert_eq!(read_file(line.as_bytes())?, [message]);
/// # Ok::<(), subrosa_protocol::audit::FileError>(())
/// ```
pub fn write_line(message: &Message, sequence: Option<u64>) -> String {
    let seq = sequence.and_then(|sequence| Int::try_from(sequence).ok());
    let mut line = Line { seq, record: None, message: None, too_large: None };
    match message {
        Message::TooLarge(hash) => line.too_large = Some(*hash),
        Message::Whole(bytes) => match as_record(bytes) {
            Some(record) => line.record = Some(record.to_owned()),
            None => line.message = Some(b64u(bytes)),
        },
    }
    String::from_utf8_lossy(&json::to_vec(&line)).into_owned()
}

/// Reads a file: every line is a JSON object with exactly one of `record` (the text of a compact JWS),
/// `message` (any bytes, as base64url) and `too_large` (a hash).
///
/// # Errors
///
/// What is not such a file is refused as a whole: nothing of it is skipped.
pub fn read_file(bytes: &[u8]) -> Result<Vec<Message>, FileError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(FileError::TooLarge);
    }
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    if bytes.split(|byte| *byte == b'\n').count() > MAX_MESSAGES {
        return Err(FileError::TooMany);
    }
    (1..).zip(bytes.split(|byte| *byte == b'\n')).map(|(number, line)| read_line(number, line)).collect()
}

fn read_line(number: usize, text: &[u8]) -> Result<Message, FileError> {
    if text.len() > MAX_LINE_BYTES {
        return Err(FileError::LineTooLong { line: number });
    }
    let line: Line = json::parse(text).map_err(|reason| FileError::Json { line: number, reason })?;
    let message = match (line.record, line.message, line.too_large) {
        (Some(record), None, None) => Some(Message::new(record.into_bytes())),
        (None, Some(message), None) => b64u_decode(message).ok().map(Message::new),
        (None, None, Some(hash)) => Some(Message::TooLarge(hash)),
        _ => None,
    };
    message.ok_or(FileError::NoMessage { line: number })
}

/// The message as text, if it has the characters of a compact JWS only.
fn as_record(bytes: &[u8]) -> Option<&str> {
    let fits = bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    std::str::from_utf8(bytes).ok().filter(|_| fits)
}
