//! Histories by real keys, and every way of tampering with them.

use super::*;
use crate::{
    encoding::b64u,
    id::{Instance, WorkerName},
    identity::{Certificate, Revoked, SigningKey},
    job::{CLOCK_TOLERANCE_MS, Description},
    launch::{LaunchError, LaunchRequest},
    record::{MAX_RECORD_BYTES, Reason, Times, code},
    secret::Secret,
    subject::Namespace,
};

const NOW_MS: u64 = 1_800_000_000_000;
const EXPIRES_MS: u64 = NOW_MS + 600_000;
const CLOSE: [u8; 32] = [41; 32];
const CANCEL: [u8; 32] = [42; 32];

/// Launcher, worker, its colleague of the same name, a worker of another name, nobody.
const LAUNCHER: u8 = 1;
const WORKER: u8 = 2;
const COLLEAGUE: u8 = 3;
const OTHER_WORKER: u8 = 4;
const STRANGER: u8 = 9;
const AUTHORITY: u8 = 10;
/// The job's owner, and who signed beside.
const ALICE: u8 = 20;
const BOB: u8 = 21;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::take(&mut [seed; 32]))
}

fn name() -> WorkerName {
    "echo".parse().unwrap()
}

fn trust() -> Trust {
    Trust::default()
        .with_key(key(LAUNCHER).public(), Role::Launcher, None)
        .with_key(key(WORKER).public(), Role::Worker, Some(vec![name()]))
        .with_key(key(COLLEAGUE).public(), Role::Worker, Some(vec![name()]))
        .with_key(key(OTHER_WORKER).public(), Role::Worker, Some(vec!["other".parse().unwrap()]))
}

fn job(label: &str) -> Job {
    Job::new(Description {
        worker: name(),
        client: Some(key(ALICE).thumbprint()),
        label: Some(label.to_owned()),
        client_key: [9; 32].as_slice().try_into().unwrap(),
        psk_id: None,
        // Of another namespace than the default: the auditor does not have to know it.
        reply: "acme".parse::<Namespace>().unwrap().reply("AliceAliceAlice01").unwrap(),
        created_ms: NOW_MS,
        expires_ms: EXPIRES_MS,
        timeout_ms: 60_000,
        max_attempts: 2,
        cancel: Sha256Hash::of(CANCEL),
        close: Sha256Hash::of(Sha256Hash::of(CLOSE).0),
        input: None,
    })
    .unwrap()
}

fn request(job: &Job) -> Vec<u8> {
    LaunchRequest::new(job.clone(), &[&key(ALICE), &key(BOB)]).unwrap().bytes().to_vec()
}

fn instance(seed: u8) -> Instance {
    b64u([seed; 16]).parse().unwrap()
}

fn reason(code: &str) -> Reason {
    Reason::new(code, "")
}

fn closed(close: [u8; 32]) -> Event {
    Event::Closed { close, times: Times::default() }
}

/// A history in the making.
#[derive(Clone)]
struct Story {
    id: JobId,
    at_ms: u64,
    messages: Vec<Vec<u8>>,
}

impl Story {
    fn new(job: &Job) -> Self {
        Self { id: *job.id(), at_ms: NOW_MS, messages: Vec::new() }
    }

    /// Begun, and nothing more.
    fn queued() -> Self {
        let job = job("invoice 4711");
        Self::new(&job).then(LAUNCHER, 0, Event::Queued { request: request(&job) })
    }

    /// With an attempt by each of two workers: the second of them runs it.
    fn running() -> Self {
        Self::queued()
            .then(WORKER, 1, Event::Taken { instance: instance(1) })
            .then(COLLEAGUE, 2, Event::Taken { instance: instance(2) })
            .then(COLLEAGUE, 2, Event::Running { instance: instance(2) })
    }

    /// From beginning to end.
    fn whole() -> Self {
        Self::running().then(COLLEAGUE, 2, closed(CLOSE))
    }

    /// A record that follows the message at `index`, or none.
    fn record(&self, signer: u8, attempt: u16, event: Event, index: Option<usize>) -> Vec<u8> {
        let prev = index.map(|index| Sha256Hash::of(&self.messages[index]));
        Record { job: self.id, at_ms: self.at_ms, attempt, prev, event }.sign(&key(signer))
    }

    /// Appends a record.
    fn then(mut self, signer: u8, attempt: u16, event: Event) -> Self {
        self.at_ms += 1000;
        let record = self.record(signer, attempt, event, self.messages.len().checked_sub(1));
        self.messages.push(record);
        self
    }

    /// The clocks go on, or back.
    fn at(self, at_ms: u64) -> Self {
        Self { at_ms, ..self }
    }

    /// Puts a message where it was not.
    fn with(mut self, index: usize, message: Vec<u8>) -> Self {
        self.messages.insert(index, message);
        self
    }

    fn without(mut self, index: usize) -> Self {
        self.messages.remove(index);
        self
    }

    fn swapped(mut self, a: usize, b: usize) -> Self {
        self.messages.swap(a, b);
        self
    }

    /// Changes one character of a message's part: header, payload or signature.
    fn altered(mut self, index: usize, part: usize) -> Self {
        let text = String::from_utf8(self.messages[index].clone()).unwrap();
        let mut parts: Vec<String> = text.split('.').map(str::to_owned).collect();
        let flipped = if parts[part].as_bytes()[40] == b'A' { "B" } else { "A" };
        parts[part].replace_range(40..=40, flipped);
        self.messages[index] = parts.join(".").into_bytes();
        self
    }

    fn judged(&self) -> History {
        let messages: Vec<Message> = self.messages.iter().map(|m| Message::new(m.clone())).collect();
        // What is judged is what a file of it says, too.
        let file: String = messages.iter().map(|message| write_line(message, Some(7)) + "\n").collect();
        assert_eq!(read_file(file.as_bytes()).unwrap(), messages);
        History::judge(&messages, Some(self.id), &trust())
    }

    /// What is BAD, each with its number.
    fn bad(&self) -> Vec<(usize, &'static str)> {
        let history = self.judged();
        let bad: Vec<_> = (1..)
            .zip(&history.messages)
            .filter_map(|(number, message)| message.fault.as_ref().map(|fault| (number, fault.code())))
            .collect();
        assert_eq!(history.is_good(), bad.is_empty() && !history.messages.is_empty());
        assert_eq!(history.bad(), bad.len());
        bad
    }
}

/// The launch request with its JSON changed, in a `queued` by a launcher who lies.
fn with_request(change: impl FnOnce(&mut serde_json::Value)) -> Story {
    let job = job("invoice 4711");
    let mut value = serde_json::from_slice(&request(&job)).unwrap();
    change(&mut value);
    Story::new(&job).then(LAUNCHER, 0, Event::Queued { request: serde_json::to_vec(&value).unwrap() })
}

#[test]
fn an_honest_history_is_good_and_says_who_did_what() {
    let story = Story::whole();
    assert_eq!(story.bad(), []);
    let history = story.judged();
    assert!(history.is_finished());
    assert_eq!(history.id, Some(story.id));
    assert_eq!(history.job.unwrap().description().label.as_deref(), Some("invoice 4711"));
    let signers = history.signers.unwrap();
    assert!(signers.contains(&key(ALICE).thumbprint()) && signers.contains(&key(BOB).thumbprint()));
    let by: Vec<_> = history.messages.iter().map(|message| (message.signer, message.role)).collect();
    let as_worker = |seed| (Some(key(seed).thumbprint()), Some(Role::Worker));
    assert_eq!(by[0], (Some(key(LAUNCHER).thumbprint()), Some(Role::Launcher)));
    assert_eq!(
        by[1..],
        [as_worker(WORKER), as_worker(COLLEAGUE), as_worker(COLLEAGUE), as_worker(COLLEAGUE)]
    );
}

#[test]
fn every_honest_way_to_end_is_good() {
    let (queued, running) = (Story::queued(), Story::running());
    let expired = || Event::Expired(reason("expired"));
    let cancelled = |cancel| Event::Cancelled { cancel, reason: reason("cancelled") };
    for (what, story) in [
        ("closed by a launcher", running.clone().then(LAUNCHER, 2, closed(CLOSE))),
        (
            "finished, then closed",
            running.clone().then(COLLEAGUE, 2, Event::Finished).then(LAUNCHER, 2, closed(CLOSE)),
        ),
        ("failed by another worker of the name", running.clone().then(WORKER, 2, Event::Failed(reason("x")))),
        ("failed by a launcher", queued.clone().then(LAUNCHER, 0, Event::Failed(reason("start_failed")))),
        ("cancelled with the token", running.clone().then(LAUNCHER, 2, cancelled(Some(CANCEL)))),
        ("cancelled by an operator", running.clone().then(LAUNCHER, 2, cancelled(None))),
        ("expired in time", queued.clone().at(EXPIRES_MS).then(LAUNCHER, 0, expired())),
        ("expired after an attempt", running.clone().at(EXPIRES_MS).then(WORKER, 2, expired())),
        ("clocks that differ a little", queued.at(NOW_MS - CLOCK_TOLERANCE_MS).then(WORKER, 1, taken(1))),
    ] {
        assert_eq!(story.bad(), [], "{what}");
    }
}

fn taken(seed: u8) -> Event {
    Event::Taken { instance: instance(seed) }
}

#[test]
fn without_an_ending_a_history_is_good_and_unfinished() {
    for length in 1..=5 {
        let mut story = Story::whole();
        story.messages.truncate(length);
        assert_eq!(story.bad(), []);
        // That the tail was cut off cannot be told.
        assert_eq!(story.judged().is_finished(), length == 5);
    }
    let nothing = History::judge(&[], None, &trust());
    assert!(!nothing.is_good() && !nothing.is_finished(), "a history has a beginning");
}

/// A name, a history, and what is BAD in it: which message, and the word for why.
type Case<'a> = (&'a str, Story, &'a [(usize, &'a str)]);

#[test]
fn every_kind_of_tampering_is_named() {
    let whole = Story::whole;
    let other = || {
        let job = job("another");
        Story::new(&job)
            .then(LAUNCHER, 0, Event::Queued { request: request(&job) })
            .then(WORKER, 1, taken(1))
            .then(WORKER, 1, Event::Running { instance: instance(1) })
    };
    let running = |signer, seed| {
        Story::running().without(3).then(signer, 2, Event::Running { instance: instance(seed) })
    };
    let failed = || Event::Failed(reason("client_gone"));
    let cases: &[Case<'_>] = &[
        ("honest", whole(), &[]),
        // Missing.
        ("dropped from the middle", whole().without(3), &[(4, "missing")]),
        ("a taken dropped", whole().without(2), &[(3, "missing"), (4, "not_taken")]),
        (
            "the first dropped",
            whole().without(0),
            &[(1, "missing"), (2, "no_beginning"), (3, "no_beginning"), (4, "no_beginning")],
        ),
        // Reordered.
        ("two swapped", whole().swapped(3, 4), &[(4, "reordered")]),
        (
            "the first two swapped",
            whole().swapped(0, 1),
            &[(1, "reordered"), (3, "reordered"), (4, "not_taken"), (5, "not_taken")],
        ),
        // Altered.
        ("payload altered", whole().altered(3, 1), &[(4, "altered"), (5, "missing")]),
        ("signature altered", whole().altered(4, 2), &[(5, "altered")]),
        ("header altered", whole().altered(4, 0), &[(5, "altered")]),
        ("cut", whole().without(4).with(4, whole().messages[4][..50].to_vec()), &[(5, "altered")]),
        ("junk", whole().with(5, b"junk".to_vec()), &[(6, "altered")]),
        ("junk slipped in", whole().with(2, b"junk".to_vec()), &[(3, "altered")]),
        ("a message too large", whole().with(5, vec![b'A'; MAX_RECORD_BYTES + 1]), &[(6, "too_large")]),
        // Of another job.
        ("transplanted", whole().with(4, other().messages[2].clone()), &[(5, "transplanted")]),
        (
            "another job's beginning",
            whole().without(0).with(0, other().messages[0].clone()),
            &[
                (1, "transplanted"),
                (2, "missing"),
                (3, "no_beginning"),
                (4, "no_beginning"),
                (5, "no_beginning"),
            ],
        ),
        // By somebody else.
        ("by a stranger", Story::running().then(STRANGER, 2, failed()), &[(5, "stranger")]),
        ("by the job's owner", Story::running().then(ALICE, 2, failed()), &[(5, "stranger")]),
        (
            "by a worker of another name",
            Story::running().then(OTHER_WORKER, 2, failed()),
            &[(5, "wrong_role")],
        ),
        ("taken by a launcher", Story::queued().then(LAUNCHER, 1, taken(1)), &[(2, "wrong_role")]),
        ("queued by a worker", queued_by(WORKER), &[(1, "wrong_role")]),
        ("queued by a stranger", queued_by(STRANGER), &[(1, "stranger")]),
        ("running by a colleague", running(WORKER, 2), &[(4, "another_worker")]),
        ("running in another process", running(COLLEAGUE, 1), &[(4, "another_process")]),
        (
            "finished by a colleague",
            Story::running().then(WORKER, 2, Event::Finished),
            &[(5, "another_worker")],
        ),
        ("closed by a colleague", Story::running().then(WORKER, 2, closed(CLOSE)), &[(5, "another_worker")]),
        // Twice.
        ("a copy", whole().with(4, whole().messages[3].clone()), &[(5, "copy")]),
        ("a copy at the end", whole().with(5, whole().messages[0].clone()), &[(6, "copy")]),
        (
            "two successors",
            whole().with(5, whole().record(COLLEAGUE, 2, failed(), Some(3))),
            &[(5, "fork"), (6, "fork")],
        ),
        (
            "two beginnings",
            Story::queued().with(1, queued_at(NOW_MS + 5).messages[0].clone()),
            &[(1, "fork"), (2, "fork")],
        ),
        // What does not count.
        (
            "a zombie of an older attempt",
            Story::running().then(WORKER, 1, Event::Running { instance: instance(1) }),
            &[(5, "older_attempt")],
        ),
        ("closed by a zombie", Story::running().then(WORKER, 1, closed(CLOSE)), &[(5, "older_attempt")]),
        ("after the end", whole().then(LAUNCHER, 2, failed()), &[(6, "after_end")]),
        ("taken after the end", whole().then(WORKER, 2, taken(1)), &[(6, "after_end")]),
        ("an attempt left out", Story::queued().then(WORKER, 2, taken(1)), &[(2, "not_next")]),
        ("more attempts than allowed", Story::running().then(WORKER, 3, taken(1)), &[(5, "not_next")]),
        ("the same attempt again", Story::running().then(WORKER, 2, taken(1)), &[(5, "not_next")]),
        ("an end of an attempt to come", Story::queued().then(LAUNCHER, 1, failed()), &[(2, "not_taken")]),
        (
            "running twice",
            Story::running().then(COLLEAGUE, 2, Event::Running { instance: instance(2) }),
            &[(5, "out_of_turn")],
        ),
        (
            "finished without running",
            Story::queued().then(WORKER, 1, taken(1)).then(WORKER, 1, Event::Finished),
            &[(3, "out_of_turn")],
        ),
        (
            "taken after finished",
            Story::queued()
                .then(WORKER, 1, taken(1))
                .then(WORKER, 1, Event::Running { instance: instance(1) })
                .then(WORKER, 1, Event::Finished)
                .then(COLLEAGUE, 2, taken(2)),
            &[(5, "out_of_turn")],
        ),
        (
            "queued again",
            Story::queued().then(LAUNCHER, 0, Event::Queued { request: request(&job("invoice 4711")) }),
            &[(2, "not_first")],
        ),
        (
            "queued after something else",
            Story::new(&job("invoice 4711")).then(LAUNCHER, 0, failed()).then(
                LAUNCHER,
                0,
                Event::Queued { request: request(&job("invoice 4711")) },
            ),
            &[(1, "no_beginning"), (2, "not_first")],
        ),
        // Tokens.
        ("a wrong close token", Story::running().then(COLLEAGUE, 2, closed([1; 32])), &[(5, "wrong_close")]),
        (
            "the cancel token as close",
            Story::running().then(LAUNCHER, 2, closed(CANCEL)),
            &[(5, "wrong_close")],
        ),
        (
            "half of the close token",
            Story::running().then(LAUNCHER, 2, closed(Sha256Hash::of(CLOSE).0)),
            &[(5, "wrong_close")],
        ),
        ("a wrong cancel token", cancelled_by(LAUNCHER, Some(CLOSE)), &[(5, "wrong_cancel")]),
        ("cancelled by a worker without a token", cancelled_by(COLLEAGUE, None), &[(5, "no_cancel")]),
        // Times.
        (
            "back in time",
            Story::queued().at(NOW_MS - CLOCK_TOLERANCE_MS - 1000).then(WORKER, 1, taken(1)),
            &[(2, "backwards")],
        ),
        (
            "an attempt after the job's time",
            Story::queued().at(EXPIRES_MS + 2 * CLOCK_TOLERANCE_MS).then(WORKER, 1, taken(1)),
            &[(2, "untimely")],
        ),
        (
            "expired before its time",
            Story::queued().then(LAUNCHER, 0, Event::Expired(reason("expired"))),
            &[(2, "not_expired")],
        ),
        // Requests.
        ("another job's request", queued_with(request(&job("another"))), &[(1, "another_request")]),
        ("no request at all", queued_with(b"{}".to_vec()), &[(1, "bad_request")]),
    ];
    for (what, story, expected) in cases {
        assert_eq!(story.bad(), *expected, "{what}");
    }
}

fn queued_at(at_ms: u64) -> Story {
    let job = job("invoice 4711");
    Story::new(&job).at(at_ms).then(LAUNCHER, 0, Event::Queued { request: request(&job) })
}

fn queued_by(signer: u8) -> Story {
    let job = job("invoice 4711");
    Story::new(&job).then(signer, 0, Event::Queued { request: request(&job) })
}

fn queued_with(request: Vec<u8>) -> Story {
    Story::new(&job("invoice 4711")).then(LAUNCHER, 0, Event::Queued { request })
}

fn cancelled_by(signer: u8, cancel: Option<[u8; 32]>) -> Story {
    Story::running().then(signer, 2, Event::Cancelled { cancel, reason: reason("cancelled") })
}

#[test]
fn the_launch_request_is_judged_with_all_of_its_signatures() {
    assert_eq!(with_request(|_| ()).bad(), []);
    // Who co-signed can be left out by whoever writes the record; the owner cannot.
    let without_bob = with_request(|value| drop(value["signatures"].as_array_mut().unwrap().pop()));
    assert_eq!(without_bob.bad(), []);
    assert_eq!(without_bob.judged().signers.unwrap().len(), 1);
    let without_alice = with_request(|value| drop(value["signatures"].as_array_mut().unwrap().remove(0)));
    let unsigned = with_request(|value| value["signatures"].as_array_mut().unwrap().clear());
    for story in [without_alice, unsigned] {
        assert_eq!(story.bad(), [(1, "bad_request")]);
        let history = story.judged();
        assert!(matches!(history.messages[0].fault, Some(Fault::Request(LaunchError::OwnerMissing { .. }))));
        assert!(history.signers.is_none(), "who signed is not said of what does not hold");
    }
    let forged = with_request(|value| {
        value["signatures"][1]["signature"] = value["signatures"][0]["signature"].clone()
    });
    let foreign: serde_json::Value = serde_json::from_slice(&request(&job("another"))).unwrap();
    let moved = with_request(|value| value["signatures"][0] = foreign["signatures"][0].clone());
    for (story, number) in [(forged, 2), (moved, 1)] {
        let history = story.then(LAUNCHER, 0, Event::Failed(reason("x"))).judged();
        assert!(
            matches!(&history.messages[0].fault, Some(Fault::Request(LaunchError::BadSignature { number: n, .. })) if *n == number)
        );
        assert_eq!(history.messages[1].fault, Some(Fault::NoBeginning));
    }
    let relabelled = with_request(|value| value["payload"] = b64u(job("another label").bytes()).into());
    assert_eq!(relabelled.bad(), [(1, "another_request")]);
}

#[test]
fn a_launcher_ends_what_it_cannot_read() {
    // The one record that may follow what is no record; whatever attempt the launcher could read.
    let broken = || Event::Failed(reason(code::BAD_RECORD));
    let junk = Story::running().with(4, b"junk".to_vec()).then(LAUNCHER, 0, broken());
    assert_eq!(junk.bad(), [(5, "altered")]);
    assert!(junk.judged().is_finished());
    let by_worker = Story::running().then(WORKER, 0, broken());
    assert_eq!(by_worker.bad(), [(5, "older_attempt")]);
}

/// A certificate of the stranger's key, by this key, for this long.
fn cert(authority: u8, worker: &str, from_s: u64, to_s: u64) -> String {
    let public = key(STRANGER).public();
    let (issued_s, expires_s) = (NOW_MS / 1000 + from_s, NOW_MS / 1000 + to_s);
    Certificate { worker: worker.parse().unwrap(), key: public, issued_s, expires_s, image: None }
        .sign(&key(authority))
}

#[test]
fn a_worker_may_be_certified_at_the_records_own_time() {
    let judged = |cert: Option<String>, trust: &Trust| {
        let story = Story::queued();
        let prev = Some(Sha256Hash::of(&story.messages[0]));
        let record = Record { job: story.id, at_ms: NOW_MS + 2000, attempt: 1, prev, event: taken(1) };
        let bytes = record.sign_certified(&key(STRANGER), cert.as_deref());
        let messages = [Message::new(story.messages[0].clone()), Message::new(bytes)];
        History::judge(&messages, Some(story.id), trust).messages.remove(1)
    };
    let trust = trust().with_key(key(AUTHORITY).public(), Role::Authority, None);
    // Long expired for whoever reads it now; it held when the record was written.
    let good = judged(Some(cert(AUTHORITY, "echo", 0, 10)), &trust);
    assert_eq!((good.fault, good.authority), (None, Some(key(AUTHORITY).thumbprint())));
    let revoked = Revoked::parse(key(STRANGER).thumbprint().to_string().as_bytes()).unwrap();
    for (what, cert, trust, expected) in [
        ("none", None, trust.clone(), "stranger"),
        ("by itself", Some(cert(STRANGER, "echo", 0, 10)), trust.clone(), "uncertified"),
        ("for another worker", Some(cert(AUTHORITY, "other", 0, 10)), trust.clone(), "uncertified"),
        ("not yet", Some(cert(AUTHORITY, "echo", 1000, 2000)), trust.clone(), "uncertified"),
        ("revoked", Some(cert(AUTHORITY, "echo", 0, 10)), trust.with_revoked(revoked), "revoked"),
    ] {
        let bad = judged(cert, &trust);
        assert_eq!((bad.fault.unwrap().code(), bad.authority), (expected, None), "{what}");
    }
}

#[test]
fn who_is_not_trusted_makes_nothing_good() {
    let story = Story::whole();
    let messages: Vec<Message> = story.messages.iter().map(|m| Message::new(m.clone())).collect();
    let history = History::judge(&messages, Some(story.id), &Trust::default());
    assert_eq!(history.bad(), 5);
    assert!(history.last().is_none() && history.signers.is_none() && !history.is_finished());
}

#[test]
fn a_job_of_a_revoked_owner_is_as_bad_as_a_record_by_a_revoked_key() {
    let story = Story::whole();
    let messages: Vec<Message> = story.messages.iter().map(|m| Message::new(m.clone())).collect();
    let judged = |seed: u8| {
        let trust = trust().with_revoked([key(seed).thumbprint()].into_iter().collect());
        History::judge(&messages, Some(story.id), &trust)
    };
    let history = judged(ALICE);
    assert_eq!(history.messages[0].fault, Some(Fault::OwnerRevoked { owner: key(ALICE).thumbprint() }));
    assert_eq!((history.bad(), history.signers), (5, None));
    assert_eq!(judged(LAUNCHER).messages[0].fault.as_ref().map(Fault::code), Some("revoked"));
    // Who only co-signed did no harm: what a policy needed, a history does not say.
    assert!(judged(BOB).is_good());
}

#[test]
fn another_jobs_whole_history_is_found_out_by_the_id() {
    let story = Story::whole();
    let messages: Vec<Message> = story.messages.iter().map(|m| Message::new(m.clone())).collect();
    let asked_for = JobId::of(b"the job that was asked for");
    assert_eq!(History::judge(&messages, Some(asked_for), &trust()).bad(), 5);
    let history = History::judge(&messages, None, &trust());
    assert!(history.is_good());
    assert_eq!(history.id, Some(story.id), "which is why it is said");
}

#[test]
fn no_altered_byte_of_any_record_is_good() {
    let story = Story::whole();
    for index in 0..story.messages.len() {
        for at in (0..story.messages[index].len()).step_by(29) {
            let mut altered = story.clone();
            altered.messages[index][at] ^= 1;
            assert!(
                altered.bad().iter().any(|(number, _)| *number == index + 1),
                "message {index}, byte {at}"
            );
        }
    }
}

#[test]
fn any_other_order_and_any_subset_but_the_beginning_is_bad() {
    let whole = Story::whole();
    let mut orders = vec![vec![]];
    for _ in 0..whole.messages.len() {
        let longer = |order: &Vec<usize>| {
            let order = order.clone();
            (0..5)
                .filter(|next| !order.contains(next))
                .map(|next| [order.clone(), vec![next]].concat())
                .collect::<Vec<_>>()
        };
        let next: Vec<Vec<usize>> = orders.iter().filter(|order| order.len() < 5).flat_map(longer).collect();
        for order in &next {
            let messages = order.iter().map(|index| whole.messages[*index].clone()).collect();
            let story = Story { messages, ..whole.clone() };
            let honest = order.iter().copied().eq(0..order.len());
            assert_eq!(story.judged().is_good(), honest, "{order:?}");
        }
        orders = next;
    }
}

#[test]
fn files_are_read_strictly_and_within_limits() {
    let hash = Sha256Hash([7; 32]);
    let odd = [
        Message::new(vec![0xFF, 0]),
        Message::new(b"\"\n".to_vec()),
        Message::TooLarge(hash),
        Message::new(vec![]),
    ];
    let file =
        |messages: &[Message]| messages.iter().map(|m| write_line(m, None)).collect::<Vec<_>>().join("\n");
    assert_eq!(read_file(file(&odd).as_bytes()).unwrap(), odd);
    assert_eq!(read_file(b"").unwrap(), []);
    let largest = [Message::new(vec![0; MAX_RECORD_BYTES]), Message::new(vec![b'a'; MAX_RECORD_BYTES])];
    assert_eq!(read_file(file(&largest).as_bytes()).unwrap(), largest);
    for (text, line) in [
        ("{}", 1),
        (r#"{"record":"a","message":"AA"}"#, 1),
        (r#"{"message":"A"}"#, 1),
        ("{\"record\":\"a\"}\n{}", 2),
    ] {
        assert_eq!(read_file(text.as_bytes()), Err(FileError::NoMessage { line }), "{text}");
    }
    for text in [
        "[]",
        "x",
        "\n\n",
        "{\"record\":\"a\"}\n\n",
        r#"{"record":1}"#,
        r#"{"record":null}"#,
        r#"{"record":"a","record":"a"}"#,
    ] {
        assert!(matches!(read_file(text.as_bytes()), Err(FileError::Json { .. })), "{text}");
    }
    let long = format!(r#"{{"record":"{}"}}"#, "a".repeat(MAX_RECORD_BYTES * 4 / 3 + 128));
    assert_eq!(read_file(long.as_bytes()), Err(FileError::LineTooLong { line: 1 }));
    let many = "{\"record\":\"a\"}\n".repeat(MAX_MESSAGES + 1);
    assert_eq!(read_file(many.as_bytes()), Err(FileError::TooMany));
    assert_eq!(read_file(&vec![b' '; MAX_FILE_BYTES + 1]), Err(FileError::TooLarge));
}
