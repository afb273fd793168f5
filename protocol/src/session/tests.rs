//! Whole sessions, both sides: as they should go, and as somebody between them would like them to go.

mod attempts;
mod cancels;
mod errors;
mod happy;
mod histories;
mod history;
mod hostile;
mod numbers;
mod receipts;
mod repeats;
mod stored;
mod types;

use rand::{SeedableRng as _, rngs::StdRng};

use super::{
    client::{
        AwaitDone, AwaitReady, Done, Launched, Options, OptionsError, OwesOptions, OwesPayload, OwesStatus,
        Ready,
    },
    worker::{
        Answer, AwaitOptions, AwaitPayload, AwaitStatus, HasOptions, HasPayload, Issue, Offer, Sent, Setup,
    },
};
use crate::{
    hpke::RecipientKey,
    id::{Attempt, Instance, Sha256Hash},
    identity::{SigningKey, Trust},
    job::{Description, Job},
    launch::Signers,
    receipt::Salt,
    refusal::StepCode,
    secret::Secret,
    subject::Namespace,
    wire::{Body, ErrorMember, Json},
};

pub(super) const MAX_BYTES: usize = 1 << 20;
pub(super) const NOW_MS: u64 = 1_800_000_000_000;
pub(super) const INBOX: &str = "_INBOX.a.1";
/// The job's close token.
pub(super) const TOKEN: [u8; 32] = [0xC1; 32];
/// The job's cancel token.
pub(super) const CANCEL: [u8; 32] = [0xCA; 32];

pub(super) fn identity(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::take(&mut [seed; 32]))
}

pub(super) fn error() -> ErrorMember {
    ErrorMember::new(StepCode::BadInput, "no")
}

/// The worker's receipt is by its own key, and about a run of 5 ms.
pub(super) fn issue(identity: &SigningKey) -> Issue<'_> {
    let salt = Salt::take(&mut [0x5A; 32]);
    Issue { identity, salt, started_ms: NOW_MS, finished_ms: NOW_MS + 5 }
}

/// Seals a result with a receipt by the worker that all these sessions are with.
pub(super) fn done(
    worker: HasPayload,
    result: impl Body,
) -> Result<Sent<AwaitStatus>, super::worker::NotSent<HasPayload>> {
    worker.done(result, issue(&identity(1)))
}

/// A job, its client's key and its worker.
pub(super) struct World {
    pub(super) rng: StdRng,
    pub(super) job: Job,
    pub(super) identity: SigningKey,
    pub(super) signers: Signers,
    pub(super) trust: Trust,
    pub(super) instance: Instance,
    pub(super) max_bytes: usize,
    /// Where the client's key can be made from again.
    key_seed: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let key_seed = seed ^ 0x5EED;
        let identity = identity(1);
        let description = Description {
            worker: "echo".parse().unwrap(),
            client: None,
            label: None,
            client_key: *Self::key(key_seed).public(),
            psk_id: None,
            reply: Namespace::default().reply("AliceAliceAlice01").unwrap(),
            created_ms: NOW_MS,
            expires_ms: NOW_MS + 60_000,
            timeout_ms: 60_000,
            max_attempts: 3,
            cancel: Sha256Hash::of(CANCEL),
            close: Sha256Hash::of(Sha256Hash::of(TOKEN).0),
            input: None,
        };
        Self {
            trust: Trust::pinned([identity.public()]),
            instance: Instance::random(&mut rng),
            job: Job::new(description).unwrap(),
            identity,
            signers: Signers::default(),
            max_bytes: MAX_BYTES,
            rng,
            key_seed,
        }
    }

    /// The same parties with a changed job.
    pub(super) fn with_job(seed: u64, change: impl FnOnce(&mut Description)) -> Self {
        let mut world = Self::new(seed);
        let mut description = world.job.description().clone();
        change(&mut description);
        world.job = Job::new(description).unwrap();
        world
    }

    fn key(seed: u64) -> RecipientKey {
        RecipientKey::generate(&mut StdRng::seed_from_u64(seed))
    }

    /// A client that has launched the job. Each call gives one that knows nothing of the others.
    pub(super) fn client(&self) -> Launched {
        Launched::new(
            self.job.clone(),
            self.signers.iter().copied().collect(),
            Self::key(self.key_seed),
            self.max_bytes,
        )
    }

    pub(super) fn offer(&mut self, attempt: u16) -> Offer {
        let setup = Setup {
            job: &self.job,
            signers: &self.signers,
            attempt: Attempt::new(attempt).unwrap(),
            identity: &self.identity,
            cert: None,
            instance: self.instance,
            max_envelope_bytes: self.max_bytes,
        };
        Offer::new(&setup, &mut self.rng).unwrap()
    }

    pub(super) fn options(&mut self, attempt: u16) -> Sent<AwaitOptions> {
        self.offer(attempt).options(Json("parameters")).unwrap()
    }

    pub(super) fn open(&mut self, client: &mut Launched, envelope: &[u8]) -> Result<Options, OptionsError> {
        client.open_options(envelope.to_vec(), INBOX, &self.trust, &mut self.rng, NOW_MS)
    }

    pub(super) fn opened(&mut self, client: &mut Launched, envelope: &[u8]) -> OwesOptions {
        self.open(client, envelope).unwrap().session
    }
}

/// A session that has come to a point, with every envelope so far.
pub(super) struct Run<C, W> {
    pub(super) client: C,
    pub(super) worker: W,
    /// The envelopes so far, the latest last; those of the worker at even places.
    pub(super) past: Vec<Vec<u8>>,
}

/// The client has the worker's `options`.
pub(super) fn until_options(world: &mut World) -> Run<OwesOptions, AwaitOptions> {
    let sent = world.options(1);
    let client = world.opened(&mut world.client(), &sent.envelope);
    Run { client, worker: sent.next, past: vec![sent.envelope] }
}

/// The worker has the client's options, and the client waits.
pub(super) fn until_has_options(world: &mut World) -> Run<AwaitReady, HasOptions> {
    let Run { client, worker, mut past } = until_options(world);
    let reply = client.answer(Json("options")).unwrap();
    let worker = accepted(worker.receive(reply.envelope.clone()).unwrap());
    past.push(reply.envelope);
    Run { client: reply.next, worker, past }
}

/// The client has `ready`.
pub(super) fn until_ready(world: &mut World) -> Run<OwesPayload, AwaitPayload> {
    let Run { client, worker, mut past } = until_has_options(world);
    let sent = worker.ready(Json("ready")).unwrap();
    let client = ready(client.receive(sent.envelope.clone(), INBOX).unwrap());
    past.push(sent.envelope);
    Run { client, worker: sent.next, past }
}

/// The worker has the payload, and the client waits.
pub(super) fn until_has_payload(world: &mut World) -> Run<AwaitDone, HasPayload> {
    let Run { client, worker, mut past } = until_ready(world);
    let reply = client.answer(Json("payload"), None).unwrap();
    let worker = accepted(worker.receive(reply.envelope.clone()).unwrap());
    past.push(reply.envelope);
    Run { client: reply.next, worker, past }
}

/// The client has the result.
pub(super) fn until_done(world: &mut World) -> Run<OwesStatus, AwaitStatus> {
    let Run { client, worker, mut past } = until_has_payload(world);
    let sent = done(worker, Json("result")).unwrap();
    let client = result(client.receive(sent.envelope.clone(), INBOX).unwrap());
    past.push(sent.envelope);
    Run { client, worker: sent.next, past }
}

pub(super) fn accepted<S>(answer: Answer<S>) -> S {
    match answer {
        Answer::Accepted { next, .. } => next,
        Answer::Failed(error) => panic!("{error:?}"),
    }
}

pub(super) fn failed<S>(answer: Answer<S>) -> ErrorMember {
    match answer {
        Answer::Accepted { .. } => panic!("accepted"),
        Answer::Failed(error) => error,
    }
}

pub(super) fn ready(ready: Ready) -> OwesPayload {
    match ready {
        Ready::Ready { session, .. } => session,
        Ready::Failed(failure) => panic!("{:?}", failure.error),
    }
}

pub(super) fn result(done: Done) -> OwesStatus {
    match done {
        Done::Result { session, .. } => session,
        Done::Unproven { error, .. } => panic!("{error}"),
        Done::Failed(failure) => panic!("{:?}", failure.error),
    }
}
