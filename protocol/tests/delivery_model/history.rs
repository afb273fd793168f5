//! The record stream: what is stored of the job, and what is still on its way there.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::LazyLock,
};

use subrosa_protocol::{
    delivery::{Last, Snapshot, State},
    encoding::b64u,
    id::{Instance, JobId, Sha256Hash},
    record::{Event, Reason, Record, Times, code},
};

/// Room for every record of two attempts, an ending and a message that is no record; and for what a rule
/// left out may add.
const ROOM: usize = 10;

/// What a message says, as far as anything depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Says {
    Queued,
    Taken,
    Running,
    /// The result is stored.
    Finished,
    Closed,
    /// The function or the client failed.
    Failed,
    ClientGone,
    UsedUp,
    StartFailed,
    Refused,
    BadRecord,
    Cancelled,
    Expired,
    /// It is no record.
    Garbage,
}

/// A message under the job's subject.
///
/// `on` is how many messages its writer knew of: as nothing is ever removed, this names the message that
/// its `prev` does, and the sequence that it expects. With the writer, and the number of the writer's try,
/// it stands for the message's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Message {
    pub(crate) says: Says,
    pub(crate) attempt: u8,
    pub(crate) by: u8,
    pub(crate) on: u8,
    pub(crate) again: u8,
}

const NONE: Message = Message { says: Says::Garbage, attempt: 0, by: 0, on: 0, again: 0 };

/// All messages under the job's subject.
#[derive(Clone)]
pub(crate) struct History {
    len: u8,
    messages: [Message; ROOM],
    /// Published, and neither stored nor refused yet. Sorted: which one arrives first is open.
    late: [Option<Message>; 2],
}

impl Hash for History {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.messages().hash(state);
        self.late.hash(state);
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.messages()).entries(self.late()).finish()
    }
}

impl Says {
    /// The ending that a reason stands for.
    pub(crate) fn with_code(reason: &Reason) -> Self {
        match reason.code.as_str() {
            code::CLIENT_GONE => Self::ClientGone,
            code::ATTEMPTS_USED_UP => Self::UsedUp,
            code::START_FAILED => Self::StartFailed,
            code::BAD_RECORD => Self::BadRecord,
            "bad_signature" => Self::Refused,
            "expired" => Self::Expired,
            other => panic!("no rule gives the code {other}"),
        }
    }
}

/// A process's name.
pub(crate) fn instance(number: u8) -> Instance {
    static NAMES: LazyLock<Vec<Instance>> =
        LazyLock::new(|| (0..=u8::MAX).map(|number| b64u([number; 16]).parse().unwrap()).collect());
    NAMES[usize::from(number)]
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { says, attempt, by, on, again } = self;
        write!(f, "{says:?} {attempt} by {by} on {on} ({again})")
    }
}

impl Message {
    /// What stands for the hash of its bytes.
    pub(crate) fn hash(&self) -> Sha256Hash {
        let mut hash = [0; 32];
        hash[..5].copy_from_slice(&[self.says as u8, self.attempt, self.by, self.on, self.again]);
        Sha256Hash(hash)
    }

    /// Judges it as the last message.
    fn last(&self) -> Last {
        let instance = instance(self.by);
        let event = match self.says {
            Says::Garbage => return Last::Unverified { hash: self.hash() },
            Says::Queued => Event::Queued { request: Vec::new() },
            Says::Taken => Event::Taken { instance },
            Says::Running => Event::Running { instance },
            Says::Finished => Event::Finished,
            Says::Closed => Event::Closed { close: [0; 32], times: Times::default() },
            _ => Event::Failed(Reason { code: String::new(), text: String::new() }),
        };
        let attempt = self.attempt.into();
        let record = Record { job: *JOB, at_ms: 0, attempt, prev: None, event };
        Last::Known(Snapshot::new(self.hash(), &record))
    }
}

static JOB: LazyLock<JobId> = LazyLock::new(|| JobId::of(b"job"));

impl History {
    pub(crate) fn new() -> Self {
        Self { len: 0, messages: [NONE; ROOM], late: [None; 2] }
    }

    /// How many messages there are.
    pub(crate) fn len(&self) -> u8 {
        self.len
    }

    /// The messages, the first one first.
    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages[..usize::from(self.len)]
    }

    /// The last message of the first `seen` ones.
    pub(crate) fn last_of(&self, seen: u8) -> Last {
        self.message(seen).map_or(Last::Absent, Message::last)
    }

    /// The hash of the last message of the first `seen` ones.
    pub(crate) fn hash_of(&self, seen: u8) -> Option<Sha256Hash> {
        self.message(seen).map(Message::hash)
    }

    /// The last message of the first `seen` ones.
    pub(crate) fn message(&self, seen: u8) -> Option<&Message> {
        self.messages().get(usize::from(seen).checked_sub(1)?)
    }

    /// The last message says that the job is over.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.last_of(self.len), Last::Known(Snapshot { state: State::Ended, .. }))
    }

    /// Nobody has to work on the job any more: it is over, or its result is stored, whatever was written since.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_over() || self.messages().iter().any(|message| message.says == Says::Finished)
    }

    /// The highest attempt of any record, and the process that took it: what a launcher finds who reads all
    /// of it.
    pub(crate) fn taken(&self) -> Option<(u8, u8)> {
        let taken = |message: &&Message| matches!(message.says, Says::Taken | Says::Running);
        self.messages().iter().rev().find(taken).map(|message| (message.attempt, message.by))
    }

    /// The last message names the one before it.
    pub(crate) fn is_chained(&self) -> bool {
        self.message(self.len).is_some_and(|message| message.on + 1 == self.len)
    }

    /// Stores a message, whatever was expected of it. False if there is no room, where only a rule left out
    /// can lead.
    pub(crate) fn push(&mut self, message: Message) -> bool {
        let Some(place) = self.messages.get_mut(usize::from(self.len)) else { return false };
        *place = message;
        self.len += 1;
        true
    }

    /// Keeps a message that arrives later, if at all. False if more are on their way than the model follows.
    pub(crate) fn delay(&mut self, message: Message) -> bool {
        let Some(place) = self.late.iter_mut().find(|place| place.is_none()) else { return false };
        *place = Some(message);
        self.late.sort_unstable();
        true
    }

    /// The messages on their way.
    pub(crate) fn late(&self) -> impl Iterator<Item = Message> + '_ {
        self.late.iter().copied().flatten()
    }

    /// A message arrives.
    pub(crate) fn arrived(&mut self, message: &Message) {
        if let Some(place) = self.late.iter_mut().find(|place| place.as_ref() == Some(message)) {
            *place = None;
        }
        self.late.sort_unstable();
    }

    /// Names all writers anew.
    pub(crate) fn rename(&mut self, name: impl Fn(u8) -> u8 + Copy) {
        self.messages[..usize::from(self.len)].iter_mut().for_each(|message| message.rename(name));
        self.late.iter_mut().flatten().for_each(|message| message.rename(name));
        self.late.sort_unstable();
    }
}
