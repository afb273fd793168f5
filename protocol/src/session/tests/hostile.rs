//! Sessions whose messages somebody forges, repeats, moves or sends back.

use super::*;
use crate::{
    session::{Dropped, worker},
    wire::{Event, Head, Header, Kind, OpenError},
};

/// Changes of an envelope that nobody without the keys can make unnoticed.
pub(super) fn forgeries(envelope: &[u8]) -> Vec<Vec<u8>> {
    let flipped = (0..envelope.len()).map(|at| {
        let mut forged = envelope.to_vec();
        forged[at] ^= 1;
        forged
    });
    let cut =
        (0..envelope.len()).step_by(7).chain([envelope.len() - 1]).map(|length| envelope[..length].to_vec());
    let extended = [1, 16, 300].map(|more| [envelope, &vec![0; more]].concat());
    flipped.chain(cut).chain(extended).collect()
}

/// Feeds everything to a state, which has to drop it all and be usable afterwards.
pub(super) fn drops<S, T>(
    mut state: S,
    bad: &[Vec<u8>],
    receive: impl Fn(S, Vec<u8>) -> Result<T, Dropped<S>>,
) -> S {
    for envelope in bad {
        match receive(state, envelope.clone()) {
            Ok(_) => panic!("taken: {:?}", Header::decode(envelope)),
            Err(Dropped { session, error: OpenError }) => state = session,
        }
    }
    state
}

/// Every envelope of a whole session that ends well, in both directions, with an event.
fn whole(world: &mut World) -> Vec<Vec<u8>> {
    let Run { client, worker, mut past } = until_done(world);
    let reply = client.close(TOKEN, Json("status"), NOW_MS).unwrap();
    accepted(worker.receive(reply.envelope.clone()).unwrap());
    past.push(reply.envelope);
    let mut other = until_has_payload(world);
    past.push(other.worker.event(Event::progress(0.1, "")).unwrap());
    past
}

/// Messages that belong to no session of `world`: of the same job's other session, and of another job's.
fn foreign(world: &mut World) -> Vec<Vec<u8>> {
    let mut all = whole(world);
    all.extend(whole(&mut World::new(99)));
    all
}

#[test]
fn forged_options_change_nothing() {
    let mut world = World::new(20);
    let mut client = world.client();
    let sent = world.options(1);
    let mut now_ms = NOW_MS;
    for forged in forgeries(&sent.envelope) {
        // Slow enough not to meet the limit of the rate.
        now_ms += 1000;
        let result = client.open_options(forged, INBOX, &world.trust, &mut world.rng, now_ms);
        assert_eq!(result.unwrap_err(), OptionsError::Dropped(OpenError));
    }
    world.opened(&mut client, &sent.envelope);
}

#[test]
fn a_worker_that_waits_for_options_drops_all_else() {
    let mut world = World::new(21);
    let foreign = foreign(&mut world);
    let Run { client, worker, past } = until_options(&mut world);
    let reply = client.answer(Json("options")).unwrap();
    let worker = drops(worker, &foreign, AwaitOptions::receive);
    let worker = drops(worker, &past, AwaitOptions::receive);
    let worker = drops(worker, &forgeries(&reply.envelope), AwaitOptions::receive);
    accepted(worker.receive(reply.envelope).unwrap());
}

#[test]
fn a_client_that_waits_for_ready_drops_all_else() {
    let mut world = World::new(22);
    let foreign = foreign(&mut world);
    let Run { client, worker, past } = until_has_options(&mut world);
    let sent = worker.ready(Json("ready")).unwrap();
    let receive = |state: AwaitReady, envelope| state.receive(envelope, INBOX);
    let client = drops(client, &foreign, receive);
    let client = drops(client, &past, receive);
    let client = drops(client, &forgeries(&sent.envelope), receive);
    ready(client.receive(sent.envelope, INBOX).unwrap());
}

#[test]
fn a_worker_that_waits_for_the_payload_drops_all_else() {
    let mut world = World::new(23);
    let foreign = foreign(&mut world);
    let Run { client, worker, past } = until_ready(&mut world);
    let reply = client.answer(Json("payload"), None).unwrap();
    let worker = drops(worker, &foreign, AwaitPayload::receive);
    let worker = drops(worker, &past, AwaitPayload::receive);
    let worker = drops(worker, &forgeries(&reply.envelope), AwaitPayload::receive);
    accepted(worker.receive(reply.envelope).unwrap());
}

#[test]
fn a_client_that_waits_for_done_drops_all_else() {
    let mut world = World::new(24);
    let foreign = foreign(&mut world);
    let Run { client, worker, past } = until_has_payload(&mut world);
    let sent = done(worker, Json("result")).unwrap();
    let receive = |state: AwaitDone, envelope| state.receive(envelope, INBOX);
    let client = drops(client, &foreign, receive);
    let client = drops(client, &past, receive);
    let client = drops(client, &forgeries(&sent.envelope), receive);
    result(client.receive(sent.envelope, INBOX).unwrap());
}

#[test]
fn a_worker_that_waits_for_the_status_drops_all_else() {
    let mut world = World::new(25);
    let foreign = foreign(&mut world);
    let Run { client, worker, past } = until_done(&mut world);
    let reply = client.close(TOKEN, Json("status"), NOW_MS).unwrap();
    let worker = drops(worker, &foreign, AwaitStatus::receive);
    let worker = drops(worker, &past, AwaitStatus::receive);
    let worker = drops(worker, &forgeries(&reply.envelope), AwaitStatus::receive);
    accepted(worker.receive(reply.envelope).unwrap());
}

#[test]
fn a_worker_that_waits_for_an_acknowledgement_drops_all_else() {
    let mut world = World::new(26);
    let foreign = foreign(&mut world);
    let Run { client, worker, past } = until_has_payload(&mut world);
    let sent = worker.fail(error()).unwrap();
    let Done::Failed(failure) = client.receive(sent.envelope.clone(), INBOX).unwrap() else { panic!() };
    let reply = failure.session.acknowledge(Json(1), NOW_MS).unwrap();
    let receive = worker::AwaitAcknowledgement::receive;
    let worker = drops(sent.next, &foreign, receive);
    let worker = drops(worker, &past, receive);
    let worker = drops(worker, &[sent.envelope], receive);
    let worker = drops(worker, &forgeries(&reply.envelope), receive);
    worker.receive(reply.envelope).unwrap();
}

#[test]
fn what_a_side_sent_itself_is_dropped_there() {
    let mut world = World::new(27);
    let mut client = world.client();
    let sent = world.options(1);
    let worker = drops(sent.next, std::slice::from_ref(&sent.envelope), AwaitOptions::receive);
    let reply = world.opened(&mut client, &sent.envelope).answer(Json(1)).unwrap();
    let receive = |state: AwaitReady, envelope| state.receive(envelope, INBOX);
    let waiting = drops(reply.next, std::slice::from_ref(&reply.envelope), receive);
    let reflected = world.open(&mut client, &reply.envelope).unwrap_err();
    assert_eq!(reflected, OptionsError::Dropped(OpenError));
    // Nor with the kind changed to one that is waited for.
    let mut turned = reply.envelope.clone();
    turned[1] = Kind::Ready.byte();
    drops(waiting, &[turned], receive);
    accepted(worker.receive(reply.envelope).unwrap());
}

#[test]
fn a_done_with_a_result_does_not_replace_ready() {
    let mut world = World::new(28);
    let Run { client, mut worker, .. } = until_has_options(&mut world);
    // A worker that skips a step: no type of ours can.
    let done = worker.seal_for_test(Kind::Done, Head::default(), Json("result"));
    let Dropped { session, .. } = client.receive(done, INBOX).unwrap_err();
    let failing = worker.seal_for_test(Kind::Done, Head { error: Some(error()), ..Head::default() }, Json(1));
    assert!(matches!(session.receive(failing, INBOX).unwrap(), Ready::Failed(_)));
}

#[test]
fn ready_after_the_payload_is_dropped() {
    let mut world = World::new(29);
    let Run { client, mut worker, .. } = until_has_payload(&mut world);
    let again = worker.seal_for_test(Kind::Ready, Head::default(), Json("ready"));
    assert!(client.receive(again, INBOX).is_err());
}

#[test]
fn ready_before_the_options_reply_is_dropped() {
    let mut world = World::new(30);
    let mut client = world.client();
    let sent = world.options(1);
    let owes = world.opened(&mut client, &sent.envelope);
    // Only a session that is bound to the client's N can make one, so it is of another session here.
    let Run { worker, .. } = until_has_options(&mut world);
    let early = worker.ready(Json("early")).unwrap().envelope;
    assert_eq!(world.open(&mut client, &early).unwrap_err(), OptionsError::Dropped(OpenError));
    let reply = owes.answer(Json(1)).unwrap();
    assert!(reply.next.receive(early, INBOX).is_err());
}

#[test]
fn a_reply_to_another_request_is_dropped() {
    let mut world = World::new(31);
    let Run { mut client, mut worker, .. } = until_ready(&mut world);
    let mut reply = |re: Option<u16>| {
        let head = Head { re: re.map(Into::into), ..Head::default() };
        client.seal_for_test(Kind::ReadyReply, head, Json("payload"))
    };
    for re in [None, Some(0), Some(2), Some(u16::MAX)] {
        worker = worker.receive(reply(re)).unwrap_err().session;
    }
    accepted(worker.receive(reply(Some(1))).unwrap());
}

#[test]
fn a_done_is_closed_only_with_its_token() {
    let mut world = World::new(32);
    let Run { mut client, worker, .. } = until_done(&mut world);
    let re = Some(2_u16.into());
    let inner = Sha256Hash::of(TOKEN).0;
    let mut worker = worker;
    for close in [None, Some([0; 32]), Some(inner), Some(Sha256Hash::of(inner).0)] {
        let wrong = client.seal_for_test(Kind::DoneReply, Head { re, close, ..Head::default() }, Json(1));
        worker = worker.receive(wrong).unwrap_err().session;
    }
    let other = Head { re: Some(1_u16.into()), close: Some(TOKEN), ..Head::default() };
    worker = worker.receive(client.seal_for_test(Kind::DoneReply, other, Json(1))).unwrap_err().session;
    let right = Head { re, close: Some(TOKEN), ..Head::default() };
    let closure = accepted(worker.receive(client.seal_for_test(Kind::DoneReply, right, Json(1))).unwrap());
    assert_eq!(closure.token, TOKEN);
}

#[test]
fn a_client_that_closes_with_the_wrong_token_is_ignored() {
    let mut world = World::new(33);
    let Run { client, worker, .. } = until_done(&mut world);
    let reply = client.close([9; 32], Json(1), NOW_MS).unwrap();
    drops(worker, &[reply.envelope], AwaitStatus::receive);
}

#[test]
fn events_are_taken_once_and_in_order() {
    let mut world = World::new(34);
    let Run { mut client, mut worker, past } = until_has_payload(&mut world);
    let events: Vec<_> = (0..3).map(|_| worker.event(Event::progress(0.1, "")).unwrap()).collect();
    for forged in forgeries(&events[1]) {
        assert_eq!(client.event(forged), Err(OpenError));
    }
    for other in past.iter().chain(&foreign(&mut world)) {
        assert_eq!(client.event(other.clone()), Err(OpenError));
    }
    assert!(client.event(events[1].clone()).is_ok());
    assert_eq!(client.event(events[1].clone()), Err(OpenError), "again");
    assert_eq!(client.event(events[0].clone()), Err(OpenError), "older");
    let sent = done(worker, Json(1)).unwrap();
    let mut client = result(client.receive(sent.envelope, INBOX).unwrap());
    assert!(client.event(events[2].clone()).is_ok(), "an event may come late");
}

#[test]
fn events_say_something_and_are_no_steps() {
    let mut world = World::new(35);
    let Run { mut client, mut worker, .. } = until_has_options(&mut world);
    let nothing = worker.seal_for_test(Kind::Event, Head::default(), Json(1));
    assert_eq!(client.event(nothing), Err(OpenError));
    let event = Event::Progress { progress: 1.5, message: String::new() };
    let beyond = worker.seal_for_test(Kind::Event, Head { event: Some(event), ..Head::default() }, Json(1));
    assert_eq!(client.event(beyond), Err(OpenError));
    let event = Some(Event::progress(0.5, ""));
    let step = worker.seal_for_test(Kind::Ready, Head { event, ..Head::default() }, Json(1));
    assert!(client.receive(step, INBOX).is_err());
}
