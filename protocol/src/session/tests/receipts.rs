//! Receipts: one that holds for each result, and what becomes of a result whose receipt does not.

use std::collections::BTreeSet;

use super::*;
use crate::{
    id::JobId,
    identity::Thumbprint,
    launch::LaunchRequest,
    receipt::{Receipt, ReceiptError},
    session::client::OwesRefusal,
    wire::{Empty, Head, Kind, OpenError, Raw},
};

/// A job of an owner with a co-signer, and their signatures.
fn signed_world(seed: u64) -> World {
    let owner = identity(20);
    let mut world = World::with_job(seed, |job| job.client = Some(owner.thumbprint()));
    let request = LaunchRequest::new(world.job.clone(), &[&owner, &identity(21)]).unwrap();
    world.signers = request.verify().unwrap();
    world
}

fn salt(byte: u8) -> Salt {
    Salt::take(&mut [byte; 32])
}

/// The receipt that `until_has_payload` and the result `"result"` come to, with this salt.
fn expected(world: &World, byte: u8) -> Receipt {
    let hash = |body: &str| Sha256Hash::of(format!("\"{body}\""));
    Receipt {
        job: *world.job.id(),
        worker: world.job.worker().clone(),
        attempt: Attempt::FIRST,
        started_ms: NOW_MS,
        finished_ms: NOW_MS + 5,
        client: world.job.description().client,
        signers: world.signers.iter().copied().collect(),
        input_hash: salt(byte).input_hash(hash("options"), hash("payload")),
        result_hash: salt(byte).result_hash(hash("result")),
    }
}

#[test]
fn a_result_comes_with_a_receipt_that_says_what_both_know() {
    let mut world = signed_world(110);
    let Run { client, worker, .. } = until_has_payload(&mut world);
    let sent = done(worker, Json("result")).unwrap();
    let Done::Result { receipt, .. } = client.receive(sent.envelope, INBOX).unwrap() else { panic!() };
    assert_eq!(receipt.receipt, expected(&world, 0x5A));
    assert_eq!(*receipt.salt.reveal(), *salt(0x5A).reveal());
    assert_eq!(Receipt::verify(&receipt.jws), Ok((receipt.receipt, world.identity.public())));
}

#[test]
fn bodies_that_are_absent_count_as_empty() {
    let mut world = World::new(111);
    let sent = world.options(1);
    let reply = world.opened(&mut world.client(), &sent.envelope).answer(Empty).unwrap();
    let worker = accepted(sent.next.receive(reply.envelope).unwrap());
    let sent = worker.ready(Empty).unwrap();
    let reply = ready(reply.next.receive(sent.envelope, INBOX).unwrap()).answer(Raw(b""), None).unwrap();
    let worker = accepted(sent.next.receive(reply.envelope).unwrap());
    let sent = done(worker, Empty).unwrap();
    let Done::Result { receipt, .. } = reply.next.receive(sent.envelope, INBOX).unwrap() else { panic!() };
    let none = Sha256Hash::of("");
    assert_eq!(receipt.receipt.input_hash, salt(0x5A).input_hash(none, none));
    assert_eq!(receipt.receipt.result_hash, salt(0x5A).result_hash(none));
}

#[test]
fn an_answer_that_was_not_sealed_does_not_count_as_input() {
    let mut world = World::new(112);
    world.max_bytes = 2000;
    let Run { client, worker, .. } = until_ready(&mut world);
    let owes = client.answer(Raw(vec![0; 3000]), None).unwrap_err().session;
    let reply = owes.answer(Json("payload"), None).unwrap();
    let worker = accepted(worker.receive(reply.envelope).unwrap());
    let sent = done(worker, Json("result")).unwrap();
    result(reply.next.receive(sent.envelope, INBOX).unwrap());
}

/// What a client makes of this `done`: the error, and the state that owes a refusal.
fn refused(client: AwaitDone, done: Vec<u8>) -> (ReceiptError, OwesRefusal) {
    match client.receive(done, INBOX).unwrap() {
        Done::Unproven { session, error } => (error, session),
        Done::Result { .. } => panic!("it was taken"),
        Done::Failed(failure) => panic!("{:?}", failure.error),
    }
}

/// Plays a session up to a `done` with this head and the result `"result"`.
fn unproven(world: &mut World, head: impl FnOnce(&World) -> Head) -> ReceiptError {
    let Run { client, mut worker, .. } = until_has_payload(world);
    let head = head(world);
    refused(client, worker.seal_for_test(Kind::Done, head, Json("result"))).0
}

fn head(receipt: &Receipt, signer: &SigningKey, byte: u8) -> Head {
    Head { receipt: Some(receipt.sign(signer)), salt: Some(salt(byte)), ..Head::default() }
}

#[test]
fn a_receipt_with_anything_else_than_the_client_knows_is_refused() {
    let mut world = signed_world(113);
    let right = expected(&world, 1);
    let Run { client, mut worker, .. } = until_has_payload(&mut world);
    let good = worker.seal_for_test(Kind::Done, head(&right, &world.identity, 1), Json("result"));
    result(client.receive(good, INBOX).unwrap());

    let owner: Thumbprint = right.client.unwrap();
    let other = Sha256Hash::of("other");
    let fewer: BTreeSet<_> = [owner].into();
    let more = right.signers.iter().copied().chain([identity(22).thumbprint()]).collect();
    for (member, wrong) in [
        ("job", Receipt { job: JobId::of(b"another"), ..right.clone() }),
        ("worker", Receipt { worker: "other".parse().unwrap(), ..right.clone() }),
        ("attempt", Receipt { attempt: Attempt::new(2).unwrap(), ..right.clone() }),
        ("client", Receipt { client: None, ..right.clone() }),
        ("client", Receipt { client: Some(identity(21).thumbprint()), ..right.clone() }),
        ("signers", Receipt { signers: fewer, ..right.clone() }),
        ("signers", Receipt { signers: more, ..right.clone() }),
        ("input_hash", Receipt { input_hash: other, ..right.clone() }),
        ("input_hash", Receipt { input_hash: right.result_hash, ..right.clone() }),
        ("result_hash", Receipt { result_hash: other, ..right.clone() }),
        ("result_hash", Receipt { result_hash: right.input_hash, ..right.clone() }),
    ] {
        let error = unproven(&mut world, |world| head(&wrong, &world.identity, 1));
        assert_eq!(error, ReceiptError::Mismatch { member });
    }
    let error = unproven(&mut world, |world| head(&right, &world.identity, 2));
    assert_eq!(error, ReceiptError::Mismatch { member: "input_hash" }, "another salt");
}

#[test]
fn a_receipt_by_another_key_is_refused_although_that_is_trusted_too() {
    let mut world = signed_world(114);
    let other = identity(2);
    world.trust = Trust::pinned([world.identity.public(), other.public()]);
    let right = expected(&world, 1);
    let error = unproven(&mut world, |_| head(&right, &other, 1));
    let (signer, worker) = (other.thumbprint(), world.identity.thumbprint());
    assert_eq!(error, ReceiptError::Signer { signer, worker });
}

#[test]
fn a_result_needs_receipt_and_salt() {
    let mut world = World::new(115);
    let right = expected(&world, 1);
    let receipt = |world: &World| right.sign(&world.identity);
    assert_eq!(unproven(&mut world, |_| Head::default()), ReceiptError::Missing { member: "receipt" });
    let error = unproven(&mut world, |world| Head { receipt: Some(receipt(world)), ..Head::default() });
    assert_eq!(error, ReceiptError::Missing { member: "salt" });
    let error = unproven(&mut world, |_| Head { salt: Some(salt(1)), ..Head::default() });
    assert_eq!(error, ReceiptError::Missing { member: "receipt" });
    let cut = |world: &World| receipt(world)[1..].to_owned();
    let error = unproven(&mut world, |world| Head {
        receipt: Some(cut(world)),
        salt: Some(salt(1)),
        ..Head::default()
    });
    assert!(matches!(error, ReceiptError::Signature(_)), "{error}");
}

#[test]
fn a_receipt_of_another_attempt_or_job_cannot_be_shown_again() {
    let mut world = World::new(116);
    let earlier = done(until_has_payload(&mut world).worker, Json("result")).unwrap();
    let Run { client, .. } = until_has_payload(&mut world);
    assert!(client.receive(earlier.envelope, INBOX).is_err(), "of another session");

    let mut other = World::with_job(116, |job| job.label = Some("another".to_owned()));
    let stolen = expected(&other, 1);
    let Run { client, mut worker, .. } = until_has_payload(&mut world);
    let envelope = worker.seal_for_test(Kind::Done, head(&stolen, &world.identity, 1), Json("result"));
    assert_eq!(refused(client, envelope).0, ReceiptError::Mismatch { member: "job" });
    let Run { client, mut worker, .. } = until_has_payload(&mut other);
    let envelope = worker.seal_for_test(Kind::Done, head(&stolen, &world.identity, 1), Json("result"));
    result(client.receive(envelope, INBOX).unwrap());
}

#[test]
fn a_worker_whose_receipt_does_not_hold_is_told_so() {
    let mut world = World::new(117);
    let Run { client, worker, .. } = until_has_payload(&mut world);
    let sent = worker.done(Json("result"), issue(&identity(2))).unwrap();
    let (error, mut owes) = refused(client, sent.envelope.clone());
    assert_eq!(format!("{owes:?}"), "OwesRefusal");
    let pending = super::super::client::Repeated::Pending;
    assert_eq!(owes.repeated(&sent.envelope, "_INBOX.b"), pending);
    assert_eq!(owes.event(sent.envelope.clone()), Err(OpenError));
    let reply = owes.refuse(&error).unwrap();
    assert_eq!(reply.to, [INBOX, "_INBOX.b"]);
    let told = failed(sent.next.receive(reply.envelope.clone()).unwrap());
    assert_eq!((told.code, told.message), (StepCode::BadInput, error.to_string()));
    let closed = reply.next.close(NOW_MS);
    assert_eq!(closed.repeat(&sent.envelope, NOW_MS), Some(reply.envelope.as_slice()));
}

#[test]
fn an_error_needs_no_receipt() {
    let mut world = World::new(118);
    let Run { client, worker, .. } = until_has_payload(&mut world);
    let sent = worker.fail(error()).unwrap();
    assert!(matches!(client.receive(sent.envelope, INBOX).unwrap(), Done::Failed(_)));
}
