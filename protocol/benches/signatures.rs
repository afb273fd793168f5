//! What signatures cost: the share that signing and verifying have of all the work that a job is for client,
//! launcher and worker together.
//!
//! The work is the protocol's own, without NATS: the job and its launch request, admission, the records, the
//! session with 1 KiB of payload and of result. The signatures are made and verified once more by themselves, as
//! many and as long as the job's, in turns with whole jobs, so that whatever else the machine does meets both
//! alike.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may fail loudly")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use rand::{SeedableRng as _, rngs::StdRng};
use subrosa_protocol::{
    delivery::Last,
    hpke::RecipientKey,
    id::{Attempt, Instance, JobId, Sha256Hash},
    identity::{Certificate, KeyType, Role, SigningKey, Trust, Typ, sign_compact, verify_compact},
    job::{Description, Job},
    launch::LaunchRequest,
    receipt::Salt,
    record::{Event, Record, Times},
    session::{
        client::{Done, Launched, Ready},
        worker::{Answer, Issue, Offer, Setup},
    },
    subject::Namespace,
    wire::{Empty, Json, Raw},
};

const BODY_BYTES: usize = 1024;
const MAX_ENVELOPE_BYTES: usize = 1 << 20;
const INBOX: &str = "_INBOX.bench.1";
const NOW_MS: u64 = 1_800_000_000_000;
const TOKEN: [u8; 32] = [7; 32];
const ROUNDS: usize = 500;

/// Who takes part in a job, each with a key of one kind.
struct Parties {
    rng: StdRng,
    client: SigningKey,
    launcher: SigningKey,
    worker: SigningKey,
    cert: String,
    trust: Trust,
    instance: Instance,
    namespace: Namespace,
    body: Vec<u8>,
}

impl Parties {
    fn new(key_type: KeyType) -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let [client, launcher, worker, authority] =
            [(); 4].map(|()| SigningKey::generate_type(key_type, &mut rng));
        let certificate = Certificate {
            worker: "bench".parse().unwrap(),
            key: worker.public(),
            issued_s: NOW_MS / 1000,
            expires_s: NOW_MS / 1000 + 86_400,
            image: None,
        };
        Self {
            trust: Trust::default().with_key(launcher.public(), Role::Launcher, None).with_key(
                authority.public(),
                Role::Authority,
                None,
            ),
            cert: certificate.sign(&authority),
            instance: Instance::random(&mut rng),
            namespace: Namespace::default(),
            body: vec![0xA5; BODY_BYTES],
            client,
            launcher,
            worker,
            rng,
        }
    }

    fn record(&self, job: &JobId, attempt: u16, prev: Option<&[u8]>, event: Event) -> Vec<u8> {
        let record = Record { job: *job, at_ms: NOW_MS, attempt, prev: prev.map(Sha256Hash::of), event };
        match attempt {
            0 => record.sign(&self.launcher),
            _ => record.sign_certified(&self.worker, Some(&self.cert)),
        }
    }

    /// One job, from the client's keys to its last record. Returns the lengths of what was signed: all of it,
    /// and what was verified.
    fn job(&mut self) -> (Vec<usize>, Vec<usize>) {
        // The client.
        let key = RecipientKey::generate(&mut self.rng);
        let job = Job::new(Description {
            worker: "bench".parse().unwrap(),
            client: Some(self.client.thumbprint()),
            label: None,
            client_key: *key.public(),
            psk_id: None,
            reply: self.namespace.reply("AliceAliceAlice01").unwrap(),
            created_ms: NOW_MS,
            expires_ms: NOW_MS + 60_000,
            timeout_ms: 60_000,
            max_attempts: 1,
            cancel: Sha256Hash::of(TOKEN),
            close: Sha256Hash::of(Sha256Hash::of(TOKEN).0),
            input: None,
        })
        .unwrap();
        let id = *job.id();
        let launched = LaunchRequest::new(job.clone(), &[&self.client]).unwrap();
        // The launcher.
        let request = LaunchRequest::parse(launched.bytes(), &self.namespace).unwrap();
        black_box(request.verify().unwrap());
        let queued = self.record(&id, 0, None, Event::Queued { request: request.bytes().to_vec() });
        // The worker.
        let request = LaunchRequest::parse(launched.bytes(), &self.namespace).unwrap();
        let signers = request.verify().unwrap();
        assert!(Last::read(Some(&queued), &id, job.worker(), &self.trust).may_be_taken());
        let instance = self.instance;
        let taken = self.record(&id, 1, Some(&queued), Event::Taken { instance });
        let setup = Setup {
            job: request.job(),
            signers: &signers,
            attempt: Attempt::FIRST,
            identity: &self.worker,
            cert: Some(&self.cert),
            instance,
            max_envelope_bytes: MAX_ENVELOPE_BYTES,
        };
        let offer = Offer::new(&setup, &mut self.rng).unwrap();
        // Both.
        let mut client =
            Launched::new(job.clone(), [self.client.thumbprint()].into(), key, MAX_ENVELOPE_BYTES);
        let sent = offer.options(Empty).unwrap();
        let options = client.open_options(sent.envelope, INBOX, &self.trust, &mut self.rng, NOW_MS).unwrap();
        let reply = options.session.answer(Json("some options")).unwrap();
        let Answer::Accepted { next, .. } = sent.next.receive(reply.envelope).unwrap() else {
            unreachable!()
        };
        let sent = next.ready(Empty).unwrap();
        let Ready::Ready { session, .. } = reply.next.receive(sent.envelope, INBOX).unwrap() else {
            unreachable!()
        };
        let reply = session.answer(Raw(&self.body), None).unwrap();
        let Answer::Accepted { next, opened } = sent.next.receive(reply.envelope).unwrap() else {
            unreachable!()
        };
        let running = self.record(&id, 1, Some(&taken), Event::Running { instance });
        let issue = Issue {
            identity: &self.worker,
            salt: Salt::random(&mut self.rng),
            started_ms: NOW_MS,
            finished_ms: NOW_MS,
        };
        let sent = next.done(Raw(opened.body()), issue).unwrap();
        let Done::Result { session, receipt, .. } = reply.next.receive(sent.envelope, INBOX).unwrap() else {
            unreachable!()
        };
        let reply = session.close(TOKEN, Json("ok"), NOW_MS).unwrap();
        let Answer::Accepted { next, .. } = sent.next.receive(reply.envelope).unwrap() else {
            unreachable!()
        };
        let event = Event::Closed { close: next.token, times: Times::default() };
        let closed = self.record(&id, 1, Some(&running), event);

        // A JWS is a third longer than its payload, and has its header.
        let payload = |jws: usize| (jws.saturating_sub(300)) * 3 / 4;
        let request = request.job().bytes().len();
        let (queued, receipt) = (payload(queued.len()), payload(receipt.jws.len()));
        let proof = 200;
        let signed = vec![
            request,
            queued,
            payload(taken.len()),
            payload(running.len()),
            payload(closed.len()),
            proof,
            receipt,
        ];
        (signed, vec![request, request, queued, proof, receipt])
    }
}

/// Makes and verifies signatures over payloads of these lengths.
fn signatures(key: &SigningKey, signed: &[usize], verified: &[(usize, String)]) {
    let payload = vec![0xA5; signed.iter().copied().max().unwrap_or(0)];
    for length in signed {
        black_box(sign_compact(key, Typ::Record, &payload[..*length]));
    }
    for (_, jws) in verified {
        black_box(verify_compact(Typ::Record, jws.as_bytes(), 1 << 20).unwrap());
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn share(key_type: KeyType) {
    let mut parties = Parties::new(key_type);
    let (signed, verified) = parties.job();
    let verified: Vec<_> = verified
        .into_iter()
        .map(|length| (length, sign_compact(&parties.worker, Typ::Record, &vec![0xA5; length])))
        .collect();
    let (mut jobs, mut shares) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        black_box(parties.job());
        let job = micros(start.elapsed());
        let start = Instant::now();
        signatures(&parties.worker, &signed, &verified);
        shares.push(micros(start.elapsed()) / job);
        jobs.push(job);
    }
    println!(
        "{key_type:<10} {:8.1} us for a job, {:4.1} % of it for {} signatures made and {} verified",
        median(jobs),
        median(shares) * 100.0,
        signed.len(),
        verified.len(),
    );
}

/// A certificate that was seen before costs a hash.
fn certificates(key_type: KeyType) {
    let parties = Parties::new(key_type);
    let (key, name) = (parties.worker.thumbprint(), "bench".parse().unwrap());
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let trust = Parties::new(key_type).trust;
        for times in [&mut first, &mut again] {
            let start = Instant::now();
            trust.vouched(&key, &name, Some(&parties.cert), NOW_MS).unwrap();
            times.push(micros(start.elapsed()));
        }
    }
    let (first, again) = (median(first), median(again));
    println!(
        "{key_type:<10} {first:8.1} us for a certificate, {:4.1} % of that when it was seen before",
        again / first * 100.0
    );
}

fn main() {
    for key_type in KeyType::ALL {
        share(key_type);
        certificates(key_type);
    }
}
