//! The worker's side: HPKE's sender, who asks for options and payload and then answers.

mod cancelled;
mod offer;
mod over;
mod store;

use thiserror::Error;

use self::store::Kept;
pub use self::{
    cancelled::Cancelled,
    offer::{AwaitOptions, Offer, Setup, SetupError},
    over::{Acknowledged, AwaitAcknowledgement, AwaitStatus, Closure, closes},
    store::ToStore,
};
use super::{Dropped, PeerError, debug_as_name, facts::Facts};
use crate::{
    id::Sha256Hash,
    identity::SigningKey,
    receipt::Salt,
    wire::{
        Body, ClientNonce, Empty, ErrorMember, Event, Head, Kind, OpenError, Opened, Opener, SealError,
        Sealer, Written,
    },
};

/// A step that is sealed, and the state that waits for its answer.
#[derive(Debug)]
pub struct Sent<S> {
    /// Waits for the answer.
    pub next: S,
    /// What to publish as a request, and to publish again as it is until the answer has come.
    pub envelope: Vec<u8>,
}

/// A step that could not be sealed; the state is as it was, and no number is used up.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct NotSent<S> {
    /// The state, unchanged.
    pub session: S,
    /// Why.
    pub error: SealError,
}

/// The client's answer to a step.
#[derive(Debug)]
pub enum Answer<S> {
    /// The session goes on.
    Accepted {
        /// The next state.
        next: S,
        /// What the client sent.
        opened: Opened,
    },
    /// The client answered with an error: the job has failed.
    Failed(PeerError),
}

/// What `receive` returns: an answer, or the state unchanged.
pub type Received<S, Waiting> = Result<Answer<S>, Dropped<Waiting>>;

/// What stands in the job for the two tokens that end it.
#[derive(Clone, Copy)]
struct TokenHashes {
    close: Sha256Hash,
    cancel: Sha256Hash,
}

/// The session's two directions, once N is bound.
struct Channel {
    sealer: Sealer,
    opener: Opener,
    tokens: TokenHashes,
    facts: Facts,
    nonce: ClientNonce,
    /// The `options` envelope, as it was sent.
    options: Vec<u8>,
}

impl Channel {
    fn done(&mut self, result: impl Body, issue: Issue<'_>) -> Result<(u64, Vec<u8>, Kept), SealError> {
        let Issue { identity, salt, started_ms, finished_ms } = issue;
        let result = Written::new(result)?;
        let receipt = self.facts.receipt(&salt, result.hash(), started_ms, finished_ms).sign(identity);
        let kept = Kept { receipt, salt, result };
        let (request, envelope) = self.sealer.seal(Kind::Done, kept.head(), &kept.result)?;
        Ok((request, envelope, kept))
    }

    fn open(&mut self, kind: Kind, reply: Vec<u8>, request: u64) -> Result<Opened, OpenError> {
        self.opener.open(kind, reply, |opened| answers(opened, request)).map(|(_, opened)| opened)
    }
}

/// A reply says which request it answers; another is ignored like one that does not open.
fn answers(opened: &Opened, request: u64) -> bool {
    opened.head().re.is_some_and(|re| re.get() == request)
}

fn failed<S>(opened: &Opened) -> Answer<S> {
    let unknown = || ErrorMember::new(crate::refusal::StepCode::Internal, "");
    Answer::Failed(opened.head().error.clone().unwrap_or_else(unknown))
}

/// Has the client's options; may report, ask for the payload, or give up.
pub struct HasOptions {
    channel: Box<Channel>,
}

impl HasOptions {
    /// Seals `ready`: the worker can take the payload.
    ///
    /// # Errors
    ///
    /// A body that cannot be sealed; the state is given back.
    pub fn ready(mut self, body: impl Body) -> Result<Sent<AwaitPayload>, NotSent<Self>> {
        match self.channel.sealer.seal(Kind::Ready, Head::default(), body) {
            Ok((request, envelope)) => {
                Ok(Sent { next: AwaitPayload { channel: self.channel, request }, envelope })
            }
            Err(error) => Err(NotSent { session: self, error }),
        }
    }

    /// Seals a `done` with an error in place of `ready`.
    ///
    /// # Errors
    ///
    /// Only when the session has no numbers left.
    pub fn fail(self, error: ErrorMember) -> Result<Sent<AwaitAcknowledgement>, SealError> {
        fail(self.channel, error)
    }
}

/// Waits for the payload.
pub struct AwaitPayload {
    channel: Box<Channel>,
    request: u64,
}

impl AwaitPayload {
    /// Takes the reply. Where the job binds its input, the caller refuses a payload that does not fit it;
    /// see [`input_fits`].
    ///
    /// # Errors
    ///
    /// A reply that does not open changes nothing.
    pub fn receive(mut self, reply: Vec<u8>) -> Received<HasPayload, Self> {
        match self.channel.open(Kind::ReadyReply, reply, self.request) {
            Ok(opened) if opened.head().error.is_some() => Ok(failed(&opened)),
            Ok(opened) => {
                self.channel.facts.inputs.payload = Sha256Hash::of_secret(opened.body());
                Ok(Answer::Accepted { next: HasPayload { channel: self.channel }, opened })
            }
            Err(OpenError) => Err(Dropped::new(self)),
        }
    }
}

/// Has the payload; the function runs.
pub struct HasPayload {
    channel: Box<Channel>,
}

/// What a receipt takes beside what the session knows.
#[derive(Debug)]
pub struct Issue<'a> {
    /// The worker's identity, the same as in [`Setup`].
    pub identity: &'a SigningKey,
    /// A fresh salt.
    pub salt: Salt,
    /// When the run began, in Unix milliseconds.
    pub started_ms: u64,
    /// When the result was there, in Unix milliseconds.
    pub finished_ms: u64,
}

impl HasPayload {
    /// Seals `done` with the result and a receipt for it.
    ///
    /// # Errors
    ///
    /// A result that cannot be sealed; the state is given back, so that an error can be sent instead.
    pub fn done(mut self, result: impl Body, issue: Issue<'_>) -> Result<Sent<AwaitStatus>, NotSent<Self>> {
        match self.channel.done(result, issue) {
            Ok((request, envelope, kept)) => {
                Ok(Sent { next: AwaitStatus { channel: self.channel, request, kept }, envelope })
            }
            Err(error) => Err(NotSent { session: self, error }),
        }
    }

    /// Seals `done` with an error.
    ///
    /// # Errors
    ///
    /// Only when the session has no numbers left.
    pub fn fail(self, error: ErrorMember) -> Result<Sent<AwaitAcknowledgement>, SealError> {
        fail(self.channel, error)
    }
}

fn fail(mut channel: Box<Channel>, error: ErrorMember) -> Result<Sent<AwaitAcknowledgement>, SealError> {
    let head = Head { error: Some(error.clone()), ..Head::default() };
    let (request, envelope) = channel.sealer.seal(Kind::Done, head, Empty)?;
    Ok(Sent { next: AwaitAcknowledgement { channel, request, error }, envelope })
}

/// States from which a worker can report progress and log lines.
macro_rules! reports {
    ($($name:ident)*) => {$(
        impl $name {
            /// Seals an event. It is not answered, and may get lost.
            ///
            /// # Errors
            ///
            /// When the session has no numbers left, or a message of that size does not fit.
            pub fn event(&mut self, event: Event) -> Result<Vec<u8>, SealError> {
                let head = Head { event: Some(event), ..Head::default() };
                self.channel.sealer.seal(Kind::Event, head, Empty).map(|(_, envelope)| envelope)
            }
        }
    )*};
}
reports!(HasOptions AwaitPayload HasPayload);

debug_as_name!(Offer AwaitOptions HasOptions AwaitPayload HasPayload AwaitStatus AwaitAcknowledgement Cancelled);

/// Whether `payload` is the one that a job's `input` binds, which is SHA-256(salt ‖ SHA-256(payload)). The
/// salt comes with the payload, in the head.
pub fn input_fits(input: &Sha256Hash, salt: Option<&Salt>, payload: &[u8]) -> bool {
    salt.is_some_and(|salt| salt.payload_hash(Sha256Hash::of_secret(payload)) == *input)
}

#[cfg(test)]
macro_rules! forges {
    ($($name:ident)*) => {$(
        impl $name {
            /// Seals what a worker that does not keep to the rules could send.
            pub(super) fn seal_for_test(&mut self, kind: Kind, head: Head, body: impl Body) -> Vec<u8> {
                self.channel.sealer.seal(kind, head, body).unwrap().1
            }
        }
    )*};
}
#[cfg(test)]
forges!(HasOptions HasPayload);
