//! What happens to a file that somebody alters: whoever checks it has to notice.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{check, files::committed};

/// Members that say nothing that could be wrong, or that have room to be something else.
fn may_be_anything(name: &str, member: &str, ok: bool, python: bool) -> bool {
    match member {
        // Prose; and clocks have room.
        "about" | "because" | "now_ms" => true,
        // Altered, it is dropped all the more.
        "dropped" => true,
        // The N of a session that has said nothing yet.
        "nonces" if name.ends_with("/options.json") || name.starts_with("message/options_cert") => true,
        "nonces" if ["message/second_attempt.json", "message/after_a_stranger.json"].contains(&name) => true,
        // A launcher's records are good for every name, and whatever other keys are trusted.
        "worker" | "trust" if name.starts_with("record/") => true,
        // Further from the one that is stored, or of no attempt at all.
        "attempt" if name == "stored/result_of_a_later_attempt.json" => true,
        // Other subjects are inboxes too.
        "answered" | "not_answered" => true,
        // The parts of a text that is long for its own sake.
        "request" | "job" if name.contains("long") => true,
        // A key that is good for nothing, and a file that trusts another.
        "key" | "set" if ["trust/empty.json", "trust/other_key.json"].contains(&name) => true,
        // Of what is refused only the verdict counts, and for Python the rule that is broken.
        "verdict" => false,
        "fault" => !python,
        _ => !ok,
    }
}

/// Every committed file with each of its members altered, one at a time.
pub(crate) fn files(python: bool) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (name, text) in committed() {
        let members: Map<String, Value> = serde_json::from_str(&text).unwrap();
        let ok = members["verdict"] == "ok";
        for member in members.keys().filter(|member| !may_be_anything(&name, member, ok, python)) {
            let mut altered = members.clone();
            alter(&mut altered[member]);
            let name = name.replace(".json", &format!(".{member}.json"));
            all.insert(name, Value::Object(altered).to_string());
        }
    }
    all
}

/// Makes a value another one of its kind.
fn alter(value: &mut Value) {
    match value {
        Value::String(text) if text.as_str() == "ok" => *text = "drop".to_owned(),
        Value::String(text) => {
            // In the middle, where no syntax is: a digit or letter becomes another one.
            let at = (text.len() / 2..text.len()).chain(0..text.len() / 2);
            let at = at.into_iter().find(|at| text.as_bytes()[*at].is_ascii_alphanumeric());
            match at {
                Some(at) => {
                    let other = if &text[at..=at] == "1" { "2" } else { "1" };
                    text.replace_range(at..=at, other);
                }
                None => text.push('1'),
            }
        }
        Value::Number(number) => *value = json!(number.as_u64().unwrap() + 1),
        Value::Array(items) if items.is_empty() => items.push(json!("01")),
        Value::Array(items) => alter(items.last_mut().unwrap()),
        other => panic!("{other}"),
    }
}

#[test]
fn this_implementation_notices() {
    let altered = files(false);
    let unnoticed = altered.iter().filter(|(name, text)| check::check(name, text).is_ok());
    let unnoticed: Vec<_> = unnoticed.map(|(name, _)| name).collect();
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
    assert!(altered.len() > 1000, "{} files", altered.len());
}
