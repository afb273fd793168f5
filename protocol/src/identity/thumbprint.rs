//! The name of a key (RFC 7638).

use std::{borrow::Cow, cmp::Ordering, fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, Unexpected},
};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::encoding::{DecodeError, b64u, b64u_array};

/// A key's name: the SHA-256 of its required members as canonical JSON, written as base64url.
///
/// Thumbprints are ordered as their texts are, so that what is sorted here is sorted for every reader.
///
/// ```
/// use subrosa_protocol::identity::Thumbprint;
///
/// let text = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
/// let thumbprint: Thumbprint = text.parse()?;
/// assert_eq!(thumbprint.to_string(), text);
/// assert!("kPrK".parse::<Thumbprint>().is_err());
/// # Ok::<(), subrosa_protocol::identity::ThumbprintError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; 32]);

/// A text that is not a thumbprint.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a thumbprint is 32 bytes as base64url: it {0}")]
pub struct ThumbprintError(DecodeError);

impl Thumbprint {
    /// The thumbprint of a key whose required members are `canonical`: sorted, and without white space.
    pub(super) fn of(canonical: &[u8]) -> Self {
        Self(Sha256::digest(canonical).into())
    }

    /// The hash itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Thumbprint {
    type Err = ThumbprintError;

    fn from_str(text: &str) -> Result<Self, ThumbprintError> {
        b64u_array(text).map(Self).map_err(ThumbprintError)
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&b64u(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

impl Ord for Thumbprint {
    fn cmp(&self, other: &Self) -> Ordering {
        b64u(self.0).cmp(&b64u(other.0))
    }
}

impl PartialOrd for Thumbprint {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for Thumbprint {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Thumbprint {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let expected = &"a key's thumbprint, 43 characters of base64url";
        let text = Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(|_| D::Error::invalid_value(Unexpected::Other("text"), expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7638, section 3.1.
    #[test]
    fn it_is_the_hash_of_the_canonical_members() {
        let canonical = concat!(
            r#"{"e":"AQAB","kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT8"#,
            "6zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6C",
            "f0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNL",
            "yrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            r#""}"#
        );
        let thumbprint = Thumbprint::of(canonical.as_bytes());
        assert_eq!(thumbprint.to_string(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert_eq!(thumbprint.to_string().parse(), Ok(thumbprint));
        assert_eq!(format!("{thumbprint:?}"), "Thumbprint(NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs)");
    }

    #[test]
    fn it_is_a_json_string_of_one_spelling() {
        let thumbprint = Thumbprint([0xFB; 32]);
        let json = serde_json::to_string(&thumbprint).unwrap();
        assert_eq!(json, "\"-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s\"");
        assert_eq!(crate::json::parse::<Thumbprint>(json.as_bytes()), Ok(thumbprint));
        for bad in ["\"\"", "1", "\"-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_t\""] {
            assert!(crate::json::parse::<Thumbprint>(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn it_is_ordered_as_its_text() {
        // The six bits 62 and 0 are `-` and `A`: the other way round as text.
        let (dash, letter) = (Thumbprint([0xF8; 32]), Thumbprint([0; 32]));
        assert!(dash.to_string() < letter.to_string());
        assert!(dash < letter);
    }
}
