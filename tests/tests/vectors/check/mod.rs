//! What reads the vectors with the crates that they check.

mod client;
mod fields;
mod jobs;
mod messages;
mod receipts;
mod rules;
mod sessions;
mod signed;
mod stored;
mod unseal;
mod worker;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::files;

/// Why this implementation and a file disagree.
type Disagreement = String;

/// The members of a file that belong to its kind.
pub(crate) struct Case {
    /// Whether everything that comes out is there to be compared.
    pub(crate) is_ok: bool,
    members: Map<String, Value>,
}

impl Case {
    /// The members as the struct that a kind has.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Disagreement> {
        serde_json::from_value(Value::Object(self.members.clone())).map_err(|error| error.to_string())
    }
}

/// What this implementation says: `ok`, or the word for what it does instead.
pub(crate) type Verdict = Result<String, Disagreement>;

pub(crate) fn ok() -> Verdict {
    Ok("ok".to_owned())
}

/// Compares what came out with what the file says.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(
    name: &str,
    here: T,
    there: T,
) -> Result<(), Disagreement> {
    if here == there { Ok(()) } else { Err(format!("`{name}` is {here:?} here, {there:?} there")) }
}

/// Whether this implementation agrees with a file.
pub(crate) fn check(name: &str, text: &str) -> Result<(), Disagreement> {
    let Value::Object(mut members) = serde_json::from_str(text).map_err(|error| error.to_string())? else {
        return Err("not an object".to_owned());
    };
    let mut word = |name: &str| match members.remove(name) {
        Some(Value::String(text)) => Ok(text),
        other => Err(format!("`{name}` is {other:?}")),
    };
    let (kind, verdict) = (word("kind")?, word("verdict")?);
    same("kind", kind.as_str(), name.split('/').next().unwrap_or_default())?;
    let is_ok = verdict == "ok";
    word(if is_ok { "about" } else { "because" })?;
    if !is_ok {
        word("fault")?;
    }
    let case = Case { is_ok, members };
    let here = match kind.as_str() {
        "job" => jobs::job(&case),
        "launch" => jobs::launch(&case),
        "session" => sessions::session(&case),
        "message" => messages::message(&case),
        "stored" => stored::stored(&case),
        "proof" => signed::proof(&case),
        "receipt" => receipts::receipt(&case),
        "record" => signed::record(&case),
        "trust" => signed::trust(&case),
        "cert" => signed::cert(&case),
        "padding" => rules::padding(&case),
        "inbox" => rules::inbox(&case),
        _ => Err("of an unknown kind".to_owned()),
    }?;
    same("verdict", here, verdict)
}

#[test]
fn this_implementation_agrees_with_every_file() {
    let files = files::committed();
    let disagreements: Vec<_> = files
        .iter()
        .filter_map(|(name, text)| check(name, text).err().map(|why| format!("{name}: {why}")))
        .collect();
    assert!(
        disagreements.is_empty(),
        "{} of {}:\n{}",
        disagreements.len(),
        files.len(),
        disagreements.join("\n")
    );
    assert!(files.len() > 400, "{} files", files.len());
}
