//! A worker in the state that a file's past has brought it to.

use subrosa_protocol::{
    hpke::{self, Exporter, Mode},
    id::Attempt,
    identity::SigningKey,
    job::Job,
    launch::Signers,
    receipt::Receipt,
    secret::Secret,
    session::Dropped,
    session::worker::{
        Answer, AwaitAcknowledgement, AwaitOptions, AwaitPayload, AwaitStatus, Cancelled, HasOptions,
        HasPayload, Issue, Offer, Setup, input_fits,
    },
    wire::{Header, Kind},
};

use super::{
    fields::Given,
    messages::{End, Got, Refused},
    unseal::{Plain, unseal},
};

const MAX_BYTES: usize = 1 << 20;

pub(crate) struct Worker {
    job: Job,
    identity: SigningKey,
    exporter: Exporter,
    nonce: [u8; 32],
    state: State,
}

enum State {
    Over,
    Offer(Offer),
    AwaitOptions(AwaitOptions),
    HasOptions(HasOptions),
    AwaitPayload(AwaitPayload),
    HasPayload(HasPayload),
    AwaitStatus(AwaitStatus),
    AwaitAcknowledgement(AwaitAcknowledgement),
    Cancelled(Cancelled),
}

impl Worker {
    pub(crate) fn new(
        job: Job,
        secret: [u8; 32],
        attempt: u16,
        mut seed: [u8; 32],
        instance: &str,
    ) -> Result<Self, String> {
        let identity = SigningKey::from_seed(&Secret::take(&mut seed));
        let setup = Setup {
            job: &job,
            signers: &Signers::default(),
            attempt: Attempt::new(attempt).map_err(|error| error.to_string())?,
            identity: &identity,
            cert: None,
            instance: instance.parse().map_err(|_| "`instance` is none".to_owned())?,
            max_envelope_bytes: MAX_BYTES,
        };
        let offer = Offer::new(&setup, &mut Given::new(secret)).map_err(|error| error.to_string())?;
        let (key, info) = (&job.description().client_key, job.info());
        let sender = hpke::setup_sender(&mut Given::new(secret), key, &info, Mode::Base);
        let (_, exporter) = sender.map_err(|error| error.to_string())?;
        Ok(Self { exporter, identity, job, nonce: [0; 32], state: State::Offer(offer) })
    }

    /// Drops a message.
    fn stays(&mut self, state: State) -> Result<Got, Refused> {
        self.state = state;
        Err("drop")
    }

    /// Moves on, if the answer is no error.
    fn took<S>(&mut self, answer: Answer<S>, next: impl FnOnce(S) -> State) -> Result<Got, Refused> {
        match answer {
            Answer::Failed(error) => Ok(Got::Error(error)),
            Answer::Accepted { next: state, opened } => {
                self.state = next(state);
                Ok(Got::Opened(opened))
            }
        }
    }

    /// Takes a `cancel`.
    fn cancelled<S>(
        &mut self,
        result: Result<Cancelled, Dropped<S>>,
        back: impl FnOnce(S) -> State,
    ) -> Result<Got, Refused> {
        match result {
            Ok(cancelled) => {
                let token = cancelled.token();
                self.state = State::Cancelled(cancelled);
                Ok(Got::Cancelled(token))
            }
            Err(dropped) => self.stays(back(dropped.session)),
        }
    }

    fn receive_cancel(&mut self, envelope: &[u8]) -> Result<Got, Refused> {
        let bytes = envelope.to_vec();
        match std::mem::replace(&mut self.state, State::Over) {
            State::AwaitOptions(state) => self.cancelled(state.cancel(bytes), State::AwaitOptions),
            State::HasOptions(state) => self.cancelled(state.cancel(bytes), State::HasOptions),
            State::AwaitPayload(state) => self.cancelled(state.cancel(bytes), State::AwaitPayload),
            State::HasPayload(state) => self.cancelled(state.cancel(bytes), State::HasPayload),
            State::AwaitStatus(state) => self.cancelled(state.cancel(bytes), State::AwaitStatus),
            State::AwaitAcknowledgement(state) => {
                self.cancelled(state.cancel(bytes), State::AwaitAcknowledgement)
            }
            State::Cancelled(cancelled) => {
                let again = cancelled.repeat(envelope).is_some();
                self.state = State::Cancelled(cancelled);
                Err(if again { "repeat" } else { "drop" })
            }
            other => self.stays(other),
        }
    }

    fn check_input(&self, got: Got) -> Result<Got, Refused> {
        match (&self.job.description().input, &got) {
            (Some(input), Got::Opened(opened))
                if !input_fits(input, opened.head().salt.as_ref(), opened.body()) =>
            {
                Err("bad_input")
            }
            _ => Ok(got),
        }
    }

    fn unseal_own(&self, header: &Header, envelope: &[u8]) -> Option<Plain> {
        match header.kind {
            Kind::Options => unseal(&self.exporter, &[b"subrosa/1 options"], envelope),
            _ => unseal(&self.exporter, &[b"subrosa/1 worker to client", &self.nonce], envelope),
        }
    }
}

impl End for Worker {
    fn sends(&self, kind: u8) -> bool {
        kind & 0x80 == 0 || kind == Kind::CancelReply.byte()
    }

    fn send(&mut self, envelope: &[u8]) -> Result<(), String> {
        let header = Header::decode(envelope).ok_or("has no header")?;
        let Plain { head, body, .. } = self.unseal_own(&header, envelope).ok_or("does not open")?;
        let state = std::mem::replace(&mut self.state, State::Over);
        let (state, sealed) = match (header.kind, state, head.error, head.event) {
            (Kind::CancelReply, State::Cancelled(cancelled), None, None) => {
                let reply = cancelled.reply().to_vec();
                (State::Cancelled(cancelled), reply)
            }
            (Kind::Options, State::Offer(offer), None, None) => {
                let sent = offer.options(body).map_err(|error| error.to_string())?;
                (State::AwaitOptions(sent.next), sent.envelope)
            }
            (Kind::Ready, State::HasOptions(has), None, None) => {
                let sent = has.ready(body).map_err(|error| error.to_string())?;
                (State::AwaitPayload(sent.next), sent.envelope)
            }
            (Kind::Done, State::HasPayload(has), None, None) => {
                let (receipt, salt) = head.receipt.zip(head.salt).ok_or("has no receipt")?;
                let (receipt, _) = Receipt::verify(&receipt).map_err(|error| error.to_string())?;
                let Receipt { started_ms, finished_ms, .. } = receipt;
                let issue = Issue { identity: &self.identity, salt, started_ms, finished_ms };
                let sent = has.done(body, issue).map_err(|error| error.to_string())?;
                (State::AwaitStatus(sent.next), sent.envelope)
            }
            (Kind::Done, State::HasOptions(has), Some(error), None) => {
                let sent = has.fail(error).map_err(|error| error.to_string())?;
                (State::AwaitAcknowledgement(sent.next), sent.envelope)
            }
            (Kind::Done, State::HasPayload(has), Some(error), None) => {
                let sent = has.fail(error).map_err(|error| error.to_string())?;
                (State::AwaitAcknowledgement(sent.next), sent.envelope)
            }
            (Kind::Event, State::HasOptions(mut has), None, Some(event)) => {
                let sealed = has.event(event).map_err(|error| error.to_string())?;
                (State::HasOptions(has), sealed)
            }
            (Kind::Event, State::HasPayload(mut has), None, Some(event)) => {
                let sealed = has.event(event).map_err(|error| error.to_string())?;
                (State::HasPayload(has), sealed)
            }
            _ => return Err("is not what the worker sends here".to_owned()),
        };
        self.state = state;
        if sealed == envelope { Ok(()) } else { Err("becomes other bytes".to_owned()) }
    }

    fn receive(&mut self, envelope: &[u8]) -> Result<Got, Refused> {
        let reply = envelope.to_vec();
        if let (State::AwaitOptions(_), Some(header)) = (&self.state, Header::decode(envelope)) {
            self.nonce = header.key;
        }
        if envelope.get(1) == Some(&Kind::Cancel.byte()) {
            return self.receive_cancel(envelope);
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::AwaitOptions(waiting) => match waiting.receive(reply) {
                Ok(answer) => self.took(answer, State::HasOptions),
                Err(dropped) => self.stays(State::AwaitOptions(dropped.session)),
            },
            State::AwaitPayload(waiting) => match waiting.receive(reply) {
                Ok(answer) => {
                    let got = self.took(answer, State::HasPayload)?;
                    self.check_input(got)
                }
                Err(dropped) => self.stays(State::AwaitPayload(dropped.session)),
            },
            State::AwaitStatus(waiting) => match waiting.receive(reply) {
                Ok(answer) => self.took(answer, |_closure| State::Over),
                Err(dropped) => self.stays(State::AwaitStatus(dropped.session)),
            },
            State::AwaitAcknowledgement(waiting) => match waiting.receive(reply) {
                Ok(_) => Ok(Got::Acknowledged),
                Err(dropped) => self.stays(State::AwaitAcknowledgement(dropped.session)),
            },
            other => self.stays(other),
        }
    }

    fn unseal(&self, envelope: &[u8]) -> Option<Plain> {
        unseal(&self.exporter, &[b"subrosa/1 client to worker", &self.nonce], envelope)
    }
}
