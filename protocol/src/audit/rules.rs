//! What may come next: the protocol's rules, over the records that count.

use super::{
    Fault,
    read::{Read, Signed, request},
};
use crate::{
    id::{Instance, Sha256Hash},
    identity::{Role, Thumbprint, Trust},
    job::{CLOCK_TOLERANCE_MS, Job},
    launch::Signers,
    record::{Event, Record, code},
};

/// A job as far as its records have come that count.
pub(super) struct Rules<'a> {
    job: Option<&'a Job>,
    trust: &'a Trust,
    stand: Stand,
    /// The highest attempt taken, 0 if none.
    attempt: u16,
    /// Who took it.
    holder: Option<Holder>,
    /// When the last record was written.
    at_ms: u64,
    /// Who signed the job.
    pub(super) signers: Option<Signers>,
}

#[derive(Clone, Copy)]
struct Holder {
    key: Thumbprint,
    instance: Instance,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    Nothing,
    Queued,
    Taken,
    Running,
    Finished,
    Ended,
}

impl<'a> Rules<'a> {
    /// Before the first record.
    pub(super) fn new(job: Option<&'a Job>, trust: &'a Trust) -> Self {
        Self { job, trust, stand: Stand::Nothing, attempt: 0, holder: None, at_ms: 0, signers: None }
    }

    /// Takes the next record, if it may come.
    pub(super) fn take(&mut self, read: &Read) -> Result<(), Fault> {
        let Some(signed) = &read.signed else { return Err(Fault::NoBeginning) };
        let Signed { record, signer } = signed;
        if self.stand == Stand::Ended {
            return Err(Fault::AfterEnd);
        }
        if let Event::Queued { request } = &record.event {
            self.begin(record, request)?;
        }
        let Some(job) = self.job.filter(|_| self.signers.is_some()) else { return Err(Fault::NoBeginning) };
        let by_ms = self.at_ms.saturating_sub(record.at_ms);
        if by_ms > CLOCK_TOLERANCE_MS {
            return Err(Fault::Backwards { by_ms });
        }
        match &record.event {
            Event::Queued { .. } => {}
            Event::Taken { instance } => {
                self.claim(record, job, Holder { key: *signer, instance: *instance })?
            }
            Event::Running { instance } => {
                self.check_holder(record, signer)?;
                self.check_turn(record, Stand::Taken)?;
                if self.holder.is_some_and(|holder| holder.instance != *instance) {
                    return Err(Fault::AnotherProcess);
                }
            }
            Event::Finished => {
                self.check_holder(record, signer)?;
                self.check_turn(record, Stand::Running)?;
            }
            Event::Closed { .. } | Event::Failed(_) | Event::Cancelled { .. } | Event::Expired(_) => {
                self.check_end(record, job, signer, read.role == Some(Role::Launcher))?;
            }
        }
        self.stand = Stand::after(&record.event);
        self.at_ms = record.at_ms;
        Ok(())
    }

    /// The job's launch request, with all of its signatures.
    fn begin(&mut self, record: &Record, bytes: &[u8]) -> Result<(), Fault> {
        if record.prev.is_some() || self.stand != Stand::Nothing {
            return Err(Fault::NotFirst);
        }
        let request = request(bytes).map_err(Fault::Request)?;
        if *request.job().id() != record.job {
            return Err(Fault::AnotherRequest);
        }
        let signers = request.verify().map_err(Fault::Request)?;
        if let Some(owner) = request.job().description().client.filter(|owner| self.trust.is_revoked(owner)) {
            return Err(Fault::OwnerRevoked { owner });
        }
        check_time(record, request.job())?;
        self.signers = Some(signers);
        Ok(())
    }

    /// A worker takes the next attempt.
    fn claim(&mut self, record: &Record, job: &Job, holder: Holder) -> Result<(), Fault> {
        if self.stand == Stand::Finished {
            return Err(self.out_of_turn(record));
        }
        let next = self.attempt + 1;
        if record.attempt != next || next > job.description().max_attempts {
            let expected = (next <= job.description().max_attempts).then_some(next);
            return Err(Fault::NotNext { attempt: record.attempt, expected });
        }
        check_time(record, job)?;
        self.attempt = next;
        self.holder = Some(holder);
        Ok(())
    }

    /// A record that only the attempt's worker may write.
    fn check_holder(&self, record: &Record, signer: &Thumbprint) -> Result<(), Fault> {
        self.check_attempt(record)?;
        match self.holder {
            Some(holder) if holder.key == *signer => Ok(()),
            Some(holder) => Err(Fault::AnotherWorker { holder: holder.key }),
            None => Err(Fault::NotTaken { attempt: record.attempt }),
        }
    }

    fn check_attempt(&self, record: &Record) -> Result<(), Fault> {
        let (attempt, current) = (record.attempt, self.attempt);
        match attempt.cmp(&current) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Less => Err(Fault::OlderAttempt { attempt, current }),
            std::cmp::Ordering::Greater => Err(Fault::NotTaken { attempt }),
        }
    }

    fn check_turn(&self, record: &Record, after: Stand) -> Result<(), Fault> {
        if self.stand == after { Ok(()) } else { Err(self.out_of_turn(record)) }
    }

    fn check_end(
        &self,
        record: &Record,
        job: &Job,
        signer: &Thumbprint,
        by_launcher: bool,
    ) -> Result<(), Fault> {
        // Over what it cannot read, a launcher cannot know of any attempt.
        if !(by_launcher && matches!(&record.event, Event::Failed(reason) if reason.code == code::BAD_RECORD))
        {
            self.check_attempt(record)?;
        }
        let job = job.description();
        match &record.event {
            Event::Closed { close, .. } => {
                if !by_launcher {
                    self.check_holder(record, signer)?;
                }
                let shown = Sha256Hash::of(Sha256Hash::of(close).0);
                if shown == job.close { Ok(()) } else { Err(Fault::WrongClose) }
            }
            Event::Cancelled { cancel: Some(token), .. } if Sha256Hash::of(token) != job.cancel => {
                Err(Fault::WrongCancel)
            }
            Event::Cancelled { cancel: None, .. } if !by_launcher => Err(Fault::NoCancel),
            Event::Expired(_) if record.at_ms.saturating_add(CLOCK_TOLERANCE_MS) < job.expires_ms => {
                Err(Fault::NotExpired)
            }
            _ => Ok(()),
        }
    }

    fn out_of_turn(&self, record: &Record) -> Fault {
        Fault::OutOfTurn { event: record.event.name(), after: self.stand.name() }
    }
}

/// Whether the job could begin, or an attempt at it, when the record was written. The writer has allowed for a
/// clock that is wrong, and so does the reader.
fn check_time(record: &Record, job: &Job) -> Result<(), Fault> {
    if job.expired(record.at_ms.saturating_sub(CLOCK_TOLERANCE_MS)) {
        return Err(Fault::Untimely { expired: true });
    }
    if job.description().created_ms > record.at_ms.saturating_add(2 * CLOCK_TOLERANCE_MS) {
        return Err(Fault::Untimely { expired: false });
    }
    Ok(())
}

impl Stand {
    fn after(event: &Event) -> Self {
        match event {
            Event::Queued { .. } => Self::Queued,
            Event::Taken { .. } => Self::Taken,
            Event::Running { .. } => Self::Running,
            Event::Finished => Self::Finished,
            Event::Closed { .. } | Event::Failed(_) | Event::Cancelled { .. } | Event::Expired(_) => {
                Self::Ended
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Queued => "queued",
            Self::Taken => "taken",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Ended => "the end",
        }
    }
}
