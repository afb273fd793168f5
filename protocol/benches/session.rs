//! What a session costs beyond its cryptographic primitives.
//!
//! Both sides of one whole job, with 1 KiB of payload and 1 KiB of result, against the primitives that such
//! a job cannot do without: two key generations, two Diffie-Hellmans, the proof's and the receipt's signatures
//! and their verification, and the same seals and opens. Both are measured in turns, so that whatever else the machine
//! does meets both alike.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may fail loudly")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use chacha20poly1305::{AeadInOut as _, ChaCha20Poly1305, KeyInit as _, Tag};
use criterion::{Criterion, criterion_group};
use ed25519_dalek::Signer as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use subrosa_protocol::{
    hpke::RecipientKey,
    id::{Attempt, Instance, Sha256Hash},
    identity::{SigningKey, Trust},
    job::{Description, Job},
    launch::Signers,
    receipt::Salt,
    session::{
        client::{Done, Launched, Ready},
        worker::{Answer, Issue, Offer, Setup},
    },
    subject::Namespace,
    wire::{Empty, Json, Raw},
};
use x25519_dalek::{PublicKey, StaticSecret};

/// Of the payload, and of the result.
const BODY_BYTES: usize = 1024;
/// The largest message that NATS takes unless it is told otherwise.
const MAX_ENVELOPE_BYTES: usize = 1 << 20;
/// The envelope's header, which is the associated data.
const HEADER_BYTES: usize = 44;
const TAG_BYTES: usize = 16;
/// The worker's encapsulated key, in clear in `options`.
const ENC_BYTES: usize = 32;
const INBOX: &str = "_INBOX.bench.1";
const NOW_MS: u64 = 1_800_000_000_000;

/// Measured in turns this often. The ratio is the median of the turns' ratios, so that a machine that is
/// busy for a while, or changes its clock, does not count.
const ROUNDS: usize = 5000;

/// Everything that is there before a job begins.
struct Parties {
    rng: StdRng,
    identity: SigningKey,
    signers: Signers,
    trust: Trust,
    instance: Instance,
    description: Description,
    body: Vec<u8>,
}

impl Parties {
    fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let identity = SigningKey::generate(&mut rng);
        let token = Sha256Hash::of(Sha256Hash::of([7; 32]).0);
        Self {
            signers: Signers::default(),
            trust: Trust::pinned([identity.public()]),
            instance: Instance::random(&mut rng),
            description: Description {
                worker: "bench".parse().unwrap(),
                client: None,
                label: None,
                client_key: *RecipientKey::generate(&mut rng).public(),
                psk_id: None,
                reply: Namespace::default().reply("AliceAliceAlice01").unwrap(),
                created_ms: NOW_MS,
                expires_ms: NOW_MS + 60_000,
                timeout_ms: 60_000,
                max_attempts: 1,
                cancel: Sha256Hash([0; 32]),
                close: token,
                input: None,
            },
            identity,
            body: vec![0xA5; BODY_BYTES],
            rng,
        }
    }

    /// The client's key, and the job that names it. Writing the job is no cryptography, and not measured.
    fn job(&mut self) -> (RecipientKey, Duration, Job) {
        let start = Instant::now();
        let key = RecipientKey::generate(&mut self.rng);
        let took = start.elapsed();
        let job = Job::new(Description { client_key: *key.public(), ..self.description.clone() }).unwrap();
        (key, took, job)
    }

    /// Both sides of one job. Returns the time, and the lengths of what was sealed.
    fn session(&mut self) -> (Duration, Vec<usize>) {
        let (key, generation, job) = self.job();
        let mut client = Launched::new(job.clone(), [].into(), key, MAX_ENVELOPE_BYTES);
        let setup = Setup {
            job: &job,
            signers: &self.signers,
            attempt: Attempt::FIRST,
            identity: &self.identity,
            cert: None,
            instance: self.instance,
            max_envelope_bytes: MAX_ENVELOPE_BYTES,
        };
        let start = Instant::now();
        let mut lengths = Vec::with_capacity(6);

        let sent = Offer::new(&setup, &mut self.rng).unwrap().options(Empty).unwrap();
        lengths.push(sent.envelope.len() - ENC_BYTES);
        let options = client.open_options(sent.envelope, INBOX, &self.trust, &mut self.rng, NOW_MS).unwrap();
        let reply = options.session.answer(Json("some options")).unwrap();
        lengths.push(reply.envelope.len());
        let Answer::Accepted { next: worker, .. } = sent.next.receive(reply.envelope).unwrap() else {
            unreachable!()
        };

        let sent = worker.ready(Empty).unwrap();
        lengths.push(sent.envelope.len());
        let Ready::Ready { session, .. } = reply.next.receive(sent.envelope, INBOX).unwrap() else {
            unreachable!()
        };
        let reply = session.answer(Raw(&self.body), None).unwrap();
        lengths.push(reply.envelope.len());
        let Answer::Accepted { next: worker, opened } = sent.next.receive(reply.envelope).unwrap() else {
            unreachable!()
        };

        let issue = Issue {
            identity: &self.identity,
            salt: Salt::random(&mut self.rng),
            started_ms: NOW_MS,
            finished_ms: NOW_MS,
        };
        let sent = worker.done(Raw(opened.body()), issue).unwrap();
        lengths.push(sent.envelope.len());
        let Done::Result { session, opened, receipt } = reply.next.receive(sent.envelope, INBOX).unwrap()
        else {
            unreachable!()
        };
        black_box(opened.body());
        let reply = session.close([7; 32], Json("ok"), NOW_MS).unwrap();
        lengths.push(reply.envelope.len());
        let Answer::Accepted { next, .. } = sent.next.receive(reply.envelope).unwrap() else {
            unreachable!()
        };
        black_box(next.token);
        // What is overwritten at the end is part of what a session costs.
        drop((client, opened, receipt, reply.next));
        (generation + start.elapsed(), lengths)
    }
}

/// What a job cannot do without.
struct Primitives {
    rng: StdRng,
    signer: ed25519_dalek::SigningKey,
    messages: Vec<Vec<u8>>,
    signed: [Vec<u8>; 2],
}

impl Primitives {
    /// `lengths` are those of the envelopes, without what they carry in clear beside the header.
    fn new(lengths: &[usize]) -> Self {
        let mut rng = StdRng::seed_from_u64(2);
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        Self {
            rng,
            signer: ed25519_dalek::SigningKey::from_bytes(&seed),
            messages: lengths.iter().map(|length| vec![0xA5; length - HEADER_BYTES - TAG_BYTES]).collect(),
            // As long as what proof and receipt sign: their headers and members, in base64url.
            signed: [430, 600].map(|length| vec![b'x'; length]),
        }
    }

    fn pair(&mut self) -> (StaticSecret, PublicKey) {
        let mut secret = [0; 32];
        self.rng.fill_bytes(&mut secret);
        let secret = StaticSecret::from(secret);
        let public = PublicKey::from(&secret);
        (secret, public)
    }

    fn run(&mut self) -> (Duration, Duration) {
        let start = Instant::now();
        let (client, client_public) = self.pair();
        let (worker, worker_public) = self.pair();
        black_box(worker.diffie_hellman(&client_public));
        black_box(client.diffie_hellman(&worker_public));
        let header = [1; HEADER_BYTES];
        let nonce = [2; 12].into();
        for message in &mut self.messages {
            let sealing = ChaCha20Poly1305::new(black_box(&[3; 32].into()));
            let tag: Tag =
                sealing.encrypt_inout_detached(&nonce, &header, message.as_mut_slice().into()).unwrap();
            let opening = ChaCha20Poly1305::new(black_box(&[3; 32].into()));
            opening.decrypt_inout_detached(&nonce, &header, message.as_mut_slice().into(), &tag).unwrap();
        }
        let without_signatures = start.elapsed();

        let start = Instant::now();
        for signed in &self.signed {
            let signature = black_box(&self.signer).sign(signed);
            // The verifier has only the key's bytes.
            let key = black_box(self.signer.verifying_key().to_bytes());
            let key = ed25519_dalek::VerifyingKey::from_bytes(&key).unwrap();
            key.verify_strict(signed, &signature).unwrap();
        }
        (without_signatures, start.elapsed())
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures both in turns and prints the ratio.
fn compare() {
    let mut parties = Parties::new();
    let (_, lengths) = parties.session();
    let mut primitives = Primitives::new(&lengths);
    let (mut session, mut sum, mut signatures, mut ratio) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS + ROUNDS / 10 {
        let took = micros(parties.session().0);
        let (without_signatures, signing) = primitives.run();
        let primitives = micros(without_signatures + signing);
        // The first rounds warm caches up.
        if round >= ROUNDS / 10 {
            session.push(took);
            sum.push(primitives);
            signatures.push(micros(signing));
            ratio.push(took / primitives);
        }
    }
    let [session, sum, signatures, ratio] = [session, sum, signatures, ratio].map(median);
    println!(
        "session     {session:8.1} us  both sides of one job, {BODY_BYTES} bytes of payload and of result"
    );
    println!("primitives  {sum:8.1} us  of these {signatures:.1} us sign and verify proof and receipt");
    println!("ratio {ratio:.3}");
}

fn each(c: &mut Criterion) {
    let mut parties = Parties::new();
    let (_, lengths) = parties.session();
    let mut primitives = Primitives::new(&lengths);
    c.bench_function("session", |b| b.iter_custom(|n| (0..n).map(|_| parties.session().0).sum()));
    c.bench_function("primitives", |b| {
        b.iter_custom(|n| (0..n).map(|_| primitives.run()).map(|(a, b)| a + b).sum());
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = each
}

fn main() {
    benches();
    compare();
    Criterion::default().configure_from_args().final_summary();
}
