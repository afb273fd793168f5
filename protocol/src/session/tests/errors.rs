//! Errors in place of answers and results: forged, of other sessions, too early, too late, and as they
//! should be.

use super::{
    hostile::{drops, forgeries},
    *,
};
use crate::{
    session::{
        client::{self, Failure, OwesAcknowledgement},
        worker::AwaitAcknowledgement,
    },
    wire::{Empty, Event, Head, Kind, OpenError},
};

/// Errors that belong to no session of `world`: one in each place where there can be one.
fn foreign_errors(world: &mut World) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for world in [world, &mut World::new(199)] {
        all.push(until_options(world).client.refuse(error()).unwrap().envelope);
        all.push(until_ready(world).client.refuse(error()).unwrap().envelope);
        all.push(until_done(world).client.refuse(error()).unwrap().envelope);
        all.push(until_has_options(world).worker.fail(error()).unwrap().envelope);
        all.push(until_has_payload(world).worker.fail(error()).unwrap().envelope);
    }
    all
}

#[test]
fn a_worker_believes_only_its_own_clients_errors() {
    let mut world = World::new(100);
    let foreign = foreign_errors(&mut world);

    let Run { client, worker, .. } = until_options(&mut world);
    let refusal = client.refuse(error()).unwrap().envelope;
    let worker = drops(worker, &foreign, AwaitOptions::receive);
    let worker = drops(worker, &forgeries(&refusal), AwaitOptions::receive);
    assert_eq!(failed(worker.receive(refusal).unwrap()), error());

    let Run { client, worker, .. } = until_ready(&mut world);
    let refusal = client.refuse(error()).unwrap().envelope;
    let worker = drops(worker, &foreign, AwaitPayload::receive);
    let worker = drops(worker, &forgeries(&refusal), AwaitPayload::receive);
    assert_eq!(failed(worker.receive(refusal).unwrap()), error());

    let Run { client, worker, .. } = until_done(&mut world);
    let refusal = client.refuse(error()).unwrap().envelope;
    let worker = drops(worker, &foreign, AwaitStatus::receive);
    let worker = drops(worker, &forgeries(&refusal), AwaitStatus::receive);
    assert_eq!(failed(worker.receive(refusal).unwrap()), error());
}

#[test]
fn a_client_believes_only_its_own_workers_errors() {
    let mut world = World::new(101);
    let foreign = foreign_errors(&mut world);

    let Run { client, worker, .. } = until_has_options(&mut world);
    let failure = worker.fail(error()).unwrap().envelope;
    let receive = |state: AwaitReady, envelope| state.receive(envelope, INBOX);
    let client = drops(client, &foreign, receive);
    let client = drops(client, &forgeries(&failure), receive);
    assert!(matches!(client.receive(failure, INBOX).unwrap(), Ready::Failed(_)));

    let Run { client, worker, .. } = until_has_payload(&mut world);
    let failure = worker.fail(error()).unwrap().envelope;
    let receive = |state: AwaitDone, envelope| state.receive(envelope, INBOX);
    let client = drops(client, &foreign, receive);
    let client = drops(client, &forgeries(&failure), receive);
    assert!(matches!(client.receive(failure, INBOX).unwrap(), Done::Failed(_)));
}

#[test]
fn a_failure_that_comes_again_is_acknowledged_by_the_same_bytes() {
    let mut world = World::new(103);
    let Run { client, worker, .. } = until_has_payload(&mut world);
    let sent = worker.fail(error()).unwrap();
    let Done::Failed(failure) = client.receive(sent.envelope.clone(), INBOX).unwrap() else { panic!() };
    let mut owes = failure.session;
    assert_eq!(owes.repeated(&sent.envelope, "_INBOX.b"), client::Repeated::Pending);
    let reply = owes.acknowledge(Json("noted"), NOW_MS).unwrap();
    assert_eq!(reply.to, [INBOX, "_INBOX.b"]);
    assert_eq!(reply.next.repeat(&sent.envelope, NOW_MS), Some(reply.envelope.as_slice()));
    let late = NOW_MS + client::REPEAT_AFTER_CLOSE_MS + 1;
    assert_eq!(reply.next.repeat(&sent.envelope, late), None);
    sent.next.receive(reply.envelope).unwrap();
}

#[test]
fn an_error_acknowledges_a_failure_too() {
    let mut world = World::new(104);
    let Run { client, worker, .. } = until_has_payload(&mut world);
    let sent = worker.fail(error()).unwrap();
    let Done::Failed(Failure { mut session, .. }) = client.receive(sent.envelope, INBOX).unwrap() else {
        panic!()
    };
    // No client of ours does this; the protocol says that any reply to the failure acknowledges it.
    let mut reply = |re: u16| {
        let head = Head { re: Some(re.into()), error: Some(error()), ..Head::default() };
        session.seal_for_test(Kind::DoneReply, head, Empty)
    };
    let worker = drops(sent.next, &[reply(0), reply(1), reply(3)], AwaitAcknowledgement::receive);
    worker.receive(reply(2)).unwrap();
}

/// What a state that waits for its application makes of an event: once, and nothing forged.
macro_rules! takes_events {
    ($client:expr, $event:expr) => {
        for forged in forgeries(&$event) {
            assert_eq!($client.event(forged), Err(OpenError));
        }
        assert_eq!($client.event($event), Ok(Event::progress(0.5, "half")));
        assert_eq!($client.event($event), Err(OpenError), "again");
    };
}

#[test]
fn every_live_session_takes_its_own_workers_events() {
    let mut world = World::new(105);
    let half = || Event::progress(0.5, "half");

    let Run { mut client, mut worker, .. } = until_has_options(&mut world);
    let event = worker.event(half()).unwrap();
    takes_events!(client, event.clone());
    let Run { client: mut owes, .. } = until_options(&mut world);
    assert_eq!(owes.event(event.clone()), Err(OpenError), "of another session, and nothing is sealed yet");
    let Run { mut client, mut worker, .. } = until_ready(&mut world);
    assert_eq!(client.event(event), Err(OpenError));
    let event = worker.event(half()).unwrap();
    takes_events!(client, event.clone());
    let Run { mut client, mut worker, .. } = until_has_payload(&mut world);
    let event = worker.event(half()).unwrap();
    takes_events!(client, event.clone());

    // Late, when the result or the failure is here already.
    let late = worker.event(half()).unwrap();
    let sent = done(worker, Json(1)).unwrap();
    let mut owes = result(client.receive(sent.envelope, INBOX).unwrap());
    takes_events!(owes, late.clone());
    let Run { client, mut worker, .. } = until_has_payload(&mut world);
    let late = worker.event(half()).unwrap();
    let sent = worker.fail(error()).unwrap();
    let Done::Failed(failure) = client.receive(sent.envelope, INBOX).unwrap() else { panic!() };
    let mut owes: OwesAcknowledgement = failure.session;
    takes_events!(owes, late.clone());
}

#[test]
fn an_acknowledgement_is_of_the_failure_and_of_this_session() {
    let mut world = World::new(106);
    let others = foreign_errors(&mut world);
    let Run { client, worker, past } = until_has_payload(&mut world);
    let sent = worker.fail(error()).unwrap();
    let worker = drops(sent.next, &others, AwaitAcknowledgement::receive);
    let worker = drops(worker, &past, AwaitAcknowledgement::receive);
    let Done::Failed(failure) = client.receive(sent.envelope, INBOX).unwrap() else { panic!() };
    worker.receive(failure.session.acknowledge(Json(1), NOW_MS).unwrap().envelope).unwrap();
}
