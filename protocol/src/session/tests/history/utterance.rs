//! What a party is about to say, and what it may try to say before.

use std::collections::BTreeMap;

use subrosa_protocol::{
    refusal::StepCode,
    wire::{Body, BodyError, Content, ErrorMember, Json},
};

use super::{cast::TOO_LARGE, event::Act};

/// A body, or something that cannot be one.
pub(super) enum Utterance {
    Text(String),
    TooLarge,
    NoJson,
}

impl Body for Utterance {
    fn content(&self) -> Option<Content> {
        Some(Content::Json)
    }

    fn write(self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        match self {
            Self::Text(text) => Json(text).write(out),
            Self::TooLarge => Json("x".repeat(TOO_LARGE)).write(out),
            Self::NoJson => Json(BTreeMap::from([([1, 2], 3)])).write(out),
        }
    }
}

impl Act {
    pub(super) fn gives_up(self) -> bool {
        matches!(self, Self::Fail | Self::TooLargeThenFail)
    }

    /// Tries what cannot be sealed, if this act does that first. The state comes back.
    pub(super) fn in_vain<S, T>(self, state: S, seal: impl FnOnce(S, Utterance) -> Result<T, S>) -> S {
        let vain = match self {
            Self::TooLarge | Self::TooLargeThenFail => Utterance::TooLarge,
            Self::NoJson => Utterance::NoJson,
            Self::Go | Self::Fail | Self::Report | Self::Misstate => return state,
        };
        seal(state, vain).err().expect("it cannot be sealed")
    }
}

/// An error with this text.
pub(super) fn error(text: &str) -> ErrorMember {
    ErrorMember::new(StepCode::HandlerFailed, text)
}
