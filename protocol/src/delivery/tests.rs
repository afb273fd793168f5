//! Every rule, against every kind of last record.

use super::{worker::holder, *};
use crate::{
    encoding::b64u,
    identity::{Role, SigningKey},
    record::code,
    refusal::Code,
    secret::Secret,
};

const HASH: Sha256Hash = Sha256Hash([1; 32]);
const OTHER: Sha256Hash = Sha256Hash([2; 32]);
const MINUTE_MS: u64 = 60 * 1000;

fn instance(byte: u8) -> Instance {
    b64u([byte; 16]).parse().unwrap()
}

fn attempt(number: u16) -> Attempt {
    Attempt::new(number).unwrap()
}

fn known(state: State, attempt: u16) -> Last {
    Last::Known(Snapshot { hash: HASH, attempt, at_ms: 0, state })
}

fn open(byte: u8, running: bool) -> State {
    State::Open { instance: instance(byte), running }
}

/// Every kind of last record there is, with up to `attempts` attempts.
fn lasts(attempts: u16) -> Vec<Last> {
    let mut all = vec![Last::Absent, Last::Unverified { hash: HASH }, known(State::Queued, 0)];
    for number in 1..=attempts {
        all.extend([
            known(open(1, false), number),
            known(open(1, true), number),
            known(open(2, false), number),
        ]);
        all.push(known(State::Finished, number));
    }
    all.extend((0..=attempts).map(|number| known(State::Ended, number)));
    all
}

fn state(last: &Last) -> Option<State> {
    match last {
        Last::Known(snapshot) => Some(snapshot.state),
        Last::Absent | Last::Unverified { .. } => None,
    }
}

/// Every combination of what decides about a delivery.
fn deliveries(last: &Last) -> Vec<Delivered<'_>> {
    let mut all = Vec::new();
    for flags in 0..8_u8 {
        for probe in [Probe::NotAsked, Probe::Answered, Probe::Silent] {
            for refusal in
                [None, Some(Code::BadSignature), Some(Code::Unauthorized), Some(Code::PskUnavailable)]
            {
                for max_attempts in 1..=3 {
                    all.push(Delivered {
                        last,
                        is_the_job: flags & 1 != 0,
                        held_here: flags & 2 != 0,
                        probe,
                        refusal,
                        expired: flags & 4 != 0,
                        max_attempts,
                    });
                }
            }
        }
    }
    all
}

/// The six rules, each as its condition and what it says: the first that fits decides.
fn rules(view: &Delivered<'_>) -> OnDelivery {
    let verifies = !matches!(view.last, Last::Unverified { .. });
    let exists = !matches!(view.last, Last::Absent);
    let over = matches!(state(view.last), Some(State::Ended | State::Finished));
    let is_open = matches!(state(view.last), Some(State::Open { .. }));
    let next = view.last.attempt() + 1;
    let ask = || match view.last {
        Last::Known(Snapshot { attempt: number, state: State::Open { instance, .. }, .. }) => {
            OnDelivery::AskAlive(Holder { attempt: attempt(*number), instance: *instance })
        }
        _ => unreachable!(),
    };
    let fail = |code: &str| OnDelivery::End(Ending::failed(code, ""));
    let all: [(bool, &dyn Fn() -> OnDelivery); 10] = [
        (!view.is_the_job, &|| OnDelivery::Ack),
        (!verifies, &|| OnDelivery::Nak),
        (!exists || over, &|| OnDelivery::Ack),
        (view.held_here, &|| OnDelivery::GoOn),
        (is_open && view.probe == Probe::NotAsked, &ask),
        (is_open && view.probe == Probe::Answered, &|| OnDelivery::Nak),
        (view.refusal.is_some(), &|| fail(view.refusal.unwrap().word())),
        (view.expired, &|| OnDelivery::End(Ending::expired(view.last.attempt()))),
        (next > view.max_attempts, &|| fail("attempts_used_up")),
        (true, &|| OnDelivery::Take(attempt(next))),
    ];
    all.iter().find(|(fits, _)| *fits).unwrap().1()
}

/// What it does, without the text for people.
fn plain(decision: OnDelivery) -> OnDelivery {
    match decision {
        OnDelivery::End(Ending::Failed(reason)) => OnDelivery::End(Ending::failed(&reason.code, "")),
        other => other,
    }
}

#[test]
fn a_delivery_is_decided_by_the_first_rule_that_fits() {
    let mut seen = 0;
    for last in lasts(3) {
        for view in deliveries(&last) {
            assert_eq!(plain(deliver(&view)), rules(&view), "{view:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 19 * 288);
}

#[test]
fn invariant_only_what_is_over_or_absent_is_acked() {
    for last in lasts(3) {
        for view in deliveries(&last).into_iter().filter(|view| view.is_the_job) {
            let over =
                matches!(last, Last::Absent) || matches!(state(&last), Some(State::Ended | State::Finished));
            assert_eq!(deliver(&view) == OnDelivery::Ack, over, "{view:?}");
        }
    }
}

#[test]
fn invariant_nothing_is_taken_while_somebody_may_hold_it() {
    for last in lasts(3) {
        for view in deliveries(&last) {
            if let OnDelivery::Take(taken) = deliver(&view) {
                assert!(!view.held_here && view.refusal.is_none() && !view.expired && view.is_the_job);
                assert_eq!(taken.get(), last.attempt() + 1);
                assert!(taken.get() <= view.max_attempts);
                let free = state(&last) == Some(State::Queued) || view.probe == Probe::Silent;
                assert!(free, "{view:?}");
            }
        }
    }
}

#[test]
fn attempts_end_at_the_protocols_limit_whatever_a_job_says() {
    let last = known(open(1, true), Attempt::MAX);
    let view = Delivered {
        last: &last,
        is_the_job: true,
        held_here: false,
        probe: Probe::Silent,
        refusal: None,
        expired: false,
        max_attempts: u16::MAX,
    };
    let OnDelivery::End(Ending::Failed(reason)) = deliver(&view) else { panic!() };
    assert_eq!(reason.code, code::ATTEMPTS_USED_UP);
}

#[test]
fn only_an_open_attempt_has_a_holder() {
    for last in lasts(2) {
        let Last::Known(snapshot) = &last else { continue };
        let expected = match snapshot.state {
            State::Open { instance, .. } => Some(Holder { attempt: attempt(snapshot.attempt), instance }),
            State::Queued | State::Finished | State::Ended => None,
        };
        assert_eq!(holder(snapshot), expected);
    }
}

#[test]
fn who_holds_an_attempt_keeps_it_until_it_is_taken_over_or_done() {
    let holder = Holder { attempt: attempt(2), instance: instance(1) };
    let table = [
        (Last::Absent, Look::Ended),
        (Last::Unverified { hash: HASH }, Look::Keep),
        (known(State::Queued, 0), Look::LetGo),
        (known(open(1, false), 2), Look::Keep),
        (known(open(1, true), 2), Look::Keep),
        (known(open(2, false), 2), Look::LetGo),
        (known(open(2, true), 3), Look::LetGo),
        (known(open(1, false), 3), Look::LetGo),
        (known(open(1, true), 1), Look::LetGo),
        (known(State::Finished, 2), Look::Ended),
        (known(State::Finished, 3), Look::Ended),
        (known(State::Ended, 0), Look::Ended),
        (known(State::Ended, 2), Look::Ended),
    ];
    for (last, expected) in table {
        assert_eq!(look(&last, &holder), expected, "{last:?}");
    }
}

#[test]
fn a_worker_starts_only_with_the_next_attempt_of_a_job_that_is_not_over() {
    for last in lasts(3) {
        for number in 1..=5 {
            let goes_on = matches!(state(&last), Some(State::Queued | State::Open { .. }));
            let expected = if goes_on && number == last.attempt() + 1 { Start::Take } else { Start::Exit };
            assert_eq!(start(&last, attempt(number)), expected, "{last:?} {number}");
        }
    }
    assert_eq!(start(&known(open(1, true), u16::MAX), attempt(1)), Start::Exit);
}

#[test]
fn a_launch_is_admitted_once() {
    for last in lasts(2) {
        let expected = match &last {
            Last::Absent => OnLaunch::Admit,
            last if state(last) == Some(State::Queued) => OnLaunch::Queue,
            _ => OnLaunch::Answer,
        };
        assert_eq!(on_launch(&last), expected, "{last:?}");
    }
}

/// What the sweep does, and with which code if it ends the job.
fn swept(last: &Last, chained: bool, expired: bool, now_ms: u64) -> (bool, Option<String>) {
    match sweep(last, chained, expired, now_ms, &SweepAges::default()) {
        Sweep::Leave => (false, None),
        Sweep::Queue => (true, None),
        Sweep::End(Ending::Failed(reason) | Ending::Expired(reason)) => (false, Some(reason.code)),
    }
}

#[test]
fn the_sweep_repeats_what_may_be_lost_and_ends_what_is_too_late() {
    let leave = (false, None);
    let queue = (true, None);
    let ended = |code: &str| (false, Some(code.to_owned()));
    let stored = (7 * 24 * 60 + 10) * MINUTE_MS;
    let table = [
        (State::Queued, false, 30_000, leave.clone()),
        (State::Queued, false, 30_001, queue.clone()),
        (State::Queued, true, 0, ended("expired")),
        (State::Queued, true, 30_001, ended("expired")),
        (open(1, false), false, 10 * MINUTE_MS, leave.clone()),
        (open(1, false), false, 10 * MINUTE_MS + 1, queue.clone()),
        (open(1, true), true, 10 * MINUTE_MS + 1, queue),
        (open(1, true), true, 0, leave.clone()),
        (State::Finished, true, stored, leave.clone()),
        (State::Finished, false, stored + 1, ended(code::CLIENT_GONE)),
        (State::Ended, true, u64::MAX, leave.clone()),
    ];
    for (state, expired, age_ms, expected) in table {
        assert_eq!(swept(&known(state, 1), true, expired, age_ms), expected, "{state:?} {expired} {age_ms}");
    }
    assert_eq!(swept(&Last::Absent, false, true, u64::MAX), leave);
}

#[test]
fn the_sweep_ends_a_job_whose_history_is_broken() {
    let broken = (false, Some(code::BAD_RECORD.to_owned()));
    for chained in [true, false] {
        assert_eq!(swept(&Last::Unverified { hash: HASH }, chained, false, 0), broken);
    }
    for last in lasts(2).into_iter().filter(|last| state(last).is_some()) {
        assert_eq!(swept(&last, false, false, 0), broken, "{last:?}");
    }
}

#[test]
fn a_record_from_the_future_is_not_old() {
    let last = Last::Known(Snapshot { hash: HASH, attempt: 0, at_ms: u64::MAX, state: State::Queued });
    assert_eq!(swept(&last, true, false, 0), (false, None));
    // It becomes so as time goes by.
    let seen = last.seen_at(5);
    assert_eq!(swept(&seen, true, false, 30_005), (false, None));
    assert_eq!(swept(&seen, true, false, 30_006), (true, None));
    assert_eq!(seen.clone().seen_at(6), seen);
}

#[test]
fn a_job_that_has_ended_cannot_be_ended_otherwise() {
    for last in lasts(2) {
        match (end(&last), &last) {
            (End::Unknown, Last::Absent) => {}
            (End::Broken(Ending::Failed(reason)), Last::Unverified { .. }) => {
                assert_eq!(reason.code, code::BAD_RECORD)
            }
            (End::Ended, last) => assert_eq!(state(last), Some(State::Ended)),
            (End::Write, last) => assert!(state(last).is_some_and(|state| state != State::Ended)),
            (decision, last) => panic!("{decision:?} for {last:?}"),
        }
    }
}

#[test]
fn a_child_is_killed_when_it_is_silent_overtaken_or_ended() {
    let kid = Child { attempt: attempt(2), decided_on: HASH };
    let quiet = |is_silent| ChildView { is_silent, is_overdue: false };
    let (keep, wait, kill) = (KeepChild::Keep, KeepChild::Wait, KeepChild::Kill);
    for last in lasts(3) {
        assert_eq!(child(&last, &kid, &quiet(true)), kill, "silent: {last:?}");
        let expected = match state(&last) {
            Some(State::Ended | State::Finished) => wait,
            Some(_) if last.attempt() > 2 => kill,
            Some(_) => keep,
            None if last == Last::Absent => wait,
            None => keep,
        };
        assert_eq!(child(&last, &kid, &quiet(false)), expected, "{last:?}");
    }
    for last in [Last::Absent, known(State::Ended, 2), known(State::Finished, 2)] {
        let overdue = ChildView { is_silent: false, is_overdue: true };
        assert_eq!(child(&last, &kid, &overdue), kill, "{last:?}");
    }
}

#[test]
fn a_child_that_left_nothing_behind_did_not_start() {
    let kid = Child { attempt: attempt(1), decided_on: HASH };
    let AfterChild::End(Ending::Failed(reason)) = after_child(&known(State::Queued, 0), &kid, false) else {
        panic!()
    };
    assert_eq!(reason.code, code::START_FAILED);
    assert_eq!(after_child(&known(State::Queued, 0), &kid, true), AfterChild::HandOver);
    let other = Child { decided_on: OTHER, ..kid };
    for stopped in [false, true] {
        for last in lasts(2) {
            assert_eq!(after_child(&last, &other, stopped), AfterChild::Decide, "{last:?}");
        }
        assert_eq!(after_child(&Last::Absent, &kid, stopped), AfterChild::Decide);
    }
}

#[test]
fn an_append_has_won_lost_or_is_repeated() {
    for (last, prev, expected) in [
        (Some(&HASH), Some(&OTHER), Appended::Won),
        (Some(&HASH), None, Appended::Won),
        (Some(&OTHER), Some(&OTHER), Appended::Again),
        (None, None, Appended::Again),
        (Some(&OTHER), None, Appended::Lost),
        (None, Some(&OTHER), Appended::Lost),
        (Some(&Sha256Hash([3; 32])), Some(&OTHER), Appended::Lost),
    ] {
        assert_eq!(appended(last, &HASH, prev), expected, "{last:?} {prev:?}");
    }
}

#[test]
fn the_last_record_is_read_as_what_it_says() {
    let key = |seed| SigningKey::from_seed(&Secret::take(&mut [seed; 32]));
    let (launcher, serving) = (key(1), key(2));
    let trust = Trust::pinned([serving.public()]).with_key(launcher.public(), Role::Launcher, None);
    let (job, name): (_, WorkerName) = (JobId::of(b"job"), "echo".parse().unwrap());
    let reason = || Reason::new("x", "");
    let table = [
        (Event::Queued { request: vec![] }, 0, State::Queued),
        (Event::Taken { instance: instance(1) }, 1, open(1, false)),
        (Event::Running { instance: instance(1) }, 1, open(1, true)),
        (Event::Finished, 1, State::Finished),
        (Event::Closed { close: [0; 32], times: crate::record::Times::default() }, 1, State::Ended),
        (Event::Failed(reason()), 1, State::Ended),
        (Event::Cancelled { cancel: None, reason: reason() }, 0, State::Ended),
        (Event::Expired(reason()), 0, State::Ended),
    ];
    for (event, number, state) in table {
        let signer = if number == 0 { &launcher } else { &serving };
        let record = Record { job, at_ms: 7, attempt: number, prev: None, event };
        let bytes = record.sign(signer);
        let hash = Sha256Hash::of(&bytes);
        let last = Last::read(Some(&bytes), &job, &name, &trust);
        assert_eq!(last, Last::Known(Snapshot { hash, attempt: number, at_ms: 7, state }));
        assert_eq!((last.hash(), last.attempt()), (Some(hash), number));

        for (job, name, trust) in
            [(JobId::of(b"other"), name.clone(), trust.clone()), (job, name.clone(), Trust::default())]
        {
            let last = Last::read(Some(&bytes), &job, &name, &trust);
            assert_eq!(last, Last::Unverified { hash });
            assert_eq!((last.hash(), last.attempt()), (Some(hash), 0));
        }
    }
    let last = Last::read(Some(b"not a record"), &job, &name, &trust);
    assert_eq!(last, Last::Unverified { hash: Sha256Hash::of(b"not a record") });
    let last = Last::read(None, &job, &name, &trust);
    assert_eq!((last.hash(), last.attempt()), (None, 0));
    assert_eq!(last, Last::Absent);
}

#[test]
fn endings_become_events() {
    let failed = Ending::failed(code::CLIENT_GONE, "gone");
    assert_eq!(failed.into_event(), Event::Failed(Reason::new("client_gone", "gone")));
    let Event::Expired(reason) = Ending::expired(0).into_event() else { panic!() };
    assert_eq!(reason.code, "expired");
}

#[test]
fn an_answer_is_good_for_the_holder_who_was_asked() {
    let before = known(open(1, false), 1);
    let after = Last::Known(Snapshot { hash: OTHER, attempt: 2, at_ms: 0, state: open(2, false) });
    for asked in [Probe::Answered, Probe::Silent] {
        assert_eq!(after_probe(&before, &before, asked), asked);
        assert_eq!(after_probe(&before, &after, asked), Probe::NotAsked);
        assert_eq!(after_probe(&before, &Last::Absent, asked), Probe::NotAsked);
    }
}

#[test]
fn an_attempt_concludes_with_what_the_client_knows() {
    use {Conclusion::*, Stand::*, Stopped as S};
    let all = [S::Overtaken, S::Ended, S::ClientGone, S::ClientFailed, S::Unrecorded, S::Draining];
    for stopped in all.map(Some).into_iter().chain([None]) {
        for number in 1..=2 {
            let result = |stand| conclude(stand, stopped, attempt(number), 2);
            // What the client has shown or acknowledged stands, whatever else happened.
            assert_eq!(result(Closed), Close);
            assert_eq!(result(Acknowledged), Fail);
            assert_eq!(result(Cancelled), Cancel);
            let left = |outcome| Leave(outcome);
            let (early, unanswered) = match stopped {
                Some(S::ClientFailed) => (FailAsClient, FailAsClient),
                Some(S::Ended) => (left(Outcome::Ended), left(Outcome::Ended)),
                Some(S::Overtaken) => (left(Outcome::Overtaken), left(Outcome::Overtaken)),
                Some(S::ClientGone) if number == 2 => (ClientGone, Store),
                Some(S::ClientGone | S::Draining) => (left(Outcome::LetGo), Store),
                Some(S::Unrecorded) | None => (left(Outcome::LetGo), left(Outcome::LetGo)),
            };
            assert_eq!((result(Early), result(Unanswered)), (early, unanswered), "{stopped:?} {number}");
        }
    }
}

#[test]
fn what_is_stored_is_finished_or_failed_and_what_is_not_is_gone() {
    assert_eq!(after_store(false, true), Conclusion::Finish);
    assert_eq!(after_store(true, true), Conclusion::Fail);
    assert_eq!([true, false].map(|failed| after_store(failed, false)), [Conclusion::ClientGone; 2]);
}

#[test]
fn an_ending_that_lost_is_written_again_only_after_a_record_of_its_own() {
    let holder = Holder { attempt: attempt(2), instance: instance(1) };
    let left = AfterLost::Leave;
    let table = [
        (Last::Absent, left(Outcome::Ended)),
        (known(State::Ended, 2), left(Outcome::Ended)),
        (known(State::Finished, 2), left(Outcome::Ended)),
        (known(open(2, false), 3), left(Outcome::Overtaken)),
        (known(State::Queued, 0), left(Outcome::Overtaken)),
        (known(open(1, true), 2), AfterLost::Again),
        (Last::Unverified { hash: HASH }, left(Outcome::LetGo)),
    ];
    for (last, expected) in table {
        assert_eq!(ending_lost(&last, &holder, &OTHER), expected, "{last:?}");
    }
    assert_eq!(ending_lost(&known(open(1, true), 2), &holder, &HASH), left(Outcome::LetGo));
}

#[test]
fn only_what_is_over_is_acked_and_who_is_overtaken_is_silent() {
    for (outcome, expected) in [
        (Outcome::Closed, Settle::Ack),
        (Outcome::Finished, Settle::Ack),
        (Outcome::Failed, Settle::Ack),
        (Outcome::Cancelled, Settle::Ack),
        (Outcome::Ended, Settle::Ack),
        (Outcome::Overtaken, Settle::Nothing),
        (Outcome::LetGo, Settle::Nak),
    ] {
        assert_eq!(settle(outcome), expected);
    }
}
