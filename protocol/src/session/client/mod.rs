//! The client's side: HPKE's recipient, who answers the worker's steps.

mod cancel;
mod launched;
mod repeat;
mod stored;

use thiserror::Error;

use self::repeat::Latest;
pub use self::{
    cancel::{AwaitCancelled, Cancel, CancelTaken},
    launched::{Launched, Options, OptionsError},
    repeat::{Closed, REPEAT_AFTER_CLOSE_MS, Refused, Repeated},
    stored::{Stored, StoredResult},
};
pub use super::facts::Inputs;
use super::{Dropped, PeerError, debug_as_name, facts::Facts};
use crate::{
    identity::Thumbprint,
    json::Int,
    receipt::{ReceiptError, Salt, SaltedReceipt},
    refusal::StepCode,
    wire::{
        Body, Empty, ErrorMember, Event, Head, Header, Kind, OpenError, Opened, Opener, SealError, Sealer,
        Written,
    },
};

/// One attempt's session: its keys, the latest step with its answer, and what its receipt has to say.
struct Channel {
    sealer: Sealer,
    opener: Opener,
    latest: Latest,
    facts: Facts,
    /// Who has proven to serve.
    worker: Thumbprint,
    /// The certificate that it came with.
    cert: Option<String>,
}

/// An answer that is sealed.
#[derive(Debug)]
pub struct Reply<S> {
    /// The next state.
    pub next: S,
    /// What to publish. The session keeps it, to publish it again when the step comes again.
    pub envelope: Vec<u8>,
    /// Where: the last reply subjects that the step came with.
    pub to: Vec<String>,
}

/// An answer that could not be sealed; the state is as it was, so that an error can be sealed instead.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct NotSent<S> {
    /// The state, unchanged.
    pub session: S,
    /// Why.
    pub error: SealError,
}

impl Channel {
    fn reply(
        &mut self,
        kind: Kind,
        mut head: Head,
        body: impl Body,
    ) -> Result<(Vec<u8>, Vec<String>), SealError> {
        head.re = Int::try_from(self.latest.number).ok();
        let (_, envelope) = self.sealer.seal(kind, head, body)?;
        self.latest.reply = Some(envelope.clone());
        Ok((envelope, self.latest.waiting.drain(..).collect()))
    }

    fn refuse(mut self: Box<Self>, kind: Kind, error: ErrorMember) -> Result<Reply<Refused>, SealError> {
        let head = Head { error: Some(error), ..Head::default() };
        let (envelope, to) = self.reply(kind, head, Empty)?;
        Ok(Reply { next: Refused { latest: self.latest }, envelope, to })
    }

    fn take_receipt(&mut self, done: &mut Opened) -> Result<SaltedReceipt, ReceiptError> {
        self.facts.take_receipt(done, self.worker, self.cert.take())
    }

    fn step(&mut self, kind: Kind, envelope: Vec<u8>, reply_to: &str) -> Result<Opened, OpenError> {
        let latest = Latest::new(&envelope, reply_to);
        let fits = |opened: &Opened| opened.head().event.is_none();
        let (_, opened) = self.opener.open(kind, envelope, fits)?;
        self.latest = latest;
        Ok(opened)
    }
}

/// Owes the worker the client's options.
pub struct OwesOptions {
    channel: Box<Channel>,
}

impl OwesOptions {
    /// Seals the options.
    ///
    /// # Errors
    ///
    /// Options that cannot be sealed; the state is given back.
    pub fn answer(mut self, options: impl Body) -> Result<Reply<AwaitReady>, NotSent<Self>> {
        let sealed = Written::new(options).map_err(SealError::from).and_then(|options| {
            self.channel.facts.inputs.options = options.hash();
            self.channel.reply(Kind::OptionsReply, Head::default(), options)
        });
        match sealed {
            Ok((envelope, to)) => Ok(Reply { next: AwaitReady { channel: self.channel }, envelope, to }),
            Err(error) => Err(NotSent { session: self, error }),
        }
    }

    /// Seals an error, which ends the job.
    ///
    /// # Errors
    ///
    /// Only when the session has no numbers left.
    pub fn refuse(self, error: ErrorMember) -> Result<Reply<Refused>, SealError> {
        self.channel.refuse(Kind::OptionsReply, error)
    }
}

/// Waits for `ready`, or for a `done` with an error in its place.
pub struct AwaitReady {
    channel: Box<Channel>,
}

/// What came in place of, or as, `ready`.
#[derive(Debug)]
pub enum Ready {
    /// The worker can take the payload.
    Ready {
        /// Owes the payload.
        session: OwesPayload,
        /// What the worker said with it.
        opened: Opened,
    },
    /// The worker gave up.
    Failed(Failure),
}

impl AwaitReady {
    /// Takes the next step.
    ///
    /// # Errors
    ///
    /// A message that does not open, or is not what can come here, changes nothing.
    pub fn receive(mut self, envelope: Vec<u8>, reply_to: &str) -> Result<Ready, Dropped<Self>> {
        if Header::decode(&envelope).is_some_and(|header| header.kind == Kind::Done) {
            return match self.channel.failure(envelope, reply_to) {
                Ok(error) => Ok(Ready::Failed(Failure {
                    session: OwesAcknowledgement { channel: self.channel },
                    error,
                })),
                Err(OpenError) => Err(Dropped::new(self)),
            };
        }
        match self.channel.step(Kind::Ready, envelope, reply_to) {
            Ok(opened) => Ok(Ready::Ready { session: OwesPayload { channel: self.channel }, opened }),
            Err(OpenError) => Err(Dropped::new(self)),
        }
    }
}

/// The worker's `done` with an error.
#[derive(Debug)]
pub struct Failure {
    /// Owes the worker an acknowledgement.
    pub session: OwesAcknowledgement,
    /// What went wrong.
    pub error: PeerError,
}

impl Channel {
    /// Takes a `done` that carries an error, and no other.
    fn failure(&mut self, envelope: Vec<u8>, reply_to: &str) -> Result<PeerError, OpenError> {
        let latest = Latest::new(&envelope, reply_to);
        let (_, opened) = self.opener.open(Kind::Done, envelope, |opened| opened.head().error.is_some())?;
        self.latest = latest;
        opened.head().error.clone().ok_or(OpenError)
    }
}

/// Owes the worker the payload.
pub struct OwesPayload {
    channel: Box<Channel>,
}

impl OwesPayload {
    /// Seals the payload, with the salt of the job's `input` where there is one.
    ///
    /// # Errors
    ///
    /// A payload that cannot be sealed; the state is given back.
    pub fn answer(
        mut self,
        payload: impl Body,
        salt: Option<&Salt>,
    ) -> Result<Reply<AwaitDone>, NotSent<Self>> {
        let head = Head { salt: salt.map(Salt::copy), ..Head::default() };
        let sealed = Written::new(payload).map_err(SealError::from).and_then(|payload| {
            self.channel.facts.inputs.payload = payload.hash();
            self.channel.reply(Kind::ReadyReply, head, payload)
        });
        match sealed {
            Ok((envelope, to)) => Ok(Reply { next: AwaitDone { channel: self.channel }, envelope, to }),
            Err(error) => Err(NotSent { session: self, error }),
        }
    }

    /// Seals an error, which ends the job.
    ///
    /// # Errors
    ///
    /// Only when the session has no numbers left.
    pub fn refuse(self, error: ErrorMember) -> Result<Reply<Refused>, SealError> {
        self.channel.refuse(Kind::ReadyReply, error)
    }
}

/// Waits for the result.
pub struct AwaitDone {
    channel: Box<Channel>,
}

/// How the worker's function ended.
#[derive(Debug)]
pub enum Done {
    /// With a result.
    Result {
        /// Owes the client's status.
        session: OwesStatus,
        /// The result.
        opened: Opened,
        /// The worker's receipt for it.
        receipt: Box<SaltedReceipt>,
    },
    /// With a result whose receipt does not hold. Nothing of the result is handed out.
    Unproven {
        /// Owes the worker a refusal.
        session: OwesRefusal,
        /// What is wrong with the receipt.
        error: ReceiptError,
    },
    /// With an error.
    Failed(Failure),
}

impl AwaitDone {
    /// What the client has sent, which a stored result is held against.
    pub fn inputs(&self) -> Inputs {
        self.channel.facts.inputs.clone()
    }

    /// Takes `done`.
    ///
    /// # Errors
    ///
    /// A message that does not open changes nothing.
    pub fn receive(mut self, envelope: Vec<u8>, reply_to: &str) -> Result<Done, Dropped<Self>> {
        match self.channel.step(Kind::Done, envelope, reply_to) {
            Ok(mut opened) => Ok(match opened.head().error.clone() {
                Some(error) => {
                    Done::Failed(Failure { session: OwesAcknowledgement { channel: self.channel }, error })
                }
                None => match self.channel.take_receipt(&mut opened) {
                    Ok(receipt) => Done::Result {
                        session: OwesStatus { channel: self.channel },
                        opened,
                        receipt: Box::new(receipt),
                    },
                    Err(error) => Done::Unproven { session: OwesRefusal { channel: self.channel }, error },
                },
            }),
            Err(OpenError) => Err(Dropped::new(self)),
        }
    }
}

/// Has the result; owes the worker the client's status and the token that closes the job.
pub struct OwesStatus {
    channel: Box<Channel>,
}

impl OwesStatus {
    /// Seals the status with t, the job's close token: the client has the whole result.
    ///
    /// # Errors
    ///
    /// A status that cannot be sealed; the state is given back.
    pub fn close(
        mut self,
        token: [u8; 32],
        status: impl Body,
        now_ms: u64,
    ) -> Result<Reply<Closed>, NotSent<Self>> {
        let head = Head { close: Some(token), ..Head::default() };
        match self.channel.reply(Kind::DoneReply, head, status) {
            Ok((envelope, to)) => {
                Ok(Reply { next: Closed { latest: self.channel.latest, closed_ms: now_ms }, envelope, to })
            }
            Err(error) => Err(NotSent { session: self, error }),
        }
    }

    /// Seals an error: the client cannot use the result, and the job has failed.
    ///
    /// # Errors
    ///
    /// Only when the session has no numbers left.
    pub fn refuse(self, error: ErrorMember) -> Result<Reply<Refused>, SealError> {
        self.channel.refuse(Kind::DoneReply, error)
    }
}

/// Has a result without a receipt that holds; owes the worker an error.
pub struct OwesRefusal {
    channel: Box<Channel>,
}

impl OwesRefusal {
    /// Seals the error, which ends the job.
    ///
    /// # Errors
    ///
    /// Only when the session has no numbers left.
    pub fn refuse(self, error: &ReceiptError) -> Result<Reply<Refused>, SealError> {
        let error = ErrorMember::new(StepCode::BadInput, error.to_string());
        self.channel.refuse(Kind::DoneReply, error)
    }
}

/// Owes the worker an acknowledgement of its error.
pub struct OwesAcknowledgement {
    channel: Box<Channel>,
}

impl OwesAcknowledgement {
    /// Seals the client's status.
    ///
    /// # Errors
    ///
    /// A status that cannot be sealed; the state is given back.
    pub fn acknowledge(mut self, status: impl Body, now_ms: u64) -> Result<Reply<Closed>, NotSent<Self>> {
        match self.channel.reply(Kind::DoneReply, Head::default(), status) {
            Ok((envelope, to)) => {
                Ok(Reply { next: Closed { latest: self.channel.latest, closed_ms: now_ms }, envelope, to })
            }
            Err(error) => Err(NotSent { session: self, error }),
        }
    }
}
/// What every live session can do: recognise a step that comes again, and open events.
macro_rules! live {
    ($($name:ident)*) => {$(
        impl $name {
            /// Recognises the latest step when it comes again. To be asked before `receive`.
            pub fn repeated(&mut self, envelope: &[u8], reply_to: &str) -> Repeated<'_> {
                self.channel.latest.repeated(envelope, reply_to)
            }

            /// Opens an event.
            ///
            /// # Errors
            ///
            /// An event that does not open changes nothing.
            pub fn event(&mut self, envelope: Vec<u8>) -> Result<Event, OpenError> {
                let is_event = |opened: &Opened| opened.head().event.is_some();
                let (_, opened) = self.channel.opener.open(Kind::Event, envelope, is_event)?;
                opened.head().event.clone().ok_or(OpenError)
            }
        }
    )*};
}
live!(OwesOptions AwaitReady OwesPayload AwaitDone OwesStatus OwesRefusal OwesAcknowledgement);
debug_as_name!(OwesOptions AwaitReady OwesPayload AwaitDone OwesStatus OwesRefusal OwesAcknowledgement);

#[cfg(test)]
macro_rules! forges {
    ($($name:ident)*) => {$(
        impl $name {
            /// Seals what a client that does not keep to the rules could send.
            pub(super) fn seal_for_test(&mut self, kind: Kind, head: Head, body: impl Body) -> Vec<u8> {
                self.channel.sealer.seal(kind, head, body).unwrap().1
            }
        }
    )*};
}
#[cfg(test)]
forges!(OwesPayload OwesStatus OwesAcknowledgement);
