//! One case, and the file that it becomes.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One case: its members in the order in which they are written.
pub(crate) struct Case {
    /// The file, below the folder of the vectors.
    pub(crate) path: String,
    members: Vec<(&'static str, Value)>,
}

impl Case {
    /// A case that every implementation has to take.
    pub(crate) fn ok(kind: &'static str, name: &str, about: &str) -> Self {
        Self::new(kind, name).with("about", about).with("verdict", "ok")
    }

    /// A case with another verdict: the rule that is broken first, and why that matters.
    pub(crate) fn not_ok(
        kind: &'static str,
        name: &str,
        verdict: &str,
        fault: &str,
        because: impl Into<String>,
    ) -> Self {
        Self::new(kind, name).with("because", because.into()).with("verdict", verdict).with("fault", fault)
    }

    fn new(kind: &'static str, name: &str) -> Self {
        Self { path: format!("{kind}/{name}.json"), members: Vec::new() }.with("kind", kind)
    }

    /// Adds a member.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.members.push((name, value.into()));
        self
    }

    /// Adds a member that some cases have.
    pub(crate) fn maybe(self, name: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The file's text: one member a line, and one line for each part of an array.
    pub(crate) fn text(&self) -> String {
        let mut text = "{".to_owned();
        for (number, (name, value)) in self.members.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            let value = match value.as_array() {
                Some(items) if !items.is_empty() => {
                    let items: Vec<_> = items.iter().map(|item| format!("    {item}")).collect();
                    format!("[\n{}\n  ]", items.join(",\n"))
                }
                _ => value.to_string(),
            };
            write!(text, "{comma}\n  \"{name}\": {value}").unwrap();
        }
        text + "\n}\n"
    }
}

/// A part of a long text that is one short text many times.
pub(crate) fn repeat(text: &str, times: usize) -> Value {
    json!({ "repeat": text, "times": times })
}
