//! How much one may have going at once: what is open is counted from the records as they pass by, which every
//! launcher sees, and so none has to keep it.
//!
//! A launcher counts its own admissions at once and those of others when their records have come to it.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use subrosa_protocol::{
    delivery::{Last, Snapshot, State},
    id::{JobId, WorkerName},
    identity::Thumbprint,
    launch::{LaunchRequest, Signers},
    record::{Event, Record},
    refusal::Code,
};

use crate::{config, refused::Refused};

/// How far back launches are counted.
const MINUTE: Duration = Duration::from_secs(60);

/// A job, as subjects name it.
type Key = (WorkerName, JobId);

/// Who has a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    /// Everybody.
    All,
    /// Its owner.
    Client(Thumbprint),
    /// Nobody owns it.
    Anonymous,
    /// A key that has signed it.
    Signer(Thumbprint),
    /// Nobody has signed it.
    Unsigned,
}

/// The parties of a job.
fn parties(request: &LaunchRequest, signers: &Signers) -> Vec<Party> {
    let owner = request.job().description().client.map_or(Party::Anonymous, Party::Client);
    let mut parties = vec![Party::All, owner];
    parties.extend(signers.iter().copied().map(Party::Signer));
    if signers.is_empty() {
        parties.push(Party::Unsigned);
    }
    parties
}

/// The limits, and what counts against them. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Quota(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: config::Quota,
    counts: Mutex<Counts>,
    /// Whether all that lies in the stream has been counted once.
    ready: AtomicBool,
}

#[derive(Debug, Default)]
struct Counts {
    /// Rises whenever the records are followed anew.
    round: u64,
    places: HashMap<Key, Place>,
    open: BTreeMap<Party, usize>,
    /// When each job of the last minute was admitted, by Unix time in milliseconds.
    launches: BTreeMap<Party, HashMap<JobId, u64>>,
}

/// An open job.
#[derive(Debug)]
struct Place {
    parties: Vec<Party>,
    round: u64,
    /// Whether its record has been seen; if not, it is about to be written here.
    is_recorded: bool,
}

/// A place for a job that is about to be admitted; given back when dropped, unless it is kept.
#[derive(Debug)]
pub(crate) struct Reserved(Option<(Quota, Key)>);

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Over {
    limit: &'static str,
    most: usize,
}

/// The open jobs are not all counted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Uncounted;

impl fmt::Display for Uncounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the launcher still counts the open jobs")
    }
}

impl From<Uncounted> for Refused {
    fn from(uncounted: Uncounted) -> Self {
        Self::new(Code::Overloaded, format!("{uncounted}: try again later"))
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, most } = self;
        write!(f, "the launcher's limit `quota.{limit}` of {most} is reached: try again later")
    }
}

impl From<Over> for Refused {
    fn from(over: Over) -> Self {
        Self::new(Code::Overloaded, over.to_string())
    }
}

impl Quota {
    pub(crate) fn new(limits: config::Quota) -> Self {
        let ready = AtomicBool::new(!limits.is_any());
        Self(Arc::new(Inner { limits, counts: Mutex::default(), ready }))
    }

    /// Whether there is any limit: if not, nothing is counted.
    pub(crate) fn counts(&self) -> bool {
        self.0.limits.is_any()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether everything has been counted once. Nobody waits for it here, in the way of others.
    pub(crate) fn ready(&self) -> Result<(), Uncounted> {
        if self.0.ready.load(Ordering::SeqCst) { Ok(()) } else { Err(Uncounted) }
    }

    /// Takes a place for a job, if there is one. A job that has one needs no other.
    pub(crate) fn reserve(
        &self,
        request: &LaunchRequest,
        signers: &Signers,
        now_ms: u64,
    ) -> Result<Reserved, Over> {
        if !self.counts() {
            return Ok(Reserved(None));
        }
        let key = (request.job().worker().clone(), *request.job().id());
        let mut counts = self.lock();
        if counts.places.contains_key(&key) {
            return Ok(Reserved(None));
        }
        let parties = parties(request, signers);
        for party in &parties {
            counts.may_have_more(&self.0.limits, party, now_ms)?;
        }
        counts.add(key.clone(), parties, false, now_ms);
        Ok(Reserved(Some((self.clone(), key))))
    }

    /// The records are about to be followed anew, from the last one of each job.
    pub(crate) fn begin(&self) {
        self.lock().round += 1;
    }

    /// All records that were there at the beginning have been seen: what was not among them is gone.
    pub(crate) fn caught_up(&self) {
        let mut counts = self.lock();
        let round = counts.round;
        let gone = counts.places.iter().filter(|(_, place)| place.round < round);
        let gone: Vec<Key> = gone.map(|(key, _)| key.clone()).collect();
        gone.iter().for_each(|key| counts.remove(key));
        self.0.ready.store(true, Ordering::SeqCst);
    }

    /// A record passes by that counts. Says whether more has to be read to know whose job it is.
    pub(crate) fn see(&self, key: &Key, last: &Last, record: &Record, begun: Option<&LaunchRequest>) -> bool {
        let mut counts = self.lock();
        if is_over(last) {
            counts.remove(key);
            return false;
        }
        let round = counts.round;
        if let Some(place) = counts.places.get_mut(key) {
            (place.round, place.is_recorded) = (round, true);
            return false;
        }
        match (&record.event, begun) {
            (Event::Queued { .. }, None) => false,
            (_, None) => true,
            (_, Some(request)) => {
                let admitted_ms = match record.event {
                    Event::Queued { .. } => record.at_ms,
                    _ => request.job().description().created_ms,
                };
                // Whoever admitted it has verified them.
                if let Ok(signers) = request.verify() {
                    counts.add(key.clone(), parties(request, &signers), true, admitted_ms);
                }
                false
            }
        }
    }

    /// Forgets launches that are older than a minute.
    pub(crate) fn prune(&self, now_ms: u64) {
        let mut counts = self.lock();
        counts.launches.retain(|_, launches| {
            forget_old(launches, now_ms);
            !launches.is_empty()
        });
    }
}

/// Whether a job asks nothing more of any worker.
fn is_over(last: &Last) -> bool {
    matches!(last, Last::Known(Snapshot { state: State::Ended | State::Finished, .. }))
}

fn forget_old(launches: &mut HashMap<JobId, u64>, now_ms: u64) {
    let minute_ms = u64::try_from(MINUTE.as_millis()).unwrap_or(u64::MAX);
    launches.retain(|_, at_ms| at_ms.saturating_add(minute_ms) > now_ms);
}

impl Counts {
    fn may_have_more(&mut self, limits: &config::Quota, party: &Party, now_ms: u64) -> Result<(), Over> {
        let (limit, most) = match party {
            Party::All => ("open", limits.open),
            Party::Client(_) => ("open_per_client", limits.open_per_client),
            Party::Anonymous => ("open_anonymous", limits.open_anonymous),
            Party::Signer(_) => ("open_per_signer", limits.open_per_signer),
            Party::Unsigned => ("open_unsigned", limits.open_unsigned),
        };
        let open = self.open.get(party).copied().unwrap_or_default();
        if let Some(most) = most.filter(|most| open >= *most) {
            return Err(Over { limit, most });
        }
        let Some(most) = limits.launches_per_minute.filter(|_| party.is_signing()) else { return Ok(()) };
        let Some(launches) = self.launches.get_mut(party) else { return Ok(()) };
        forget_old(launches, now_ms);
        if launches.len() >= most {
            return Err(Over { limit: "launches_per_minute", most });
        }
        Ok(())
    }

    fn add(&mut self, key: Key, parties: Vec<Party>, is_recorded: bool, at_ms: u64) {
        for party in &parties {
            *self.open.entry(*party).or_default() += 1;
            if party.is_signing() {
                self.launches.entry(*party).or_default().insert(key.1, at_ms);
            }
        }
        self.places.insert(key, Place { parties, round: self.round, is_recorded });
    }

    fn remove(&mut self, key: &Key) {
        let Some(place) = self.places.remove(key) else { return };
        for party in place.parties {
            let open = self.open.get(&party).copied().unwrap_or_default();
            if open > 1 {
                self.open.insert(party, open - 1);
            } else {
                self.open.remove(&party);
            }
            if !place.is_recorded
                && let Some(launches) = self.launches.get_mut(&party)
            {
                launches.remove(&key.1);
            }
        }
    }
}

impl Party {
    /// Whether launches are counted by it: each job has at least one such party.
    fn is_signing(self) -> bool {
        matches!(self, Self::Signer(_) | Self::Unsigned)
    }
}

impl Reserved {
    /// The job is admitted.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let Some((quota, key)) = self.0.take() else { return };
        let mut counts = quota.lock();
        if counts.places.get(&key).is_some_and(|place| !place.is_recorded) {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
