//! After a job is over for this client: its keys are gone, but a worker may have missed the last answer,
//! and the end may still have to be recorded.

use std::time::Duration;

use subrosa_protocol::{
    id::JobId,
    record::{Event, Record},
    secret::Secret,
    session::client::Closed,
    subject::{ENDED, Service, may_answer},
    wire::Kind,
};
use subrosa_transport::{Backoff, now_ms};
use tokio::time::{Instant, sleep_until};

use crate::{
    client::Shared,
    dispatch::{Inbound, Mail},
};

/// The token is shown until the job is seen to have ended, or this long past its time.
const GIVE_UP: Duration = Duration::from_secs(12 * 60);

/// The longest time between two showings.
const LONGEST: Duration = Duration::from_secs(60);

/// A hint that the end is not recorded counts at most this often.
const HINT: Duration = Duration::from_secs(10);

/// The one token that is kept of a job.
pub(crate) struct Token {
    /// Where it is shown.
    pub(crate) service: Service,
    pub(crate) secret: Secret<32>,
}

/// What is left of a job.
pub(crate) struct Left {
    pub(crate) job: JobId,
    pub(crate) token: Token,
    pub(crate) closed: Option<Closed>,
    /// When the job's own time is over, in Unix milliseconds.
    pub(crate) expires_ms: u64,
    /// Whether the launcher is asked at once, because no worker will write the end.
    pub(crate) now: bool,
}

/// Answers repeats of the last step, until the job's end is recorded and no repeat can come.
pub(crate) async fn linger(client: &Shared, mut mail: Mail, left: Left) {
    let started = Instant::now();
    let own = Duration::from_millis(left.expires_ms.saturating_sub(now_ms()));
    let give_up = started + own + GIVE_UP;
    let mut shown = None;
    let mut settle = if left.now { started } else { started + client.timing.settle };
    let from_now = || Backoff::new(client.timing.settle, LONGEST);
    let mut backoff = from_now();
    loop {
        tokio::select! {
            message = mail.next() => match message {
                None => return,
                Some(message) if message.kind == ENDED => {
                    if is_end(&message, &left) || has_ended(client, &left).await {
                        return;
                    }
                }
                Some(message) if repeat(client, &left, &message).await => {}
                // A later attempt, for a job that is over: the worker does not know.
                Some(message) if Some(message.kind.as_str()) == Kind::Options.token() => {
                    settle = settle.min(shown.unwrap_or(started) + HINT);
                }
                Some(_) => {}
            },
            () = sleep_until(settle) => {
                shown = Some(Instant::now());
                let (service, secret) = (left.token.service, left.token.secret.expose());
                match client.launchers.show(service, &left.job, secret, Duration::from_secs(10)).await {
                    Ok(state) if state.is_end() => return,
                    _ if Instant::now() > give_up => return,
                    // Once the ack wait is over, another worker ends the job, or does it again.
                    Err(error) if error.is_unheard() => backoff = from_now(),
                    _ => {}
                }
                settle = Instant::now() + backoff.next_delay();
            }
        }
    }
}

/// Whether this is the record that ended the job: a `closed` with the job's own token. Any other is only a
/// hint to ask.
fn is_end(message: &Inbound, left: &Left) -> bool {
    let closes = |record: &Record| match &record.event {
        Event::Closed { close, .. } => {
            left.token.service == Service::Close && close == left.token.secret.expose()
        }
        _ => false,
    };
    Record::read_unverified(&message.payload).is_ok_and(|record| record.job == left.job && closes(&record))
}

/// Whether the job has ended, as a launcher says.
async fn has_ended(client: &Shared, left: &Left) -> bool {
    let state = client.launchers.status(&left.job, Duration::from_secs(10)).await;
    state.is_ok_and(|state| state.is_end())
}

/// Answers the last step again; false if the message is something else.
async fn repeat(client: &Shared, left: &Left, message: &Inbound) -> bool {
    let Some(answer) = left.closed.as_ref().and_then(|closed| closed.repeat(&message.payload, now_ms()))
    else {
        return false;
    };
    let Some(reply) = message.reply.as_deref().filter(|reply| may_answer(reply)) else { return true };
    let answer = bytes::Bytes::copy_from_slice(answer);
    if let Err(error) = client.connection.publish(reply, None, answer).await {
        tracing::debug!(%error, "a repeated answer was not sent");
    }
    true
}
