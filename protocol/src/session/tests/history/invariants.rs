//! What must hold, whatever the broker does. Most of it is checked after each event, the first group after
//! each message.

use subrosa_protocol::{
    id::JobId,
    wire::{Kind, seal_log},
};

use super::{
    cast::{CAST, JobNumber},
    client::Verdict,
    letter::{Said, SessionId, WorkerId},
    worker::Worker,
    world::{Session, World},
};

/// Who got a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Client(JobNumber),
    Worker(WorkerId),
}

/// What can be seen of a party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    stage: &'static str,
    session: Option<SessionId>,
    /// A client's alone: the highest attempt, and the job that it waits for.
    launched: Option<(u16, JobId)>,
}

/// A message that was delivered, and what became of it.
pub(super) struct Delivery<'a> {
    pub(super) place: Place,
    pub(super) before: Snapshot,
    pub(super) after: Snapshot,
    pub(super) expected: Verdict,
    pub(super) verdict: &'a Verdict,
}

impl World {
    pub(super) fn snapshot(&self, place: Place) -> Snapshot {
        match place {
            Place::Client(job) => {
                let client = self.clients[job.0].as_ref().expect("it has got a message");
                let launched = client.launched.as_ref();
                let launched = launched.map(|launched| (launched.proven_attempt(), *launched.job().id()));
                Snapshot { stage: client.stage.name(), session: client.session, launched }
            }
            Place::Worker(id) => {
                let worker = &self.workers[id.0];
                Snapshot { stage: worker.stage.name(), session: worker.bound, launched: None }
            }
        }
    }
}

/// Everything that can be said of one message.
pub(super) fn check_delivery(delivery: &Delivery<'_>) {
    invariant_only_what_the_peer_said_is_taken(delivery);
    invariant_junk_spoils_nothing(delivery);
    invariant_what_is_dropped_changes_nothing(delivery);
    invariant_a_step_again_gets_the_same_answer(delivery);
    invariant_a_result_is_taken_with_its_receipt_only(delivery);
    invariant_strangers_are_named_and_change_nothing(delivery);
}

/// Everything that can be said of the whole.
pub(super) fn check(world: &mut World) {
    invariant_no_number_is_sealed_twice(world);
    invariant_nothing_can_be_read_on_the_way(world);
    for (at, session) in world.sessions.iter().enumerate() {
        let worker = &world.workers[session.peer.0];
        invariant_the_clients_words_reach_one_worker_in_order(SessionId(at), session, worker);
        invariant_the_workers_words_reach_its_client_in_order(SessionId(at), session, worker);
        invariant_a_session_is_with_a_worker_of_its_job(session, worker);
    }
    for (at, worker) in world.workers.iter().enumerate() {
        invariant_a_worker_hears_its_own_client_only(world, WorkerId(at), worker);
    }
    for job in JobNumber::ALL {
        invariant_a_client_waits_for_its_job_above_the_highest_attempt(world, job);
        invariant_a_job_has_one_end(world, job);
    }
}

/// A message is taken only where the peer of the live session meant it, at its time, and as it said it.
fn invariant_only_what_the_peer_said_is_taken(delivery: &Delivery<'_>) {
    if let Verdict::Taken(_) = delivery.verdict {
        assert_eq!(*delivery.verdict, delivery.expected, "at {:?}", delivery.place);
    }
}

/// What the peer did say is taken, whatever came before it: no step is ended or used up by junk.
fn invariant_junk_spoils_nothing(delivery: &Delivery<'_>) {
    if let Verdict::Taken(_) = delivery.expected {
        assert_eq!(*delivery.verdict, delivery.expected, "at {:?}", delivery.place);
    }
}

/// Without a proof, or without the session's key: same stage, same session, same highest attempt, same job.
fn invariant_what_is_dropped_changes_nothing(delivery: &Delivery<'_>) {
    if !matches!(delivery.verdict, Verdict::Taken(_) | Verdict::Unproven) {
        assert_eq!(delivery.before, delivery.after, "at {:?}", delivery.place);
    }
}

/// The same bytes are answered by the same bytes, or put beside the answer that is being made.
fn invariant_a_step_again_gets_the_same_answer(delivery: &Delivery<'_>) {
    let again = |verdict: &Verdict| matches!(verdict, Verdict::Pending | Verdict::Answered(_));
    if again(delivery.verdict) || again(&delivery.expected) {
        assert_eq!(*delivery.verdict, delivery.expected, "at {:?}", delivery.place);
    }
}

/// A result whose receipt is not by the session's worker is refused, and no other result is.
fn invariant_a_result_is_taken_with_its_receipt_only(delivery: &Delivery<'_>) {
    if *delivery.verdict == Verdict::Unproven || delivery.expected == Verdict::Unproven {
        assert_eq!(*delivery.verdict, delivery.expected, "at {:?}", delivery.place);
        assert_eq!(delivery.after.stage, "OwesRefusal");
    }
}

/// An application hears of an untrusted worker exactly if there is one, and under its own name.
fn invariant_strangers_are_named_and_change_nothing(delivery: &Delivery<'_>) {
    let untrusted = |verdict: &Verdict| matches!(verdict, Verdict::Untrusted(_));
    if untrusted(delivery.verdict) || untrusted(&delivery.expected) {
        assert_eq!(*delivery.verdict, delivery.expected, "at {:?}", delivery.place);
        assert_eq!(delivery.before, delivery.after, "at {:?}", delivery.place);
    }
}

/// The answer goes to the reply subjects that the step has come with, the last four of them.
pub(super) fn invariant_answers_go_where_the_step_came_from(expected: &[String], to: &[String]) {
    assert_eq!(expected, to);
}

fn invariant_no_number_is_sealed_twice(world: &mut World) {
    for sealed in seal_log::take() {
        world.tally.sealed += 1;
        assert!(world.sealed.insert(sealed), "a nonce was used twice: {sealed:?}");
    }
    assert_eq!(world.sealed.len(), world.letters.len(), "every envelope is sealed, and nothing else");
}

fn invariant_nothing_can_be_read_on_the_way(world: &mut World) {
    for letter in &world.letters[world.read..] {
        let text = letter.said.text.as_bytes();
        assert!(!letter.bytes.windows(text.len()).any(|window| window == text), "{:?}", letter.said);
    }
    world.read = world.letters.len();
}

/// A worker has heard options, payload and status of one session: each once, in this order, and unchanged.
fn invariant_the_clients_words_reach_one_worker_in_order(id: SessionId, session: &Session, worker: &Worker) {
    let worker_failed = session.heard.iter().any(|said| said.is_error);
    let (words, cancels) = without_cancel(&session.said);
    assert_in_order(words, [Kind::OptionsReply, Kind::ReadyReply, Kind::DoneReply], worker_failed);
    if worker.bound == Some(id) {
        let (heard, cancelled) = without_cancel(&worker.heard);
        assert!(cancels || !cancelled, "only the client of the session cancels");
        assert!(heard.len() <= words.len());
        for (heard, said) in heard.iter().zip(words) {
            // What comes with an acknowledgement is not handed out.
            assert!(heard == said || (heard.kind == Kind::DoneReply && heard.text.is_empty()));
        }
    }
}

/// What was said before a `cancel`, which may come at any time and is the last word; and whether there is one.
fn without_cancel(said: &[Said]) -> (&[Said], bool) {
    match said.split_last() {
        Some((last, before)) if last.kind == Kind::Cancel => (before, true),
        _ => (said, false),
    }
}

/// A client has heard options, ready and result of one worker: each once, in this order, and unchanged.
fn invariant_the_workers_words_reach_its_client_in_order(id: SessionId, session: &Session, worker: &Worker) {
    let steps = |said: &[Said]| -> Vec<Said> {
        said.iter().filter(|said| said.kind != Kind::Event).cloned().collect()
    };
    let (said, heard) = (steps(&worker.said), steps(&session.heard));
    assert!(said.starts_with(&heard), "{heard:?} of {said:?}");
    let worker_failed = heard.last().is_some_and(|said| said.is_error);
    assert_in_order(&heard, [Kind::Options, Kind::Ready, Kind::Done], worker_failed);
    // Beyond its options, a worker that is bound to another session of the client's says nothing in this one.
    assert!(session.heard.len() == 1 || worker.bound == Some(id));
    // Events may be lost, but neither repeated nor reordered.
    let mut all = worker.said.iter();
    for event in session.heard.iter().filter(|said| said.kind == Kind::Event) {
        assert!(all.any(|said| said == event), "an event came twice or late: {event:?}");
    }
}

/// Each kind once and in order; the second is left out only where the worker failed instead.
fn assert_in_order(said: &[Said], kinds: [Kind; 3], worker_failed: bool) {
    let found: Vec<Kind> = said.iter().map(|said| said.kind).collect();
    let [first, _, last] = kinds;
    assert!(kinds.starts_with(&found) || (worker_failed && found == [first, last]), "{said:?}");
    let before_last = &said[..said.len().saturating_sub(1)];
    assert!(before_last.iter().all(|said| !said.is_error), "nothing comes after an error: {said:?}");
}

fn invariant_a_session_is_with_a_worker_of_its_job(session: &Session, worker: &Worker) {
    assert_eq!(session.job, worker.job);
    // A stranger is trusted only now and then; that it was when it was believed, the expectation has checked.
    assert!(worker.identity.is_trusted(session.job, true), "{:?}", worker.identity);
}

/// In particular: a worker that no client has ever believed has heard nothing.
fn invariant_a_worker_hears_its_own_client_only(world: &World, id: WorkerId, worker: &Worker) {
    match worker.bound {
        Some(session) => assert_eq!(world.sessions[session.0].peer, id),
        None => assert!(worker.heard.is_empty(), "{:?}", worker.heard),
    }
}

fn invariant_a_client_waits_for_its_job_above_the_highest_attempt(world: &World, job: JobNumber) {
    let Some(client) = &world.clients[job.0] else { return };
    assert_eq!(client.launched.is_none(), world.is_over(job), "the key stays until the job is over");
    if let Some(launched) = &client.launched {
        assert_eq!(launched.job().id(), CAST.jobs[job.0].id());
        assert_eq!(launched.proven_attempt(), client.highest);
    }
    if let Some(session) = client.session {
        assert_eq!(world.sessions[session.0].job, job);
        assert_eq!(world.workers[world.sessions[session.0].peer.0].attempt, client.highest);
    }
}

/// A job that is over for its client has the worker's result, the worker's error or the client's own, or it has cancelled it.
fn invariant_a_job_has_one_end(world: &World, job: JobNumber) {
    use super::client::End;

    let Some(client) = &world.clients[job.0] else { return };
    assert_eq!(client.end.is_some(), world.is_over(job));
    let Some((end, _)) = &client.end else { return };
    let session = &world.sessions[client.session.expect("there was a worker").0];
    let (heard, said) = (session.heard.iter().rfind(|said| said.kind != Kind::Event), session.said.last());
    match end {
        End::Result(result) => {
            let done = Said { kind: Kind::Done, text: result.clone(), is_error: false };
            assert_eq!(heard, Some(&done));
        }
        End::Failed(error) => {
            let done = Said { kind: Kind::Done, text: error.message.clone(), is_error: true };
            assert_eq!(heard, Some(&done));
        }
        End::Cancelled => assert!(said.is_some_and(|said| said.kind == Kind::Cancel)),
        End::Refused(error) => {
            assert!(said.is_some_and(|said| said.is_error && said.text == error.message));
        }
    }
}
