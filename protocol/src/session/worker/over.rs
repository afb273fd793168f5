//! The function has ended: what the client says to its result, or to its failure.

use super::{Answer, Channel, Received, answers, failed, store::Kept};
use crate::{
    id::Sha256Hash,
    session::Dropped,
    wire::{ErrorMember, Kind, OpenError, Opened},
};

/// Waits for the client to say that it has the result.
pub struct AwaitStatus {
    pub(super) channel: Box<Channel>,
    pub(super) request: u64,
    pub(super) kept: Kept,
}

/// The client has the result, and here is what proves it.
#[derive(Debug)]
pub struct Closure {
    /// The job's close token, t.
    pub token: [u8; 32],
}

impl AwaitStatus {
    /// Takes the reply: the client's status and the close token. One without the right token is ignored
    /// like one that does not open.
    ///
    /// # Errors
    ///
    /// A reply that does not open changes nothing.
    pub fn receive(mut self, reply: Vec<u8>) -> Received<Closure, Self> {
        let Channel { opener, tokens, .. } = &mut *self.channel;
        let closes = |opened: &Opened| opened.head().close.filter(|token| closes(token, &tokens.close));
        let accept = |opened: &Opened| {
            answers(opened, self.request) && (opened.head().error.is_some() || closes(opened).is_some())
        };
        match opener.open(Kind::DoneReply, reply, accept) {
            Ok((_, opened)) if opened.head().error.is_some() => Ok(failed(&opened)),
            Ok((_, opened)) => match opened.head().close {
                Some(token) => Ok(Answer::Accepted { next: Closure { token }, opened }),
                None => Err(Dropped::new(self)),
            },
            Err(OpenError) => Err(Dropped::new(self)),
        }
    }
}

/// Whether `token` is the t whose double hash is the job's `close`.
pub fn closes(token: &[u8; 32], close: &Sha256Hash) -> bool {
    Sha256Hash::of(Sha256Hash::of_secret(token).0) == *close
}

/// Waits for the client to say that it knows of the failure.
pub struct AwaitAcknowledgement {
    pub(super) channel: Box<Channel>,
    pub(super) request: u64,
    pub(super) error: ErrorMember,
}

/// The client knows that the job has failed.
#[derive(Debug)]
pub struct Acknowledged;

impl AwaitAcknowledgement {
    /// Takes the reply.
    ///
    /// # Errors
    ///
    /// A reply that does not open changes nothing.
    pub fn receive(mut self, reply: Vec<u8>) -> Result<Acknowledged, Dropped<Self>> {
        match self.channel.open(Kind::DoneReply, reply, self.request) {
            Ok(_) => Ok(Acknowledged),
            Err(OpenError) => Err(Dropped::new(self)),
        }
    }
}
