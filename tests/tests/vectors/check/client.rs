//! A client in the state that a file's past has brought it to.

use std::collections::BTreeSet;

use subrosa_protocol::{
    hpke::{self, Enc, Exporter, Mode, RecipientKey},
    identity::{Thumbprint, Trust},
    job::Job,
    session::client::{
        AwaitCancelled, AwaitDone, AwaitReady, Closed, Done, Launched, OptionsError, OwesAcknowledgement,
        OwesOptions, OwesPayload, OwesRefusal, OwesStatus, Ready, Repeated,
    },
    wire::{Event, Header, Kind, OpenError},
};

use super::{
    fields::Given,
    messages::{End, Got, Refused},
    unseal::{Plain, unseal},
};

const INBOX: &str = "_INBOX.a";
const NOW_MS: u64 = 1_800_000_000_000;
const MAX_BYTES: usize = 1 << 20;

pub(crate) struct Client {
    launched: Launched,
    secret: [u8; 32],
    exporter: Option<Exporter>,
    /// N, since the client's first reply under it.
    nonce: [u8; 32],
    nonces: Given,
    trust: Trust,
    state: State,
}

enum State {
    Nothing,
    OwesOptions(OwesOptions),
    AwaitReady(AwaitReady),
    OwesPayload(OwesPayload),
    AwaitDone(AwaitDone),
    OwesStatus(OwesStatus),
    OwesRefusal(OwesRefusal),
    OwesAcknowledgement(OwesAcknowledgement),
    Closed(Closed),
    AwaitCancelled(AwaitCancelled),
}

impl Client {
    pub(crate) fn new(
        job: Job,
        signers: BTreeSet<Thumbprint>,
        secret: [u8; 32],
        nonces: &[[u8; 32]],
        trust: Trust,
    ) -> Self {
        let nonces = Given::new(nonces.concat());
        let launched = Launched::new(job, signers, key(secret), MAX_BYTES);
        Self { launched, secret, exporter: None, nonce: [0; 32], nonces, trust, state: State::Nothing }
    }

    fn receive_options(&mut self, envelope: &[u8]) -> Result<Got, Refused> {
        let opened =
            self.launched.open_options(envelope.to_vec(), INBOX, &self.trust, &mut self.nonces, NOW_MS);
        let options = opened.map_err(|error| match error {
            OptionsError::Untrusted { .. } => "untrusted",
            _ => "drop",
        })?;
        let enc = Enc::try_from(&envelope[44..76]).unwrap();
        let info = self.launched.job().info();
        self.exporter = Some(hpke::setup_recipient(&key(self.secret), &enc, &info, Mode::Base).unwrap());
        self.state = State::OwesOptions(options.session);
        Ok(Got::Opened(options.parameters))
    }

    fn receive_step(&mut self, envelope: &[u8]) -> Result<Got, Refused> {
        let envelope = envelope.to_vec();
        let (state, got) = match std::mem::replace(&mut self.state, State::Nothing) {
            State::AwaitReady(waiting) => match waiting.receive(envelope, INBOX) {
                Ok(Ready::Ready { session, opened }) => {
                    (State::OwesPayload(session), Ok(Got::Opened(opened)))
                }
                Ok(Ready::Failed(failure)) => {
                    (State::OwesAcknowledgement(failure.session), Ok(Got::Error(failure.error)))
                }
                Err(dropped) => (State::AwaitReady(dropped.session), Err("drop")),
            },
            State::AwaitDone(waiting) => match waiting.receive(envelope, INBOX) {
                Ok(Done::Result { session, opened, receipt }) => {
                    (State::OwesStatus(session), Ok(Got::Result(opened, receipt)))
                }
                Ok(Done::Unproven { session, .. }) => (State::OwesRefusal(session), Err("bad_input")),
                Ok(Done::Failed(failure)) => {
                    (State::OwesAcknowledgement(failure.session), Ok(Got::Error(failure.error)))
                }
                Err(dropped) => (State::AwaitDone(dropped.session), Err("drop")),
            },
            other => (other, Err("drop")),
        };
        self.state = state;
        got
    }

    fn send_cancel(&mut self, token: [u8; 32], envelope: &[u8]) -> Result<(), String> {
        let sealed = match std::mem::replace(&mut self.state, State::Nothing) {
            State::OwesOptions(session) => session.cancel(token),
            State::AwaitReady(session) => session.cancel(token),
            State::OwesPayload(session) => session.cancel(token),
            State::AwaitDone(session) => session.cancel(token),
            State::OwesStatus(session) => session.cancel(token),
            State::OwesRefusal(session) => session.cancel(token),
            State::OwesAcknowledgement(session) => session.cancel(token),
            _ => return Err("cancels nothing".to_owned()),
        };
        let sealed = sealed.map_err(|error| error.to_string())?;
        self.nonce = Header::decode(envelope).ok_or("has no header")?.key;
        self.state = State::AwaitCancelled(sealed.next);
        if sealed.envelope == envelope { Ok(()) } else { Err("becomes other bytes".to_owned()) }
    }

    fn receive_cancelled(&mut self, envelope: &[u8]) -> Result<Got, Refused> {
        match std::mem::replace(&mut self.state, State::Nothing) {
            State::AwaitCancelled(waiting) => match waiting.receive(envelope.to_vec()) {
                Ok(_) => Ok(Got::Acknowledged),
                Err(dropped) => {
                    self.state = State::AwaitCancelled(dropped.session);
                    Err("drop")
                }
            },
            other => {
                self.state = other;
                Err("drop")
            }
        }
    }

    fn receive_event(&mut self, envelope: &[u8]) -> Result<Event, OpenError> {
        let envelope = envelope.to_vec();
        match &mut self.state {
            State::OwesOptions(session) => session.event(envelope),
            State::AwaitReady(session) => session.event(envelope),
            State::OwesPayload(session) => session.event(envelope),
            State::AwaitDone(session) => session.event(envelope),
            State::OwesStatus(session) => session.event(envelope),
            State::OwesRefusal(session) => session.event(envelope),
            State::OwesAcknowledgement(session) => session.event(envelope),
            State::Nothing | State::Closed(_) | State::AwaitCancelled(_) => Err(OpenError),
        }
    }

    fn is_repeated(&mut self, envelope: &[u8]) -> bool {
        let repeated = match &mut self.state {
            State::OwesOptions(session) => session.repeated(envelope, INBOX),
            State::AwaitReady(session) => session.repeated(envelope, INBOX),
            State::OwesPayload(session) => session.repeated(envelope, INBOX),
            State::AwaitDone(session) => session.repeated(envelope, INBOX),
            State::OwesStatus(session) => session.repeated(envelope, INBOX),
            State::OwesRefusal(session) => session.repeated(envelope, INBOX),
            State::OwesAcknowledgement(session) => session.repeated(envelope, INBOX),
            State::Closed(closed) => return closed.repeat(envelope, NOW_MS).is_some(),
            State::Nothing | State::AwaitCancelled(_) => Repeated::No,
        };
        repeated != Repeated::No
    }
}

fn key(secret: [u8; 32]) -> RecipientKey {
    RecipientKey::generate(&mut Given::new(secret))
}

impl End for Client {
    fn sends(&self, kind: u8) -> bool {
        kind & 0x80 != 0 && kind != Kind::CancelReply.byte()
    }

    fn send(&mut self, envelope: &[u8]) -> Result<(), String> {
        let header = Header::decode(envelope).ok_or("has no header")?;
        let exporter = self.exporter.as_ref().ok_or("comes before `options`")?;
        let context: [&[u8]; 2] = [b"subrosa/1 client to worker", &header.key];
        let plain = unseal(exporter, &context, envelope).ok_or("does not open")?;
        let (head, body) = (plain.head, plain.body);
        if header.kind == Kind::Cancel {
            return self.send_cancel(head.cancel.ok_or("shows no token")?, envelope);
        }
        let wrong = |_| "cannot be sealed".to_owned();
        let (state, sealed) =
            match (std::mem::replace(&mut self.state, State::Nothing), head.error, head.close) {
                (State::OwesOptions(owes), None, None) => {
                    let reply = owes.answer(body).map_err(|error| error.to_string())?;
                    (State::AwaitReady(reply.next), reply.envelope)
                }
                (State::OwesOptions(owes), Some(error), None) => {
                    let reply = owes.refuse(error).map_err(wrong)?;
                    (State::Closed(reply.next.close(NOW_MS)), reply.envelope)
                }
                (State::OwesPayload(owes), None, None) => {
                    let reply = owes.answer(body, head.salt.as_ref()).map_err(|error| error.to_string())?;
                    (State::AwaitDone(reply.next), reply.envelope)
                }
                (State::OwesPayload(owes), Some(error), None) => {
                    let reply = owes.refuse(error).map_err(wrong)?;
                    (State::Closed(reply.next.close(NOW_MS)), reply.envelope)
                }
                (State::OwesStatus(owes), None, Some(token)) => {
                    let reply = owes.close(token, body, NOW_MS).map_err(|error| error.to_string())?;
                    (State::Closed(reply.next), reply.envelope)
                }
                (State::OwesAcknowledgement(owes), None, None) => {
                    let reply = owes.acknowledge(body, NOW_MS).map_err(|error| error.to_string())?;
                    (State::Closed(reply.next), reply.envelope)
                }
                _ => return Err("is not what the client sends here".to_owned()),
            };
        (self.state, self.nonce) = (state, header.key);
        if sealed == envelope { Ok(()) } else { Err("becomes other bytes".to_owned()) }
    }

    fn receive(&mut self, envelope: &[u8]) -> Result<Got, Refused> {
        if self.is_repeated(envelope) {
            return Err("repeat");
        }
        match Header::decode(envelope).ok_or("drop")?.kind {
            Kind::Options => self.receive_options(envelope),
            Kind::Event => self.receive_event(envelope).map(Got::Event).map_err(|_| "drop"),
            Kind::CancelReply => self.receive_cancelled(envelope),
            _ => self.receive_step(envelope),
        }
    }

    fn unseal(&self, envelope: &[u8]) -> Option<Plain> {
        let exporter = self.exporter.as_ref()?;
        match Header::decode(envelope)?.kind {
            Kind::Options => unseal(exporter, &[b"subrosa/1 options"], envelope),
            _ => unseal(exporter, &[b"subrosa/1 worker to client", &self.nonce], envelope),
        }
    }
}
