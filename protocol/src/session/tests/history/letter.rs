//! What was sent: every envelope that a party has sealed, who sealed it, and what it says.

use subrosa_protocol::wire::{Header, Kind};

use super::{cast::JobNumber, event::Tamper};

/// A worker's session, as its place in [`super::world::World::workers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WorkerId(pub(super) usize);

/// A client's session, as its place in [`super::world::World::sessions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionId(pub(super) usize);

/// An envelope that was sealed, as its place in [`super::world::World::letters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LetterId(pub(super) usize);

/// Who sealed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sealer {
    Worker(WorkerId),
    Session(SessionId),
}

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) kind: Kind,
    /// Occurs nowhere else in the history.
    pub(super) text: String,
    /// It is an error in place of an answer or a result.
    pub(super) is_error: bool,
}

/// An envelope that one of the parties has sealed.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) bytes: Vec<u8>,
    pub(super) sealer: Sealer,
    pub(super) said: Said,
}

/// Where a step's answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inbox {
    Worker(WorkerId),
    /// Somebody else's: what goes there does not arrive, but can be sent on.
    Elsewhere,
}

impl Inbox {
    pub(super) fn subject(self) -> String {
        match self {
            Self::Worker(WorkerId(id)) => format!("_INBOX.{id}"),
            Self::Elsewhere => "_INBOX.elsewhere".to_owned(),
        }
    }

    pub(super) fn parse(subject: &str) -> Self {
        let id = subject.strip_prefix("_INBOX.").and_then(|id| id.parse().ok());
        id.map_or(Self::Elsewhere, |id| Self::Worker(WorkerId(id)))
    }
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Client {
        job: JobNumber,
        kind: Kind,
        inbox: Inbox,
    },
    Inbox(Inbox),
    /// A worker's process, where it can be cancelled.
    Control(WorkerId),
    /// A client's inbox, where it hears that the worker knows.
    Canceller(JobNumber),
}

/// A message under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mail {
    pub(super) letter: LetterId,
    pub(super) to: Address,
}

/// An envelope as somebody without any key can change it; `other` is one that they have seen as well.
pub(super) fn tampered(envelope: &[u8], tamper: Tamper, other: &[u8]) -> Vec<u8> {
    let mut bytes = envelope.to_vec();
    let length = bytes.len();
    match tamper {
        Tamper::Nothing => {}
        Tamper::Flip(at) => bytes[usize::from(at) / 8 % length] ^= 1 << (at % 8),
        Tamper::FlipTail(at, bits) => bytes[length - 1 - usize::from(at) % length] ^= bits.max(1),
        Tamper::Truncate(by) => bytes.truncate(length - 1 - usize::from(by) % length),
        Tamper::Extend(by) => bytes.resize(length + 1 + usize::from(by), by),
        Tamper::Kind(kind) => bytes[1] = kind,
        Tamper::Attempt(number) => bytes[3] = number & 7,
        Tamper::Number(number) => bytes[11] = number & 7,
        Tamper::SwapKey(_) => {
            let has_enc = Header::decode(other).is_some_and(|header| header.kind == Kind::Options);
            bytes[12..44].copy_from_slice(&other[12..44]);
            if bytes[1] == Kind::Options.byte() && has_enc {
                bytes[44..76].copy_from_slice(&other[44..76]);
            }
        }
        Tamper::SwapHeader(_) => bytes[..44].copy_from_slice(&other[..44]),
    }
    bytes
}
