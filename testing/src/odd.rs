//! Bodies that nobody asked for.

use serde_json::{Value, json};

/// How deep the deepest body is; readers of JSON stop at 128.
const DEEP: usize = 200;

/// A body in place of the one that was meant. It arrives sealed, from the right peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Odd {
    /// JSON's `null`.
    Null,
    /// A text.
    Text,
    /// A list of numbers, one of them with a fraction.
    List,
    /// An object without members.
    Empty,
    /// What was meant, with every text, number and truth value of another type.
    Retyped,
    /// What was meant, with every number at an extreme and every text very long.
    Extreme,
    /// Lists in lists, deeper than a reader goes.
    Deep,
}

impl Odd {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Null, Self::Text, Self::List, Self::Empty, Self::Retyped, Self::Extreme, Self::Deep];

    /// What is sent in place of `meant`.
    pub(crate) fn instead_of(self, meant: &Value) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Text => json!("\u{0}\u{202e}; not what you asked for"),
            Self::List => json!([1, -1, 0.5]),
            Self::Empty => json!({}),
            Self::Retyped => each(meant, &|leaf| match leaf {
                Value::Number(number) => number.to_string().into(),
                Value::String(_) => json!(7),
                Value::Bool(truth) => truth.to_string().into(),
                _ => json!(true),
            }),
            Self::Extreme => each(meant, &|leaf| match leaf {
                Value::Number(number) if number.is_f64() => json!(f64::MIN),
                Value::Number(number) if number.is_u64() => json!(u64::MAX),
                Value::Number(_) => json!(i64::MIN),
                Value::String(text) => format!("{text}{}", "x".repeat(10_000)).into(),
                other => other.clone(),
            }),
            Self::Deep => (0..DEEP).fold(Value::Null, |inner, _| json!([inner])),
        }
    }
}

/// The same objects and lists with other leaves.
fn each(value: &Value, change: &impl Fn(&Value) -> Value) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), each(member, change))).collect()
        }
        Value::Array(items) => items.iter().map(|item| each(item, change)).collect(),
        leaf => change(leaf),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_odd_body_is_what_was_meant() {
        let meant = json!({ "label": "invoice", "parts": [1, 0.5, -1, true, null] });
        for odd in Odd::ALL {
            assert_ne!(odd.instead_of(&meant), meant, "{odd:?}");
        }
        let retyped = json!({ "label": 7, "parts": ["1", "0.5", "-1", "true", true] });
        assert_eq!(Odd::Retyped.instead_of(&meant), retyped);
        assert_eq!(Odd::Extreme.instead_of(&json!([77, -1])), json!([u64::MAX, i64::MIN]));
    }

    #[test]
    fn the_deep_body_is_deeper_than_a_reader_goes() {
        let deep = Odd::Deep.instead_of(&Value::Null).to_string();
        assert!(serde_json::from_str::<Value>(&deep).is_err());
    }
}
