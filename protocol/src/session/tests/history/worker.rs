//! A worker's process that has taken an attempt.

use std::mem;

use rand::rngs::StdRng;
use subrosa_protocol::{
    encoding::b64u,
    id::Attempt,
    launch::Signers,
    receipt::Salt,
    session::{
        Dropped, PeerError,
        worker::{
            Answer, AwaitAcknowledgement, AwaitOptions, AwaitPayload, AwaitStatus, Cancelled, HasOptions,
            HasPayload, Issue, Offer, Sent, Setup, ToStore,
        },
    },
    wire::{Event, Kind},
};

use super::{
    cast::{CAST, Identity, JobNumber, MAX_BYTES, START_MS},
    client::Verdict,
    event::Act,
    letter::{LetterId, Said, SessionId},
    utterance::{Utterance, error},
};

pub(super) enum Stage {
    AwaitOptions(AwaitOptions),
    HasOptions(HasOptions),
    AwaitPayload(AwaitPayload),
    HasPayload(HasPayload),
    AwaitStatus(AwaitStatus),
    AwaitAcknowledgement(AwaitAcknowledgement),
    /// The client has the result.
    Closed,
    /// The client knows of the failure.
    Acknowledged,
    /// The client answered with an error.
    Failed,
    /// The client has cancelled the job.
    Cancelled(Cancelled),
    /// Nobody has answered, and what it has said is stored.
    Stored,
    Crashed,
}

/// A worker's session, and what is known of it from outside.
pub(super) struct Worker {
    pub(super) stage: Stage,
    pub(super) job: JobNumber,
    pub(super) identity: Identity,
    pub(super) attempt: u16,
    /// The client's session that its keys are bound to.
    pub(super) bound: Option<SessionId>,
    /// The step that it waits on.
    pub(super) outstanding: Option<LetterId>,
    /// What it has taken from its client, and what it has said.
    pub(super) heard: Vec<Said>,
    pub(super) said: Vec<Said>,
    /// Its receipt is signed by another key.
    pub(super) misstates: bool,
}

impl Worker {
    /// Takes the attempt and says `text` as its public parameters.
    pub(super) fn start(
        (job, identity, attempt): (JobNumber, Identity, u16),
        first: Act,
        text: &str,
        rng: &mut StdRng,
    ) -> (Self, Said, Vec<u8>) {
        let setup = Setup {
            job: &CAST.jobs[job.0],
            signers: &Signers::default(),
            attempt: Attempt::new(attempt).unwrap(),
            identity: identity.key(),
            cert: None,
            instance: CAST.instance,
            max_envelope_bytes: MAX_BYTES,
        };
        let seal = |offer: Offer, said| offer.options(said).map_err(|not| not.session);
        let offer = first.in_vain(Offer::new(&setup, rng).unwrap(), seal);
        let Sent { next, envelope } = offer.options(Utterance::Text(text.to_owned())).unwrap();
        let worker = Self {
            stage: Stage::AwaitOptions(next),
            job,
            identity,
            attempt,
            bound: None,
            outstanding: None,
            heard: Vec::new(),
            said: Vec::new(),
            misstates: false,
        };
        (worker, Said { kind: Kind::Options, text: text.to_owned(), is_error: false }, envelope)
    }

    /// Takes what came to the inbox of its step, if that is the answer.
    pub(super) fn receive(&mut self, reply: Vec<u8>) -> Verdict {
        let (stage, verdict) = match mem::replace(&mut self.stage, Stage::Crashed) {
            Stage::AwaitOptions(state) => {
                judge(Kind::OptionsReply, state.receive(reply), Stage::HasOptions, Stage::AwaitOptions)
            }
            Stage::AwaitPayload(state) => {
                judge(Kind::ReadyReply, state.receive(reply), Stage::HasPayload, Stage::AwaitPayload)
            }
            Stage::AwaitStatus(state) => {
                judge(Kind::DoneReply, state.receive(reply), |_| Stage::Closed, Stage::AwaitStatus)
            }
            Stage::AwaitAcknowledgement(state) => match state.receive(reply) {
                // What the client says with it is not handed out.
                Ok(_) => (Stage::Acknowledged, taken(Kind::DoneReply, String::new(), false)),
                Err(Dropped { session, .. }) => (Stage::AwaitAcknowledgement(session), Verdict::Dropped),
            },
            other => (other, Verdict::Dropped),
        };
        self.stage = stage;
        verdict
    }

    /// Takes what came where it can be cancelled, if that is a `cancel` of its client.
    pub(super) fn control(&mut self, envelope: Vec<u8>) -> Verdict {
        if let Stage::Cancelled(cancelled) = &self.stage {
            let again = cancelled.repeat(&envelope);
            return again.map_or(Verdict::Dropped, |reply| Verdict::Answered(reply.to_vec()));
        }
        let (stage, verdict) = match mem::replace(&mut self.stage, Stage::Crashed) {
            Stage::AwaitOptions(state) => cancelled(state.cancel(envelope), Stage::AwaitOptions),
            Stage::HasOptions(state) => cancelled(state.cancel(envelope), Stage::HasOptions),
            Stage::AwaitPayload(state) => cancelled(state.cancel(envelope), Stage::AwaitPayload),
            Stage::HasPayload(state) => cancelled(state.cancel(envelope), Stage::HasPayload),
            Stage::AwaitStatus(state) => cancelled(state.cancel(envelope), Stage::AwaitStatus),
            Stage::AwaitAcknowledgement(state) => {
                cancelled(state.cancel(envelope), Stage::AwaitAcknowledgement)
            }
            other => (other, Verdict::Dropped),
        };
        self.stage = stage;
        verdict
    }

    /// The answer to the `cancel` that it has taken.
    pub(super) fn cancel_reply(&self) -> Option<&[u8]> {
        match &self.stage {
            Stage::Cancelled(cancelled) => Some(cancelled.reply()),
            _ => None,
        }
    }

    /// Lets the function say `text`, if it is its turn.
    pub(super) fn act(&mut self, act: Act, text: &str) -> Option<(Said, Vec<u8>)> {
        if act == Act::Report {
            let envelope = self.stage.report(Event::progress(0.5, text))?;
            return Some((Said { kind: Kind::Event, text: text.to_owned(), is_error: false }, envelope));
        }
        let is_error = act.gives_up();
        let content = || Utterance::Text(text.to_owned());
        let (kind, stage, envelope) = match mem::replace(&mut self.stage, Stage::Crashed) {
            Stage::HasOptions(state) => {
                let seal = |state: HasOptions, said| state.ready(said).map_err(|not| not.session);
                let state = act.in_vain(state, seal);
                if is_error {
                    sent(Kind::Done, state.fail(error(text)), Stage::AwaitAcknowledgement)
                } else {
                    sent(Kind::Ready, state.ready(content()), Stage::AwaitPayload)
                }
            }
            Stage::HasPayload(state) => {
                self.misstates = act == Act::Misstate;
                let signer = if self.misstates { self.identity.another() } else { self.identity };
                let seal =
                    |state: HasPayload, said| state.done(said, issue(signer)).map_err(|not| not.session);
                let state = act.in_vain(state, seal);
                if is_error {
                    sent(Kind::Done, state.fail(error(text)), Stage::AwaitAcknowledgement)
                } else {
                    sent(Kind::Done, state.done(content(), issue(signer)), Stage::AwaitStatus)
                }
            }
            other => {
                self.stage = other;
                return None;
            }
        };
        self.stage = stage;
        Some((Said { kind, text: text.to_owned(), is_error }, envelope))
    }

    /// Gives up waiting, and seals what it has said for storage.
    pub(super) fn store(&mut self) -> Option<ToStore> {
        match mem::replace(&mut self.stage, Stage::Stored) {
            Stage::AwaitStatus(state) => Some(state.store().unwrap()),
            Stage::AwaitAcknowledgement(state) => Some(state.store().unwrap()),
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// Whether it can store anything.
    pub(super) fn can_store(&self) -> bool {
        matches!(self.stage, Stage::AwaitStatus(_) | Stage::AwaitAcknowledgement(_))
    }

    /// Whether its function has something to do.
    pub(super) fn can_act(&self) -> bool {
        matches!(self.stage, Stage::HasOptions(_) | Stage::HasPayload(_))
    }

    /// Whether it can say how far it is.
    pub(super) fn can_report(&self) -> bool {
        self.can_act() || matches!(self.stage, Stage::AwaitPayload(_))
    }

    /// Whether it waits for an answer, and so sends its step again.
    pub(super) fn waits(&self) -> bool {
        matches!(
            self.stage,
            Stage::AwaitOptions(_)
                | Stage::AwaitPayload(_)
                | Stage::AwaitStatus(_)
                | Stage::AwaitAcknowledgement(_)
        )
    }
}

fn issue(signer: Identity) -> Issue<'static> {
    Issue {
        identity: signer.key(),
        salt: Salt::take(&mut [0x5A; 32]),
        started_ms: START_MS,
        finished_ms: START_MS + 5,
    }
}

fn taken(kind: Kind, text: String, is_error: bool) -> Verdict {
    Verdict::Taken(Said { kind, text, is_error })
}

fn judge<Next, Waiting>(
    kind: Kind,
    received: Result<Answer<Next>, Dropped<Waiting>>,
    accepted: impl FnOnce(Next) -> Stage,
    back: impl FnOnce(Waiting) -> Stage,
) -> (Stage, Verdict) {
    match received {
        Ok(Answer::Accepted { next, opened }) => (accepted(next), taken(kind, opened.json().unwrap(), false)),
        Ok(Answer::Failed(PeerError { message, .. })) => (Stage::Failed, taken(kind, message, true)),
        Err(Dropped { session, .. }) => (back(session), Verdict::Dropped),
    }
}

fn cancelled<Before>(
    received: Result<Cancelled, Dropped<Before>>,
    back: impl FnOnce(Before) -> Stage,
) -> (Stage, Verdict) {
    match received {
        Ok(cancelled) => {
            let token = b64u(cancelled.token());
            (Stage::Cancelled(cancelled), taken(Kind::Cancel, token, false))
        }
        Err(Dropped { session, .. }) => (back(session), Verdict::Dropped),
    }
}

fn sent<S, E: std::fmt::Debug>(
    kind: Kind,
    sent: Result<Sent<S>, E>,
    stage: impl FnOnce(S) -> Stage,
) -> (Kind, Stage, Vec<u8>) {
    let Sent { next, envelope } = sent.unwrap();
    (kind, stage(next), envelope)
}

impl Stage {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::AwaitOptions(_) => "AwaitOptions",
            Self::HasOptions(_) => "HasOptions",
            Self::AwaitPayload(_) => "AwaitPayload",
            Self::HasPayload(_) => "HasPayload",
            Self::AwaitStatus(_) => "AwaitStatus",
            Self::AwaitAcknowledgement(_) => "AwaitAcknowledgement",
            Self::Closed => "Closed",
            Self::Acknowledged => "Acknowledged",
            Self::Failed => "Failed",
            Self::Cancelled(_) => "Cancelled",
            Self::Stored => "Stored",
            Self::Crashed => "Crashed",
        }
    }

    fn report(&mut self, event: Event) -> Option<Vec<u8>> {
        match self {
            Self::HasOptions(state) => state.event(event).ok(),
            Self::AwaitPayload(state) => state.event(event).ok(),
            Self::HasPayload(state) => state.event(event).ok(),
            _ => None,
        }
    }
}
