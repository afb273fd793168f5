//! What workers store for clients that are away, and what those make of it when they come back: with what a
//! ticket keeps, and through a broker that hands out what it likes.

use subrosa_protocol::{
    id::{Attempt, Sha256Hash},
    identity::Thumbprint,
    session::{
        client::{Inputs, Launched, OptionsError, Stored},
        worker::ToStore,
    },
    wire::{Json, Kind, body_hash, seal_log},
};

use super::{
    cast::{CAST, MAX_ATTEMPTS, MAX_BYTES, client_key},
    event::Tamper,
    letter::{Letter, LetterId, Sealer, SessionId, WorkerId, tampered},
    world::World,
};

/// How long N is, in bytes.
const NONCE: usize = 32;

/// What a worker has stored.
pub(super) struct Kept {
    worker: WorkerId,
    /// Message 0.
    opening: Vec<u8>,
    /// Message 1.
    done: LetterId,
}

/// What a client that comes back makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Dropped,
    Untrusted(Thumbprint),
    Unproven,
    Result(String),
    Failed(String),
}

/// What is altered on the way.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Part {
    Done,
    Options,
    Nonce,
    /// The whole second message is one that was sent at any time.
    OtherDone,
}

impl World {
    /// A worker that waits in vain stores what it has said.
    pub(super) fn store(&mut self, id: WorkerId) {
        let worker = &mut self.workers[id.0];
        let said = worker.said.iter().rfind(|said| said.kind == Kind::Done).cloned();
        let (Some(said), Some(ToStore { opening, done: bytes })) = (said, worker.store()) else { return };
        let done = LetterId(self.letters.len());
        self.letters.push(Letter { bytes, sealer: Sealer::Worker(id), said });
        self.kept.push(Kept { worker: id, opening, done });
    }

    /// A client that has sent everything in some session comes back with what it has kept of that, and reads.
    pub(super) fn fetch(&mut self, ticket: u8, kept: u8, part: Part, tamper: Tamper) {
        let sent = |id: &usize| self.inputs(SessionId(*id)).is_some();
        let tickets: Vec<_> = (0..self.sessions.len()).filter(sent).map(SessionId).collect();
        let (Some(ticket), Some(kept), Some(other)) = (
            usize::from(ticket).checked_rem(tickets.len()).map(|at| tickets[at]),
            usize::from(kept).checked_rem(self.kept.len()),
            usize::from(tamper.with()).checked_rem(self.letters.len()),
        ) else {
            return;
        };
        let Kept { opening, done, .. } = &self.kept[kept];
        let (nonce, options) = opening.split_at(NONCE);
        let other = &self.letters[other].bytes;
        let (mut nonce, mut options) = (nonce.to_vec(), options.to_vec());
        let mut done = self.letters[done.0].bytes.clone();
        match part {
            Part::Done => done = tampered(&done, tamper, other),
            Part::Options => options = tampered(&options, tamper, other),
            Part::Nonce => nonce = tampered(&nonce, Tamper::Flip(u16::from(tamper.with())), other),
            Part::OtherDone => done.clone_from(other),
        }
        let opening = [nonce, options].concat();
        let expected = self.expected_found(ticket, &opening, &done);
        let found = self.found(ticket, &opening, done);
        // Another result is never taken, and the right one always.
        assert_eq!(found, expected);
        assert!(seal_log::take().is_empty(), "who comes back answers no old session");
        self.tally.count_found(&found);
    }

    fn found(&self, ticket: SessionId, opening: &[u8], done: Vec<u8>) -> Found {
        let session = &self.sessions[ticket.0];
        let (job, attempt) = (session.job, Attempt::new(self.workers[session.peer.0].attempt).unwrap());
        let document = CAST.jobs[job.0].clone();
        let client = Launched::resumed(document, [].into(), client_key(job), attempt, MAX_BYTES);
        let inputs = self.inputs(ticket).expect("that is what a ticket is for");
        match client.open_stored(opening, done, &inputs, self.trust(), self.now_ms) {
            Ok(Stored::Result(found)) => Found::Result(found.opened.json().unwrap()),
            Ok(Stored::Failed(error)) => Found::Failed(error.message),
            Ok(Stored::Unproven(_)) => Found::Unproven,
            Err(OptionsError::Untrusted { worker, .. }) => Found::Untrusted(worker),
            Err(_) => Found::Dropped,
        }
    }

    /// By who said what, and without any key.
    fn expected_found(&self, ticket: SessionId, opening: &[u8], done: &[u8]) -> Found {
        let Some(Kept { worker: id, .. }) = self.kept.iter().find(|kept| kept.opening == opening) else {
            return self.expected_of_options(ticket, opening);
        };
        let (worker, session) = (&self.workers[id.0], &self.sessions[ticket.0]);
        let least = self.workers[session.peer.0].attempt;
        if worker.job != session.job || !(least..=MAX_ATTEMPTS).contains(&worker.attempt) {
            return Found::Dropped;
        }
        if !worker.identity.is_trusted(worker.job, self.stranger_is_trusted) {
            return Found::Untrusted(worker.identity.key().thumbprint());
        }
        let is_it = |letter: &&Letter| letter.bytes == done && letter.sealer == Sealer::Worker(*id);
        let said = self.letters.iter().find(is_it).map(|letter| &letter.said);
        match said.filter(|said| said.kind == Kind::Done) {
            None => Found::Dropped,
            Some(said) if said.is_error => Found::Failed(said.text.clone()),
            Some(said) if worker.bound == Some(ticket) && !worker.misstates => {
                Found::Result(said.text.clone())
            }
            Some(_) => Found::Unproven,
        }
    }

    /// An opening that nobody has stored: its options may be somebody's all the same, and only they are looked
    /// at before the worker's name.
    fn expected_of_options(&self, ticket: SessionId, opening: &[u8]) -> Found {
        let is_it = |kept: &&Kept| kept.opening[NONCE..] == opening[NONCE..];
        let (Some(kept), session) = (self.kept.iter().find(is_it), &self.sessions[ticket.0]) else {
            return Found::Dropped;
        };
        let worker = &self.workers[kept.worker.0];
        let least = self.workers[session.peer.0].attempt;
        let addressed = worker.job == session.job && (least..=MAX_ATTEMPTS).contains(&worker.attempt);
        let trusted = worker.identity.is_trusted(worker.job, self.stranger_is_trusted);
        if addressed && !trusted {
            return Found::Untrusted(worker.identity.key().thumbprint());
        }
        Found::Dropped
    }

    /// The hashes of what a client has sent in a session, if it has sent both.
    fn inputs(&self, id: SessionId) -> Option<Inputs> {
        let said = &self.sessions[id.0].said;
        let hash = |kind| -> Option<Sha256Hash> {
            let said = said.iter().find(|said| said.kind == kind && !said.is_error)?;
            Some(body_hash(Json(&said.text)).unwrap())
        };
        Some(Inputs { options: hash(Kind::OptionsReply)?, payload: hash(Kind::ReadyReply)? })
    }
}
