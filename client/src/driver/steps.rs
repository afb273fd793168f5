//! The worker's steps, one by one: what is taken, what answers it.

use std::{mem, sync::Arc};

use rand::{rand_core::UnwrapErr, rngs::SysRng};
use subrosa_protocol::{
    receipt::ReceiptError,
    session::client::{
        Closed, Done, Failure, Options, OptionsError, OwesRefusal, Ready, Refused, Repeated, Reply,
    },
    subject::may_answer,
    wire::{self, ErrorMember, Json, Kind, SealError},
};
use subrosa_transport::{now_ms, trace};

use super::{Driver, Over, Session, Taken};
use crate::{
    Event, HandlerError, JobError, Parameters, State, UntrustedWorker, dispatch::Inbound, handler::Answer,
};

/// What a step leads to: going on, or the job's end.
type Step = Result<Option<Over>, JobError>;

impl Driver {
    /// Takes a message, if it is one that can come now.
    pub(super) async fn receive(&mut self, message: Inbound) -> Step {
        if message.kind == token(Kind::Event) {
            if let Some(event) = self.session.event(&message.payload) {
                self.reporter.report(event.into());
            }
            return Ok(None);
        }
        // A step wants an answer; one that asks for it elsewhere than in an inbox is dropped.
        let Some(reply) = message.reply.filter(|reply| may_answer(reply)) else { return Ok(None) };
        match self.session.repeated(&message.payload, &reply) {
            Repeated::Answered(envelope) => {
                let envelope = envelope.to_vec();
                self.publish(envelope, &[reply]).await;
                return Ok(None);
            }
            Repeated::Pending => return Ok(None),
            Repeated::No => {}
        }
        let envelope = message.payload.into();
        if message.kind == token(Kind::Options) {
            self.options(envelope, &reply);
            return Ok(None);
        }
        let (ready, done) = (message.kind == token(Kind::Ready), message.kind == token(Kind::Done));
        match mem::replace(&mut self.session, Session::None) {
            Session::Ready(state) if ready || done => match state.receive(envelope, &reply) {
                Ok(Ready::Ready { session, opened }) => {
                    self.timings.ready = self.since_launch();
                    self.reporter.report(Event::State(State::Prepared));
                    let handler = self.handlers.payload.start(Parameters::new(Arc::new(opened)));
                    self.session = Session::Payload(session, handler);
                }
                Ok(Ready::Failed(failure)) => return self.worker_failed(failure).await,
                Err(dropped) => self.session = Session::Ready(dropped.session),
            },
            Session::Done(state) if done => match state.receive(envelope, &reply) {
                Ok(Done::Result { session, opened, receipt }) => {
                    if let Err(error) = opened.bytes() {
                        let error = HandlerError::bad_input(error).into_member();
                        return self.handler_failed("result", session.refuse(error.clone()), error).await;
                    }
                    if self.is_leaving() {
                        // Who goes away does not answer: the worker stores it. The session ends here.
                        return Ok(None);
                    }
                    self.timings.done = self.since_launch();
                    let taken = Taken { opened: Arc::new(opened), receipt: Arc::from(receipt) };
                    let handler = self.handlers.status.start(Parameters::result(&taken));
                    self.session = Session::Status(session, handler, taken);
                }
                Ok(Done::Unproven { session, error }) => return self.unproven(session, error).await,
                Ok(Done::Failed(failure)) => return self.worker_failed(failure).await,
                Err(dropped) => self.session = Session::Done(dropped.session),
            },
            other => self.session = other,
        }
        Ok(None)
    }

    /// Takes an `options` of a further attempt; the older session is dropped, and its handler stopped.
    fn options(&mut self, envelope: Vec<u8>, reply: &str) {
        let trust = self.client.trust.get();
        let now_ms = now_ms();
        match self.launched.open_options(envelope, reply, &trust, &mut UnwrapErr(SysRng), now_ms) {
            Ok(Options { session, attempt, worker, cert, instance, parameters }) => {
                let max = self.launched.job().description().max_attempts;
                self.timings.taken = self.since_launch();
                self.worker = Some((worker, attempt.get()));
                self.instance = Some(instance);
                self.voucher = (cert, now_ms);
                self.reporter.report(Event::Attempt { number: attempt.get(), max, worker });
                self.reporter.report(Event::State(State::Taken));
                let handler = self.handlers.options.start(Parameters::new(Arc::new(parameters)));
                self.session = Session::Options(session, handler);
            }
            Err(OptionsError::Untrusted { worker, reason, .. }) => {
                self.distrust(UntrustedWorker { worker, reason });
            }
            Err(error) => tracing::debug!(%error, "an options was dropped"),
        }
    }

    /// Seals and sends what a handler has made.
    pub(super) async fn answer(&mut self, answer: Result<Answer, ErrorMember>) -> Step {
        match mem::replace(&mut self.session, Session::None) {
            Session::Options(state, _) => {
                let (state, error) = match answer {
                    Ok(options) => match state.answer(options) {
                        Ok(Reply { next, envelope, to }) => {
                            self.publish(envelope, &to).await;
                            self.session = Session::Ready(next);
                            return Ok(None);
                        }
                        Err(not_sent) => (not_sent.session, HandlerError::sealing(&not_sent.error)),
                    },
                    Err(error) => (state, error),
                };
                self.handler_failed("options", state.refuse(error.clone()), error).await
            }
            Session::Payload(state, _) => {
                let (state, error) = match answer {
                    Ok(payload) => match state.answer(payload, self.tokens.input.as_ref()) {
                        Ok(Reply { next, envelope, to }) => {
                            self.publish(envelope, &to).await;
                            self.timings.payload = self.since_launch();
                            self.reporter.report(Event::State(State::Running));
                            self.inputs = Some(next.inputs());
                            self.session = Session::Done(next);
                            return Ok(None);
                        }
                        Err(not_sent) => (not_sent.session, HandlerError::sealing(&not_sent.error)),
                    },
                    Err(error) => (state, error),
                };
                self.handler_failed("payload", state.refuse(error.clone()), error).await
            }
            Session::Status(state, _, taken) => {
                let (state, error) = match answer {
                    Ok(status) => match state.close(*self.tokens.close.expose(), status, now_ms()) {
                        Ok(Reply { next, envelope, to }) => {
                            self.publish(envelope, &to).await;
                            self.reporter.report(Event::State(State::Done));
                            return Ok(Some(Over::Result(Some(next), taken)));
                        }
                        Err(not_sent) => (not_sent.session, HandlerError::sealing(&not_sent.error)),
                    },
                    Err(error) => (state, error),
                };
                self.handler_failed("status", state.refuse(error.clone()), error).await
            }
            Session::Stored(_, taken) => match answer {
                Ok(_) => {
                    self.reporter.report(Event::State(State::Done));
                    Ok(Some(Over::Result(None, taken)))
                }
                Err(ErrorMember { code, message }) => {
                    Err(JobError::Handler { step: "status", code, message })
                }
            },
            other => {
                self.session = other;
                Ok(None)
            }
        }
    }

    /// A handler failed: its worker is told, and nothing else happens.
    async fn handler_failed(
        &self,
        step: &'static str,
        refused: Result<Reply<Refused>, SealError>,
        error: ErrorMember,
    ) -> Step {
        let ErrorMember { code, message } = error;
        self.refused(JobError::Handler { step, code, message }, refused).await
    }

    /// The result's receipt does not hold: the worker is told, and nobody sees the result.
    async fn unproven(&self, session: OwesRefusal, error: ReceiptError) -> Step {
        let refused = session.refuse(&error);
        self.refused(JobError::Receipt(error), refused).await
    }

    /// Sends an error that ends the job.
    async fn refused(&self, failed: JobError, refused: Result<Reply<Refused>, SealError>) -> Step {
        let closed = match refused {
            Ok(Reply { next, envelope, to }) => {
                self.publish(envelope, &to).await;
                Some(next.close(now_ms()))
            }
            Err(_) => None,
        };
        Ok(Some(Over::Failed(failed, closed)))
    }

    /// The worker's function failed: that is acknowledged.
    async fn worker_failed(&self, Failure { session, error }: Failure) -> Step {
        let closed: Option<Closed> = match session.acknowledge(Json(()), now_ms()) {
            Ok(Reply { next, envelope, to }) => {
                self.publish(envelope, &to).await;
                Some(next)
            }
            Err(_) => None,
        };
        let ErrorMember { code, message } = error;
        Ok(Some(Over::Failed(JobError::Worker { code, message }, closed)))
    }

    async fn publish(&self, envelope: Vec<u8>, to: &[String]) {
        let envelope = bytes::Bytes::from(envelope);
        for reply in to {
            let (connection, headers) = (&self.client.connection, trace::headers());
            let sent = connection.publish_with_headers(reply, None, headers, envelope.clone()).await;
            if let Err(error) = sent {
                tracing::debug!(%error, "an answer was not sent");
            }
        }
    }
}

fn token(kind: Kind) -> &'static str {
    kind.token().unwrap_or_default()
}

impl Session {
    /// Recognises the latest step when it comes again.
    fn repeated(&mut self, envelope: &[u8], reply: &str) -> Repeated<'_> {
        match self {
            Self::None | Self::Stored(..) => Repeated::No,
            Self::Options(state, _) => state.repeated(envelope, reply),
            Self::Ready(state) => state.repeated(envelope, reply),
            Self::Payload(state, _) => state.repeated(envelope, reply),
            Self::Done(state) => state.repeated(envelope, reply),
            Self::Status(state, ..) => state.repeated(envelope, reply),
        }
    }

    /// Opens an event, if a session is live.
    fn event(&mut self, envelope: &[u8]) -> Option<wire::Event> {
        let envelope = envelope.to_vec();
        let opened = match self {
            Self::None | Self::Stored(..) => return None,
            Self::Options(state, _) => state.event(envelope),
            Self::Ready(state) => state.event(envelope),
            Self::Payload(state, _) => state.event(envelope),
            Self::Done(state) => state.event(envelope),
            Self::Status(state, ..) => state.event(envelope),
        };
        opened.ok()
    }
}
