//! Cancelling over the session: from every state of a client, in every state of a worker.

use super::{hostile::drops, hostile::forgeries, *};
use crate::{
    session::{Dropped, client::Cancel, worker::Cancelled},
    wire::{Empty, Head, Header, Kind},
};

/// The worker takes `cancel` and nothing that is like it; the client takes the answer and nothing like it.
fn cancels<W: std::fmt::Debug>(
    worker: W,
    Cancel { next, envelope }: Cancel,
    junk: &[Vec<u8>],
    take: impl Fn(W, Vec<u8>) -> Result<Cancelled, Dropped<W>>,
) {
    assert_eq!(Header::decode(&envelope).unwrap().kind, Kind::Cancel);
    let worker = drops(worker, junk, &take);
    let worker = drops(worker, &forgeries(&envelope), &take);
    let taken = take(worker, envelope.clone()).unwrap();
    assert_eq!(taken.token(), CANCEL);
    assert_eq!(taken.repeat(&envelope), Some(taken.reply()), "the same bytes, again");
    assert_eq!(taken.repeat(&[&envelope[..], &[0]].concat()), None);
    let client = drops(next, junk, |client, reply| client.receive(reply));
    let client = drops(client, &forgeries(taken.reply()), |client, reply| client.receive(reply));
    let client = drops(client, &[envelope], |client, reply| client.receive(reply));
    client.receive(taken.reply().to_vec()).unwrap();
}

#[test]
fn a_job_is_cancelled_from_every_state_of_its_client_and_its_worker() {
    let world = &mut World::new(120);
    let Run { client, worker, past } = until_options(world);
    cancels(worker, client.cancel(CANCEL).unwrap(), &past, |worker, envelope| worker.cancel(envelope));

    // The client's answer is under way, or lost.
    let Run { client, worker, mut past } = until_options(world);
    let reply = client.answer(Json("options")).unwrap();
    past.push(reply.envelope);
    cancels(worker, reply.next.cancel(CANCEL).unwrap(), &past, |worker, envelope| worker.cancel(envelope));

    let Run { client, worker, past } = until_has_options(world);
    cancels(worker, client.cancel(CANCEL).unwrap(), &past, |worker, envelope| worker.cancel(envelope));

    let Run { client, worker, past } = until_ready(world);
    cancels(worker, client.cancel(CANCEL).unwrap(), &past, |worker, envelope| worker.cancel(envelope));

    let Run { client, worker, past } = until_has_payload(world);
    cancels(worker, client.cancel(CANCEL).unwrap(), &past, |worker, envelope| worker.cancel(envelope));

    let Run { client, worker, past } = until_done(world);
    cancels(worker, client.cancel(CANCEL).unwrap(), &past, |worker, envelope| worker.cancel(envelope));

    let Run { client, worker, mut past } = until_has_payload(world);
    let sent = worker.fail(error()).unwrap();
    let Done::Failed(failure) = client.receive(sent.envelope.clone(), INBOX).unwrap() else { panic!() };
    past.push(sent.envelope);
    let cancel = failure.session.cancel(CANCEL).unwrap();
    cancels(sent.next, cancel, &past, |worker, envelope| worker.cancel(envelope));
}

#[test]
fn another_token_cancels_nothing_and_uses_no_number_up() {
    let world = &mut World::new(121);
    let Run { client, worker, .. } = until_has_payload(world);
    let wrong = client.cancel(TOKEN).unwrap();
    let worker = worker.cancel(wrong.envelope).unwrap_err().session;
    done(worker, Json("the result")).unwrap();

    let Run { client, worker, .. } = until_options(world);
    let wrong = client.cancel([0; 32]).unwrap();
    worker.cancel(wrong.envelope).unwrap_err();

    // A token in another kind of message, and a `cancel` without one.
    let Run { mut client, worker, .. } = until_ready(world);
    let head = || Head { cancel: Some(CANCEL), ..Head::default() };
    let misplaced = client.seal_for_test(Kind::ReadyReply, head(), Empty);
    let bare = client.seal_for_test(Kind::Cancel, Head::default(), Empty);
    let worker = drops(worker, &[misplaced, bare], |worker, envelope| worker.cancel(envelope));
    worker.cancel(client.cancel(CANCEL).unwrap().envelope).unwrap();
}

#[test]
fn a_cancel_of_another_session_is_dropped() {
    let world = &mut World::new(122);
    let other = until_has_payload(world).client.cancel(CANCEL).unwrap().envelope;
    let Run { worker, .. } = until_has_payload(world);
    let worker = drops(worker, std::slice::from_ref(&other), |worker, envelope| worker.cancel(envelope));
    done(worker, Json("the result")).unwrap();
    let Run { worker, .. } = until_options(world);
    drops(worker, &[other], |worker, envelope| worker.cancel(envelope));
}
