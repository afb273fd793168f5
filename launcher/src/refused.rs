//! What a request is refused with.

use serde::Serialize;
use subrosa_protocol::{json, launch::LaunchError, policy::Unauthorized, refusal::Code};
use subrosa_transport::HistoryError;

use crate::error::{Error, Trouble};

/// A refusal: a code, and a text that says what to do and repeats nothing of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    pub(crate) message: String,
}

/// Why a request has no good answer.
#[derive(Clone, Debug)]
pub(crate) enum Failed {
    /// It is refused.
    Refused(Refused),
    /// It could not be worked on.
    Trouble(Trouble),
}

impl Refused {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The refusal as it travels.
    pub(crate) fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Wire<'a> {
            code: &'a str,
            message: &'a str,
        }

        let bytes = json::to_vec(&Wire { code: self.code.word(), message: &self.message });
        String::from_utf8(bytes).unwrap_or_default()
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        let reason = match failed {
            Failed::Refused(refused) => refused.message,
            Failed::Trouble(trouble) => trouble.to_string(),
        };
        Self::NotCancelled { reason }
    }
}

impl From<LaunchError> for Refused {
    fn from(error: LaunchError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<Unauthorized> for Failed {
    fn from(error: Unauthorized) -> Self {
        Self::Refused(Refused::new(error.code(), error.to_string()))
    }
}

impl From<LaunchError> for Failed {
    fn from(error: LaunchError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<HistoryError> for Failed {
    fn from(error: HistoryError) -> Self {
        Self::Trouble(error.into())
    }
}

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}
