//! The client has cancelled the job.

use super::{AwaitAcknowledgement, AwaitPayload, AwaitStatus, Channel, HasOptions, HasPayload};
use crate::{
    id::Sha256Hash,
    json::Int,
    session::Dropped,
    wire::{Empty, Head, Kind, OpenError, Opened, Opener, Sealer},
};

/// The client has cancelled the job, as its token proves. The keys are gone; the answer is kept for a client
/// that missed it.
pub struct Cancelled {
    token: [u8; 32],
    request: Sha256Hash,
    reply: Vec<u8>,
}

impl Cancelled {
    /// Takes a `cancel` that shows the token of the job, and seals the answer.
    pub(super) fn take(
        sealer: &mut Sealer,
        opener: &mut Opener,
        cancel: &Sha256Hash,
        envelope: Vec<u8>,
    ) -> Result<Self, OpenError> {
        let request = Sha256Hash::of(&envelope);
        let shows = |opened: &Opened| {
            opened.head().cancel.as_ref().is_some_and(|token| Sha256Hash::of_secret(token) == *cancel)
        };
        let (number, opened) = opener.open(Kind::Cancel, envelope, shows)?;
        let token = opened.head().cancel.ok_or(OpenError)?;
        let head = Head { re: Int::try_from(number).ok(), ..Head::default() };
        // Without a number left, the client hears of it by the record.
        let reply =
            sealer.seal(Kind::CancelReply, head, Empty).map_or_else(|_| Vec::new(), |(_, reply)| reply);
        Ok(Self { token, request, reply })
    }

    /// The job's cancel token: with it, the record says that the client has cancelled the job.
    pub fn token(&self) -> [u8; 32] {
        self.token
    }

    /// The answer to the client.
    pub fn reply(&self) -> &[u8] {
        &self.reply
    }

    /// The answer again, if `envelope` is the `cancel` that was taken.
    pub fn repeat(&self, envelope: &[u8]) -> Option<&[u8]> {
        (Sha256Hash::of(envelope) == self.request).then_some(&self.reply)
    }
}

/// States in which N is bound and the client can cancel.
macro_rules! cancels {
    ($($name:ident)*) => {$(
        impl $name {
            /// Takes the client's `cancel`.
            ///
            /// # Errors
            ///
            /// A message that does not open, or shows another token, changes nothing.
            pub fn cancel(mut self, envelope: Vec<u8>) -> Result<Cancelled, Dropped<Self>> {
                let Channel { sealer, opener, tokens, .. } = &mut *self.channel;
                let cancelled = Cancelled::take(sealer, opener, &tokens.cancel, envelope);
                cancelled.map_err(|OpenError| Dropped::new(self))
            }
        }
    )*};
}
cancels!(HasOptions AwaitPayload HasPayload AwaitStatus AwaitAcknowledgement);
