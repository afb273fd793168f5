//! Members of JSON objects, as strictly as they are written.
//!
//! What serde derives is more lenient than the protocol: it reads an array as a struct whose members have
//! their values in that order, and `null` as a member that is absent. Another reader would not.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

/// A value that is written as an object, and not as an array.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }

        from.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

/// A member that may be absent, but not `null`: `#[serde(default, deserialize_with = "member::present")]`.
pub(crate) fn present<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(from).map(Some)
}

/// An object that must be there.
pub(crate) fn object<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Object::deserialize(from).map(|Object(value)| value)
}

/// An object that may be absent, but not `null`.
pub(crate) fn present_object<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    object(from).map(Some)
}

/// An array of objects.
pub(crate) fn objects<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Vec::deserialize(from)?.into_iter().map(|Object(value)| value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{self, JsonError};

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        #[serde(default, deserialize_with = "present")]
        number: Option<u8>,
        #[serde(default, deserialize_with = "present_object")]
        inner: Option<Inner>,
        #[serde(default, deserialize_with = "objects")]
        list: Vec<Inner>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        a: u8,
    }

    fn read(text: &str) -> Result<Outer, JsonError> {
        json::parse::<Object<Outer>>(text.as_bytes()).map(|Object(outer)| outer)
    }

    #[test]
    fn objects_are_read() {
        let outer = read(r#" {"number":1,"inner":{"a":2},"list":[{"a":3}],"else":[]} "#).unwrap();
        assert_eq!(outer, Outer { number: Some(1), inner: Some(Inner { a: 2 }), list: vec![Inner { a: 3 }] });
        assert_eq!(read("{}").unwrap(), Outer { number: None, inner: None, list: vec![] });
    }

    #[test]
    fn arrays_are_no_objects_and_null_is_not_absent() {
        for text in [
            "[]",
            "[1]",
            "null",
            "1",
            r#"{"number":null}"#,
            r#"{"inner":null}"#,
            r#"{"inner":[2]}"#,
            r#"{"list":null}"#,
            r#"{"list":[[3]]}"#,
        ] {
            assert!(matches!(read(text), Err(JsonError::Invalid { .. })), "{text}");
        }
    }

    #[test]
    fn a_missing_member_is_still_named() {
        assert_eq!(read(r#"{"inner":{}}"#), Err(JsonError::Missing { member: "a".into() }));
    }
}
