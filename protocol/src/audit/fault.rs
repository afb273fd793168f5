//! What can be wrong with a message of a history.

use thiserror::Error;

use crate::{
    id::JobId,
    identity::{Thumbprint, Untrusted},
    launch::LaunchError,
    record::{MAX_RECORD_BYTES, RecordError},
};

/// Why a message is BAD. Numbers count the messages of the history, from 1.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Only its hash was kept.
    #[error("it has more than the {MAX_RECORD_BYTES} bytes of a record")]
    TooLarge,
    /// Its signature does not hold, or there is none.
    #[error("altered, or no record at all: {0}")]
    Altered(RecordError),
    /// It is signed, and not what a record is.
    #[error("malformed: {0}")]
    Malformed(RecordError),
    /// It is a record, of another job.
    #[error("transplanted: it is a record of the job {of}")]
    Transplanted {
        /// That job.
        of: JobId,
    },
    /// Its signer may not write it: nobody knows the key, or not in this role, or not for this worker; or its
    /// certificate does not count, or it is revoked.
    #[error("its signer may not write it: {0}")]
    Signer(Untrusted),
    /// The same bytes stand in the history already.
    #[error("it is a copy of message {of}")]
    Copy {
        /// The one before it.
        of: usize,
    },
    /// Another record names the same predecessor. Which of them came first, nobody can tell from them.
    #[error("this and message {other} are both the successor of one record")]
    Fork {
        /// The other one.
        other: usize,
    },
    /// What it names as its predecessor is not in the history.
    #[error("the message that it names as the one before it is missing, or was altered")]
    Missing,
    /// What it names as its predecessor stands elsewhere.
    #[error("reordered: it follows {}", place(.follows))]
    Reordered {
        /// The message that it names; none if it names none, and so is the first.
        follows: Option<usize>,
    },
    /// There is no `queued` with the job in it: nothing can be said of what follows.
    #[error("the record that the job begins with is missing: there is nothing to judge this by")]
    NoBeginning,
    /// The launch request does not hold.
    #[error("its launch request does not hold: {0}")]
    Request(LaunchError),
    /// The key of the job's owner is revoked: anybody may have signed with it.
    #[error("the key {owner} of the job's owner is revoked")]
    OwnerRevoked {
        /// The owner.
        owner: Thumbprint,
    },
    /// The launch request is another job's.
    #[error("its launch request is that of another job")]
    AnotherRequest,
    /// It lets the job begin, and names a message before it.
    #[error("the job cannot begin after another message")]
    NotFirst,
    /// The job has ended.
    #[error("the job had ended: nothing counts after that")]
    AfterEnd,
    /// It is of an attempt that was overtaken.
    #[error("it is of attempt {attempt}, which attempt {current} has overtaken")]
    OlderAttempt {
        /// Its own attempt.
        attempt: u16,
        /// The latest one taken.
        current: u16,
    },
    /// Nobody has taken the attempt that it is of.
    #[error("it is of attempt {attempt}, which nobody has taken")]
    NotTaken {
        /// Its own attempt.
        attempt: u16,
    },
    /// It takes another attempt than the next, or one more than the job allows.
    #[error("it takes attempt {attempt}; {}", next(*.expected))]
    NotNext {
        /// The attempt that it takes.
        attempt: u16,
        /// The one that could have been taken; none if no further one may be.
        expected: Option<u16>,
    },
    /// It is written by another worker than the one that took the attempt.
    #[error("the attempt was taken by the key {holder}, and this is written by another one")]
    AnotherWorker {
        /// The key of the attempt's `taken`.
        holder: Thumbprint,
    },
    /// It names another process than the one that took the attempt.
    #[error("the attempt was taken by another process of this worker")]
    AnotherProcess,
    /// The event cannot come here.
    #[error("`{event}` cannot come after `{after}`")]
    OutOfTurn {
        /// What it says happened.
        event: &'static str,
        /// What had happened before.
        after: &'static str,
    },
    /// Its `close` is not the token of the job's `close`.
    #[error("its `close` is not the job's token: it does not prove that the client has the result")]
    WrongClose,
    /// Its `cancel` is not the token of the job's `cancel`.
    #[error("its `cancel` is not the job's token: it does not prove that the client has cancelled")]
    WrongCancel,
    /// A worker cancels without the token; only an operator does, by a launcher.
    #[error("a worker has cancelled it without the job's token")]
    NoCancel,
    /// It is older than the record before it by more than clocks may differ.
    #[error("its time lies {by_ms} ms before that of the record before it")]
    Backwards {
        /// By how much.
        by_ms: u64,
    },
    /// It lets the job begin, or an attempt, when the job was not to be run.
    #[error("at its time the job was {}", if *.expired { "expired already" } else { "not made yet" })]
    Untimely {
        /// Whether it comes too late; else too early.
        expired: bool,
    },
    /// It says that the job is expired, and it was not.
    #[error("at its time the job was not expired yet")]
    NotExpired,
}

impl Fault {
    /// A word for it, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Altered(_) => "altered",
            Self::Malformed(_) => "malformed",
            Self::Transplanted { .. } => "transplanted",
            Self::Signer(Untrusted::Unknown { .. }) => "stranger",
            Self::Signer(Untrusted::Role { .. } | Untrusted::Worker { .. }) => "wrong_role",
            Self::Signer(Untrusted::Revoked { .. }) | Self::OwnerRevoked { .. } => "revoked",
            Self::Signer(_) => "uncertified",
            Self::Copy { .. } => "copy",
            Self::Fork { .. } => "fork",
            Self::Missing => "missing",
            Self::Reordered { .. } => "reordered",
            Self::NoBeginning => "no_beginning",
            Self::Request(_) => "bad_request",
            Self::AnotherRequest => "another_request",
            Self::NotFirst => "not_first",
            Self::AfterEnd => "after_end",
            Self::OlderAttempt { .. } => "older_attempt",
            Self::NotTaken { .. } => "not_taken",
            Self::NotNext { .. } => "not_next",
            Self::AnotherWorker { .. } => "another_worker",
            Self::AnotherProcess => "another_process",
            Self::OutOfTurn { .. } => "out_of_turn",
            Self::WrongClose => "wrong_close",
            Self::WrongCancel => "wrong_cancel",
            Self::NoCancel => "no_cancel",
            Self::Backwards { .. } => "backwards",
            Self::Untimely { .. } => "untimely",
            Self::NotExpired => "not_expired",
        }
    }
}

impl From<RecordError> for Fault {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Signer(reason) => Self::Signer(reason),
            RecordError::Signature(_) => Self::Altered(error),
            error => Self::Malformed(error),
        }
    }
}

fn place(follows: &Option<usize>) -> String {
    follows.map_or_else(|| "nothing, and stands after another record".to_owned(), |n| format!("message {n}"))
}

fn next(expected: Option<u16>) -> String {
    expected.map_or_else(|| "no further one was allowed".to_owned(), |n| format!("the next one is {n}"))
}
