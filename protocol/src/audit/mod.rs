//! A job's records as evidence: a history judged as a whole, offline, by whom one trusts.
//!
//! Launchers and workers read a job's last record only, and go on from there. An auditor reads all of them,
//! maybe years later and from a file that somebody else has kept, and asks of each: is it what its signer
//! wrote, might that signer write it, and does it fit what came before it? [`History::judge`] answers with a
//! verdict for each message, and the job as far as it can be believed.
//!
//! **GOOD** is a record that counts: signed by who may, in its place, and allowed there by the protocol.
//! **BAD** is everything else. That includes what an honest but slow writer may have signed, such as a record
//! of an attempt that was overtaken, or one that lost a race: *nobody appends what does not count*, so where
//! such a record stands in a history, somebody has put it there.
//!
//! A BAD message does not make its successors BAD that do not build on it: one message slipped in is one BAD
//! message. But what a missing or altered record would have to prove, nothing that follows can stand in for.
//!
//! What cannot be told: whether the end was cut off. Such a history is unfinished, like that of a job that
//! still runs.

mod fault;
mod file;
mod read;
mod rules;

#[cfg(test)]
mod tests;

pub use self::{
    fault::Fault,
    file::{FileError, MAX_FILE_BYTES, MAX_MESSAGES, Message, read_file, write_line},
};

use self::{read::Reading, rules::Rules};
use crate::{
    id::{JobId, Sha256Hash},
    identity::{Role, Thumbprint, Trust},
    job::Job,
    launch::Signers,
    record::{Event, Record},
};

/// A job's history, judged.
#[derive(Clone, Debug)]
pub struct History {
    /// The job that it was judged as: the one that was asked for, or else the first record's. None if there is
    /// no record at all.
    pub id: Option<JobId>,
    /// The job itself, if a launch request shows its bytes: they hash to `id`, whoever shows them.
    pub job: Option<Job>,
    /// Who signed the launch request, if the record with it is GOOD.
    pub signers: Option<Signers>,
    /// Every message, in order.
    pub messages: Vec<Judged>,
}

/// A message of a history, judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Its hash.
    pub hash: Sha256Hash,
    /// What it says, if it is signed; whoever signed it.
    pub record: Option<Record>,
    /// Who signed it.
    pub signer: Option<Thumbprint>,
    /// As what its signer is trusted to write it. None if it is not.
    pub role: Option<Role>,
    /// Whose certificate it is trusted by, if the trust file does not name the signer itself.
    pub authority: Option<Thumbprint>,
    /// Why it is BAD; none if it is GOOD.
    pub fault: Option<Fault>,
}

impl Judged {
    /// Whether it counts.
    pub fn is_good(&self) -> bool {
        self.fault.is_none()
    }
}

impl History {
    /// Judges the messages of a job's history, in the order in which they stood on its subject.
    ///
    /// Without `job`, the first record says which job it is: then a whole history that was put in another's
    /// place looks as good as that other one.
    pub fn judge(messages: &[Message], job: Option<JobId>, trust: &Trust) -> Self {
        let reading = Reading::new(messages, job, trust);
        let Reading { id, job, messages } = &reading;
        let mut rules = Rules::new(job.as_ref(), trust);
        let mut judged: Vec<Judged> = Vec::with_capacity(messages.len());
        for (index, read) in messages.iter().enumerate() {
            let fault = read.fault.clone().or_else(|| {
                let is_good = |index| judged.get(index).is_some_and(Judged::is_good);
                reading.check_place(index, is_good).and_then(|()| rules.take(read)).err()
            });
            judged.push(Judged {
                hash: read.hash,
                record: read.signed.as_ref().map(|signed| signed.record.clone()),
                signer: read.signed.as_ref().map(|signed| signed.signer),
                role: read.role,
                authority: read.authority,
                fault,
            });
        }
        Self { id: *id, job: job.clone(), signers: rules.signers, messages: judged }
    }

    /// Whether there is a history, and no message of it is BAD.
    pub fn is_good(&self) -> bool {
        !self.messages.is_empty() && self.messages.iter().all(Judged::is_good)
    }

    /// How many messages are BAD.
    pub fn bad(&self) -> usize {
        self.messages.iter().filter(|message| !message.is_good()).count()
    }

    /// The last record that counts. What it says happened is the job's state.
    pub fn last(&self) -> Option<&Record> {
        self.messages
            .iter()
            .rev()
            .find(|message| message.is_good())
            .and_then(|message| message.record.as_ref())
    }

    /// Whether a record that counts ends the job. If not, the history is unfinished: the job may still run, or
    /// the end may have been cut off.
    pub fn is_finished(&self) -> bool {
        self.last().is_some_and(|record| {
            matches!(
                record.event,
                Event::Closed { .. } | Event::Failed(_) | Event::Cancelled { .. } | Event::Expired(_)
            )
        })
    }
}
