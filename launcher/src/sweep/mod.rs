//! The sweep: now and then, every launcher looks after what lies about. Acting twice does no harm.

mod consumers;
mod index;

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rand::RngExt as _;
use subrosa_protocol::{
    delivery::{Ending, Last, Snapshot, State, Sweep, SweepAges, sweep},
    id::Sha256Hash,
    job::CLOCK_TOLERANCE_MS,
    launch::LaunchRequest,
};
use subrosa_transport::{Backoff, Following, HistoryError, Passing, Records, now_ms};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::{
    consumers::Consumers,
    index::{Index, Key},
};
use crate::{
    ends::Ended,
    error::Trouble,
    office::{Case, Shared, Written, short},
};

/// How many jobs are looked at in one run.
const MOST: usize = 1000;
/// How many at once.
const AT_ONCE: usize = 16;
/// How long the server may take until the records can be followed.
const FOLLOW: Duration = Duration::from_secs(10);
/// A job that could not be looked at is tried again after this.
const AGAIN: Duration = Duration::from_secs(30);
/// A stored result that is younger than its stream's limit and this may still be there.
const RESULTS_MARGIN: Duration = Duration::from_secs(600);

/// What a look at a job led to.
enum Looked {
    /// It has ended.
    Over,
    /// It goes on.
    Open { last: Last, expires_ms: Option<u64> },
    /// Somebody else came first, or something did not answer.
    Again,
}

/// Sweeps until told to stop.
pub(crate) async fn run(office: Shared, stop: CancellationToken) {
    let work = async {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let mut consumers = Consumers::default();
        let mut reconnects = office.connection.reconnects();
        loop {
            consumers.hurry();
            reconnects.mark_unchanged();
            match follow(&office, &mut consumers).await {
                Ok(()) => backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30)),
                Err(error) => tracing::warn!(%error, "the sweep starts anew"),
            }
            tokio::select! {
                () = backoff.wait() => {}
                Ok(()) = reconnects.changed() => {}
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

/// Follows the histories from the last record of each, until the connection breaks: then a server may have
/// lost its last writes.
async fn follow(office: &Shared, consumers: &mut Consumers) -> Result<(), HistoryError> {
    let breaks = office.connection.breaks();
    let (mut records, mut index) = tokio::select! {
        known = known(office) => known?,
        () = office.connection.broken_since(breaks) => return Ok(()),
    };
    consumers.look(office).await;
    let interval = office.timing.sweep;
    let mut next = Instant::now() + interval.mul_f64(rand::rng().random_range(0.2..=1.0));
    loop {
        tokio::select! {
            record = records.next() => {
                let unknown = see(office, &mut index, record?);
                count(office, unknown.into_iter().collect()).await?;
            }
            () = office.connection.broken_since(breaks) => return Ok(()),
            () = tokio::time::sleep_until(next) => {
                consumers.look(office).await;
                office.numbers.open(index.len(), index.oldest_queued());
                sweep_once(office, &mut index).await;
                office.quota.prune(now_ms());
                // Several launchers should not act at the same instant.
                next = Instant::now() + interval.mul_f64(rand::rng().random_range(0.75..=1.25));
            }
        }
    }
}

/// What is known by all records that are there now, and those that come.
async fn known(office: &Shared) -> Result<(Following, Index), HistoryError> {
    let records = Records::new(office.connection.clone(), office.namespace.clone());
    let mut records = records.follow("sweep", Instant::now() + FOLLOW).await?;
    let mut index = Index::new(ages(office));
    office.quota.begin();
    let mut unknown = Vec::new();
    while let Some(record) = records.next_known().await? {
        unknown.extend(see(office, &mut index, record));
    }
    count(office, unknown).await?;
    office.quota.caught_up();
    Ok((records, index))
}

fn ages(office: &Shared) -> SweepAges {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    SweepAges {
        queued_ms: ms(office.timing.queued_age),
        open_ms: ms(office.timing.open_age),
        finished_ms: ms(office.results_age.saturating_add(RESULTS_MARGIN)),
    }
}

/// Heeds a record that passes by; returns its job if that counts for the quota, and it is not known for whom.
fn see(office: &Shared, index: &mut Index, record: Passing) -> Option<Key> {
    let Passing { worker, job, stored } = record;
    // Whose workers are unknown here, their keys may be too: nothing could be said of their records.
    if !office.workers.contains_key(&worker) {
        return None;
    }
    let (key, name) = ((worker.clone(), job), worker);
    index.see(key.clone(), &stored.bytes, now_ms(), || {
        let last = Last::read(Some(&stored.bytes), &job, &name, &office.trust.get());
        matches!(last, Last::Known(Snapshot { state: State::Ended, .. }))
    });
    if !office.quota.counts() {
        return None;
    }
    let begun = office.request_in(&name, &job, &stored);
    let seen = office.judge(&name, &job, Some(stored));
    let unknown = office.quota.see(&key, &seen.last, &seen.record?, begun.as_ref());
    unknown.then_some(key)
}

/// Counts jobs whose first record has not passed by.
async fn count(office: &Shared, unknown: Vec<Key>) -> Result<(), HistoryError> {
    let looks = unknown.into_iter().map(|key| async move {
        let (worker, job) = &key;
        let deadline = office.deadline();
        // Not what lies between: a worker may have written any number of records.
        let Some(first) = office.history.first(worker, job, deadline).await? else { return Ok(()) };
        let last = office.history.last(worker, job, deadline).await?;
        let seen = office.judge(worker, job, last);
        if let (Some(request), Some(record)) = (office.request_in(worker, job, &first), &seen.record) {
            office.quota.see(&key, &seen.last, record, Some(&request));
        }
        Ok(())
    });
    stream::iter(looks).buffer_unordered(AT_ONCE).try_collect().await
}

async fn sweep_once(office: &Shared, index: &mut Index) {
    let due: Vec<_> = index.due(now_ms(), MOST).into_iter().map(|key| (index.seen(&key), key)).collect();
    if due.is_empty() {
        return;
    }
    tracing::debug!(due = due.len(), open = index.len(), "sweeping");
    let looks = due.into_iter().map(|(seen, key)| async move {
        let looked = look(office, &key, seen).await.unwrap_or_else(|trouble| {
            tracing::warn!(job = short(&key.1), worker = %key.0, %trouble, "not swept");
            Looked::Again
        });
        (key, looked)
    });
    let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
    while let Some((key, looked)) = looks.next().await {
        match looked {
            Looked::Over => index.forget(&key),
            Looked::Open { last, expires_ms } => index.postpone(&key, &last, expires_ms, now_ms()),
            Looked::Again => index.again(&key, now_ms(), AGAIN),
        }
    }
}

/// Reads a job's records, and does what has to be done.
async fn look(
    office: &Shared,
    (worker, job): &Key,
    seen: Option<(Sha256Hash, u64)>,
) -> Result<Looked, Trouble> {
    let Some(mut case) = office.read(worker, job, office.deadline()).await? else { return Ok(Looked::Over) };
    // Otherwise it has gone on, and passes by soon.
    if let Some((hash, seen_ms)) = seen
        && case.seen.last.hash() == Some(hash)
    {
        case.seen.last = case.seen.last.seen_at(seen_ms);
    }
    let now_ms = now_ms();
    let request = case.request.as_ref();
    let expired = request.is_some_and(|request| request.job().expired(now_ms));
    // A history that does not begin with its job is as broken as one with a gap.
    let chained = case.chained && request.is_some();
    match (sweep(&case.seen.last, chained, expired, now_ms, &ages(office)), request) {
        (Sweep::Leave, _) if matches!(case.seen.last, Last::Known(Snapshot { state: State::Ended, .. })) => {
            return Ok(Looked::Over);
        }
        (Sweep::Leave, _) | (Sweep::Queue, None) => {}
        (Sweep::Queue, Some(request)) => {
            let bytes = Bytes::copy_from_slice(request.bytes());
            office.enqueue_again(worker, job, bytes).await;
        }
        (Sweep::End(ending), _) => return end(office, &case, ending).await,
    }
    let expires_ms = request.map(|request: &LaunchRequest| {
        request.job().description().expires_ms.saturating_add(CLOCK_TOLERANCE_MS)
    });
    Ok(Looked::Open { last: case.seen.last, expires_ms })
}

/// Writes an ending over what was read, and over nothing else.
async fn end(office: &Shared, case: &Case, ending: Ending) -> Result<Looked, Trouble> {
    let prev = case.seen.stored.as_ref();
    let event = ending.into_event();
    let written = office.write(&case.worker, &case.id, case.highest_attempt(), prev, event).await?;
    let Written::Won(seen) = written else { return Ok(Looked::Again) };
    let (job, worker) = (short(&case.id), &case.worker);
    tracing::info!(job, %worker, code = seen.code(), "swept: {}", seen.state());
    if let Some(record) = &seen.stored {
        let ended = Ended {
            worker: &case.worker,
            job: &case.id,
            request: case.request.as_ref(),
            holder: case.taken.map(|(_, instance)| instance),
            record,
        };
        office.after_end(&ended).await;
    }
    Ok(Looked::Over)
}
