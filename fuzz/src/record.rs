//! A record of a job's history.
//!
//! The first byte of the input chooses. If it is even, the rest is a record as the broker brings it. If it is
//! odd, the rest is what somebody signs as one.

use subrosa_protocol::{
    delivery::{Last, Snapshot, State},
    id::{JobId, Sha256Hash, WorkerName},
    identity::{Typ, sign_compact},
    launch::MAX_REQUEST_BYTES,
    record::{Event, MAX_RECORD_BYTES, Record, RecordError},
};

use crate::world::{Party, trust};

/// Reads a record, of whatever the input chooses.
pub fn check(input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else { return };
    // Whatever they agree on.
    let _ = if choice % 2 == 0 { agreed(rest, None) } else { signed(rest, Party::pick(choice / 2)) };
}

/// Reads what this party signs as a record; see [`agreed`].
pub fn signed(payload: &[u8], signer: Party) -> Result<Record, RecordError> {
    agreed(sign_compact(signer.key(), Typ::Record, payload).as_bytes(), Some(signer))
}

/// Reads a record as client, worker and launcher do, and compares what they say. Returns what they agree on:
/// a record that counts, if its signer may write it.
pub fn agreed(bytes: &[u8], signer: Option<Party>) -> Result<Record, RecordError> {
    let worker: WorkerName = "echo".parse().expect("a name");
    let hint = Record::read_unverified(bytes);
    assert_eq!(hint, Record::read_unverified(bytes), "read twice, in two ways");
    let job = hint.as_ref().map_or(JobId::of(b""), |record| record.job);
    let verified = Record::verify(bytes, &job, &worker, trust());
    let last = Last::read(Some(bytes), &job, &worker, trust());
    assert_eq!(last.hash(), Some(Sha256Hash::of(bytes)));
    let record = match hint {
        Ok(record) => record,
        Err(error) => {
            assert_eq!(
                verified.map(|_| ()),
                Err(error.clone()),
                "launcher and worker differ from the client"
            );
            assert!(matches!(last, Last::Unverified { .. }));
            return Err(error);
        }
    };
    assert!(bytes.len() <= MAX_RECORD_BYTES);
    keeps_the_rules(&record);
    match verified {
        Ok(verified) => {
            assert_eq!(verified.record, record);
            let snapshot = Snapshot::new(Sha256Hash::of(bytes), &record);
            let ended = matches!(snapshot.state, State::Ended);
            assert_eq!(ended, matches!(record.event.name(), "closed" | "failed" | "cancelled" | "expired"));
            assert_eq!(last, Last::Known(snapshot));
            let other = Record::verify(bytes, &JobId::of(b"another"), &worker, trust());
            assert!(matches!(other, Err(RecordError::AnotherJob)));
            if let Some(signer) = signer {
                assert_eq!(verified.signer, signer.key().thumbprint());
                assert!(may_write(signer, &record.event), "written by somebody who may not");
            }
            Ok(record)
        }
        Err(error) => {
            assert!(matches!(error, RecordError::Signer(_)), "{error}");
            assert!(matches!(last, Last::Unverified { .. }));
            assert!(!signer.is_some_and(|signer| may_write(signer, &record.event)), "{error}");
            Err(error)
        }
    }
}

/// The table of events in `docs/protocol.md`: who writes which.
fn may_write(signer: Party, event: &Event) -> bool {
    match event.name() {
        "queued" => signer == Party::Launcher,
        "taken" | "running" | "finished" => signer == Party::Worker,
        "closed" | "failed" | "cancelled" | "expired" => signer != Party::Stranger,
        other => panic!("an event {other}"),
    }
}

/// The table of members, and that the record can be written as it was read.
fn keeps_the_rules(record: &Record) {
    assert!(record.at_ms < 1 << 53);
    match &record.event {
        Event::Queued { request } => {
            assert_eq!(record.attempt, 0);
            assert!(request.len() <= MAX_REQUEST_BYTES);
        }
        Event::Taken { .. } | Event::Running { .. } | Event::Finished => {
            assert!((1..=10).contains(&record.attempt));
        }
        Event::Closed { .. } => assert!(record.attempt <= 10),
        Event::Failed(reason) | Event::Cancelled { reason, .. } | Event::Expired(reason) => {
            assert!(record.attempt <= 10);
            assert!((1..=64).contains(&reason.code.len()) && reason.text.len() <= 1024);
        }
    }
    let written = record.sign(Party::Launcher.key());
    assert_eq!(Record::read_unverified(&written).as_ref(), Ok(record));
}
