//! JSON as the protocol reads it: I-JSON (RFC 7493), checked as a whole before anything is believed.
//!
//! Two readers who understand one text differently are two readers who can be played off against each
//! other. So a duplicate member, a lone surrogate, nesting deeper than [`MAX_DEPTH`] or a trailing byte
//! refuses the whole text, also inside members that nobody reads. Unknown members are ignored, and a
//! struct is an object: serde's other spelling, an array of the values, is refused.
//!
//! Callers check the size first: each kind of message has a limit of its own.

mod objects;

use std::{borrow::Cow, collections::BTreeSet, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Unexpected, Visitor},
};
use serde_json::error::Category;
use thiserror::Error;

use self::objects::Objects;

/// How deep objects and arrays may be nested. A scalar has depth 0, `{}` has depth 1.
pub const MAX_DEPTH: usize = 16;

/// The longest part of a duplicate member's name that an error repeats, in characters.
const MAX_NAME_CHARS: usize = 64;

/// Why a text was refused. It never repeats a value out of the text, which may be a secret.
///
/// The messages are predicates, to be put after what was read: *the job* is not JSON.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonError {
    /// Not JSON, not UTF-8, a lone surrogate, or something after the end.
    #[error("is not JSON: {reason}")]
    NotJson {
        /// What is wrong, and where.
        reason: String,
    },
    /// A member stands twice in one object (RFC 7493, section 2.3).
    #[error("has the member `{member}` twice in one object")]
    Duplicate {
        /// The member's name, escaped, and cut if it is long.
        member: String,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// A member that must be there is not.
    #[error("has no member `{member}`")]
    Missing {
        /// The member's name.
        member: String,
    },
    /// Good JSON, but not what was expected.
    #[error("does not fit: {reason}")]
    Invalid {
        /// What was expected, and where.
        reason: String,
    },
}

/// Reads `bytes` as a `T`, after checking the whole text.
///
/// The check allocates nothing but the names of the open objects' members, and those only if they are
/// written with escapes, beside one small entry for each.
///
/// ```
/// use subrosa_protocol::json::{JsonError, parse};
///
/// #[derive(Debug, PartialEq, serde::Deserialize)]
/// struct Point { x: u8 }
///
/// assert_eq!(parse(br#"{ "x": 1, "unknown": [] }"#), Ok(Point { x: 1 }));
/// let twice = parse::<Point>(br#"{ "x": 1, "x": 2 }"#);
/// assert_eq!(twice, Err(JsonError::Duplicate { member: "x".to_owned() }));
/// assert!(parse::<Point>(b"[1]").is_err());
/// ```
///
/// # Errors
///
/// [`JsonError`], for the first thing that is wrong.
pub fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, JsonError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| JsonError::NotJson { reason: "it is not UTF-8".to_owned() })?;
    check(text)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    T::deserialize(Objects(&mut reader)).map_err(|error| without_values(&error))
}

/// Writes a value of the protocol's own as JSON.
///
/// Those have nothing that could fail: no map with other keys than strings, and no fallible `Serialize`.
pub fn to_vec(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// A member that must be there, but may be `null`: `#[serde(deserialize_with = "json::nullable")]`.
pub(crate) fn nullable<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(from)
}

/// An integer as I-JSON has them: 0 to 2^53 − 1, written without fraction, exponent or sign.
///
/// ```
/// # use subrosa_protocol::json::{Int, parse};
/// assert_eq!(parse::<Int>(b"77")?.get(), 77);
/// for text in ["7.0", "7e1", "-7", "9007199254740992"] {
///     assert!(parse::<Int>(text.as_bytes()).is_err());
/// }
/// # Ok::<(), subrosa_protocol::json::JsonError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Int(u64);

impl Int {
    /// 2^53 − 1: up to here every reader of JSON agrees on the value (RFC 7493, section 2.2).
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// A number over [`Int::MAX`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("is over 2^53-1")]
pub struct IntError;

impl TryFrom<u64> for Int {
    type Error = IntError;

    fn try_from(number: u64) -> Result<Self, IntError> {
        if number <= Self::MAX.0 { Ok(Self(number)) } else { Err(IntError) }
    }
}

impl From<u16> for Int {
    fn from(number: u16) -> Self {
        Self(number.into())
    }
}

impl fmt::Display for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Int({})", self.0)
    }
}

impl Serialize for Int {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct IntVisitor;

        impl Visitor<'_> for IntVisitor {
            type Value = Int;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer from 0 to 2^53-1 without fraction or exponent")
            }

            // `1.0`, `1e3` and `-0` come as floats, negative numbers as i64: Visitor refuses both.
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Int, E> {
                Int::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
            }
        }

        from.deserialize_u64(IntVisitor)
    }
}

fn check(text: &str) -> Result<(), JsonError> {
    let mut fault = None;
    let mut reader = serde_json::Deserializer::from_str(text);
    let outcome = Check { depth: 0, fault: &mut fault }.deserialize(&mut reader).and_then(|()| reader.end());
    match (fault, outcome) {
        (Some(fault), _) => Err(fault),
        (None, Err(error)) => Err(JsonError::NotJson { reason: error.to_string() }),
        (None, Ok(())) => Ok(()),
    }
}

/// Walks a value with serde_json's own reader, which also decodes (and so checks) every string.
struct Check<'f> {
    /// How many objects and arrays are open around this value.
    depth: usize,
    /// What is wrong, in more words than serde's errors have.
    fault: &'f mut Option<JsonError>,
}

impl Check<'_> {
    fn refuse<E: serde::de::Error>(&mut self, fault: JsonError) -> E {
        *self.fault = Some(fault);
        E::custom("refused")
    }

    fn inside(&mut self) -> Check<'_> {
        Check { depth: self.depth + 1, fault: self.fault }
    }

    fn open<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.depth < MAX_DEPTH { Ok(()) } else { Err(self.refuse(JsonError::TooDeep)) }
    }
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        self.open()?;
        while items.next_element_seed(self.inside())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        self.open()?;
        let mut names = BTreeSet::new();
        while let Some(Name(name)) = members.next_key()? {
            // The name is whole and unescaped here: `"a"` and `"\u0061"` are one member.
            if names.contains(&name) {
                let member = name.chars().take(MAX_NAME_CHARS).flat_map(char::escape_debug).collect();
                return Err(self.refuse(JsonError::Duplicate { member }));
            }
            names.insert(name);
            members.next_value_seed(self.inside())?;
        }
        Ok(())
    }
}

/// A member's name, copied only if it is written with escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        from.deserialize_str(NameVisitor)
    }
}

/// What serde said, without the values that it repeats: `invalid type: string "secret", expected u64`.
///
/// Kept are the name of a missing member and what stands after the last `, expected `: both come from
/// the type that was read. Free texts of `Deserialize` implementations may hold anything, so they go.
fn without_values(error: &serde_json::Error) -> JsonError {
    let whole = error.to_string();
    let place = match error.line() {
        0 => String::new(),
        line => format!(" at line {line} column {}", error.column()),
    };
    let message = whole.strip_suffix(&place).unwrap_or(&whole);
    if error.classify() != Category::Data {
        return JsonError::NotJson { reason: whole };
    }
    if let Some(member) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return JsonError::Missing { member: member.to_owned() };
    }
    let reason = match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}{place}"),
        None => format!("a value that is not allowed{place}"),
    };
    JsonError::Invalid { reason }
}

#[cfg(test)]
mod tests;
