//! The session's beginning: `options`, and the reply whose N it is bound to.

use rand_core::CryptoRng;
use thiserror::Error;

use super::{Answer, Cancelled, Channel, HasOptions, NotSent, Received, Sent, TokenHashes, answers, failed};
use crate::{
    hpke::{self, Enc, Exporter, HpkeError, Mode},
    id::{Attempt, Instance, Sha256Hash},
    identity::{Proof, SigningKey},
    job::Job,
    launch::Signers,
    session::{Dropped, facts::Facts},
    wire::{Body, ClientNonce, Head, Header, Kind, OpenError, Opener, OptionsKey, Sealer, SessionKeys},
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

/// Nothing is sent yet.
///
/// The session's beginning; [`session`](crate::session#a-session-from-launch-to-close) shows all of one.
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
