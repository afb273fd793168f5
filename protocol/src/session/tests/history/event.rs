//! What can happen, and how a few bytes say it.

use subrosa_protocol::wire::Kind;

use super::stored::Part;

/// One event is written in this many bytes.
pub(super) const EVENT_BYTES: usize = 5;

/// One thing that happens. Numbers choose among what there is at that moment, modulo how many there are.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Event {
    /// Whatever comes next in this job when nobody interferes, one to four times.
    Advance { job: u8, steps: u8 },
    /// A message that is under way arrives, whichever of them: messages overtake each other.
    Deliver { mail: u8 },
    /// It arrives, and is under way still.
    Duplicate { mail: u8 },
    /// It goes to the end of the queue.
    Delay { mail: u8 },
    /// It is lost.
    Drop { mail: u8 },
    /// A step arrives with a reply subject of somebody else's choice.
    Divert { mail: u8, inbox: u8 },
    /// Something that was sent at any time arrives anywhere, changed or as it was.
    Inject { letter: u8, tamper: Tamper, target: Target },
    /// Bytes that nobody sent arrive.
    Junk { target: Target, length: u8, fill: u8 },
    /// A worker's process takes an attempt: trusted or not, late or twice, alone or beside others.
    Attempt { job: u8, identity: u8, number: u8, large_first: bool },
    /// A worker sends the step that it waits on again.
    Resend { worker: u8 },
    /// The client's application answers what it owes.
    ClientActs { job: u8, act: Act },
    /// The client's application cancels the job, if there is a session.
    Cancel { job: u8 },
    /// The worker's function goes on.
    WorkerActs { worker: u8, act: Act },
    /// A worker that nobody answers stores what it has said.
    Store { worker: u8 },
    /// A client that has left comes back with a ticket, and reads what is stored, altered or as it is.
    Fetch { ticket: u8, kept: u8, part: Part, tamper: Tamper },
    /// The client's process dies, and another one goes on with the same job and key.
    RestartClient { job: u8 },
    /// The worker's process dies.
    CrashWorker { worker: u8 },
    /// The clients begin to trust a worker that they did not trust, or stop again.
    Trust,
    /// Time passes.
    Wait { seconds: u8 },
}

/// How an envelope is changed on the way.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Tamper {
    Nothing,
    /// The bit that is flipped, any one of them.
    Flip(u16),
    /// Which byte from the end, where the tag is, and what is flipped there.
    FlipTail(u8, u8),
    /// How many bytes less, beside one.
    Truncate(u16),
    /// How many bytes more, beside one.
    Extend(u8),
    /// The kind in its header.
    Kind(u8),
    /// The attempt in its header.
    Attempt(u8),
    /// The number in its header.
    Number(u8),
    /// The key in its header, and the encapsulation, are those of another envelope.
    SwapKey(u8),
    /// The header of another envelope.
    SwapHeader(u8),
}

/// Where an injected message arrives.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Target {
    /// Where its sender meant it to go.
    Addressee,
    /// Back at its sender.
    Sender,
    /// At a client, as whichever kind.
    Client { job: u8, kind: Kind, inbox: u8 },
    /// In the inbox of a worker's step.
    Worker { worker: u8 },
    /// Where a worker can be cancelled.
    Control { worker: u8 },
    /// Where a client waits to hear that its worker knows.
    Canceller { job: u8 },
}

/// What an application does when it is its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Act {
    /// What it should.
    Go,
    /// First something that does not fit one message, then what it should.
    TooLarge,
    /// First something that has no JSON form, then what it should.
    NoJson,
    /// It gives up, with an error.
    Fail,
    /// It gives up, because what it has does not fit one message.
    TooLargeThenFail,
    /// A worker reports progress.
    Report,
    /// It does what it should, but a worker's receipt is signed by another key.
    Misstate,
}

/// Reads events.
pub(in super::super) fn decode(events: &[[u8; EVENT_BYTES]]) -> Vec<Event> {
    events.iter().map(|bytes| Event::from_bytes(*bytes)).collect()
}

impl Event {
    /// Every five bytes are an event. Many of them let a job go on, so that most histories come far.
    fn from_bytes([op, a, b, c, d]: [u8; EVENT_BYTES]) -> Self {
        match op {
            0..=87 => Self::Advance { job: a, steps: 1 + (b & 3) },
            88..=103 => Self::Deliver { mail: a },
            104..=109 => Self::Duplicate { mail: a },
            110..=113 => Self::Delay { mail: a },
            114..=118 => Self::Drop { mail: a },
            119..=123 => Self::Divert { mail: a, inbox: b },
            124..=179 => Self::Inject {
                letter: a,
                tamper: Tamper::from_bytes([op, c, d]),
                target: Target::from_byte(b),
            },
            180..=182 => Self::Store { worker: a },
            183..=189 => Self::Fetch {
                ticket: a,
                kept: b,
                part: Part::from_byte(c),
                tamper: Tamper::from_bytes([c >> 2, d, a]),
            },
            190..=193 => Self::Junk { target: Target::from_byte(a), length: b, fill: c },
            194..=201 => Self::Attempt { job: a, identity: b, number: c, large_first: d & 1 == 1 },
            202..=207 => Self::Resend { worker: a },
            208..=225 => Self::ClientActs { job: a, act: Act::from_byte(b) },
            226..=244 => Self::WorkerActs { worker: a, act: Act::from_byte(b) },
            245..=247 => Self::Cancel { job: a },
            248..=249 => Self::RestartClient { job: a },
            250..=252 => Self::CrashWorker { worker: a },
            253..=254 => Self::Trust,
            255 => Self::Wait { seconds: a },
        }
    }
}

impl Tamper {
    /// Which other envelope it takes from.
    pub(super) fn with(self) -> u8 {
        match self {
            Self::SwapKey(with) | Self::SwapHeader(with) => with,
            _ => 0,
        }
    }

    fn from_bytes([op, a, b]: [u8; 3]) -> Self {
        match op % 14 {
            0..=4 => Self::Nothing,
            5 => Self::Flip(u16::from_be_bytes([a, b])),
            6 => Self::FlipTail(a, b),
            7 => Self::Truncate(u16::from_be_bytes([a, b])),
            8 => Self::Extend(a),
            9 => Self::Kind(a),
            10 => Self::Attempt(a),
            11 => Self::Number(a),
            12 => Self::SwapKey(a),
            _ => Self::SwapHeader(a),
        }
    }
}

impl Part {
    fn from_byte(byte: u8) -> Self {
        match byte & 3 {
            0 => Self::Done,
            1 => Self::Options,
            2 => Self::Nonce,
            _ => Self::OtherDone,
        }
    }
}

impl Target {
    fn from_byte(byte: u8) -> Self {
        const KINDS: [Kind; 4] = [Kind::Options, Kind::Ready, Kind::Done, Kind::Event];
        let rest = byte >> 3;
        match byte & 7 {
            0..=2 => Self::Addressee,
            3 => Self::Sender,
            5 if rest & 1 == 1 => Self::Canceller { job: rest & 3 },
            4 | 5 => Self::Client { job: rest & 3, kind: KINDS[usize::from(rest >> 2 & 3)], inbox: rest },
            6 => Self::Worker { worker: rest },
            _ => Self::Control { worker: rest },
        }
    }
}

impl Act {
    fn from_byte(byte: u8) -> Self {
        match byte & 15 {
            0..=3 => Self::Go,
            4 | 5 => Self::TooLarge,
            6 | 7 => Self::NoJson,
            8..=10 => Self::Fail,
            11 => Self::TooLargeThenFail,
            12 | 13 => Self::Misstate,
            _ => Self::Report,
        }
    }
}
