//! The worker's side: HPKE's sender, who asks for options and payload and then answers.

mod cancelled;
mod over;
mod store;

use rand_core::CryptoRng;
use thiserror::Error;

use self::store::Kept;
pub use self::{
    cancelled::Cancelled,
    over::{Acknowledged, AwaitAcknowledgement, AwaitStatus, Closure, closes},
    store::ToStore,
};
use super::{Dropped, PeerError, debug_as_name, facts::Facts};
use crate::{
    hpke::{self, Enc, Exporter, HpkeError, Mode},
    id::{Attempt, Instance, Sha256Hash},
    identity::{Proof, SigningKey},
    job::Job,
    launch::Signers,
    receipt::Salt,
    wire::{
        Body, ClientNonce, Empty, ErrorMember, Event, Head, Header, Kind, OpenError, Opened, Opener,
        OptionsKey, SealError, Sealer, SessionKeys, Written,
    },
};

/// Who serves, and how large a message may be.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The job.
    pub job: &'a Job,
    /// Who signed it.
    pub signers: &'a Signers,
    /// The attempt that this process has taken.
    pub attempt: Attempt,
    /// The worker's identity.
    pub identity: &'a SigningKey,
    /// The worker's certificate, a compact JWT, if clients know its authority rather than its key.
    pub cert: Option<&'a str>,
    /// The process.
    pub instance: Instance,
    /// The largest message that the server takes, in bytes.
    pub max_envelope_bytes: usize,
}

/// A session that could not be begun.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupError {
    /// The client's key is none.
    #[error("the job's client key is unusable: {0}")]
    ClientKey(#[from] HpkeError),
    /// The job names a pre-shared key that this worker does not have. Nobody falls back.
    #[error("the job's pre-shared key is not available here")]
    PskUnavailable,
}

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

/// Nothing is sent yet.
///
/// The session's beginning; [`session`](super#a-session-from-launch-to-close) shows all of one.
pub struct Offer {
    unbound: Box<Unbound>,
    key: OptionsKey,
    proof: String,
    cert: Option<String>,
    instance: Instance,
}

/// The session before the client's N is known.
struct Unbound {
    exporter: Exporter,
    enc: Enc,
    attempt: u16,
    max_bytes: usize,
    tokens: TokenHashes,
    facts: Facts,
    /// The `options` envelope, once it is sealed: a stored result begins with it.
    options: Vec<u8>,
}

/// What stands in the job for the two tokens that end it.
#[derive(Clone, Copy)]
struct TokenHashes {
    close: Sha256Hash,
    cancel: Sha256Hash,
}

impl Offer {
    /// Encapsulates to the client's key and signs the proof.
    ///
    /// # Errors
    ///
    /// A client key that no secret can be agreed with, or a pre-shared key that is not here.
    pub fn new(setup: &Setup<'_>, rng: &mut impl CryptoRng) -> Result<Self, SetupError> {
        let job = setup.job;
        if job.description().psk_id.is_some() {
            return Err(SetupError::PskUnavailable);
        }
        let (enc, exporter) =
            hpke::setup_sender(rng, &job.description().client_key, &job.info(), Mode::Base)?;
        let proof = Proof {
            job: *job.id(),
            worker: job.worker().clone(),
            enc: Sha256Hash::of(enc.as_bytes()),
            attempt: setup.attempt,
        };
        Ok(Self {
            key: OptionsKey::derive(&exporter),
            proof: proof.sign(setup.identity),
            cert: setup.cert.map(str::to_owned),
            instance: setup.instance,
            unbound: Box::new(Unbound {
                exporter,
                enc,
                attempt: setup.attempt.get(),
                max_bytes: setup.max_envelope_bytes,
                tokens: TokenHashes { close: job.description().close, cancel: job.description().cancel },
                facts: Facts::new(job, setup.signers.iter().copied().collect(), setup.attempt),
                options: Vec::new(),
            }),
        })
    }

    /// Seals `options`: the proof and the worker's public parameters.
    ///
    /// # Errors
    ///
    /// Parameters that cannot be sealed; the offer is given back.
    pub fn options(mut self, parameters: impl Body) -> Result<Sent<AwaitOptions>, NotSent<Self>> {
        let head = Head {
            worker: Some(self.proof.clone()),
            cert: self.cert.clone(),
            instance: Some(self.instance),
            ..Head::default()
        };
        let unbound = &self.unbound;
        match self.key.seal(unbound.attempt, &unbound.enc, head, parameters, unbound.max_bytes) {
            Ok(envelope) => {
                self.unbound.options.clone_from(&envelope);
                Ok(Sent { next: AwaitOptions { unbound: self.unbound }, envelope })
            }
            Err(error) => Err(NotSent { session: self, error }),
        }
    }
}

/// Waits for the client's options.
pub struct AwaitOptions {
    unbound: Box<Unbound>,
}

impl AwaitOptions {
    /// Takes the reply. The first N whose record opens is bound; replies under any other are dropped.
    ///
    /// # Errors
    ///
    /// A reply that does not open changes nothing.
    pub fn receive(self, reply: Vec<u8>) -> Received<HasOptions, Self> {
        let opened = self.bind(&reply, Kind::OptionsReply).and_then(|(sealer, mut opener, nonce)| {
            let (_, opened) = opener.open(Kind::OptionsReply, reply, |opened| answers(opened, 0))?;
            Ok((sealer, opener, nonce, opened))
        });
        match opened {
            Ok((.., opened)) if opened.head().error.is_some() => Ok(failed(&opened)),
            Ok((sealer, opener, nonce, opened)) => {
                let Unbound { tokens, facts, options, .. } = *self.unbound;
                let mut channel = Box::new(Channel { sealer, opener, tokens, facts, nonce, options });
                channel.facts.inputs.options = Sha256Hash::of_secret(opened.body());
                Ok(Answer::Accepted { next: HasOptions { channel }, opened })
            }
            Err(OpenError) => Err(Dropped::new(self)),
        }
    }

    /// Takes the client's `cancel`, which may be the first message under its N.
    ///
    /// # Errors
    ///
    /// A message that does not open, or shows another token, changes nothing.
    pub fn cancel(self, envelope: Vec<u8>) -> Result<Cancelled, Dropped<Self>> {
        let cancelled = self.bind(&envelope, Kind::Cancel).and_then(|(mut sealer, mut opener, _)| {
            Cancelled::take(&mut sealer, &mut opener, &self.unbound.tokens.cancel, envelope)
        });
        cancelled.map_err(|OpenError| Dropped::new(self))
    }

    /// The keys under the N of a message of this kind, which nobody has vouched for yet.
    fn bind(&self, envelope: &[u8], kind: Kind) -> Result<(Sealer, Opener, ClientNonce), OpenError> {
        let Unbound { exporter, enc, attempt, max_bytes, .. } = &*self.unbound;
        let header = Header::decode(envelope).ok_or(OpenError)?;
        if header.kind != kind || header.attempt != *attempt {
            return Err(OpenError);
        }
        let nonce = ClientNonce::from_header(&header);
        let keys = SessionKeys::derive(exporter, &nonce);
        let (sealer, opener) = keys.for_worker(*attempt, enc, &nonce, *max_bytes);
        Ok((sealer, opener, nonce))
    }
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
