//! One launch request, and everyone who reads it.

use subrosa_protocol::id::Sha256Hash;
use subrosa_protocol::{
    id::{JobId, WorkerName},
    job::{CLOCK_TOLERANCE_MS, Job},
    launch::{LaunchRequest, MAX_REQUEST_BYTES, MAX_SIGNATURES},
    record::{Event, Record},
    refusal::Code,
};

use crate::world::{NOW_MS, Party, namespace, trust};

/// What a launcher says to a request for this worker, at this time.
fn launcher(request: &[u8], worker: &WorkerName, now_ms: u64) -> Result<(), Code> {
    let subject = namespace().launch(worker);
    subrosa_launcher::fuzzing::verdict(&subject, request, &namespace(), now_ms)
}

/// What a worker of this name says to a request in the queue.
fn worker(request: &[u8], job: &JobId, name: &WorkerName) -> Result<(), Code> {
    subrosa_worker::fuzzing::verdict(request, job, name, &namespace())
}

/// Gives a launch request to all that read one, and compares what they say. Returns what they agree on.
pub fn agreed(request: &[u8]) -> Result<LaunchRequest, Code> {
    let parsed = LaunchRequest::parse(request, &namespace());
    let again = LaunchRequest::parse(request, &namespace());
    assert_eq!(format!("{parsed:?}"), format!("{again:?}"), "read twice, in two ways");
    let id = LaunchRequest::job_id(request);
    let echo: WorkerName = "echo".parse().expect("a name");
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            let refused = Err(error.code());
            assert_eq!(launcher(request, &echo, NOW_MS), refused, "the launcher differs");
            let id = id.unwrap_or(JobId::of(b""));
            assert_eq!(worker(request, &id, &echo), refused, "the worker differs");
            assert_eq!(Code::from_word(error.code().word()), Some(error.code()), "the client differs");
            return Err(error.code());
        }
    };
    assert!(request.len() <= MAX_REQUEST_BYTES);
    assert_eq!(parsed.bytes(), request);
    let job = parsed.job();
    assert_eq!(id.as_ref(), Some(job.id()));
    keeps_the_rules(job);

    let verified = parsed.verify();
    let verdict = verified.as_ref().map(|_| ()).map_err(|error| error.code());
    if let Ok(signers) = &verified {
        assert!(signers.len() <= MAX_SIGNATURES);
        assert!(job.description().client.is_none_or(|owner| signers.contains(&owner)));
    }
    let d = job.description();
    assert_eq!(launcher(request, job.worker(), d.created_ms), verdict, "the launcher differs");
    let expected = if d.psk_id.is_some() { Err(Code::PskUnavailable) } else { verdict };
    assert_eq!(worker(request, job.id(), job.worker()), expected, "the worker differs");

    // Under another subject, and at other times.
    let other: WorkerName = if *job.worker() == echo { "other".parse().expect("a name") } else { echo };
    assert_eq!(launcher(request, &other, d.created_ms), Err(Code::BadRequest));
    assert_eq!(worker(request, job.id(), &other), Err(Code::BadRequest));
    assert_eq!(worker(request, &JobId::of(b"another"), job.worker()), Err(Code::BadRequest));
    let late = d.expires_ms + CLOCK_TOLERANCE_MS + 1;
    assert_eq!(launcher(request, job.worker(), late), Err(Code::Expired));
    if let Some(early) = d.created_ms.checked_sub(CLOCK_TOLERANCE_MS + 1) {
        assert_eq!(launcher(request, job.worker(), early), Err(Code::BadRequest));
    }
    is_recorded(&parsed);
    verdict.map(|()| parsed)
}

/// The rules of a job, written down a second time.
fn keeps_the_rules(job: &Job) {
    const DAY_MS: u64 = 86_400_000;
    const MAX_INT: u64 = (1 << 53) - 1;
    let d = job.description();
    assert_eq!(*job.id(), JobId::of(job.bytes()));
    assert!((1..=64).contains(&d.worker.as_str().len()));
    assert!(d.worker.as_str().bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')));
    assert!(d.label.as_ref().is_none_or(|label| label.len() <= 1024));
    assert!(d.psk_id.as_ref().is_none_or(|id| (1..=256).contains(&id.len())));
    let reply = d.reply.to_string();
    let token = reply.strip_prefix("subrosa.v1.client.").expect("under the namespace");
    assert!((16..=64).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_alphanumeric()));
    assert!(d.created_ms <= d.expires_ms && d.expires_ms <= MAX_INT);
    assert!(d.expires_ms - d.created_ms <= DAY_MS);
    assert!((1..=DAY_MS).contains(&d.timeout_ms));
    assert!((1..=10).contains(&d.max_attempts));
    assert_eq!(job.info(), [b"subrosa/1", &Sha256Hash::of(job.bytes()).0[..]].concat());

    // A client may write such a job, and then reads it as it was.
    let written = Job::new(d.clone()).expect("what was read can be written");
    let again = Job::parse(written.bytes().to_vec(), &namespace()).expect("what was written can be read");
    assert_eq!(format!("{:?}", again.description()), format!("{d:?}"));
    let twice = Job::new(again.description().clone()).expect("and written again");
    assert_eq!(twice.bytes(), written.bytes());
}

/// The history keeps the request as it was, and everyone reads it there.
fn is_recorded(request: &LaunchRequest) {
    let record = Record {
        job: *request.job().id(),
        at_ms: NOW_MS,
        attempt: 0,
        prev: None,
        event: Event::Queued { request: request.bytes().to_vec() },
    };
    let bytes = record.sign(Party::Launcher.key());
    assert_eq!(Record::read_unverified(&bytes).as_ref(), Ok(&record), "the client differs");
    let verified = Record::verify(&bytes, &record.job, request.job().worker(), trust());
    assert_eq!(verified.map(|verified| verified.record), Ok(record), "launcher and worker differ");
}
