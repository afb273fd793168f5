//! Members of JSON objects that may be absent.

use serde::{Deserialize, Deserializer};

/// A member that may be absent, but not `null`, which serde would take for the same:
/// `#[serde(default, deserialize_with = "member::present")]`.
///
/// # Errors
///
/// Whatever `T` refuses, and `null`, unless `T` takes it.
pub fn present<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{self, JsonError};

    #[derive(Debug, PartialEq, Deserialize)]
    struct Members {
        #[serde(default, deserialize_with = "present")]
        number: Option<u8>,
    }

    #[test]
    fn null_is_not_absent() {
        assert_eq!(json::parse(b"{}"), Ok(Members { number: None }));
        assert_eq!(json::parse(br#"{"number":1}"#), Ok(Members { number: Some(1) }));
        let refused = json::parse::<Members>(br#"{"number":null}"#);
        assert!(matches!(refused, Err(JsonError::Invalid { .. })));
    }
}
