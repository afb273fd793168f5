//! What is to be sent: on the command line, in a file, or on standard input.

use std::{
    convert::Infallible,
    fs::File,
    io::{self, Read},
    path::PathBuf,
    str::FromStr,
};

use serde_json::value::RawValue;

use crate::exit::Failure;

/// The most that is read, in bytes: more than any server takes as one message.
const MAX_BYTES: u64 = 64 << 20;

/// Where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Given(String),
    File(PathBuf),
    Stdin,
}

impl FromStr for Input {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix('@') {
            Some(path) => Self::File(path.into()),
            None if text == "-" => Self::Stdin,
            None => Self::Given(text.to_owned()),
        })
    }
}

impl Input {
    pub(crate) fn is_stdin(&self) -> bool {
        *self == Self::Stdin
    }

    pub(crate) fn read(&self) -> Result<Text, Failure> {
        match self {
            Self::Given(text) => Ok(Text::Bytes(text.clone().into_bytes())),
            Self::File(path) => File::open(path)
                .and_then(all)
                .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display()))),
            Self::Stdin => all(io::stdin())
                .map_err(|error| Failure::usage(format!("cannot read standard input: {error}"))),
        }
    }
}

fn all(from: impl Read) -> io::Result<Text> {
    let mut bytes = Vec::new();
    from.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it has more than {MAX_BYTES} bytes")));
    }
    Ok(Text::Bytes(bytes))
}

/// What was read.
#[derive(Debug)]
pub(crate) enum Text {
    Bytes(Vec<u8>),
    /// JSON, as it was written: numbers keep their digits.
    Json(Box<RawValue>),
}

impl Text {
    /// As JSON.
    pub(crate) fn json(self, option: &str) -> Result<Self, Failure> {
        let json = serde_json::from_slice(&self.into_bytes());
        // Without what was read: it is nobody else's.
        let said = |error: serde_json::Error| match error.line() {
            0 => format!("{option} is not JSON"),
            line => format!("{option} is not JSON: see line {line}, column {}", error.column()),
        };
        json.map(Self::Json).map_err(|error| Failure::usage(said(error)))
    }

    /// The bytes that are sent.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Json(json) => json.get().as_bytes(),
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Json(json) => Box::<str>::from(json).into_string().into_bytes(),
        }
    }

    pub(crate) fn into_json(self) -> Box<RawValue> {
        match self {
            Self::Json(json) => json,
            Self::Bytes(_) => RawValue::NULL.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, Failure> {
        let input: Input = text.parse().unwrap_or_else(|never| match never {});
        Ok(input.read()?.json("--payload")?.into_json().get().to_owned())
    }

    #[test]
    fn json_stays_as_it_was_written() {
        assert_eq!(
            read(r#"{"n": 123456789012345678901234567890}"#).unwrap(),
            r#"{"n": 123456789012345678901234567890}"#
        );
    }

    #[test]
    fn what_is_not_json_is_named_but_not_repeated() {
        let failure = read(r#"{"secret": hunter2}"#).unwrap_err();
        let text = format!("{:#}", failure.error);
        assert!(text.contains("--payload") && text.contains("column") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_file_is_read_and_a_missing_one_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[1]").unwrap();
        assert_eq!(read(&format!("@{}", file.path().display())).unwrap(), "[1]");
        let failure = read("@/no/such/file").unwrap_err();
        assert!(format!("{:#}", failure.error).contains("/no/such/file"));
        assert!("-".parse::<Input>().unwrap_or_else(|never| match never {}).is_stdin());
    }
}
