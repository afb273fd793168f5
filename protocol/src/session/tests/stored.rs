//! Results that are stored for a client that is away, and what a client believes that comes back.

use super::*;
use crate::{
    session::{
        client::{Inputs, Stored},
        worker::ToStore,
    },
    wire::{Kind, OpenError, Raw, body_hash, seal_log},
};

/// What a client keeps of what it has sent.
fn inputs() -> Inputs {
    let hash = |text| body_hash(Json(text)).unwrap();
    Inputs { options: hash("options"), payload: hash("payload") }
}

/// A worker that has sent its result, and stores it.
fn stored(world: &mut World) -> (AwaitDone, Vec<u8>, ToStore) {
    let Run { client, worker, .. } = until_has_payload(world);
    let sent = done(worker, Json("result")).unwrap();
    (client, sent.envelope, sent.next.store().unwrap())
}

fn open(world: &World, client: &Launched, stored: &ToStore) -> Result<Stored, OptionsError> {
    client.open_stored(&stored.opening, stored.done.clone(), &inputs(), &world.trust, NOW_MS)
}

fn dropped(result: Result<Stored, OptionsError>) -> bool {
    matches!(result, Err(OptionsError::Dropped(OpenError)))
}

#[test]
fn a_client_that_knows_nothing_of_the_session_opens_what_is_stored() {
    let mut world = World::new(140);
    let (client, _, kept) = stored(&mut world);
    assert!(client.inputs() == inputs());
    // The one that was launched, and one made from the job and its key alone.
    let Stored::Result(found) = open(&world, &world.client(), &kept).unwrap() else { panic!() };
    assert_eq!(found.opened.json::<String>().unwrap(), "result");
    assert_eq!((found.attempt, found.worker), (Attempt::FIRST, world.identity.thumbprint()));
    assert_eq!(found.receipt.receipt.job, *world.job.id());
}

#[test]
fn what_is_stored_begins_with_n_and_the_options_and_has_a_number_of_its_own() {
    let mut world = World::new(141);
    seal_log::start();
    let Run { client, worker, past } = until_has_payload(&mut world);
    let sent = done(worker, Json("result")).unwrap();
    let (first, kept) = (sent.envelope, sent.next.store().unwrap());
    let sealed = seal_log::take();
    let distinct: std::collections::HashSet<_> = sealed.iter().collect();
    assert_eq!((sealed.len(), distinct.len()), (6, 6), "no number is sealed twice");
    let (nonce, options) = kept.opening.split_at(32);
    assert_eq!(nonce, &past[1][12..44], "N, as it stands in the client's replies");
    assert_eq!(options, past[0], "the options as they were sent");
    let number = |envelope: &[u8]| u64::from_be_bytes(envelope[4..12].try_into().unwrap());
    assert_eq!(number(&kept.done), number(&first) + 1);
    // Whoever is still there takes either, and not both.
    let client = result(client.receive(first, INBOX).unwrap());
    drop(client);
}

#[test]
fn an_error_is_stored_as_well() {
    let mut world = World::new(142);
    let Run { worker, .. } = until_has_payload(&mut world);
    let kept = worker.fail(error()).unwrap().next.store().unwrap();
    let Stored::Failed(found) = open(&world, &world.client(), &kept).unwrap() else { panic!() };
    assert_eq!(found, error());
    let Run { worker, .. } = until_has_options(&mut world);
    let kept = worker.fail(error()).unwrap().next.store().unwrap();
    assert!(matches!(open(&world, &world.client(), &kept), Ok(Stored::Failed(_))), "also in place of ready");
}

#[test]
fn what_is_stored_holds_for_what_was_sent_and_nothing_else() {
    let mut world = World::new(143);
    let (_, _, kept) = stored(&mut world);
    let other = body_hash(Json("other")).unwrap();
    for wrong in [Inputs { options: other, ..inputs() }, Inputs { payload: other, ..inputs() }] {
        let found =
            world.client().open_stored(&kept.opening, kept.done.clone(), &wrong, &world.trust, NOW_MS);
        assert!(matches!(found, Ok(Stored::Unproven(_))), "{found:?}");
    }
}

#[test]
fn what_is_stored_by_a_worker_that_is_not_trusted_is_not_taken() {
    let mut world = World::new(144);
    let (_, _, kept) = stored(&mut world);
    world.trust = Trust::pinned([identity(9).public()]);
    let found = open(&world, &world.client(), &kept);
    assert!(matches!(found, Err(OptionsError::Untrusted { .. })), "{found:?}");
}

#[test]
fn no_byte_of_what_is_stored_can_be_another() {
    let mut world = World::new(145);
    let (_, _, kept) = stored(&mut world);
    let client = world.client();
    let ToStore { opening, done } = &kept;
    let all = |opening: &[u8], done: &[u8]| {
        client.open_stored(opening, done.to_vec(), &inputs(), &world.trust, NOW_MS)
    };
    for at in 0..opening.len() {
        let mut forged = opening.clone();
        forged[at] ^= 1;
        assert!(dropped(all(&forged, done)), "byte {at} of message 0");
    }
    for at in 0..done.len() {
        let mut forged = done.clone();
        forged[at] ^= 1;
        assert!(dropped(all(opening, &forged)), "byte {at} of message 1");
    }
    for length in [0, 1, 31, 32, 33, opening.len() - 1] {
        assert!(dropped(all(&opening[..length], done)), "{length} bytes of message 0");
    }
    for length in [0, 1, 43, 44, 59, 60, done.len() - 1] {
        assert!(dropped(all(opening, &done[..length])), "{length} bytes of message 1");
    }
    assert!(matches!(all(opening, done), Ok(Stored::Result(_))));
}

#[test]
fn what_other_sessions_have_said_is_nothing_that_is_stored() {
    let mut world = World::new(146);
    let (_, _, kept) = stored(&mut world);
    let (_, _, other) = stored(&mut world);
    let client = world.client();
    let mixed = ToStore { opening: kept.opening.clone(), done: other.done };
    assert!(dropped(open(&world, &client, &mixed)), "another session of the same attempt");
    // N of one session before the options of the other.
    let opening = [&other.opening[..32], &kept.opening[32..]].concat();
    assert!(dropped(open(&world, &client, &ToStore { opening, done: kept.done.clone() })));
    // A client's own answer, or a step that is no `done`.
    let Run { mut worker, past, .. } = until_has_payload(&mut world);
    let opening = [&past[1][12..44], &past[0]].concat();
    let ready = worker.seal_for_test(Kind::Ready, Default::default(), Raw(b"ready"));
    for said in [past[1].clone(), past[2].clone(), past[3].clone(), ready] {
        assert!(dropped(open(&world, &client, &ToStore { opening: opening.clone(), done: said })));
    }
}

#[test]
fn what_an_earlier_attempt_has_stored_is_not_taken() {
    let mut world = World::new(147);
    let (_, _, kept) = stored(&mut world);
    let mut client = world.client();
    let second = world.options(2);
    world.opened(&mut client, &second.envelope);
    assert!(dropped(open(&world, &client, &kept)));
    assert!(open(&world, &world.client(), &kept).is_ok());
}

#[test]
fn reading_what_is_stored_seals_nothing_and_changes_nothing() {
    let mut world = World::new(148);
    let (_, _, kept) = stored(&mut world);
    let mut client = world.client();
    seal_log::start();
    for _ in 0..3 {
        assert!(matches!(open(&world, &client, &kept), Ok(Stored::Result(_))));
    }
    assert_eq!(seal_log::take().len(), 0);
    assert_eq!(client.proven_attempt(), 0);
    let first = world.options(1);
    world.opened(&mut client, &first.envelope);
}
