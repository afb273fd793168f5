//! The head: what a record says about itself, sealed like its body.

use serde::{Deserialize, Serialize};

use crate::{
    id::Instance,
    json::{self, Int},
    member,
    receipt::Salt,
    refusal::StepCode,
};

/// The longest head, in bytes.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Longer error messages and log lines are cut when they are written; longer error messages are refused when
/// they are read. In bytes.
const MAX_TEXT_BYTES: usize = 8 * 1024;

/// What the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// JSON.
    Json,
    /// Bytes, as the application wrote them.
    Bytes,
    /// The body travels as a stream.
    Stream,
}

/// A record's head. Members that do not belong to a kind are absent there.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Head {
    /// What the body is; in everything that has one.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub content: Option<Content>,
    /// In replies: the number of the request answered.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub re: Option<Int>,
    /// In a reply or `done`: what went wrong, in place of a body.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub error: Option<ErrorMember>,
    /// In `options`: the worker's proof, a compact JWS.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub worker: Option<String>,
    /// In `options`: the worker's certificate, a compact JWT, if it has one.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub cert: Option<String>,
    /// In `options`: the process that serves.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub instance: Option<Instance>,
    /// In the reply to a `done` without error: the job's close token.
    #[serde(skip_serializing_if = "Option::is_none", with = "token_member")]
    pub close: Option<[u8; 32]>,
    /// In `cancel`: the job's cancel token.
    #[serde(skip_serializing_if = "Option::is_none", with = "token_member")]
    pub cancel: Option<[u8; 32]>,
    /// In a `done` without error: the receipt, a compact JWS.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub receipt: Option<String>,
    /// In the reply to `ready`: the salt of the job's `input`. In a `done`: the receipt's.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub salt: Option<Salt>,
    /// In an event.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub event: Option<Event>,
}

impl Head {
    /// Reads a head of at most [`MAX_HEAD_BYTES`]; none if it is malformed.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_HEAD_BYTES { None } else { json::parse(bytes).ok() }
    }
}

/// What went wrong, as a code and a text for the peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ErrorMembers")]
pub struct ErrorMember {
    /// The code.
    pub code: StepCode,
    /// The text, for the peer alone.
    pub message: String,
}

/// An error as it is read.
#[derive(Deserialize)]
struct ErrorMembers {
    code: StepCode,
    message: String,
}

impl TryFrom<ErrorMembers> for ErrorMember {
    type Error = &'static str;

    fn try_from(ErrorMembers { code, message }: ErrorMembers) -> Result<Self, Self::Error> {
        if message.len() <= MAX_TEXT_BYTES {
            Ok(Self { code, message })
        } else {
            Err("an error's message has at most 8 KiB")
        }
    }
}

impl ErrorMember {
    /// An error for the peer; a message over 8 KiB is cut.
    pub fn new(code: StepCode, message: impl Into<String>) -> Self {
        Self { code, message: cut(message.into()) }
    }
}

/// What a worker reports on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, try_from = "EventMembers")]
pub enum Event {
    /// How far the work is.
    Progress {
        /// From 0.0 to 1.0.
        progress: f64,
        /// What is being done.
        message: String,
    },
    /// A line for the client's log.
    Log {
        /// The line and its level.
        log: LogLine,
    },
}

/// An event as it is read: whichever of the two it is.
#[derive(Deserialize)]
struct EventMembers {
    #[serde(default, deserialize_with = "member::present")]
    progress: Option<f64>,
    #[serde(default)]
    message: String,
    #[serde(default, deserialize_with = "member::present")]
    log: Option<LogLine>,
}

impl TryFrom<EventMembers> for Event {
    type Error = &'static str;

    fn try_from(members: EventMembers) -> Result<Self, Self::Error> {
        match members {
            EventMembers { progress: Some(progress), message, log: None } => {
                if (0.0..=1.0).contains(&progress) {
                    Ok(Self::Progress { progress, message })
                } else {
                    Err("progress is a number from 0.0 to 1.0")
                }
            }
            EventMembers { progress: None, log: Some(log), .. } => Ok(Self::Log { log }),
            _ => Err("an event is either progress or a line of the log"),
        }
    }
}

/// A line of a worker's log, for its client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// How grave it is.
    pub level: LogLevel,
    /// The text.
    pub line: String,
}

/// How grave a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only of use to who looks for something.
    Debug,
    /// Worth knowing.
    Info,
    /// Not as it should be.
    Warn,
    /// Something failed.
    Error,
}

impl Event {
    /// A report of progress; `fraction` is brought into 0.0 to 1.0, a message over 8 KiB is cut.
    pub fn progress(fraction: f64, message: impl Into<String>) -> Self {
        let progress = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        Self::Progress { progress, message: cut(message.into()) }
    }

    /// A log line; one over 8 KiB is cut.
    pub fn log(level: LogLevel, line: impl Into<String>) -> Self {
        Self::Log { log: LogLine { level, line: cut(line.into()) } }
    }
}

fn cut(mut text: String) -> String {
    let mut escaped = 0;
    let end = text.char_indices().find_map(|(at, c)| {
        escaped += match c {
            '"' | '\\' => 2,
            c if c.is_control() => 6,
            c => c.len_utf8(),
        };
        (escaped > MAX_TEXT_BYTES).then_some(at)
    });
    text.truncate(end.unwrap_or(text.len()));
    text
}

/// Optional 32-byte members.
mod token_member {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::{encoding, id::Sha256Hash};

    pub(super) fn serialize<S: Serializer>(token: &Option<[u8; 32]>, to: S) -> Result<S::Ok, S::Error> {
        match token {
            Some(token) => encoding::b64u_member::serialize(token, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<[u8; 32]>, D::Error> {
        Ok(Some(Sha256Hash::deserialize(from)?.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_spelled_as_documented() {
        let head = Head {
            content: Some(Content::Json),
            re: Some(Int::from(3)),
            close: Some([0; 32]),
            receipt: Some("a.b.c".to_owned()),
            salt: Some(Salt::take(&mut [0; 32])),
            ..Head::default()
        };
        let zero = "A".repeat(43);
        let expected =
            format!(r#"{{"content":"json","re":3,"close":"{zero}","receipt":"a.b.c","salt":"{zero}"}}"#);
        assert_eq!(String::from_utf8(json::to_vec(&head)).unwrap(), expected);
        let back = Head::parse(expected.as_bytes()).unwrap();
        assert_eq!((back.close, back.receipt), (Some([0; 32]), Some("a.b.c".to_owned())));
        assert_eq!(*back.salt.unwrap().reveal(), zero);
    }

    #[test]
    fn unknown_members_are_ignored_and_wrong_ones_refused() {
        assert!(Head::parse(br#"{"content":"json","new":[1,2]}"#).is_some());
        for bad in [
            r#"{"content":"xml"}"#,
            r#"{"re":1.0}"#,
            r#"{"re":-1}"#,
            r#"{"re":1,"re":1}"#,
            r#"{"close":"AA"}"#,
            r#"{"error":{"code":"bad_input"}}"#,
            r#"{"error":{"code":"odd","message":""}}"#,
            r#"{"error":["bad_input",""]}"#,
            r#"{"error":null}"#,
            r#"{"close":null}"#,
            r#"{"cancel":"AA"}"#,
            r#"{"cancel":null}"#,
            r#"{"salt":"AA"}"#,
            r#"{"salt":null}"#,
            r#"{"receipt":null}"#,
            r#"{"receipt":{}}"#,
            r#"{"event":[0.5,"half"]}"#,
            r#"{"event":{"log":["info","line"]}}"#,
            r#"{"event":{"progress":"half"}}"#,
            r#"{"event":{"progress":1.5}}"#,
            r#"{"event":{"progress":-1e-9}}"#,
            r#"{"event":{}}"#,
            r#"{"event":{"progress":0.5,"log":{"level":"info","line":""}}}"#,
            "[]",
            "",
        ] {
            assert!(Head::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn texts_and_events_stay_in_their_bounds() {
        assert_eq!(Event::progress(7.0, ""), Event::progress(1.0, ""));
        assert_eq!(Event::progress(f64::NAN, ""), Event::progress(0.0, ""));
        let written =
            |bytes| format!(r#"{{"error":{{"code":"timeout","message":"{}"}}}}"#, "x".repeat(bytes));
        assert!(Head::parse(written(MAX_TEXT_BYTES).as_bytes()).is_some());
        assert!(Head::parse(written(MAX_TEXT_BYTES + 1).as_bytes()).is_none());
        let Event::Log { log } = Event::log(LogLevel::Info, "ä".repeat(MAX_TEXT_BYTES)) else { panic!() };
        assert_eq!(log.line.len(), MAX_TEXT_BYTES);
    }
}
