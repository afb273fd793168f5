//! Where an attempt's session stands.
//!
//! The states are types in the protocol; here one variable has to hold whichever it is, because the
//! function's handle and the task that finishes for it share it.

use std::mem;

use subrosa_protocol::{
    delivery::Stand,
    session::{
        Dropped, PeerError,
        worker::{
            Answer, AwaitAcknowledgement, AwaitOptions, AwaitPayload, AwaitStatus, Cancelled, HasOptions,
            HasPayload, Offer,
        },
    },
    wire::Opened,
};

/// The session's state.
pub(crate) enum Stage {
    Offer(Offer),
    AwaitOptions(AwaitOptions),
    HasOptions(HasOptions),
    AwaitPayload(AwaitPayload),
    HasPayload(HasPayload),
    AwaitStatus(AwaitStatus),
    AwaitAcknowledgement(AwaitAcknowledgement),
    /// The client has the result, as its close token proves.
    Closed([u8; 32]),
    /// The client knows that the job has failed.
    Acknowledged,
    /// The client has cancelled the job, as its cancel token proves.
    Cancelled(Cancelled),
    /// Over; nothing is left.
    Over,
}

/// What a message that came as a reply was.
pub(crate) enum Received {
    /// Nothing: the waiting goes on.
    Dropped,
    /// The answer.
    Answer(Opened),
    /// The acknowledgement of an error.
    Acknowledged,
    /// An error, which ends the job.
    Failed(PeerError),
}

impl Stage {
    /// As the delivery rules see it.
    pub(crate) fn stand(&self) -> Stand {
        match self {
            Self::Closed(_) => Stand::Closed,
            Self::Acknowledged => Stand::Acknowledged,
            Self::Cancelled(_) => Stand::Cancelled,
            Self::AwaitStatus(_) | Self::AwaitAcknowledgement(_) => Stand::Unanswered,
            Self::Offer(_)
            | Self::AwaitOptions(_)
            | Self::HasOptions(_)
            | Self::AwaitPayload(_)
            | Self::HasPayload(_)
            | Self::Over => Stand::Early,
        }
    }

    /// Takes the state out, to put another one in its place.
    pub(crate) fn take(&mut self) -> Self {
        mem::replace(self, Self::Over)
    }

    /// Tries a reply.
    pub(crate) fn receive(&mut self, reply: Vec<u8>) -> Received {
        match self.take() {
            Self::AwaitOptions(state) => {
                self.judge(state.receive(reply), Self::HasOptions, Self::AwaitOptions)
            }
            Self::AwaitPayload(state) => {
                self.judge(state.receive(reply), Self::HasPayload, Self::AwaitPayload)
            }
            Self::AwaitStatus(state) => {
                self.judge(state.receive(reply), |closure| Self::Closed(closure.token), Self::AwaitStatus)
            }
            Self::AwaitAcknowledgement(state) => match state.receive(reply) {
                Ok(_) => {
                    *self = Self::Acknowledged;
                    Received::Acknowledged
                }
                Err(dropped) => {
                    *self = Self::AwaitAcknowledgement(dropped.session);
                    Received::Dropped
                }
            },
            other => {
                *self = other;
                Received::Dropped
            }
        }
    }

    /// Tries a `cancel`, and gives its answer; none if it is no such message, or comes too late.
    pub(crate) fn cancel(&mut self, envelope: &[u8]) -> Option<Vec<u8>> {
        if let Self::Cancelled(cancelled) = self {
            return cancelled.repeat(envelope).map(<[u8]>::to_vec);
        }
        let bytes = envelope.to_vec();
        let (next, taken) = match self.take() {
            Self::AwaitOptions(state) => cancelled(state.cancel(bytes), Self::AwaitOptions),
            Self::HasOptions(state) => cancelled(state.cancel(bytes), Self::HasOptions),
            Self::AwaitPayload(state) => cancelled(state.cancel(bytes), Self::AwaitPayload),
            Self::HasPayload(state) => cancelled(state.cancel(bytes), Self::HasPayload),
            Self::AwaitStatus(state) => cancelled(state.cancel(bytes), Self::AwaitStatus),
            Self::AwaitAcknowledgement(state) => cancelled(state.cancel(bytes), Self::AwaitAcknowledgement),
            other => (other, None),
        };
        *self = next;
        taken
    }

    fn judge<Next, Waiting>(
        &mut self,
        received: Result<Answer<Next>, Dropped<Waiting>>,
        accepted: impl FnOnce(Next) -> Self,
        back: impl FnOnce(Waiting) -> Self,
    ) -> Received {
        match received {
            Ok(Answer::Accepted { next, opened }) => {
                *self = accepted(next);
                Received::Answer(opened)
            }
            Ok(Answer::Failed(error)) => Received::Failed(error),
            Err(dropped) => {
                *self = back(dropped.session);
                Received::Dropped
            }
        }
    }
}

/// Sorts what became of a `cancel`: the next state and the answer, or the state as it was.
fn cancelled<Before>(
    result: Result<Cancelled, Dropped<Before>>,
    back: impl FnOnce(Before) -> Stage,
) -> (Stage, Option<Vec<u8>>) {
    match result {
        Ok(cancelled) => {
            let reply = cancelled.reply().to_vec();
            (Stage::Cancelled(cancelled), Some(reply))
        }
        Err(dropped) => (back(dropped.session), None),
    }
}
