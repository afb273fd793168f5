//! Which jobs have not ended, and when each has to be looked at again.
//!
//! All of it is hearsay, picked up from records as they pass by: whoever acts reads the records again.

use std::{collections::HashMap, time::Duration};

use serde::Deserialize;
use subrosa_protocol::{
    delivery::{Last, Snapshot, State, SweepAges},
    encoding::b64u_decode,
    id::{JobId, Sha256Hash, WorkerName},
    json::{self, Int},
    record::MAX_RECORD_BYTES,
};

/// The longest time between two looks at a job that ought to be getting on.
const LONGEST_WAIT_MS: u64 = 10 * 60 * 1000;

/// A job, as subjects name it.
pub(super) type Key = (WorkerName, JobId);

/// The jobs that have not ended.
#[derive(Debug)]
pub(super) struct Index {
    ages: SweepAges,
    jobs: HashMap<Key, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// The hash of the last message.
    hash: Sha256Hash,
    /// When that passed by, in Unix milliseconds.
    seen_ms: u64,
    /// When to look, in Unix milliseconds.
    due_ms: u64,
    /// How long to wait after the next look.
    wait_ms: u64,
    /// Since when it is queued, if it is, in Unix milliseconds.
    queued_ms: Option<u64>,
}

/// What a record says, whoever says it.
#[derive(Debug, Deserialize)]
struct Hint {
    event: String,
    at_ms: Int,
    prev: Option<Sha256Hash>,
}

impl Hint {
    fn read(message: &[u8]) -> Option<Self> {
        if message.len() > MAX_RECORD_BYTES {
            return None;
        }
        let payload = message.split(|byte| *byte == b'.').nth(1)?;
        json::parse(&b64u_decode(payload).ok()?).ok()
    }
}

impl Index {
    pub(super) fn new(ages: SweepAges) -> Self {
        Self { ages, jobs: HashMap::new() }
    }

    /// How many jobs have not ended.
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Since when the job waits that is queued longest, of each worker, in Unix milliseconds.
    pub(super) fn oldest_queued(&self) -> HashMap<WorkerName, u64> {
        let mut oldest = HashMap::new();
        for ((worker, _), entry) in &self.jobs {
            let Some(queued_ms) = entry.queued_ms else { continue };
            let oldest = oldest.entry(worker.clone()).or_insert(queued_ms);
            *oldest = queued_ms.min(*oldest);
        }
        oldest
    }

    /// A message passes by. `has_ended` says whether it is a record that counts, and ends the job; it is
    /// asked only of a message that says so.
    pub(super) fn see(&mut self, key: Key, message: &[u8], now_ms: u64, has_ended: impl Fn() -> bool) {
        let hash = Sha256Hash::of(message);
        let before = self.jobs.get(&key).map(|entry| entry.hash);
        let hint = Hint::read(message);
        let chained = match (&hint, before) {
            (Some(hint), Some(before)) => hint.prev == Some(before),
            // The first that is seen of it.
            (Some(_), None) => true,
            (None, _) => false,
        };
        let is_queued = hint.as_ref().is_some_and(|hint| hint.event == "queued");
        let age_ms = match hint.as_ref().map(|hint| hint.event.as_str()) {
            Some("queued") => self.ages.queued_ms,
            Some("taken" | "running") => self.ages.open_ms,
            Some("finished") => self.ages.finished_ms,
            Some("closed" | "failed" | "cancelled" | "expired") if chained && has_ended() => {
                self.jobs.remove(&key);
                return;
            }
            _ => 0,
        };
        let at_ms = hint.map_or(0, |hint| hint.at_ms.get()).min(now_ms);
        let due_ms = if chained { at_ms.saturating_add(age_ms).saturating_add(1) } else { 0 };
        let queued_ms = is_queued.then_some(at_ms);
        let (seen_ms, wait_ms) = (now_ms, self.ages.queued_ms);
        self.jobs.insert(key, Entry { hash, seen_ms, due_ms, wait_ms, queued_ms });
    }

    /// The jobs that are to be looked at now, at most `most`, those that have waited longest first.
    pub(super) fn due(&self, now_ms: u64, most: usize) -> Vec<Key> {
        let mut due: Vec<_> = self.jobs.iter().filter(|(_, entry)| entry.due_ms <= now_ms).collect();
        due.sort_unstable_by_key(|(_, entry)| entry.due_ms);
        due.into_iter().take(most).map(|(key, _)| key.clone()).collect()
    }

    /// Which of its messages passed by last, and when, in Unix milliseconds.
    pub(super) fn seen(&self, key: &Key) -> Option<(Sha256Hash, u64)> {
        self.jobs.get(key).map(|entry| (entry.hash, entry.seen_ms))
    }

    /// Nothing more is to be done for a job.
    pub(super) fn forget(&mut self, key: &Key) {
        self.jobs.remove(key);
    }

    /// A job was looked at; the next time is later each time, but not past its expiry. Unless it has gone
    /// on meanwhile.
    pub(super) fn postpone(&mut self, key: &Key, last: &Last, expires_ms: Option<u64>, now_ms: u64) {
        let Some(entry) = self.jobs.get_mut(key) else { return };
        let (natural_ms, expires_ms) = match last {
            Last::Known(Snapshot { state: State::Queued, at_ms, .. }) => {
                (at_ms.saturating_add(self.ages.queued_ms), expires_ms)
            }
            Last::Known(Snapshot { state: State::Open { .. }, at_ms, .. }) => {
                (at_ms.saturating_add(self.ages.open_ms), None)
            }
            Last::Known(Snapshot { state: State::Finished, at_ms, .. }) => {
                (at_ms.saturating_add(self.ages.finished_ms), None)
            }
            _ => (0, None),
        };
        let later_ms = natural_ms.max(now_ms.saturating_add(entry.wait_ms));
        let expiry_ms = expires_ms.filter(|expires_ms| *expires_ms >= now_ms);
        entry.due_ms = expiry_ms.map_or(later_ms, |expiry_ms| later_ms.min(expiry_ms)).saturating_add(1);
        entry.wait_ms = entry.wait_ms.saturating_mul(2).min(LONGEST_WAIT_MS);
    }

    /// A look failed: again, a little later.
    pub(super) fn again(&mut self, key: &Key, now_ms: u64, later: Duration) {
        if let Some(entry) = self.jobs.get_mut(key) {
            entry.due_ms = now_ms.saturating_add(u64::try_from(later.as_millis()).unwrap_or(u64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use subrosa_protocol::{
        delivery::{Sweep, sweep},
        encoding::b64u,
    };

    use super::*;

    const AGES: SweepAges = SweepAges { queued_ms: 30_000, open_ms: 600_000, finished_ms: 6_000_000 };
    const NOW_MS: u64 = 1_000_000;

    fn key(name: &str) -> Key {
        (name.parse().unwrap(), JobId::of(name.as_bytes()))
    }

    fn message(event: &str, at_ms: u64, prev: Option<&[u8]>) -> Vec<u8> {
        let prev = prev.map(Sha256Hash::of);
        let json = serde_json::json!({ "event": event, "at_ms": at_ms, "prev": prev });
        format!("e30.{}.c2ln", b64u(json.to_string())).into_bytes()
    }

    #[test]
    fn a_job_is_due_when_its_state_is_too_old() {
        let mut index = Index::new(AGES);
        let first = message("queued", NOW_MS, None);
        index.see(key("a"), &first, NOW_MS, || true);
        assert!(index.due(NOW_MS + 30_000, 9).is_empty());
        assert_eq!(index.due(NOW_MS + 30_001, 9), [key("a")]);
        index.see(key("a"), &message("taken", NOW_MS, Some(&first)), NOW_MS, || true);
        assert!(index.due(NOW_MS + 600_000, 9).is_empty());
        assert_eq!(index.due(NOW_MS + 600_001, 9), [key("a")]);
    }

    #[test]
    fn the_oldest_is_told_of_each_worker_while_it_is_queued() {
        let mut index = Index::new(AGES);
        let first = message("queued", 1000, None);
        let other = |text: &str| ("a".parse().unwrap(), JobId::of(text.as_bytes()));
        index.see(other("1"), &first, NOW_MS, || true);
        index.see(other("2"), &message("queued", 2000, None), NOW_MS, || true);
        index.see(key("b"), &message("running", 500, None), NOW_MS, || true);
        assert_eq!(index.oldest_queued(), HashMap::from([("a".parse().unwrap(), 1000)]));
        index.see(other("1"), &message("taken", 3000, Some(&first)), NOW_MS, || true);
        assert_eq!(index.oldest_queued(), HashMap::from([("a".parse().unwrap(), 2000)]));
    }

    #[test]
    fn an_end_that_counts_is_forgotten() {
        let mut index = Index::new(AGES);
        let first = message("queued", NOW_MS, None);
        index.see(key("a"), &first, NOW_MS, || true);
        index.see(key("a"), &message("failed", NOW_MS, Some(&first)), NOW_MS, || true);
        assert_eq!(index.len(), 0);
    }

    #[test]
    fn what_is_broken_is_due_at_once() {
        let mut index = Index::new(AGES);
        let first = message("queued", NOW_MS, None);
        index.see(key("garbage"), b"what is this", NOW_MS, || true);
        index.see(key("forged"), &first, NOW_MS, || true);
        index.see(key("forged"), &message("failed", NOW_MS, Some(&first)), NOW_MS, || false);
        index.see(key("torn"), &first, NOW_MS, || true);
        index.see(key("torn"), &message("closed", NOW_MS, Some(b"another")), NOW_MS, || true);
        let mut due = index.due(NOW_MS + 1, 9);
        due.sort();
        assert_eq!(due, [key("forged"), key("garbage"), key("torn")]);
        assert_eq!(index.due(NOW_MS + 1, 1).len(), 1);
    }

    #[test]
    fn what_is_dated_ahead_is_as_old_as_it_was_seen() {
        let (mut index, ahead_ms) = (Index::new(AGES), NOW_MS + 3_600_000);
        let bytes = message("queued", ahead_ms, None);
        index.see(key("a"), &bytes, NOW_MS, || true);
        let (hash, seen_ms) = index.seen(&key("a")).unwrap();
        assert_eq!((hash, seen_ms), (Sha256Hash::of(&bytes), NOW_MS));
        let snapshot = Snapshot { hash, attempt: 0, at_ms: ahead_ms, state: State::Queued };
        let last = Last::Known(snapshot).seen_at(seen_ms);
        let now_ms = NOW_MS + 30_001;
        assert_eq!(index.due(now_ms, 9), [key("a")]);
        assert_eq!(sweep(&last, true, false, now_ms, &AGES), Sweep::Queue);
        index.postpone(&key("a"), &last, None, now_ms);
        assert!(index.due(now_ms + 30_000, 9).is_empty());
        assert_eq!(index.due(now_ms + 30_001, 9), [key("a")]);
    }

    #[test]
    fn looks_become_rarer_but_do_not_miss_the_expiry() {
        let mut index = Index::new(AGES);
        let bytes = message("queued", 0, None);
        index.see(key("a"), &bytes, NOW_MS, || true);
        let last = Last::Known(Snapshot {
            hash: Sha256Hash::of(&bytes),
            attempt: 0,
            at_ms: 0,
            state: State::Queued,
        });
        let mut now_ms = NOW_MS;
        for wait_ms in [30_000, 60_000, 120_000] {
            assert_eq!(index.due(now_ms, 9), [key("a")]);
            index.postpone(&key("a"), &last, Some(u64::MAX), now_ms);
            assert!(index.due(now_ms + wait_ms, 9).is_empty());
            now_ms += wait_ms + 1;
        }
        index.postpone(&key("a"), &last, Some(now_ms + 5), now_ms);
        assert!(index.due(now_ms + 5, 9).is_empty());
        assert_eq!(index.due(now_ms + 6, 9), [key("a")]);
    }
}
