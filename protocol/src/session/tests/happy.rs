//! Sessions in which everybody does what they should.

use super::*;
use crate::{
    encoding::b64u,
    session::{client, worker},
    wire::{Content, Event, Header, Kind, LogLevel, Raw, SealError},
};

fn header(envelope: &[u8]) -> Header {
    Header::decode(envelope).unwrap()
}

#[test]
fn a_job_from_launch_to_close() {
    let mut world = World::new(1);
    let mut launched = world.client();

    let sent = world.offer(1).options(Json([1, 2])).unwrap();
    let options = world.open(&mut launched, &sent.envelope).unwrap();
    assert_eq!(options.attempt, Attempt::FIRST);
    assert_eq!(options.worker, world.identity.thumbprint());
    assert_eq!(options.instance, world.instance);
    assert_eq!(options.parameters.json::<Vec<u8>>().unwrap(), [1, 2]);

    let reply = options.session.answer(Json("the options")).unwrap();
    assert_eq!(reply.to, [INBOX]);
    let Answer::Accepted { next: mut worker, opened } = sent.next.receive(reply.envelope).unwrap() else {
        panic!()
    };
    assert_eq!(opened.json::<String>().unwrap(), "the options");
    let mut client = reply.next;

    let event = worker.event(Event::log(LogLevel::Info, "hello")).unwrap();
    assert_eq!(client.event(event).unwrap(), Event::log(LogLevel::Info, "hello"));

    let sent = worker.ready(Json("can take it")).unwrap();
    let Ready::Ready { session, opened } = client.receive(sent.envelope, INBOX).unwrap() else { panic!() };
    assert_eq!(opened.json::<String>().unwrap(), "can take it");
    let reply = session.answer(Raw([0, 1, 2]), Some(&Salt::take(&mut [5; 32]))).unwrap();
    let mut waiting = sent.next;
    let late = waiting.event(Event::progress(0.0, "waiting")).unwrap();
    let Answer::Accepted { next: mut worker, opened } = waiting.receive(reply.envelope).unwrap() else {
        panic!()
    };
    assert_eq!(opened.body(), [0, 1, 2]);
    assert_eq!(opened.head().content, Some(Content::Bytes));
    assert_eq!(*opened.head().salt.as_ref().unwrap().reveal(), b64u([5; 32]));
    let mut client = reply.next;
    assert_eq!(client.event(late).unwrap(), Event::progress(0.0, "waiting"));

    let half = worker.event(Event::progress(0.5, "half")).unwrap();
    assert_eq!(client.event(half).unwrap(), Event::progress(0.5, "half"));
    let sent = done(worker, Raw(vec![7; 100_000])).unwrap();
    let Done::Result { session, opened, receipt } = client.receive(sent.envelope, INBOX).unwrap() else {
        panic!()
    };
    assert_eq!(opened.body(), vec![7; 100_000]);
    assert_eq!(receipt.receipt.worker, "echo".parse().unwrap());
    let reply = session.close(TOKEN, Json("thanks"), NOW_MS).unwrap();
    let Answer::Accepted { next, opened } = sent.next.receive(reply.envelope).unwrap() else { panic!() };
    assert_eq!(next.token, TOKEN);
    assert_eq!(opened.json::<String>().unwrap(), "thanks");
}

#[test]
fn numbers_rise_by_one_in_each_direction() {
    let mut world = World::new(2);
    let Run { client, mut worker, mut past } = until_has_payload(&mut world);
    past.push(worker.event(Event::progress(0.1, "")).unwrap());
    let sent = done(worker, Json(1)).unwrap();
    let client = result(client.receive(sent.envelope.clone(), INBOX).unwrap());
    past.push(sent.envelope);
    past.push(client.close(TOKEN, Json(1), NOW_MS).unwrap().envelope);
    let seen: Vec<_> = past.iter().map(|e| (header(e).kind, header(e).number)).collect();
    let expected = [
        (Kind::Options, 0),
        (Kind::OptionsReply, 0),
        (Kind::Ready, 1),
        (Kind::ReadyReply, 1),
        (Kind::Event, 2),
        (Kind::Done, 3),
        (Kind::DoneReply, 2),
    ];
    assert_eq!(seen, expected);
    let workers_key = header(&past[0]).key;
    assert!(past.iter().all(|e| header(e).attempt == 1));
    assert_eq!(past[0][44..76], workers_key, "`enc` is the worker's key");
    assert!([2, 4, 5].iter().all(|at| header(&past[*at]).key == workers_key));
    let nonce = header(&past[1]).key;
    assert!(nonce != workers_key && [3, 6].iter().all(|at| header(&past[*at]).key == nonce));
}

#[test]
fn bodies_of_similar_length_look_alike() {
    let mut world = World::new(3);
    let lengths: std::collections::BTreeSet<usize> = (0..100)
        .map(|length| {
            let Run { client, .. } = until_options(&mut world);
            client.answer(Json("x".repeat(length))).unwrap().envelope.len()
        })
        .collect();
    assert_eq!(lengths.len(), 1);
}

#[test]
fn a_done_with_an_error_may_come_in_place_of_ready() {
    let mut world = World::new(4);
    let Run { client, worker, .. } = until_has_options(&mut world);
    let sent = worker.fail(error()).unwrap();
    let Ready::Failed(failure) = client.receive(sent.envelope, INBOX).unwrap() else { panic!() };
    assert_eq!(failure.error, error());
    let reply = failure.session.acknowledge(Json("noted"), NOW_MS).unwrap();
    sent.next.receive(reply.envelope).unwrap();
}

#[test]
fn a_function_may_fail() {
    let mut world = World::new(5);
    let Run { client, worker, .. } = until_has_payload(&mut world);
    let sent = worker.fail(error()).unwrap();
    let Done::Failed(failure) = client.receive(sent.envelope, INBOX).unwrap() else { panic!() };
    assert_eq!(failure.error, error());
    let reply = failure.session.acknowledge(Json("noted"), NOW_MS).unwrap();
    sent.next.receive(reply.envelope).unwrap();
}

#[test]
fn an_error_in_a_reply_ends_the_job() {
    let mut world = World::new(6);
    let Run { client, worker, .. } = until_options(&mut world);
    assert_eq!(failed(worker.receive(client.refuse(error()).unwrap().envelope).unwrap()), error());
    let Run { client, worker, .. } = until_ready(&mut world);
    assert_eq!(failed(worker.receive(client.refuse(error()).unwrap().envelope).unwrap()), error());
    let Run { client, worker, .. } = until_done(&mut world);
    assert_eq!(failed(worker.receive(client.refuse(error()).unwrap().envelope).unwrap()), error());
}

#[test]
fn what_is_too_large_leaves_state_and_numbers() {
    let mut world = World::new(7);
    world.max_bytes = 2000;
    let large = || Raw(vec![0; 3000]);
    let is_too_large = |error: &SealError| matches!(error, SealError::TooLarge { max_bytes: 2000, .. });

    let worker::NotSent { session: offer, error } = world.offer(1).options(large()).unwrap_err();
    assert!(is_too_large(&error));
    let sent = offer.options(Json(1)).unwrap();
    let owes = world.opened(&mut world.client(), &sent.envelope);
    let client::NotSent { session: owes, error } = owes.answer(large()).unwrap_err();
    assert!(is_too_large(&error));
    let reply = owes.answer(Json(1)).unwrap();
    assert_eq!((header(&reply.envelope).number, reply.to.len()), (0, 1));
    let worker = accepted(sent.next.receive(reply.envelope).unwrap());

    let worker::NotSent { session: worker, error } = worker.ready(large()).unwrap_err();
    assert!(is_too_large(&error));
    let sent = worker.ready(Json(1)).unwrap();
    assert_eq!(header(&sent.envelope).number, 1);
    let owes = ready(reply.next.receive(sent.envelope, INBOX).unwrap());
    let client::NotSent { session: owes, error } = owes.answer(large(), None).unwrap_err();
    assert!(is_too_large(&error));
    let reply = owes.answer(Json(1), None).unwrap();
    assert_eq!(header(&reply.envelope).number, 1);
    let worker = accepted(sent.next.receive(reply.envelope).unwrap());

    let worker::NotSent { session: worker, error } = done(worker, large()).unwrap_err();
    assert!(is_too_large(&error));
    let sent = done(worker, Json(1)).unwrap();
    assert_eq!(header(&sent.envelope).number, 2);
    let owes = result(reply.next.receive(sent.envelope, INBOX).unwrap());
    let client::NotSent { session: owes, error } = owes.close(TOKEN, large(), NOW_MS).unwrap_err();
    assert!(is_too_large(&error));
    let reply = owes.close(TOKEN, Json(1), NOW_MS).unwrap();
    assert_eq!(header(&reply.envelope).number, 2);
    accepted(sent.next.receive(reply.envelope).unwrap());
}

#[test]
fn an_error_takes_the_place_of_what_is_too_large() {
    let mut world = World::new(8);
    world.max_bytes = 2000;
    let Run { client, worker, .. } = until_has_payload(&mut world);
    let worker::NotSent { session, .. } = done(worker, Raw(vec![0; 3000])).unwrap_err();
    let sent = session.fail(error()).unwrap();
    assert!(matches!(client.receive(sent.envelope, INBOX).unwrap(), Done::Failed(_)));
}

#[test]
fn a_body_without_a_json_form_is_an_error() {
    let mut world = World::new(9);
    let Run { client, .. } = until_options(&mut world);
    let map = std::collections::BTreeMap::from([([1, 2], 3)]);
    let client::NotSent { session, error } = client.answer(Json(map)).unwrap_err();
    assert!(matches!(error, SealError::Body(_)));
    session.answer(Json(1)).unwrap();
}

#[test]
fn an_input_fits_with_its_salt_only() {
    let payload = b"payload";
    let (salt, other) = (Salt::take(&mut [3; 32]), Salt::take(&mut [4; 32]));
    let input = Sha256Hash::of([[3; 32], Sha256Hash::of(payload).0].concat());
    assert!(worker::input_fits(&input, Some(&salt), payload));
    assert!(!worker::input_fits(&input, Some(&other), payload));
    assert!(!worker::input_fits(&input, Some(&salt), b"other"));
    assert!(!worker::input_fits(&input, None, payload));
}
