//! Steps that come again, while they are worked on and after they are answered.

use super::*;
use crate::session::client::{REPEAT_AFTER_CLOSE_MS, Repeated};

#[test]
fn a_step_that_is_worked_on_is_answered_at_the_last_four_subjects() {
    let mut world = World::new(60);
    let Run { client: mut owes, past, .. } = until_options(&mut world);
    for subject in ["_INBOX.b", "_INBOX.c", "_INBOX.c", "_INBOX.d", "_INBOX.e"] {
        assert_eq!(owes.repeated(&past[0], subject), Repeated::Pending);
    }
    let reply = owes.answer(Json(1)).unwrap();
    assert_eq!(reply.to, ["_INBOX.b", "_INBOX.c", "_INBOX.d", "_INBOX.e"]);
}

#[test]
fn the_latest_step_is_answered_with_the_same_bytes() {
    let mut world = World::new(61);
    let Run { client, worker, past } = until_options(&mut world);
    let mut reply = client.answer(Json("options")).unwrap();
    assert_eq!(reply.next.repeated(&past[0], "_INBOX.z"), Repeated::Answered(&reply.envelope));
    assert_eq!(reply.next.repeated(&past[0], "_INBOX.z"), Repeated::Answered(&reply.envelope));
    let worker = accepted(worker.receive(reply.envelope.clone()).unwrap());

    let sent = worker.ready(Json(1)).unwrap();
    assert_eq!(reply.next.repeated(&sent.envelope, INBOX), Repeated::No, "it is new");
    let mut owes = ready(reply.next.receive(sent.envelope.clone(), INBOX).unwrap());
    assert_eq!(owes.repeated(&sent.envelope, INBOX), Repeated::Pending);
    assert_eq!(owes.repeated(&past[0], INBOX), Repeated::No, "an older step");
    let mut payload = owes.answer(Json("payload"), None).unwrap();
    assert_eq!(payload.next.repeated(&sent.envelope, INBOX), Repeated::Answered(&payload.envelope));
    assert_eq!(payload.next.repeated(&past[0], INBOX), Repeated::No);
    let worker = accepted(sent.next.receive(payload.envelope.clone()).unwrap());

    let done = done(worker, Json(1)).unwrap();
    let mut owes = result(payload.next.receive(done.envelope.clone(), INBOX).unwrap());
    assert_eq!(owes.repeated(&done.envelope, INBOX), Repeated::Pending);
    assert_eq!(owes.repeated(&sent.envelope, INBOX), Repeated::No);
}

#[test]
fn what_is_nearly_the_latest_step_is_not() {
    let mut world = World::new(62);
    let Run { client, past, .. } = until_options(&mut world);
    let mut reply = client.answer(Json(1)).unwrap();
    for at in 0..past[0].len() {
        let mut other = past[0].clone();
        other[at] ^= 1;
        assert_eq!(reply.next.repeated(&other, INBOX), Repeated::No, "byte {at}");
    }
    assert_eq!(reply.next.repeated(&past[0][..past[0].len() - 1], INBOX), Repeated::No);
    assert_eq!(reply.next.repeated(&[], INBOX), Repeated::No);
}

#[test]
fn a_forged_step_does_not_become_the_latest() {
    let mut world = World::new(63);
    let Run { client, worker, past } = until_has_options(&mut world);
    let sent = worker.ready(Json(1)).unwrap();
    let mut forged = sent.envelope.clone();
    *forged.last_mut().unwrap() ^= 1;
    let mut client = client.receive(forged.clone(), "_INBOX.forged").unwrap_err().session;
    assert_eq!(client.repeated(&forged, INBOX), Repeated::No);
    assert_eq!(client.repeated(&past[0], INBOX), Repeated::Answered(&past[1]));
    let owes = ready(client.receive(sent.envelope, INBOX).unwrap());
    assert_eq!(owes.answer(Json(1), None).unwrap().to, [INBOX]);
}

#[test]
fn a_failed_answer_leaves_the_subjects() {
    let mut world = World::new(64);
    world.max_bytes = 2000;
    let Run { client: mut owes, past, .. } = until_options(&mut world);
    assert_eq!(owes.repeated(&past[0], "_INBOX.b"), Repeated::Pending);
    let owes = owes.answer(Json("x".repeat(3000))).unwrap_err().session;
    let refused = owes.refuse(error()).unwrap();
    assert_eq!(refused.to, [INBOX, "_INBOX.b"]);
}

#[test]
fn a_closed_session_answers_done_for_two_minutes() {
    let mut world = World::new(65);
    let Run { client, past, .. } = until_done(&mut world);
    let done = past.last().unwrap().clone();
    let reply = client.close(TOKEN, Json(1), NOW_MS).unwrap();
    let closed = reply.next;
    for now_ms in [NOW_MS, NOW_MS + REPEAT_AFTER_CLOSE_MS, NOW_MS - 1000] {
        assert_eq!(closed.repeat(&done, now_ms), Some(reply.envelope.as_slice()));
    }
    assert_eq!(closed.repeat(&done, NOW_MS + REPEAT_AFTER_CLOSE_MS + 1), None);
    assert_eq!(REPEAT_AFTER_CLOSE_MS, 120_000);
    for other in &past[..past.len() - 1] {
        assert_eq!(closed.repeat(other, NOW_MS), None);
    }
    let mut forged = done.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(closed.repeat(&forged, NOW_MS), None);
}

#[test]
fn a_refused_step_is_answered_again_too() {
    let mut world = World::new(66);
    let Run { client, past, .. } = until_ready(&mut world);
    let reply = client.refuse(error()).unwrap();
    let closed = reply.next.close(NOW_MS);
    assert_eq!(closed.repeat(past.last().unwrap(), NOW_MS), Some(reply.envelope.as_slice()));
    assert_eq!(closed.repeat(past.last().unwrap(), NOW_MS + REPEAT_AFTER_CLOSE_MS + 1), None);
}
