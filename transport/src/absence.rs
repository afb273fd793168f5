//! Jobs that are delivered and have no record.
//!
//! A job is recorded before it is queued; but a replica may lag, so that a record that is not there counts only
//! after a while. Whoever can write to the queue could have all slots of a worker wait for records that never
//! come. So nobody waits: the message is given back, to come again when it has become clear.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use subrosa_protocol::id::{JobId, WorkerName};
use tokio::time::Instant;

use crate::{History, HistoryError, Stored, history::LAG};

/// While so few jobs are without a record, it is worth looking again at once: a replica is seldom slower.
const FEW: usize = 16;
/// How long, then.
const MOMENT: Duration = Duration::from_millis(200);
/// And how long a message stays away that has come for the first time. While there are many, nobody but who
/// floods the queue would gain by a message that comes sooner than its absence counts.
const FIRST: Duration = Duration::from_secs(1);
/// So many jobs are remembered. What is beyond is looked at afresh whenever it comes.
const MOST: usize = 65_536;
/// A job that does not come again is forgotten after this: somebody else has seen to it.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// Since when jobs have been seen without a record.
#[derive(Debug, Default)]
pub struct Absences(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    since: HashMap<JobId, Instant>,
    /// When it was last gone through.
    tidied: Option<Instant>,
}

impl Seen {
    /// Forgets who has not come again; from time to time, as there may be many.
    fn tidy(&mut self, now: Instant) {
        if self.tidied.is_none_or(|last| now.saturating_duration_since(last) >= FORGOTTEN) {
            self.since.retain(|_, first| now.saturating_duration_since(*first) < FORGOTTEN);
            self.tidied = Some(now);
        }
    }
}

/// What a look at the job of a delivery shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Its last record; or none, and that counts.
    Last(Option<Stored>),
    /// None as yet: the message is to come again after this time.
    NotYet(Duration),
}

impl Absences {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the last record of a job that was delivered.
    ///
    /// # Errors
    ///
    /// See [`HistoryError`].
    pub async fn look(
        &self,
        history: &History,
        worker: &WorkerName,
        job: &JobId,
    ) -> Result<Found, HistoryError> {
        let patience = if self.has_few(Instant::now()) { MOMENT } else { Duration::ZERO };
        let last = history.settled_within(worker, job, 0, patience).await?;
        if last.is_some() {
            self.lock().since.remove(job);
            return Ok(Found::Last(last));
        }
        Ok(self.judge(job, Instant::now()).map_or(Found::Last(None), Found::NotYet))
    }

    /// How long to wait for a job's record; none if it counts that there is none.
    fn judge(&self, job: &JobId, now: Instant) -> Option<Duration> {
        let mut seen = self.lock();
        seen.tidy(now);
        let gone = seen.since.get(job).map(|first| now.saturating_duration_since(*first));
        // What was seen long ago says nothing of a replica that lags today.
        if let Some(gone) = gone.filter(|gone| *gone < FORGOTTEN) {
            let left = LAG.checked_sub(gone).filter(|left| !left.is_zero());
            if left.is_none() {
                seen.since.remove(job);
            }
            return left;
        }
        let first = if seen.since.len() < FEW { FIRST } else { LAG };
        if gone.is_some() || seen.since.len() < MOST {
            seen.since.insert(*job, now);
        }
        Some(first)
    }

    fn has_few(&self, now: Instant) -> bool {
        let mut seen = self.lock();
        seen.tidy(now);
        seen.since.len() < FEW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(number: u32) -> JobId {
        JobId::of(&number.to_be_bytes())
    }

    #[test]
    fn that_there_is_no_record_counts_after_a_while() {
        let (absences, start) = (Absences::default(), Instant::now());
        let after = |seconds| absences.judge(&job(1), start + Duration::from_secs(seconds));
        assert_eq!(after(0), Some(FIRST));
        assert_eq!(after(1), Some(LAG - Duration::from_secs(1)));
        assert_eq!(after(10), None);
        assert_eq!(after(11), Some(FIRST), "what comes again after that begins anew");
    }

    #[test]
    fn what_was_seen_long_ago_counts_no_more() {
        let (absences, start) = (Absences::default(), Instant::now());
        let second = Duration::from_secs(1);
        absences.judge(&job(0), start);
        for number in 1..=u32::try_from(FEW).unwrap() {
            absences.judge(&job(number), start + second);
        }
        assert!(!absences.has_few(start + FORGOTTEN), "all but the first may come again");
        assert_eq!(absences.judge(&job(1), start + second + FORGOTTEN), Some(LAG));
        assert!(absences.has_few(start + FORGOTTEN * 2), "the others came to somebody else");
    }

    #[test]
    fn no_more_is_remembered_than_fits() {
        let (absences, start) = (Absences::default(), Instant::now());
        for number in 0..MOST {
            let first = if number < FEW { FIRST } else { LAG };
            assert_eq!(absences.judge(&job(number.try_into().unwrap()), start), Some(first));
        }
        let (late, much_later) = (job(u32::MAX), start + FORGOTTEN);
        assert_eq!(absences.judge(&late, start + LAG), Some(LAG));
        assert_eq!(absences.lock().since.len(), MOST);
        assert_eq!(absences.judge(&late, much_later), Some(FIRST), "the others have not come again");
        assert_eq!(absences.lock().since.len(), 1);
    }
}
