//! The client's side: HPKE's recipient, who answers the worker's steps.

use std::collections::VecDeque;

use rand_core::CryptoRng;
use thiserror::Error;

use super::{Dropped, PeerError, debug_as_name};
use crate::{
    hpke::{self, Enc, Exporter, Mode, RecipientKey},
    id::{Attempt, Instance, Sha256Hash},
    identity::{Proof, Thumbprint, Trust, Untrusted},
    job::Job,
    json::Int,
    wire::{
        Body, ClientNonce, Empty, ErrorMember, Event, HEADER_BYTES, Head, Header, Kind, OpenError, Opened, Opener,
        OptionsKey, SealError, Sealer, SessionKeys,
    },
};

/// Openings without a valid proof that a job pays for at once; one more every
/// [`REFILL_MS`] milliseconds.
const FREE_OPENINGS: u64 = 64;
/// See [`FREE_OPENINGS`].
const REFILL_MS: u64 = 250;
/// A step that is seen again while its answer is being made is answered at this many subjects.
const MAX_WAITING: usize = 4;
/// How long after closing the reply to `done` is repeated, in milliseconds.
pub const REPEAT_AFTER_CLOSE_MS: u64 = 2 * 60 * 1000;

/// A job that is launched: holds the job's KEM key until the job closes, because a further attempt
/// needs it.
pub struct Launched {
    job: Job,
    key: RecipientKey,
    max_bytes: usize,
    /// The highest attempt that a worker has proven to serve.
    highest: u16,
    budget: Budget,
}

/// Why an `options` was not taken. Nothing has changed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionsError {
    /// It does not open, proves nothing, or is of an attempt that is over.
    #[error(transparent)]
    Dropped(#[from] OpenError),
    /// A worker has proven who it is, and is not trusted. It gets no answer.
    #[error("attempt {attempt} was answered by a worker that is not trusted: {reason}")]
    Untrusted {
        /// The attempt that it serves.
        attempt: Attempt,
        /// The worker's key.
        worker: Thumbprint,
        /// Why it is not trusted.
        reason: Untrusted,
    },
}

/// An `options` from a trusted worker.
#[derive(Debug)]
pub struct Options {
    /// The session, which owes the worker the client's options.
    pub session: OwesOptions,
    /// The attempt that the worker serves.
    pub attempt: Attempt,
    /// The worker's key.
    pub worker: Thumbprint,
    /// The process that serves.
    pub instance: Instance,
    /// The worker's public parameters.
    pub parameters: Opened,
}

impl Launched {
    /// The client's side of `job`, whose `client_key` belongs to `key`.
    pub fn new(job: Job, key: RecipientKey, max_envelope_bytes: usize) -> Self {
        Self { job, key, max_bytes: max_envelope_bytes, highest: 0, budget: Budget::new() }
    }

    /// The job.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Opens an `options` envelope of a further attempt. The caller drops the older session, if any.
    ///
    /// # Errors
    ///
    /// Nothing changes before the worker's proof has passed, and a worker that is not trusted
    /// changes nothing either. Unknown and stale attempts are dropped before any public-key
    /// operation, and openings without a proof are limited in their rate: `now_ms` is any clock that
    /// does not go back.
    pub fn open_options(
        &mut self,
        envelope: Vec<u8>,
        reply_to: &str,
        trust: &Trust,
        rng: &mut impl CryptoRng,
        now_ms: u64,
    ) -> Result<Options, OptionsError> {
        let header = Header::decode(&envelope).ok_or(OpenError)?;
        let fresh = header.kind == Kind::Options
            && header.number == 0
            && header.attempt > self.highest
            && header.attempt <= self.job.description().max_attempts;
        let attempt = Attempt::new(header.attempt).map_err(|_| OpenError)?;
        let enc = envelope.get(HEADER_BYTES..HEADER_BYTES + 32).and_then(|enc| Enc::try_from(enc).ok());
        let enc = enc.filter(|enc| fresh && *enc.worker_key() == header.key).ok_or(OpenError)?;
        self.budget.take(now_ms)?;

        let info = self.job.info();
        let exporter = hpke::setup_recipient(&self.key, &enc, &info, Mode::Base).map_err(|_| OpenError)?;
        let latest = Latest::new(&envelope, reply_to);
        let parameters = OptionsKey::derive(&exporter).open(envelope, &enc)?;
        let Head { worker: Some(proof), instance: Some(instance), .. } = parameters.head() else {
            return Err(OpenError.into());
        };
        let instance = *instance;
        let expected = Proof {
            job: *self.job.id(),
            worker: self.job.worker().clone(),
            enc: Sha256Hash::of(enc.as_bytes()),
            attempt,
        };
        let worker = Proof::verify(proof, &expected).map_err(|_| OpenError)?.thumbprint();
        trust
            .worker(&worker, self.job.worker())
            .map_err(|reason| OptionsError::Untrusted { attempt, worker, reason })?;

        self.budget.give_back();
        self.highest = header.attempt;
        let nonce = ClientNonce::random(rng);
        let keys = SessionKeys::derive(&exporter, &nonce);
        let (sealer, opener) = keys.for_client(header.attempt, &enc, &nonce, self.max_bytes);
        let channel = Box::new(Channel { _exporter: exporter, sealer, opener, latest });
        Ok(Options { session: OwesOptions { channel }, attempt, worker, instance, parameters })
    }
}

/// Limits the rate of public-key operations that anybody can cause.
struct Budget {
    left: u64,
    refilled_ms: Option<u64>,
}

impl Budget {
    fn new() -> Self {
        Self { left: FREE_OPENINGS, refilled_ms: None }
    }

    fn take(&mut self, now_ms: u64) -> Result<(), OpenError> {
        let since = self.refilled_ms.get_or_insert(now_ms);
        let earned = now_ms.saturating_sub(*since) / REFILL_MS;
        *since = since.saturating_add(earned.saturating_mul(REFILL_MS));
        self.left = self.left.saturating_add(earned).min(FREE_OPENINGS);
        self.left = self.left.checked_sub(1).ok_or(OpenError)?;
        Ok(())
    }

    fn give_back(&mut self) {
        self.left = self.left.saturating_add(1).min(FREE_OPENINGS);
    }
}

/// One attempt's session: its keys, and the latest step with its answer.
struct Channel {
    /// Streams are derived from it; erased with the session.
    _exporter: Exporter,
    sealer: Sealer,
    opener: Opener,
    latest: Latest,
}

/// The latest step that was taken: it may come again, and is then answered with the same bytes.
struct Latest {
    hash: Sha256Hash,
    number: u64,
    waiting: VecDeque<String>,
    reply: Option<Vec<u8>>,
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
    fn new(envelope: &[u8], reply_to: &str) -> Self {
        let number = Header::decode(envelope).map_or(0, |header| header.number);
        Self { hash: Sha256Hash::of(envelope), number, waiting: [reply_to.to_owned()].into(), reply: None }
    }

    fn repeated(&mut self, envelope: &[u8], reply_to: &str) -> Repeated<'_> {
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
#[derive(Debug)]
pub struct NotSent<S> {
    /// The state, unchanged.
    pub session: S,
    /// Why.
    pub error: SealError,
}

impl Channel {
    fn reply(&mut self, kind: Kind, mut head: Head, body: impl Body) -> Result<(Vec<u8>, Vec<String>), SealError> {
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
        match self.channel.reply(Kind::OptionsReply, Head::default(), options) {
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
                Ok(error) => {
                    Ok(Ready::Failed(Failure { session: OwesAcknowledgement { channel: self.channel }, error }))
                }
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
    pub fn answer(mut self, payload: impl Body, salt: Option<[u8; 32]>) -> Result<Reply<AwaitDone>, NotSent<Self>> {
        let head = Head { salt, ..Head::default() };
        match self.channel.reply(Kind::ReadyReply, head, payload) {
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
    },
    /// With an error.
    Failed(Failure),
}

impl AwaitDone {
    /// Takes `done`.
    ///
    /// # Errors
    ///
    /// A message that does not open changes nothing.
    pub fn receive(mut self, envelope: Vec<u8>, reply_to: &str) -> Result<Done, Dropped<Self>> {
        match self.channel.step(Kind::Done, envelope, reply_to) {
            Ok(opened) => Ok(match opened.head().error.clone() {
                Some(error) => {
                    Done::Failed(Failure { session: OwesAcknowledgement { channel: self.channel }, error })
                }
                None => Done::Result { session: OwesStatus { channel: self.channel }, opened },
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
    pub fn close(mut self, token: [u8; 32], status: impl Body, now_ms: u64) -> Result<Reply<Closed>, NotSent<Self>> {
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

/// Answered a step with an error. The keys are gone; the answer is kept for a worker that missed it.
pub struct Refused {
    latest: Latest,
}

/// The session is over and its keys are gone. The hash of `done` and the answer's ciphertext stay for
/// [`REPEAT_AFTER_CLOSE_MS`], for a worker that missed the answer.
pub struct Closed {
    latest: Latest,
    closed_ms: u64,
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
                let sane = |opened: &Opened| opened.head().event.as_ref().is_some_and(Event::is_sane);
                let (_, opened) = self.channel.opener.open(Kind::Event, envelope, sane)?;
                opened.head().event.clone().ok_or(OpenError)
            }
        }
    )*};
}
live!(OwesOptions AwaitReady OwesPayload AwaitDone OwesStatus OwesAcknowledgement);

debug_as_name!(Launched OwesOptions AwaitReady OwesPayload AwaitDone OwesStatus OwesAcknowledgement Refused Closed);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_are_limited_in_their_rate() {
        let mut budget = Budget::new();
        for _ in 0..FREE_OPENINGS {
            assert!(budget.take(1000).is_ok());
        }
        assert!(budget.take(1000).is_err());
        assert!(budget.take(1000 + REFILL_MS - 1).is_err());
        assert!(budget.take(1000 + REFILL_MS).is_ok());
        assert!(budget.take(1000 + REFILL_MS).is_err());
    }

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
