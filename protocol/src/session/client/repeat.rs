//! Steps that come again: answered with the same bytes, also for a while after the end.

use std::collections::VecDeque;

use crate::{id::Sha256Hash, session::debug_as_name, wire::Header};

/// A step that is seen again while its answer is being made is answered at this many subjects.
const MAX_WAITING: usize = 4;
/// How long after closing the reply to `done` is repeated, in milliseconds.
pub const REPEAT_AFTER_CLOSE_MS: u64 = 2 * 60 * 1000;

/// The latest step that was taken: it may come again, and is then answered with the same bytes.
pub(super) struct Latest {
    hash: Sha256Hash,
    pub(super) number: u64,
    pub(super) waiting: VecDeque<String>,
    pub(super) reply: Option<Vec<u8>>,
}

/// What to do with a message that may be the latest step again.
#[derive(Debug, PartialEq, Eq)]
pub enum Repeated<'a> {
    /// It is something else.
    No,
    /// It is the latest step, and its answer is still being made.
    Pending,
    /// It is the latest step: these bytes answer it again.
    Answered(&'a [u8]),
}

impl Latest {
    pub(super) fn new(envelope: &[u8], reply_to: &str) -> Self {
        let number = Header::decode(envelope).map_or(0, |header| header.number);
        Self { hash: Sha256Hash::of(envelope), number, waiting: [reply_to.to_owned()].into(), reply: None }
    }

    pub(super) fn repeated(&mut self, envelope: &[u8], reply_to: &str) -> Repeated<'_> {
        if Sha256Hash::of(envelope) != self.hash {
            return Repeated::No;
        }
        if let Some(reply) = &self.reply {
            return Repeated::Answered(reply);
        }
        if !self.waiting.iter().any(|subject| subject == reply_to) {
            if self.waiting.len() == MAX_WAITING {
                self.waiting.pop_front();
            }
            self.waiting.push_back(reply_to.to_owned());
        }
        Repeated::Pending
    }
}
/// Answered a step with an error. The keys are gone; the answer is kept for a worker that missed it.
pub struct Refused {
    pub(super) latest: Latest,
}

/// The session is over and its keys are gone. The hash of `done` and the answer's ciphertext stay for
/// [`REPEAT_AFTER_CLOSE_MS`], for a worker that missed the answer.
pub struct Closed {
    pub(super) latest: Latest,
    pub(super) closed_ms: u64,
}

impl Refused {
    /// The session is over; when that was decides how long the answer is repeated.
    pub fn close(self, now_ms: u64) -> Closed {
        Closed { latest: self.latest, closed_ms: now_ms }
    }
}

impl Closed {
    /// The answer again, if `envelope` is the step that it answers and the time is not over.
    pub fn repeat(&self, envelope: &[u8], now_ms: u64) -> Option<&[u8]> {
        let in_time = now_ms.saturating_sub(self.closed_ms) <= REPEAT_AFTER_CLOSE_MS;
        (in_time && Sha256Hash::of(envelope) == self.latest.hash).then_some(())?;
        self.latest.reply.as_deref()
    }
}
debug_as_name!(Refused Closed);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_comes_again_is_answered_at_the_last_four_subjects() {
        let mut latest = Latest::new(b"step", "a");
        for subject in ["b", "c", "d", "e", "e"] {
            assert_eq!(latest.repeated(b"step", subject), Repeated::Pending);
        }
        assert_eq!(latest.waiting, ["b", "c", "d", "e"]);
        assert_eq!(latest.repeated(b"other", "f"), Repeated::No);
        latest.reply = Some(vec![1]);
        assert_eq!(latest.repeated(b"step", "f"), Repeated::Answered(&[1]));
    }
}
