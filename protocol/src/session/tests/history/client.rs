//! A client's process: what an application's driver does with the states.

use std::mem;

use rand::rngs::StdRng;
use subrosa_protocol::{
    encoding::b64u,
    identity::{Thumbprint, Trust},
    receipt::{Receipt, ReceiptError},
    refusal::StepCode,
    session::client::{
        AwaitCancelled, AwaitDone, AwaitReady, Cancel, Closed, Done, Failure, Launched, Options,
        OptionsError, OwesAcknowledgement, OwesOptions, OwesPayload, OwesRefusal, OwesStatus, Ready, Refused,
        Repeated, Reply,
    },
    wire::{ErrorMember, Event, Kind, Opened, SealError},
};

use super::{
    cast::{CANCEL, CAST, JobNumber, MAX_BYTES, TOKEN, client_key},
    event::Act,
    letter::{Inbox, LetterId, Said, SessionId},
    utterance::{Utterance, error},
};

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Dropped,
    /// A worker that is not trusted has proven who it is.
    Untrusted(Thumbprint),
    /// It is what was waited for.
    Taken(Said),
    /// A result whose receipt does not hold.
    Unproven,
    /// The latest step again, whose answer is not made yet.
    Pending,
    /// The latest step again, and its answer.
    Answered(Vec<u8>),
}

/// How a job ended at its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Result(String),
    /// The worker's error.
    Failed(ErrorMember),
    /// The client's own error.
    Refused(ErrorMember),
    Cancelled,
}

pub(super) enum Stage {
    Waiting,
    OwesOptions(OwesOptions),
    AwaitReady(AwaitReady),
    OwesPayload(OwesPayload),
    AwaitDone(AwaitDone),
    OwesStatus(OwesStatus, String),
    OwesRefusal(OwesRefusal, ReceiptError),
    OwesAcknowledgement(OwesAcknowledgement, ErrorMember),
    Over(Closed),
    /// It has cancelled the job.
    Cancelling(AwaitCancelled),
    /// And the worker knows.
    Cancelled,
}

/// A step that was taken, as the histories remember it.
pub(super) struct Step {
    pub(super) letter: LetterId,
    /// Where its answer goes: the last four subjects that it came with.
    pub(super) inboxes: Vec<Inbox>,
    pub(super) reply: Option<LetterId>,
}

/// A client's process for one job, and what is known of it from outside.
pub(super) struct Client {
    /// Gone when the job is over.
    pub(super) launched: Option<Launched>,
    pub(super) stage: Stage,
    /// The live session.
    pub(super) session: Option<SessionId>,
    /// The highest attempt that was proven.
    pub(super) highest: u16,
    pub(super) step: Option<Step>,
    pub(super) last_event: Option<LetterId>,
    pub(super) end: Option<(End, u64)>,
}

/// What the application has said.
pub(super) struct Answer {
    pub(super) said: Said,
    pub(super) envelope: Vec<u8>,
    pub(super) to: Vec<String>,
}

impl Client {
    pub(super) fn new(job: JobNumber) -> Self {
        let launched = Launched::new(CAST.jobs[job.0].clone(), [].into(), client_key(job), MAX_BYTES);
        Self {
            launched: Some(launched),
            stage: Stage::Waiting,
            session: None,
            highest: 0,
            step: None,
            last_event: None,
            end: None,
        }
    }

    /// Takes a message, if it is one that can come now.
    pub(super) fn receive(
        &mut self,
        kind: Kind,
        envelope: Vec<u8>,
        reply_to: &str,
        trust: &Trust,
        rng: &mut StdRng,
        now_ms: u64,
    ) -> Verdict {
        if let Stage::Over(closed) = &self.stage {
            let again = closed.repeat(&envelope, now_ms);
            return again.map_or(Verdict::Dropped, |reply| Verdict::Answered(reply.to_vec()));
        }
        if self.has_cancelled() {
            return Verdict::Dropped;
        }
        if kind == Kind::Event {
            return self.stage.event(envelope).map_or(Verdict::Dropped, |event| {
                let Event::Progress { message, .. } = event else { panic!("no worker logs here") };
                taken(kind, message)
            });
        }
        match self.stage.repeated(&envelope, reply_to) {
            Repeated::Answered(reply) => return Verdict::Answered(reply.to_vec()),
            Repeated::Pending => return Verdict::Pending,
            Repeated::No => {}
        }
        if kind == Kind::Options {
            let launched = self.launched.as_mut().expect("the job is not over");
            return match launched.open_options(envelope, reply_to, trust, rng, now_ms) {
                Ok(Options { session, parameters, .. }) => {
                    self.stage = Stage::OwesOptions(session);
                    taken(kind, parameters.json().unwrap())
                }
                Err(OptionsError::Untrusted { worker, .. }) => Verdict::Untrusted(worker),
                Err(_) => Verdict::Dropped,
            };
        }
        let (stage, verdict) = match mem::replace(&mut self.stage, Stage::Waiting) {
            Stage::AwaitReady(state) => match state.receive(envelope, reply_to) {
                Ok(Ready::Ready { session, opened }) => {
                    (Stage::OwesPayload(session), taken(Kind::Ready, opened.json().unwrap()))
                }
                Ok(Ready::Failed(failure)) => failed(failure),
                Err(dropped) => (Stage::AwaitReady(dropped.session), Verdict::Dropped),
            },
            Stage::AwaitDone(state) if kind == Kind::Done => match state.receive(envelope, reply_to) {
                Ok(Done::Result { session, opened, receipt }) => {
                    let Receipt { job, worker, attempt, .. } = receipt.receipt;
                    let launched = self.launched.as_ref().expect("the job is not over");
                    assert_eq!((&job, &worker), (launched.job().id(), launched.job().worker()));
                    assert_eq!(attempt.get(), self.highest);
                    finished(session, &opened)
                }
                Ok(Done::Unproven { session, error }) => {
                    (Stage::OwesRefusal(session, error), Verdict::Unproven)
                }
                Ok(Done::Failed(failure)) => failed(failure),
                Err(dropped) => (Stage::AwaitDone(dropped.session), Verdict::Dropped),
            },
            other => (other, Verdict::Dropped),
        };
        self.stage = stage;
        verdict
    }

    /// Takes the worker's answer to a `cancel`, if this is it.
    pub(super) fn receive_cancelled(&mut self, reply: Vec<u8>) -> Verdict {
        let (stage, verdict) = match mem::replace(&mut self.stage, Stage::Waiting) {
            Stage::Cancelling(state) => match state.receive(reply) {
                Ok(_) => (Stage::Cancelled, taken(Kind::CancelReply, String::new())),
                Err(dropped) => (Stage::Cancelling(dropped.session), Verdict::Dropped),
            },
            other => (other, Verdict::Dropped),
        };
        self.stage = stage;
        verdict
    }

    /// Lets the application cancel the job, if there is a session.
    pub(super) fn cancel(&mut self, now_ms: u64) -> Option<(Said, Vec<u8>)> {
        let sealed = match mem::replace(&mut self.stage, Stage::Waiting) {
            Stage::OwesOptions(state) => state.cancel(CANCEL),
            Stage::AwaitReady(state) => state.cancel(CANCEL),
            Stage::OwesPayload(state) => state.cancel(CANCEL),
            Stage::AwaitDone(state) => state.cancel(CANCEL),
            Stage::OwesStatus(state, _) => state.cancel(CANCEL),
            Stage::OwesRefusal(state, _) => state.cancel(CANCEL),
            Stage::OwesAcknowledgement(state, _) => state.cancel(CANCEL),
            other => {
                self.stage = other;
                return None;
            }
        };
        let Cancel { next, envelope } = sealed.unwrap();
        self.stage = Stage::Cancelling(next);
        self.end = Some((End::Cancelled, now_ms));
        self.launched = None;
        Some((Said { kind: Kind::Cancel, text: b64u(CANCEL), is_error: false }, envelope))
    }

    /// Whether a session is live.
    pub(super) fn is_live(&self) -> bool {
        !matches!(self.stage, Stage::Waiting | Stage::Over(_)) && !self.has_cancelled()
    }

    pub(super) fn has_cancelled(&self) -> bool {
        matches!(self.stage, Stage::Cancelling(_) | Stage::Cancelled)
    }

    /// Whether it is the application's turn.
    pub(super) fn owes(&self) -> bool {
        self.is_live() && !matches!(self.stage, Stage::AwaitReady(_) | Stage::AwaitDone(_))
    }

    /// Lets the application say `text`, if it is its turn.
    pub(super) fn act(&mut self, act: Act, text: &str, now_ms: u64) -> Option<Answer> {
        let is_error = act.gives_up();
        let content = || Utterance::Text(text.to_owned());
        let (kind, (stage, envelope, to), end) = match mem::replace(&mut self.stage, Stage::Waiting) {
            Stage::OwesOptions(state) => {
                let seal = |state: OwesOptions, said| state.answer(said).map_err(|not| not.session);
                let state = act.in_vain(state, seal);
                let reply = match is_error {
                    true => refused(state.refuse(error(text)), now_ms),
                    false => sent(state.answer(content()), Stage::AwaitReady),
                };
                (Kind::OptionsReply, reply, None)
            }
            Stage::OwesPayload(state) => {
                let seal = |state: OwesPayload, said| state.answer(said, None).map_err(|not| not.session);
                let state = act.in_vain(state, seal);
                let reply = match is_error {
                    true => refused(state.refuse(error(text)), now_ms),
                    false => sent(state.answer(content(), None), Stage::AwaitDone),
                };
                (Kind::ReadyReply, reply, None)
            }
            Stage::OwesStatus(state, result) => {
                let seal =
                    |state: OwesStatus, said| state.close(TOKEN, said, now_ms).map_err(|not| not.session);
                let state = act.in_vain(state, seal);
                let reply = match is_error {
                    true => refused(state.refuse(error(text)), now_ms),
                    false => sent(state.close(TOKEN, content(), now_ms), Stage::Over),
                };
                (Kind::DoneReply, reply, Some(End::Result(result)))
            }
            Stage::OwesRefusal(state, failure) => {
                let reply = refused(state.refuse(&failure), now_ms);
                let end = End::Refused(ErrorMember::new(StepCode::BadInput, failure.to_string()));
                (Kind::DoneReply, reply, Some(end))
            }
            Stage::OwesAcknowledgement(state, failure) => {
                let seal = |state: OwesAcknowledgement, said| {
                    state.acknowledge(said, now_ms).map_err(|not| not.session)
                };
                let reply = sent(act.in_vain(state, seal).acknowledge(content(), now_ms), Stage::Over);
                (Kind::DoneReply, reply, Some(End::Failed(failure)))
            }
            other => {
                self.stage = other;
                return None;
            }
        };
        self.stage = stage;
        // An acknowledgement is none of an error of the client's own.
        let mut is_error = is_error && !matches!(end, Some(End::Failed(_)));
        let mut text = text.to_owned();
        if let Some(End::Refused(error)) = &end {
            (is_error, text) = (true, error.message.clone());
        }
        if matches!(self.stage, Stage::Over(_)) {
            let end = match end {
                Some(End::Result(_)) | None if is_error => Some(End::Refused(error(&text))),
                end => end,
            };
            self.end = Some((end.expect("it ended somehow"), now_ms));
            self.launched = None;
        }
        Some(Answer { said: Said { kind, text, is_error }, envelope, to })
    }
}

fn taken(kind: Kind, text: String) -> Verdict {
    Verdict::Taken(Said { kind, text, is_error: false })
}

fn finished(session: OwesStatus, opened: &Opened) -> (Stage, Verdict) {
    let result: String = opened.json().unwrap();
    (Stage::OwesStatus(session, result.clone()), taken(Kind::Done, result))
}

fn failed(Failure { session, error }: Failure) -> (Stage, Verdict) {
    let said = Said { kind: Kind::Done, text: error.message.clone(), is_error: true };
    (Stage::OwesAcknowledgement(session, error), Verdict::Taken(said))
}

type Sent = (Stage, Vec<u8>, Vec<String>);

fn sent<S, E: std::fmt::Debug>(reply: Result<Reply<S>, E>, stage: impl FnOnce(S) -> Stage) -> Sent {
    let Reply { next, envelope, to } = reply.unwrap();
    (stage(next), envelope, to)
}

fn refused(reply: Result<Reply<Refused>, SealError>, now_ms: u64) -> Sent {
    sent(reply, |refused| Stage::Over(refused.close(now_ms)))
}

impl Stage {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::OwesOptions(_) => "OwesOptions",
            Self::AwaitReady(_) => "AwaitReady",
            Self::OwesPayload(_) => "OwesPayload",
            Self::AwaitDone(_) => "AwaitDone",
            Self::OwesStatus(..) => "OwesStatus",
            Self::OwesRefusal(..) => "OwesRefusal",
            Self::OwesAcknowledgement(..) => "OwesAcknowledgement",
            Self::Over(_) => "Over",
            Self::Cancelling(_) => "Cancelling",
            Self::Cancelled => "Cancelled",
        }
    }

    fn event(&mut self, envelope: Vec<u8>) -> Option<Event> {
        match self {
            Self::Waiting | Self::Over(_) | Self::Cancelling(_) | Self::Cancelled => None,
            Self::OwesOptions(state) => state.event(envelope).ok(),
            Self::AwaitReady(state) => state.event(envelope).ok(),
            Self::OwesPayload(state) => state.event(envelope).ok(),
            Self::AwaitDone(state) => state.event(envelope).ok(),
            Self::OwesStatus(state, _) => state.event(envelope).ok(),
            Self::OwesRefusal(state, _) => state.event(envelope).ok(),
            Self::OwesAcknowledgement(state, _) => state.event(envelope).ok(),
        }
    }

    fn repeated(&mut self, envelope: &[u8], reply_to: &str) -> Repeated<'_> {
        match self {
            Self::Waiting | Self::Over(_) | Self::Cancelling(_) | Self::Cancelled => Repeated::No,
            Self::OwesOptions(state) => state.repeated(envelope, reply_to),
            Self::AwaitReady(state) => state.repeated(envelope, reply_to),
            Self::OwesPayload(state) => state.repeated(envelope, reply_to),
            Self::AwaitDone(state) => state.repeated(envelope, reply_to),
            Self::OwesStatus(state, _) => state.repeated(envelope, reply_to),
            Self::OwesRefusal(state, _) => state.repeated(envelope, reply_to),
            Self::OwesAcknowledgement(state, _) => state.repeated(envelope, reply_to),
        }
    }
}
