//! What must become of a message, by who sealed it and when, and without looking into it.
//!
//! This is the protocol once more, as a table of who may say what to whom next. It knows nothing of keys: an
//! envelope counts as what its sealer said if it is the same byte for byte, and else as nothing.

use subrosa_protocol::{session::client::REPEAT_AFTER_CLOSE_MS, wire::Kind};

use super::{
    cast::{JobNumber, MAX_ATTEMPTS},
    client::{Client, Stage, Verdict},
    letter::{LetterId, Said, Sealer, WorkerId},
    worker,
    world::World,
};

impl World {
    /// What a client makes of a message that comes as `kind`; `letter` is the one that it is equal to.
    pub(super) fn expected_at_client(&self, job: JobNumber, kind: Kind, letter: Option<LetterId>) -> Verdict {
        let (Some(client), Some(letter)) = (&self.clients[job.0], letter) else { return Verdict::Dropped };
        if client.has_cancelled() {
            return Verdict::Dropped;
        }
        let over = matches!(client.stage, Stage::Over(_));
        let in_time =
            client.end.as_ref().is_none_or(|(_, at_ms)| self.now_ms - at_ms <= REPEAT_AFTER_CLOSE_MS);
        let is_step_again = client.step.as_ref().filter(|step| step.letter == letter);
        match is_step_again {
            Some(step) if (over && in_time) || (!over && kind != Kind::Event) => match step.reply {
                Some(reply) => Verdict::Answered(self.letters[reply.0].bytes.clone()),
                None => Verdict::Pending,
            },
            _ if over => Verdict::Dropped,
            _ => self.expected_anew(job, client, kind, letter),
        }
    }

    /// The message is no repeated step, and the job is not over.
    fn expected_anew(&self, job: JobNumber, client: &Client, kind: Kind, letter: LetterId) -> Verdict {
        let sealed = &self.letters[letter.0];
        let Sealer::Worker(id) = sealed.sealer else { return Verdict::Dropped };
        let worker = &self.workers[id.0];
        if kind == Kind::Options {
            let fresh = worker.attempt > client.highest && worker.attempt <= MAX_ATTEMPTS;
            return match () {
                () if sealed.said.kind != Kind::Options || worker.job != job || !fresh => Verdict::Dropped,
                () if worker.identity.is_trusted(job, self.stranger_is_trusted) => taken(&sealed.said),
                () => Verdict::Untrusted(worker.identity.key().thumbprint()),
            };
        }
        // All else is sealed under keys that only the two ends of one session have.
        let live = client
            .session
            .is_some_and(|session| self.sessions[session.0].peer == id && worker.bound == Some(session));
        let can_come = match (&client.stage, kind, sealed.said.kind) {
            (_, Kind::Event, Kind::Event) => client.last_event.is_none_or(|last| last < letter),
            (_, Kind::Event, _) => false,
            (Stage::AwaitReady(_), _, Kind::Ready) => true,
            (Stage::AwaitReady(_), _, Kind::Done) => sealed.said.is_error,
            (Stage::AwaitDone(_), Kind::Done, Kind::Done) => true,
            _ => false,
        };
        match () {
            () if !(live && can_come) => Verdict::Dropped,
            () if sealed.said.kind == Kind::Done && worker.misstates && !sealed.said.is_error => {
                Verdict::Unproven
            }
            () => taken(&sealed.said),
        }
    }

    /// What a worker makes of a message where it can be cancelled.
    pub(super) fn expected_at_control(&self, id: WorkerId, letter: Option<LetterId>) -> Verdict {
        let Some(sealed) = letter.map(|letter| &self.letters[letter.0]) else { return Verdict::Dropped };
        let Sealer::Session(session) = sealed.sealer else { return Verdict::Dropped };
        let worker = &self.workers[id.0];
        let live = self.sessions[session.0].peer == id && worker.bound.is_none_or(|bound| bound == session);
        if !live || sealed.said.kind != Kind::Cancel {
            return Verdict::Dropped;
        }
        match &worker.stage {
            worker::Stage::Cancelled(cancelled) => Verdict::Answered(cancelled.reply().to_vec()),
            worker::Stage::Closed
            | worker::Stage::Acknowledged
            | worker::Stage::Failed
            | worker::Stage::Stored
            | worker::Stage::Crashed => Verdict::Dropped,
            _ => taken(&sealed.said),
        }
    }

    /// What a client makes of a message where it waits to hear that its worker knows.
    pub(super) fn expected_at_canceller(&self, job: JobNumber, letter: Option<LetterId>) -> Verdict {
        let Some(sealed) = letter.map(|letter| &self.letters[letter.0]) else { return Verdict::Dropped };
        let (Some(client), Sealer::Worker(id)) = (&self.clients[job.0], sealed.sealer) else {
            return Verdict::Dropped;
        };
        let mine = client.session.is_some_and(|session| self.workers[id.0].bound == Some(session));
        let waits = matches!(client.stage, Stage::Cancelling(_));
        match mine && waits && sealed.said.kind == Kind::CancelReply {
            true => taken(&Said { kind: Kind::CancelReply, text: String::new(), is_error: false }),
            false => Verdict::Dropped,
        }
    }

    /// What a worker makes of a message in the inbox of its step.
    pub(super) fn expected_at_worker(&self, id: WorkerId, letter: Option<LetterId>) -> Verdict {
        let Some(sealed) = letter.map(|letter| &self.letters[letter.0]) else { return Verdict::Dropped };
        let Sealer::Session(session) = sealed.sealer else { return Verdict::Dropped };
        let worker = &self.workers[id.0];
        let live = self.sessions[session.0].peer == id && worker.bound.is_none_or(|bound| bound == session);
        let can_come = match &worker.stage {
            worker::Stage::AwaitOptions(_) => Kind::OptionsReply,
            worker::Stage::AwaitPayload(_) => Kind::ReadyReply,
            worker::Stage::AwaitStatus(_) => Kind::DoneReply,
            worker::Stage::AwaitAcknowledgement(_) if live && sealed.said.kind == Kind::DoneReply => {
                // Its text is not handed out, and that it may be an error makes no difference.
                return taken(&Said { kind: Kind::DoneReply, text: String::new(), is_error: false });
            }
            _ => return Verdict::Dropped,
        };
        if live && sealed.said.kind == can_come { taken(&sealed.said) } else { Verdict::Dropped }
    }
}

fn taken(said: &Said) -> Verdict {
    Verdict::Taken(said.clone())
}
