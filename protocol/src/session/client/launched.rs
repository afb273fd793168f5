//! A job that waits for a worker: opens `options`, believes proofs, and limits what strangers cost.

use std::collections::BTreeSet;

use rand_core::CryptoRng;
use thiserror::Error;

use super::{Channel, OwesOptions, repeat::Latest};
use crate::{
    hpke::{self, Enc, Exporter, Mode, RecipientKey},
    id::{Attempt, Instance, Sha256Hash},
    identity::{Proof, Thumbprint, Trust, Untrusted},
    job::Job,
    session::{debug_as_name, facts::Facts},
    wire::{ClientNonce, HEADER_BYTES, Head, Header, Kind, OpenError, Opened, OptionsKey, SessionKeys},
};

/// Openings without a valid proof that a job pays for at once; one more every
/// [`REFILL_MS`] milliseconds.
const FREE_OPENINGS: u64 = 64;
/// See [`FREE_OPENINGS`].
const REFILL_MS: u64 = 250;

/// A job that is launched: holds the job's KEM key until the job closes, because a further attempt
/// needs it.
///
/// The session's beginning; [`session`](super::super#a-session-from-launch-to-close) shows all of one.
pub struct Launched {
    pub(super) job: Job,
    pub(super) signers: BTreeSet<Thumbprint>,
    key: RecipientKey,
    pub(super) max_bytes: usize,
    /// The highest attempt that a worker has proven to serve.
    pub(super) highest: u16,
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
    /// The worker's certificate, if it has shown one.
    pub cert: Option<String>,
    /// The process that serves.
    pub instance: Instance,
    /// The worker's public parameters.
    pub parameters: Opened,
}

impl Launched {
    /// The client's side of `job`, signed by `signers`, whose `client_key` belongs to `key`.
    pub fn new(
        job: Job,
        signers: BTreeSet<Thumbprint>,
        key: RecipientKey,
        max_envelope_bytes: usize,
    ) -> Self {
        Self { job, signers, key, max_bytes: max_envelope_bytes, highest: 0, budget: Budget::new() }
    }

    /// The side of a client that has come back: attempts up to `attempt` were answered before it went, and none
    /// of them is answered again. What they have stored can be opened.
    pub fn resumed(
        job: Job,
        signers: BTreeSet<Thumbprint>,
        key: RecipientKey,
        attempt: Attempt,
        max_envelope_bytes: usize,
    ) -> Self {
        Self { highest: attempt.get(), ..Self::new(job, signers, key, max_envelope_bytes) }
    }

    /// Gives the job's KEM key back, for a client that goes and may come back.
    pub fn into_key(self) -> RecipientKey {
        self.key
    }

    /// The job.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// The highest attempt that a worker has proven to serve; 0 before the first.
    pub fn proven_attempt(&self) -> u16 {
        self.highest
    }

    /// Opens an `options` envelope of a further attempt. The caller drops the older session, if any.
    ///
    /// # Errors
    ///
    /// Nothing changes before the worker's proof has passed, and a worker that is not trusted
    /// changes nothing either. Unknown and stale attempts are dropped before any public-key
    /// operation, and openings without a proof are limited in their rate. `now_ms` is the wall clock,
    /// in Unix milliseconds, by which certificates are judged.
    pub fn open_options(
        &mut self,
        envelope: Vec<u8>,
        reply_to: &str,
        trust: &Trust,
        rng: &mut impl CryptoRng,
        now_ms: u64,
    ) -> Result<Options, OptionsError> {
        let (attempt, enc) = self.addressed(&envelope, self.highest + 1)?;
        self.budget.take(now_ms)?;
        let latest = Latest::new(&envelope, reply_to);
        let proven = self.prove(envelope, attempt, enc, trust, now_ms)?;
        let Proven { exporter, enc, worker, cert, instance, parameters } = proven;
        self.budget.give_back();
        self.highest = attempt.get();
        let nonce = ClientNonce::random(rng);
        let keys = SessionKeys::derive(&exporter, &nonce);
        let (sealer, opener) = keys.for_client(attempt.get(), &enc, &nonce, self.max_bytes);
        let facts = Facts::new(&self.job, self.signers.clone(), attempt);
        let channel = Box::new(Channel { sealer, opener, latest, facts, worker, cert: cert.clone() });
        Ok(Options { session: OwesOptions { channel }, attempt, worker, cert, instance, parameters })
    }

    /// Takes an `options` apart, before any public-key operation: its attempt, which is at least this one and
    /// one that the job allows, and its encapsulation.
    pub(super) fn addressed(&self, envelope: &[u8], least: u16) -> Result<(Attempt, Enc), OpenError> {
        let header = Header::decode(envelope).ok_or(OpenError)?;
        let fits = header.kind == Kind::Options
            && header.number == 0
            && header.attempt >= least
            && header.attempt <= self.job.description().max_attempts;
        let attempt = Attempt::new(header.attempt).map_err(|_| OpenError)?;
        let enc = envelope.get(HEADER_BYTES..HEADER_BYTES + 32).and_then(|enc| Enc::try_from(enc).ok());
        let enc = enc.filter(|enc| fits && *enc.worker_key() == header.key).ok_or(OpenError)?;
        // Nobody falls back: without the pre-shared key that the job names, no session opens.
        if self.job.description().psk_id.is_some() {
            return Err(OpenError);
        }
        Ok((attempt, enc))
    }

    /// Opens an `options`, and believes it only from a worker that is trusted.
    pub(super) fn prove(
        &self,
        envelope: Vec<u8>,
        attempt: Attempt,
        enc: Enc,
        trust: &Trust,
        now_ms: u64,
    ) -> Result<Proven, OptionsError> {
        let info = self.job.info();
        let exporter = hpke::setup_recipient(&self.key, &enc, &info, Mode::Base).map_err(|_| OpenError)?;
        let parameters = OptionsKey::derive(&exporter).open(envelope, &enc)?;
        let Head { worker: Some(proof), instance: Some(instance), cert, event: None, .. } = parameters.head()
        else {
            return Err(OpenError.into());
        };
        let (instance, cert) = (*instance, cert.clone());
        let expected = Proof {
            job: *self.job.id(),
            worker: self.job.worker().clone(),
            enc: Sha256Hash::of(enc.as_bytes()),
            attempt,
        };
        let worker = Proof::verify(proof, &expected).map_err(|_| OpenError)?.thumbprint();
        trust
            .vouched(&worker, self.job.worker(), cert.as_deref(), now_ms)
            .map_err(|reason| OptionsError::Untrusted { attempt, worker, reason })?;
        Ok(Proven { exporter, enc, worker, cert, instance, parameters })
    }
}

/// A worker that is trusted, and what it has sealed for the job's key.
pub(super) struct Proven {
    pub(super) exporter: Exporter,
    pub(super) enc: Enc,
    pub(super) worker: Thumbprint,
    pub(super) cert: Option<String>,
    instance: Instance,
    parameters: Opened,
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
        // A clock that was put back starts anew, and gives nothing for it.
        *since = now_ms.min(*since);
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
debug_as_name!(Launched);

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
    fn a_clock_that_jumps_gives_no_more_than_a_full_budget() {
        let mut budget = Budget::new();
        assert!(budget.take(u64::MAX).is_ok());
        assert!(budget.take(0).is_ok());
        assert_eq!(budget.left, FREE_OPENINGS - 2);
        let mut budget = Budget::new();
        assert!(budget.take(0).is_ok());
        assert!(budget.take(u64::MAX).is_ok());
        assert_eq!(budget.left, FREE_OPENINGS - 1);
    }
}
