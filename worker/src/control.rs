//! What is sent to this process while it holds attempts: is it alive, and has the job ended, or been cancelled.

use bytes::Bytes;
use subrosa_protocol::{
    delivery::{Last, Snapshot, State},
    id::JobId,
    record::MAX_RECORD_BYTES,
    subject::{Control, may_answer},
};
use subrosa_transport::{Alive, Message, Subscription};

use crate::process::Shared;

/// Answers until the connection is closed.
pub(crate) async fn listen(process: Shared, mut messages: Subscription) {
    while let Some(message) = messages.next().await {
        if let Some(answer) = answer(&process, &message) {
            let Some(reply) = message.reply.as_deref().filter(|reply| may_answer(reply)) else { continue };
            if let Err(error) = process.connection.publish(reply, None, answer).await {
                tracing::debug!(%error, "a control message was not answered");
            }
        }
    }
}

fn answer(process: &Shared, message: &Message) -> Option<Bytes> {
    let mut tokens = message.subject.rsplit('.');
    let kind = tokens.next()?;
    let job: JobId = tokens.next()?.parse().ok()?;
    if message.payload.len() > MAX_RECORD_BYTES {
        return None;
    }
    if kind == Control::Alive.token() {
        let attempt = Alive::parse(&message.payload)?;
        return process.held.holds(&job, attempt).then(|| Alive::new(attempt).to_bytes());
    }
    if kind == Control::Stop.token() {
        let last = Last::read(Some(&message.payload), &job, &process.name, &process.trust.get());
        if let Last::Known(Snapshot { state: State::Ended, .. }) = last {
            process.held.end(&job);
            return Some(Bytes::from_static(b"{}"));
        }
    }
    if kind == Control::Cancel.token() {
        return process.held.cancel(&job, &message.payload);
    }
    None
}
