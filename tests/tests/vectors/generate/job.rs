//! A job's text, to be changed member by member.

use super::{
    encoding::{b64u, fixed, hash, hex},
    hpke,
};

/// When all jobs were made.
pub(crate) const CREATED_MS: u64 = 1_800_000_000_000;
/// Until when attempts may begin.
pub(crate) const EXPIRES_MS: u64 = CREATED_MS + 60_000;

/// The members of a job in their order, each with the text of its value.
#[derive(Clone)]
pub(crate) struct Job(Vec<(String, String)>);

impl Job {
    /// A job of `echo` with no optional member.
    pub(crate) fn new() -> Self {
        let quoted = |text: String| format!("\"{text}\"");
        let members = [
            ("v", "1".to_owned()),
            ("worker", quoted("echo".to_owned())),
            ("suite", quoted("x25519".to_owned())),
            ("client_key", quoted(b64u(hpke::public(&fixed("client key"))))),
            ("reply", quoted("subrosa.v1.client.AliceAliceAlice01".to_owned())),
            ("created_ms", CREATED_MS.to_string()),
            ("expires_ms", EXPIRES_MS.to_string()),
            ("timeout_ms", "60000".to_owned()),
            ("max_attempts", "3".to_owned()),
            ("cancel", quoted(b64u(hash(fixed("cancel token"))))),
            ("close", quoted(b64u(hash(hash(fixed("close token")))))),
        ];
        Self(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The same with another value, or with a further member. The value is JSON.
    pub(crate) fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        match self.0.iter_mut().find(|(member, _)| member == name) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((name.to_owned(), value.into())),
        }
        self
    }

    /// The same with a further member, even if there is one of that name.
    pub(crate) fn add(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.retain(|(member, _)| member != name);
        self
    }

    pub(crate) fn text(&self) -> String {
        let members: Vec<_> = self.0.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// The id of the job with these bytes.
pub(crate) fn id(job: impl AsRef<[u8]>) -> String {
    hex(hash(job))
}
