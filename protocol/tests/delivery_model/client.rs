//! The client: it answers one worker's steps, takes the result, and shows a token until the end is recorded.

use crate::{
    history::Says,
    world::{Ctx, Edge, Steps, World},
};

/// Where the client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    pub(crate) stage: Stage,
    /// The highest attempt that was proven to it: of the live session.
    pub(crate) live: u8,
    /// It has, or had, the result.
    pub(crate) result: bool,
}

/// How the job is for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    Waits,
    /// It has the result, and answers repeats with the close token.
    HasResult,
    /// It has acknowledged an error.
    Acknowledged,
    /// It has given up.
    Cancels,
    /// It has ended without a word.
    Gone,
}

/// What the client shows to a launcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Token {
    Close,
    Cancel,
}

impl Client {
    pub(crate) const NEW: Self = Self { stage: Stage::Waits, live: 0, result: false };

    pub(crate) fn waits(&self) -> bool {
        self.stage == Stage::Waits
    }

    /// Whether it will ever answer this attempt's steps.
    pub(crate) fn listens_to(&self, attempt: u8) -> bool {
        match self.stage {
            Stage::Waits => attempt >= self.live,
            Stage::HasResult | Stage::Acknowledged => attempt == self.live,
            Stage::Cancels | Stage::Gone => false,
        }
    }

    /// The one token that it keeps, once the job is over for it.
    pub(crate) fn token(&self) -> Option<Token> {
        match self.stage {
            Stage::HasResult => Some(Token::Close),
            Stage::Acknowledged | Stage::Cancels => Some(Token::Cancel),
            Stage::Waits | Stage::Gone => None,
        }
    }
}

impl World {
    /// What the client chooses. What it answers is in the workers' steps, what it shows in the launchers'.
    pub(crate) fn client_steps(&self, _: &Ctx<'_>, edges: &mut Vec<Edge>) {
        let mut steps = Steps { who: "client", number: 0, edges };
        if self.history.len() == 0 {
            return;
        }
        let stored = self.history.message(self.history.len()).filter(|last| last.says == Says::Finished);
        if stored.is_some_and(|last| self.client.waits() && last.attempt == self.client.live) {
            let mut to = self.clone();
            to.client.result = true;
            to.client.stage = Stage::HasResult;
            steps.helps("comes back, and reads the stored result", to);
        }
        if self.client.waits() && self.left.cancels > 0 {
            let mut to = self.clone();
            to.left.cancels -= 1;
            to.client.stage = Stage::Cancels;
            steps.harms("cancels", to);
        }
        if self.client.stage != Stage::Gone && self.left.leaves > 0 {
            let mut to = self.clone();
            to.left.leaves -= 1;
            to.client.stage = Stage::Gone;
            steps.harms("leaves", to);
        }
    }
}
