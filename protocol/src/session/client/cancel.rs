//! Cancelling a job over its session: the last thing that a client seals in it.

use super::{
    AwaitDone, AwaitReady, Channel, OwesAcknowledgement, OwesOptions, OwesPayload, OwesRefusal, OwesStatus,
};
use crate::{
    session::{Dropped, debug_as_name},
    wire::{Empty, Head, Kind, OpenError, SealError},
};

/// A `cancel` that is sealed, and the state that waits for its answer.
#[derive(Debug)]
pub struct Cancel {
    /// Waits for the answer.
    pub next: AwaitCancelled,
    /// What to publish as a request, and to publish again as it is until the answer has come.
    pub envelope: Vec<u8>,
}

/// Has cancelled the job, and waits for the worker to say that it knows. No step is answered any more, and no
/// result is taken.
pub struct AwaitCancelled {
    channel: Box<Channel>,
    request: u64,
}

/// The worker knows that the job is cancelled.
#[derive(Debug)]
pub struct CancelTaken;

impl AwaitCancelled {
    /// Takes the reply.
    ///
    /// # Errors
    ///
    /// A reply that does not open changes nothing.
    pub fn receive(mut self, reply: Vec<u8>) -> Result<CancelTaken, Dropped<Self>> {
        let request = self.request;
        let answers = |re: Option<crate::json::Int>| re.is_some_and(|re| re.get() == request);
        match self.channel.opener.open(Kind::CancelReply, reply, |opened| answers(opened.head().re)) {
            Ok(_) => Ok(CancelTaken),
            Err(OpenError) => Err(Dropped::new(self)),
        }
    }
}

/// Every live session can be cancelled.
macro_rules! cancels {
    ($($name:ident)*) => {$(
        impl $name {
            /// Seals `cancel`, with the job's cancel token. It ends the session for this client.
            ///
            /// # Errors
            ///
            /// Only when the session has no numbers left.
            pub fn cancel(self, token: [u8; 32]) -> Result<Cancel, SealError> {
                let mut channel = self.channel;
                let head = Head { cancel: Some(token), ..Head::default() };
                let (request, envelope) = channel.sealer.seal(Kind::Cancel, head, Empty)?;
                Ok(Cancel { next: AwaitCancelled { channel, request }, envelope })
            }
        }
    )*};
}
cancels!(OwesOptions AwaitReady OwesPayload AwaitDone OwesStatus OwesRefusal OwesAcknowledgement);
debug_as_name!(AwaitCancelled);
