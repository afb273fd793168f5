//! A job's history, as an auditor gets it.
//!
//! The first byte of the input chooses. If it is even, the rest is a file. If it is odd, every four bytes are a
//! message that somebody signs: what happened and in which attempt, by whom, after which message, and when.

use std::sync::LazyLock;

use subrosa_protocol::{
    audit::{History, Judged, MAX_MESSAGES, Message, read_file, write_line},
    encoding::b64u,
    id::{Instance, Sha256Hash},
    identity::{Role, Trust},
    job::{Description, Job},
    launch::LaunchRequest,
    record::{Event, Reason, Record, Times},
};

use crate::world::{NOW_MS, Party, namespace, trust};

const CLOSE: [u8; 32] = [41; 32];
const CANCEL: [u8; 32] = [42; 32];
const MAX_ATTEMPTS: u16 = 3;

/// Judges a history, of whatever the input chooses.
pub fn check(input: &[u8]) {
    match input.split_first() {
        Some((choice, file)) if choice % 2 == 0 => {
            let read = read_file(file);
            assert_eq!(read, read_file(file), "read twice, in two ways");
            let Ok(messages) = read else { return };
            assert!(messages.len() <= MAX_MESSAGES);
            let lines: String = messages.iter().map(|message| write_line(message, Some(7)) + "\n").collect();
            assert_eq!(read_file(lines.as_bytes()).as_ref(), Ok(&messages));
            judged(&messages);
        }
        Some((_, story)) => judged(&messages(story)),
        None => {}
    }
}

/// The job that all of it is about.
fn job() -> &'static Job {
    static JOB: LazyLock<Job> = LazyLock::new(|| {
        Job::new(Description {
            worker: "echo".parse().expect("a name"),
            client: None,
            label: None,
            client_key: [9; 32].as_slice().try_into().expect("a key"),
            psk_id: None,
            reply: namespace().reply("AliceAliceAlice01").expect("a token"),
            created_ms: NOW_MS,
            expires_ms: NOW_MS + 600_000,
            timeout_ms: 60_000,
            max_attempts: MAX_ATTEMPTS,
            cancel: Sha256Hash::of(CANCEL),
            close: Sha256Hash::of(Sha256Hash::of(CLOSE).0),
            input: None,
        })
        .expect("a job")
    });
    &JOB
}

/// What each four bytes are.
fn messages(story: &[u8]) -> Vec<Message> {
    let (four, _) = story.as_chunks::<4>();
    let mut messages: Vec<Message> = Vec::new();
    for [what, who, after, when] in four.iter().take(64) {
        let instance: Instance = b64u([who / 6 % 2; 16]).parse().expect("an instance");
        let reason = || Reason::new("client_gone", "");
        let token = |right: [u8; 32]| if who / 12 % 4 == 0 { [0; 32] } else { right };
        let request = || {
            LaunchRequest::new(job().clone(), &[Party::Stranger.key()]).expect("a request").bytes().to_vec()
        };
        let event = match what % 9 {
            0 => Event::Queued { request: if who / 12 % 4 == 0 { Vec::new() } else { request() } },
            1 => Event::Taken { instance },
            2 => Event::Running { instance },
            3 => Event::Finished,
            4 => Event::Closed { close: token(CLOSE), times: Times::default() },
            5 => Event::Failed(reason()),
            6 => Event::Cancelled { cancel: Some(token(CANCEL)), reason: reason() },
            7 => Event::Cancelled { cancel: None, reason: reason() },
            _ => Event::Expired(reason()),
        };
        let prev = match after {
            0 => messages.last(),
            255 => None,
            number => messages.get(usize::from(*number) - 1),
        };
        let prev = prev.map(Message::hash);
        let at_ms = NOW_MS + 60_000 * u64::from(*when);
        let record = Record { job: *job().id(), at_ms, attempt: u16::from(what / 9 % 5), prev, event };
        messages.push(Message::new(record.sign(Party::pick(*who).key())));
    }
    messages
}

/// Judges the messages, and checks what is said to be GOOD by a second reading of the rules.
fn judged(messages: &[Message]) {
    let history = History::judge(messages, None, trust());
    assert_eq!(history.messages.len(), messages.len());
    let again = History::judge(messages, history.id, trust());
    assert_eq!(
        verdicts(&history),
        verdicts(&again),
        "the id that it says is not the one that it was judged by"
    );
    assert!(History::judge(messages, None, &Trust::default()).messages.iter().all(|m| !m.is_good()));
    assert_eq!(history.is_good(), !messages.is_empty() && history.bad() == 0);

    let mut attempt = 0;
    let mut taken_by = None;
    let mut ended = false;
    let mut last_good = None;
    for (index, message) in history.messages.iter().enumerate() {
        assert_eq!(message.hash, messages[index].hash());
        if !message.is_good() {
            continue;
        }
        let (record, signer) =
            (message.record.as_ref().expect("a record"), message.signer.expect("a signer"));
        assert!(!ended, "after the end");
        assert_eq!(Some(record.job), history.id);
        let place = record.prev.map_or(0, |prev| {
            1 + history
                .messages
                .iter()
                .position(|other| other.hash == prev)
                .expect("its predecessor is there")
        });
        assert!(place <= index && last_good.is_none_or(|last| last < place), "out of its place");
        last_good = Some(index);
        let job = history.job.as_ref().expect("a job").description();
        let role = message.role.expect("a role");
        let is_first = matches!(record.event, Event::Queued { .. });
        assert_eq!(is_first, taken_by.is_none() && attempt == 0 && history.messages[..index].iter().all(bad));
        match &record.event {
            Event::Queued { .. } => assert_eq!((role, record.prev), (Role::Launcher, None)),
            Event::Taken { .. } => {
                attempt += 1;
                assert!(record.attempt == attempt && attempt <= job.max_attempts);
                taken_by = Some(signer);
            }
            Event::Running { .. } | Event::Finished => {
                assert_eq!((record.attempt, Some(signer), role), (attempt, taken_by, Role::Worker));
            }
            Event::Closed { close, .. } => {
                assert_eq!(Sha256Hash::of(Sha256Hash::of(close).0), job.close);
                assert!(role == Role::Launcher || Some(signer) == taken_by);
            }
            Event::Cancelled { cancel, .. } => match cancel {
                Some(token) => assert_eq!(Sha256Hash::of(token), job.cancel),
                None => assert_eq!(role, Role::Launcher),
            },
            Event::Failed(_) | Event::Expired(_) => {}
        }
        ended = matches!(record.event.name(), "closed" | "failed" | "cancelled" | "expired");
    }
    assert_eq!(history.is_finished(), ended);
}

fn bad(message: &Judged) -> bool {
    !message.is_good()
}

fn verdicts(history: &History) -> Vec<Option<&'static str>> {
    history.messages.iter().map(|message| message.fault.as_ref().map(|fault| fault.code())).collect()
}
