//! Who may open a session at a client, and when: attempts, proofs, trust, and the rate of openings.

use super::*;
use crate::{
    hpke::{self, Enc, Mode},
    id::{JobId, WorkerName},
    identity::{Proof, Role, Untrusted},
    session::worker::SetupError,
    wire::{Head, Header, OpenError, OptionsKey},
};

const DROPPED: OptionsError = OptionsError::Dropped(OpenError);

/// `options` with whatever head: a worker that does not keep to the rules.
struct Forger {
    enc: Enc,
    key: OptionsKey,
}

impl Forger {
    fn new(world: &mut World) -> Self {
        let recipient = world.job.description().client_key;
        let (enc, exporter) =
            hpke::setup_sender(&mut world.rng, &recipient, &world.job.info(), Mode::Base).unwrap();
        Self { key: OptionsKey::derive(&exporter), enc }
    }

    fn proof(&self, world: &World) -> Proof {
        Proof {
            job: *world.job.id(),
            worker: world.job.worker().clone(),
            enc: Sha256Hash::of(self.enc.as_bytes()),
            attempt: Attempt::FIRST,
        }
    }

    fn seal(&self, head: Head) -> Vec<u8> {
        self.key.seal(1, &self.enc, head, Json(1), MAX_BYTES).unwrap()
    }
}

fn head(world: &World, proof: &Proof) -> Head {
    Head { worker: Some(proof.sign(&world.identity)), instance: Some(world.instance), ..Head::default() }
}

#[test]
fn a_proof_for_anything_else_is_refused() {
    let mut world = World::new(40);
    let forger = Forger::new(&mut world);
    let good = forger.proof(&world);
    let other_enc = Forger::new(&mut world).proof(&world).enc;
    let other: WorkerName = "other".parse().unwrap();
    let mut client = world.client();
    for proof in [
        Proof { job: JobId::of(b"another"), ..good.clone() },
        Proof { worker: other, ..good.clone() },
        Proof { enc: other_enc, ..good.clone() },
        Proof { attempt: Attempt::new(2).unwrap(), ..good.clone() },
    ] {
        let envelope = forger.seal(head(&world, &proof));
        assert_eq!(world.open(&mut client, &envelope).unwrap_err(), DROPPED, "{proof:?}");
    }
    let envelope = forger.seal(head(&world, &good));
    world.opened(&mut client, &envelope);
}

#[test]
fn options_need_a_proof_and_an_instance() {
    let mut world = World::new(41);
    let forger = Forger::new(&mut world);
    let good = || head(&world, &forger.proof(&world));
    let truncated = good().worker.clone().map(|mut proof| {
        proof.pop();
        proof
    });
    let bad = [
        Head::default(),
        Head { instance: None, ..good() },
        Head { worker: None, ..good() },
        Head { worker: Some(String::new()), ..good() },
        Head { worker: truncated, ..good() },
    ];
    let (bad, envelope) = (bad.map(|bad| forger.seal(bad)), forger.seal(good()));
    let mut client = world.client();
    for bad in bad {
        assert_eq!(world.open(&mut client, &bad).unwrap_err(), DROPPED);
    }
    world.opened(&mut client, &envelope);
}

#[test]
fn a_proof_does_not_move_to_another_key() {
    let mut world = World::new(42);
    let (honest, thief) = (Forger::new(&mut world), Forger::new(&mut world));
    let stolen = head(&world, &honest.proof(&world));
    let envelope = thief.seal(stolen);
    assert_eq!(world.open(&mut world.client(), &envelope).unwrap_err(), DROPPED);
}

#[test]
fn a_worker_that_is_not_trusted_changes_nothing() {
    let mut world = World::new(43);
    let mut client = world.client();
    let honest = std::mem::replace(&mut world.identity, identity(66));
    let stranger = world.options(2);
    let error = world.open(&mut client, &stranger.envelope).unwrap_err();
    let worker = identity(66).thumbprint();
    let reason = Untrusted::Unknown { key: worker, role: Role::Worker };
    assert_eq!(error, OptionsError::Untrusted { attempt: Attempt::new(2).unwrap(), worker, reason });
    world.identity = honest;
    for attempt in [1, 2] {
        let sent = world.options(attempt);
        world.opened(&mut client, &sent.envelope);
    }
}

#[test]
fn trust_is_for_the_jobs_worker() {
    let mut world = World::new(44);
    let key = world.identity.public();
    world.trust = Trust::default().with_key(key.clone(), Role::Worker, Some(vec!["other".parse().unwrap()]));
    let sent = world.options(1);
    let mut client = world.client();
    let error = world.open(&mut client, &sent.envelope).unwrap_err();
    assert!(matches!(error, OptionsError::Untrusted { reason: Untrusted::Worker { .. }, .. }));
    world.trust = Trust::default().with_key(key.clone(), Role::Launcher, None);
    let error = world.open(&mut client, &sent.envelope).unwrap_err();
    assert!(matches!(error, OptionsError::Untrusted { reason: Untrusted::Role { .. }, .. }));
    world.trust = Trust::pinned([key]);
    world.opened(&mut client, &sent.envelope);
}

#[test]
fn a_greater_attempt_replaces_and_others_are_dropped() {
    let mut world = World::new(45);
    let mut client = world.client();
    let sent: Vec<_> = (1..=3).map(|attempt| world.options(attempt)).collect();
    let second = world.open(&mut client, &sent[1].envelope).unwrap();
    assert_eq!(second.attempt.get(), 2);
    for stale in &sent[..2] {
        assert_eq!(world.open(&mut client, &stale.envelope).unwrap_err(), DROPPED);
    }
    let third = world.open(&mut client, &sent[2].envelope).unwrap();
    assert_eq!(third.attempt.get(), 3);
    let rival = world.options(3);
    assert_eq!(world.open(&mut client, &rival.envelope).unwrap_err(), DROPPED, "the same attempt again");
    for attempt in [4, 10] {
        let beyond = world.options(attempt);
        assert_eq!(world.open(&mut client, &beyond.envelope).unwrap_err(), DROPPED, "only 3 are allowed");
    }
}

#[test]
fn options_of_an_earlier_attempt_are_dropped_at_every_later_time() {
    let mut world = World::new(46);
    let mut client = world.client();
    let sent = world.options(1);
    let owes = world.opened(&mut client, &sent.envelope);
    assert_eq!(world.open(&mut client, &sent.envelope).unwrap_err(), DROPPED, "before the answer");
    let reply = owes.answer(Json(1)).unwrap();
    assert_eq!(world.open(&mut client, &sent.envelope).unwrap_err(), DROPPED, "after the answer");
    let worker = accepted(sent.next.receive(reply.envelope).unwrap());
    let step = worker.fail(error()).unwrap();
    let Ready::Failed(failure) = reply.next.receive(step.envelope.clone(), INBOX).unwrap() else { panic!() };
    let closed = failure.session.acknowledge(Json(1), NOW_MS).unwrap().next;
    assert_eq!(world.open(&mut client, &sent.envelope).unwrap_err(), DROPPED, "after the end");
    assert_eq!(closed.repeat(&sent.envelope, NOW_MS), None);
    assert_eq!(world.open(&mut client, &step.envelope).unwrap_err(), DROPPED, "another kind");
}

#[test]
fn stale_and_unknown_attempts_cost_nothing() {
    let mut world = World::new(47);
    let mut client = world.client();
    let sent = world.options(1);
    world.opened(&mut client, &sent.envelope);
    // Far more than are free: these never come to the key exchange, and so not to its limit.
    for _ in 0..1000 {
        assert_eq!(world.open(&mut client, &sent.envelope).unwrap_err(), DROPPED);
    }
    let mut zero = world.options(2).envelope;
    zero[2..4].copy_from_slice(&0_u16.to_be_bytes());
    let mut number = world.options(2).envelope;
    number[11] = 1;
    for bad in [&zero, &number, &Vec::new(), &vec![1; 75]] {
        for _ in 0..100 {
            assert_eq!(world.open(&mut client, bad).unwrap_err(), DROPPED);
        }
    }
    let sent = world.options(2);
    world.opened(&mut client, &sent.envelope);
}

#[test]
fn openings_without_a_trusted_proof_are_limited_in_their_rate() {
    let mut world = World::new(48);
    let mut client = world.client();
    let good = world.options(1);
    let mut forged = good.envelope.clone();
    *forged.last_mut().unwrap() ^= 1;
    let mut open = |envelope: &[u8], now_ms| {
        client.open_options(envelope.to_vec(), INBOX, &world.trust, &mut world.rng, now_ms)
    };
    for _ in 0..64 {
        assert_eq!(open(&forged, NOW_MS).unwrap_err(), DROPPED);
    }
    assert_eq!(open(&good.envelope, NOW_MS).unwrap_err(), DROPPED, "nothing is left");
    assert!(open(&good.envelope, NOW_MS + 250).is_ok(), "a quarter of a second later one is");
}

#[test]
fn openings_that_succeed_are_free() {
    let mut world = World::with_job(49, |job| job.max_attempts = 10);
    let mut client = world.client();
    for attempt in 1..=10 {
        let sent = world.options(attempt);
        world.opened(&mut client, &sent.envelope);
    }
}

#[test]
fn the_same_options_opened_twice_give_different_keys() {
    let mut world = World::new(50);
    let sent = world.options(1);
    let (mut one, mut two) = (world.client(), world.client());
    let one = world.opened(&mut one, &sent.envelope).answer(Json("secret")).unwrap();
    let two = world.opened(&mut two, &sent.envelope).answer(Json("secret")).unwrap();
    let key = |envelope: &[u8]| Header::decode(envelope).unwrap().key;
    assert_ne!(key(&one.envelope), key(&two.envelope), "N is fresh");
    let same = one.envelope[44..].iter().zip(&two.envelope[44..]).filter(|(a, b)| a == b).count();
    assert!(same < 16, "{same} bytes of 272 are the same");
    // The keys are bound to N: one's record under the other's N does not open.
    let mut mixed = two.envelope.clone();
    mixed[12..44].copy_from_slice(&one.envelope[12..44]);
    let worker = sent.next.receive(mixed).unwrap_err().session;

    // The worker binds the first that opens, and then knows nothing of the other.
    let worker = accepted(worker.receive(two.envelope).unwrap());
    let step = worker.ready(Json(1)).unwrap();
    let waiting = one.next.receive(step.envelope.clone(), INBOX).unwrap_err().session;
    let owes = ready(two.next.receive(step.envelope, INBOX).unwrap());
    let worker = step.next.receive(one.envelope).unwrap_err().session;
    accepted(worker.receive(owes.answer(Json(1), None).unwrap().envelope).unwrap());
    drop(waiting);
}

#[test]
fn options_are_for_one_clients_key_and_job() {
    let mut world = World::new(51);
    let sent = world.options(1);
    // Another key under the same job, and the same key under another job.
    let mut other_key = Launched::new(world.job.clone(), [].into(), World::key(1), MAX_BYTES);
    assert_eq!(world.open(&mut other_key, &sent.envelope).unwrap_err(), DROPPED);
    let other_job = World::with_job(51, |job| job.label = Some("another".to_owned()));
    let mut other_job = other_job.client();
    assert_eq!(world.open(&mut other_job, &sent.envelope).unwrap_err(), DROPPED);
    world.opened(&mut world.client(), &sent.envelope);
}

#[test]
fn keys_of_small_order_are_refused_on_both_sides() {
    for point in [[0; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        let mut world = World::with_job(52, |job| job.client_key = point.as_slice().try_into().unwrap());
        let setup = Setup {
            job: &world.job,
            signers: &world.signers,
            attempt: Attempt::FIRST,
            identity: &world.identity,
            cert: None,
            instance: world.instance,
            max_envelope_bytes: MAX_BYTES,
        };
        let error = Offer::new(&setup, &mut world.rng).unwrap_err();
        assert_eq!(error, SetupError::ClientKey(hpke::HpkeError::NonContributory));

        let mut world = World::new(52);
        let mut envelope = world.options(1).envelope;
        envelope[12..44].copy_from_slice(&point);
        envelope[44..76].copy_from_slice(&point);
        assert_eq!(world.open(&mut world.client(), &envelope).unwrap_err(), DROPPED);
    }
}

#[test]
fn nobody_falls_back_from_a_psk() {
    let mut world = World::with_job(53, |job| job.psk_id = Some("shared".to_owned()));
    let setup = Setup {
        job: &world.job,
        signers: &world.signers,
        attempt: Attempt::FIRST,
        identity: &world.identity,
        cert: None,
        instance: world.instance,
        max_envelope_bytes: MAX_BYTES,
    };
    assert_eq!(Offer::new(&setup, &mut world.rng).unwrap_err(), SetupError::PskUnavailable);
    // Nor does the client, whoever offers a session without it.
    let forger = Forger::new(&mut world);
    let envelope = forger.seal(head(&world, &forger.proof(&world)));
    assert_eq!(world.open(&mut world.client(), &envelope).unwrap_err(), DROPPED);
}
