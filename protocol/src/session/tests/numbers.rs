//! No number is sealed twice under one key: each way to make it happen, tried by itself.

use std::collections::HashSet;

use super::*;
use crate::{
    session::client::{Closed, Repeated},
    wire::{Event, Raw, seal_log},
};

/// Everything that a test seals.
struct Watch {
    sealed: HashSet<seal_log::Sealed>,
}

impl Watch {
    fn start() -> Self {
        seal_log::start();
        Self { sealed: HashSet::new() }
    }

    /// Asserts that this many envelopes were sealed since the last call, each under a nonce of its own.
    fn assert_new(&mut self, envelopes: usize) {
        let new = seal_log::take();
        assert_eq!(new.len(), envelopes, "sealed");
        for sealed in new {
            assert!(self.sealed.insert(sealed), "{sealed:?} was used before");
        }
    }
}

/// A whole session of one attempt, to the client's last answer.
fn to_the_end(world: &mut World) -> (Closed, Vec<Vec<u8>>) {
    let Run { client, worker, mut past } = until_done(world);
    let reply = client.close(TOKEN, Json("status"), NOW_MS).unwrap();
    accepted(worker.receive(reply.envelope.clone()).unwrap());
    past.push(reply.envelope);
    (reply.next, past)
}

#[test]
fn the_log_sees_a_nonce_that_is_used_twice() {
    // Nothing but the randomness of `enc` keeps two attempts' keys apart: here it repeats.
    seal_log::start();
    for _ in 0..2 {
        let mut world = World::new(80);
        world.options(1);
    }
    let sealed = seal_log::take();
    assert_eq!((sealed.len(), sealed[0]), (2, sealed[1]));
}

#[test]
fn options_that_come_again_after_any_step_seal_nothing() {
    let mut world = World::new(81);
    let mut watch = Watch::start();
    let mut launched = world.client();
    let offered = world.options(1);
    let options = &offered.envelope;
    let mut owes = world.opened(&mut launched, options);
    watch.assert_new(1);

    assert_eq!(owes.repeated(options, INBOX), Repeated::Pending);
    assert!(world.open(&mut launched, options).is_err());
    let mut first = owes.answer(Json("options")).unwrap();
    watch.assert_new(1);
    assert_eq!(first.next.repeated(options, INBOX), Repeated::Answered(&first.envelope));
    assert!(world.open(&mut launched, options).is_err());
    let awaits = first.next.receive(options.clone(), INBOX).unwrap_err().session;
    let worker = accepted(offered.next.receive(first.envelope.clone()).unwrap());
    watch.assert_new(0);

    let asked = worker.ready(Json("ready")).unwrap();
    let mut owes = ready(awaits.receive(asked.envelope, INBOX).unwrap());
    watch.assert_new(1);
    assert_eq!(owes.repeated(options, INBOX), Repeated::No);
    assert!(world.open(&mut launched, options).is_err());
    let second = owes.answer(Json("payload"), None).unwrap();
    watch.assert_new(1);
    let awaits = second.next.receive(options.clone(), INBOX).unwrap_err().session;
    assert!(world.open(&mut launched, options).is_err());
    // The first answer again, to a worker that waits for the second.
    let waits = asked.next.receive(first.envelope).unwrap_err().session;
    let worker = accepted(waits.receive(second.envelope.clone()).unwrap());
    watch.assert_new(0);

    let done = done(worker, Json("result")).unwrap();
    let mut owes = result(awaits.receive(done.envelope, INBOX).unwrap());
    watch.assert_new(1);
    assert_eq!(owes.repeated(options, INBOX), Repeated::No);
    assert!(world.open(&mut launched, options).is_err());
    let third = owes.close(TOKEN, Json("status"), NOW_MS).unwrap();
    watch.assert_new(1);
    assert_eq!(third.next.repeat(options, NOW_MS), None);
    assert!(world.open(&mut launched, options).is_err());
    let waits = done.next.receive(second.envelope).unwrap_err().session;
    accepted(waits.receive(third.envelope).unwrap());
    watch.assert_new(0);
}

#[test]
fn a_client_that_starts_again_answers_the_same_options_under_other_keys() {
    let mut world = World::new(82);
    let mut watch = Watch::start();
    let offered = world.options(1);
    watch.assert_new(1);
    // The same key and job, as often as somebody brings the same options back.
    for life in 0..5 {
        let owes = world.opened(&mut world.client(), &offered.envelope);
        owes.answer(Json(format!("the options of life {life}"))).unwrap();
        watch.assert_new(1);
        let owes = world.opened(&mut world.client(), &offered.envelope);
        owes.refuse(error()).unwrap();
        watch.assert_new(1);
    }
}

#[test]
fn a_worker_that_starts_again_offers_another_enc() {
    let mut world = World::new(83);
    let mut watch = Watch::start();
    for _ in 0..5 {
        // The same identity, instance and attempt.
        let (_, past) = to_the_end(&mut world);
        watch.assert_new(past.len());
    }
}

#[test]
fn two_processes_of_one_worker_share_no_key() {
    let mut world = World::new(84);
    let mut watch = Watch::start();
    let (mut one, mut other) = (world.client(), world.client());
    let (first, second) = (world.options(1), world.options(1));
    // Both are answered, by two processes of the client; and each worker gets the other's answer, too.
    let answer_first = world.opened(&mut one, &first.envelope).answer(Json("one")).unwrap();
    let answer_second = world.opened(&mut other, &second.envelope).answer(Json("other")).unwrap();
    let waits = first.next.receive(answer_second.envelope.clone()).unwrap_err().session;
    let first = accepted(waits.receive(answer_first.envelope.clone()).unwrap());
    let waits = second.next.receive(answer_first.envelope).unwrap_err().session;
    let second = accepted(waits.receive(answer_second.envelope).unwrap());
    let (first, second) = (first.ready(Json(1)).unwrap(), second.ready(Json(2)).unwrap());
    let owes = ready(answer_first.next.receive(first.envelope, INBOX).unwrap());
    owes.answer(Json("payload"), None).unwrap();
    let owes = ready(answer_second.next.receive(second.envelope, INBOX).unwrap());
    owes.answer(Json("payload"), None).unwrap();
    watch.assert_new(8);
}

#[test]
fn attempts_of_one_process_share_no_key() {
    let mut world = World::new(85);
    let mut watch = Watch::start();
    let mut client = world.client();
    for attempt in 1..=3 {
        let offered = world.options(attempt);
        let answer = world.opened(&mut client, &offered.envelope).answer(Json(attempt)).unwrap();
        let worker = accepted(offered.next.receive(answer.envelope).unwrap());
        worker.ready(Json(attempt)).unwrap();
        watch.assert_new(3);
    }
}

#[test]
fn an_enc_that_was_refused_is_answered_once_when_it_is_accepted() {
    let mut world = World::new(86);
    let mut watch = Watch::start();
    let honest = std::mem::replace(&mut world.identity, identity(66));
    let offered = world.options(1);
    watch.assert_new(1);
    let mut client = world.client();

    // For a flipped byte, for want of trust, and for the limit on openings.
    let mut forged = offered.envelope.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert!(matches!(world.open(&mut client, &forged), Err(OptionsError::Dropped(_))));
    for _ in 0..63 {
        assert!(matches!(world.open(&mut client, &offered.envelope), Err(OptionsError::Untrusted { .. })));
    }
    world.trust = Trust::pinned([honest.public(), identity(66).public()]);
    assert!(matches!(world.open(&mut client, &offered.envelope), Err(OptionsError::Dropped(_))));
    watch.assert_new(0);

    let mut open = |client: &mut Launched, now_ms| {
        client.open_options(offered.envelope.clone(), INBOX, &world.trust, &mut world.rng, now_ms)
    };
    let accepted_now = open(&mut client, NOW_MS + 1000).unwrap().session;
    assert!(open(&mut client, NOW_MS + 2000).is_err(), "a second time");
    let answer = accepted_now.answer(Json("options")).unwrap();
    assert!(open(&mut client, NOW_MS + 3000).is_err(), "and after the answer");
    watch.assert_new(1);
    accepted(offered.next.receive(answer.envelope).unwrap());
}

#[test]
fn what_cannot_be_sealed_uses_no_number_and_no_key() {
    let mut world = World::new(87);
    world.max_bytes = 2000;
    let mut watch = Watch::start();
    let large = || Raw(vec![0; 3000]);
    let no_json = || Json(std::collections::BTreeMap::from([([1, 2], 3)]));

    let offer = world.offer(1).options(large()).unwrap_err().session;
    let offer = offer.options(no_json()).unwrap_err().session;
    watch.assert_new(0);
    let sent = offer.options(Json(1)).unwrap();
    let owes = world.opened(&mut world.client(), &sent.envelope);
    let owes = owes.answer(large()).unwrap_err().session;
    let owes = owes.answer(no_json()).unwrap_err().session;
    watch.assert_new(1);
    let reply = owes.answer(Json(1)).unwrap();
    let worker = accepted(sent.next.receive(reply.envelope).unwrap());
    let worker = worker.ready(large()).unwrap_err().session;
    let mut worker = worker.ready(no_json()).unwrap_err().session;
    watch.assert_new(1);
    assert!(worker.event(Event::progress(0.5, "x".repeat(3000))).is_err());
    watch.assert_new(0);
    worker.event(Event::progress(0.5, "half")).unwrap();
    let sent = worker.ready(Json(1)).unwrap();
    let owes = ready(reply.next.receive(sent.envelope, INBOX).unwrap());
    let owes = owes.answer(large(), None).unwrap_err().session;
    let owes = owes.answer(no_json(), None).unwrap_err().session;
    watch.assert_new(2);
    let reply = owes.answer(Json(1), None).unwrap();
    let worker = accepted(sent.next.receive(reply.envelope).unwrap());
    let worker = done(worker, large()).unwrap_err().session;
    let worker = done(worker, no_json()).unwrap_err().session;
    watch.assert_new(1);
    // An error in its place takes the number that was free.
    let sent = worker.fail(error()).unwrap();
    let Done::Failed(failure) = reply.next.receive(sent.envelope, INBOX).unwrap() else { panic!() };
    let owes = failure.session.acknowledge(large(), NOW_MS).unwrap_err().session;
    owes.acknowledge(Json(1), NOW_MS).unwrap();
    watch.assert_new(2);
}

#[test]
fn a_refusal_after_an_answer_that_could_not_be_sealed_is_sealed_once() {
    let mut world = World::new(88);
    world.max_bytes = 2000;
    let mut watch = Watch::start();
    let large = || Raw(vec![0; 3000]);
    let Run { client, .. } = until_options(&mut world);
    client.answer(large()).unwrap_err().session.refuse(error()).unwrap();
    watch.assert_new(2);
    let Run { client, .. } = until_ready(&mut world);
    client.answer(large(), None).unwrap_err().session.refuse(error()).unwrap();
    watch.assert_new(4);
    let Run { client, .. } = until_done(&mut world);
    client.close(TOKEN, large(), NOW_MS).unwrap_err().session.refuse(error()).unwrap();
    watch.assert_new(6);
}

#[test]
fn a_step_that_comes_again_is_not_sealed_again() {
    let mut world = World::new(89);
    let mut watch = Watch::start();
    let Run { client, worker, past } = until_has_payload(&mut world);
    watch.assert_new(4);
    let mut client = client;
    for step in [&past[0], &past[2]] {
        client.repeated(step, "_INBOX.again");
    }
    assert_eq!(client.repeated(&past[2], INBOX), Repeated::Answered(&past[3]));
    watch.assert_new(0);
    let sent = done(worker, Json(1)).unwrap();
    let client = result(client.receive(sent.envelope.clone(), INBOX).unwrap());
    let closed = client.close(TOKEN, Json(1), NOW_MS).unwrap();
    watch.assert_new(2);
    for _ in 0..3 {
        assert_eq!(closed.next.repeat(&sent.envelope, NOW_MS), Some(closed.envelope.as_slice()));
    }
    watch.assert_new(0);
}
