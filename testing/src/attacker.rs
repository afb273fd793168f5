//! Whoever carries the messages, and means ill. It holds no key of a session.

mod forged;

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use rand::{SeedableRng as _, rngs::StdRng};
use subrosa_protocol::{
    id::Sha256Hash,
    launch::LaunchRequest,
    record::{Event, Record},
    subject::Namespace,
    wire::{Header, Kind},
};
use subrosa_transport::Message;
use tokio::sync::Notify;

use crate::{Attack, broker::Carried};

/// So many earlier messages are sent again: more than a job has steps and answers.
const REPLAYED: usize = 12;

/// What it has seen, and what it does with it.
#[derive(Debug)]
pub(crate) struct Attacker {
    attack: Option<Attack>,
    /// Told when a worker's process is to be lost.
    pub(crate) lost: Arc<Notify>,
    /// Sealed messages that were dealt with: what is sent again is left alone.
    seen: HashSet<Sha256Hash>,
    /// The same in their order.
    heard: Vec<Message>,
    request: Option<LaunchRequest>,
    /// What the subjects begin with on which the job's process listens.
    control: Option<String>,
    rng: StdRng,
}

impl Attacker {
    pub(crate) fn new(attack: Option<Attack>) -> Self {
        Self {
            attack,
            lost: Arc::default(),
            seen: HashSet::new(),
            heard: Vec::new(),
            request: None,
            control: None,
            // The same each time: a test that fails fails again.
            rng: StdRng::seed_from_u64(0x5eed),
        }
    }

    /// What is carried in place of this message.
    pub(crate) fn tamper(&mut self, message: Message) -> Vec<Carried> {
        let Some(attack) = self.attack else { return vec![Carried::genuine(message)] };
        self.watch(&message);
        let Some(header) = sealed(&message) else { return vec![Carried::genuine(message)] };
        let again = !self.seen.insert(Sha256Hash::of(&message.payload));
        let carried = match attack {
            Attack::UntrustedWorker => return vec![Carried::hostile(message)],
            Attack::Lost if again => return vec![Carried::hostile(message)],
            _ if again => return vec![Carried::genuine(message)],
            Attack::Lost => return Vec::new(),
            Attack::WorkerLost if header.kind == Kind::ReadyReply && header.attempt == 1 => {
                self.lost.notify_waiters();
                return Vec::new();
            }
            Attack::Repeated => {
                let copy = || Carried::hostile(message.clone());
                return vec![Carried::genuine(message.clone()), copy(), copy()];
            }
            attack => self.before(attack, &message, &header),
        };
        self.heard.push(message.clone());
        carried.into_iter().map(Carried::hostile).chain([Carried::genuine(message)]).collect()
    }

    /// Notes what an attack needs to know of a job.
    fn watch(&mut self, message: &Message) {
        let tokens: Vec<&str> = message.subject.split('.').collect();
        let namespace = Namespace::default();
        match *tokens.as_slice() {
            [_, "v1", "launch", _] => {
                self.request = LaunchRequest::parse(&message.payload, &namespace).ok();
            }
            [_, "v1", "record", worker, job] => {
                let record = Record::read_unverified(&message.payload);
                if let Ok(Record { event: Event::Taken { instance }, .. }) = record {
                    self.control = Some(format!("{namespace}.v1.control.{worker}.{instance}.{job}"));
                }
            }
            _ => {}
        }
    }

    /// What comes before a sealed message.
    fn before(&mut self, attack: Attack, message: &Message, header: &Header) -> Vec<Message> {
        let with = |payload: Vec<u8>| Message { payload: payload.into(), ..message.clone() };
        let on = |subject: String, payload: Bytes| Message { subject, payload, ..message.clone() };
        match attack {
            Attack::Flipped => forged::flipped(&message.payload).map(with).collect(),
            Attack::Truncated => forged::truncated(&message.payload).map(with).collect(),
            Attack::Forged => {
                forged::strange(&message.payload, &mut self.rng).into_iter().map(with).collect()
            }
            Attack::Oversized => vec![with(forged::oversized(&message.payload))],
            Attack::Junk => {
                let statuses =
                    [100, 404, 408, 503].map(|status| Message { status: Some(status), ..with(Vec::new()) });
                forged::junk(&mut self.rng).into_iter().map(with).chain(statuses).collect()
            }
            Attack::Replayed => {
                // To the client on the subject of its kind, to the worker where it waits now.
                let subject = |earlier: &Message| match (to_client(earlier), to_client(message)) {
                    (true, true) => earlier.subject.clone(),
                    _ => message.subject.clone(),
                };
                let earlier = self.heard.iter().rev().take(REPLAYED);
                earlier.map(|earlier| on(subject(earlier), earlier.payload.clone())).collect()
            }
            Attack::Crossed => {
                let subjects = self.other_subjects(message, header.kind);
                subjects.into_iter().map(|subject| on(subject, message.payload.clone())).collect()
            }
            Attack::Impostor if header.kind == Kind::Options => {
                let job = self.request.as_ref().map(LaunchRequest::job);
                job.map(|job| forged::impostor(job, &mut self.rng))
                    .unwrap_or_default()
                    .into_iter()
                    .map(with)
                    .collect()
            }
            Attack::Misdirected if message.reply.is_some() => {
                let elsewhere =
                    ["subrosa.v1.launch.elsewhere", "elsewhere.x", "_INBOX.*", "_INBOX", "_INBOX.else.x"];
                let replies = elsewhere.map(|reply| Some(reply.to_owned()));
                replies.into_iter().chain([None]).map(|reply| Message { reply, ..message.clone() }).collect()
            }
            Attack::FalseEnd => {
                let Some(request) = &self.request else { return Vec::new() };
                let ends = forged::ends(request.job(), header.attempt, &mut self.rng);
                let subjects = self.ends_subjects(request);
                let one = |subject: &String| -> Vec<Message> {
                    ends.iter().map(|end| on(subject.clone(), end.clone().into())).collect()
                };
                subjects.iter().flat_map(one).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The subjects of the other kinds to the same peer.
    fn other_subjects(&self, message: &Message, kind: Kind) -> Vec<String> {
        let control = || {
            self.control
                .iter()
                .flat_map(|control| ["alive", "stop", "cancel"].map(|end| format!("{control}.{end}")))
        };
        match (kind.token(), message.subject.rsplit_once('.')) {
            (Some(own), Some((job, _))) => {
                let others = ["options", "ready", "done", "event", "ended"].into_iter();
                others.filter(|token| *token != own).map(|token| format!("{job}.{token}")).collect()
            }
            _ => control().collect(),
        }
    }

    /// Where client and process are told that their job has ended.
    fn ends_subjects(&self, request: &LaunchRequest) -> Vec<String> {
        let job = request.job();
        let client = job.description().reply.subject(job.id(), subrosa_protocol::subject::ENDED);
        let process = self.control.iter().map(|control| format!("{control}.stop"));
        process.chain([client]).collect()
    }
}

/// The header of a sealed message to a peer.
fn sealed(message: &Message) -> Option<Header> {
    let header = Header::decode(&message.payload)?;
    (to_client(message) == header.kind.token().is_some()).then_some(header)
}

fn to_client(message: &Message) -> bool {
    message.subject.contains(".v1.client.")
}
