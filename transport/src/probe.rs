//! Asking the process that holds an attempt whether it still does.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use subrosa_protocol::{
    delivery::{Holder, Probe},
    id::{Attempt, JobId, WorkerName},
    json::{self, Int},
    subject::{Control, Namespace},
};
use tokio::time::{Instant, timeout_at};

use crate::{Acker, Backoff, Connection, RequestError};

/// How often a process is asked.
const EVERY: Duration = Duration::from_secs(1);

/// The body of `alive`, and of its answer.
///
/// ```
/// use subrosa_protocol::id::Attempt;
/// use subrosa_transport::Alive;
///
/// let question = Alive::new(Attempt::FIRST).to_bytes();
/// assert_eq!(Alive::parse(&question), Some(Attempt::FIRST));
/// assert_eq!(Alive::parse(b"{}"), None);
/// ```
#[derive(Debug, Serialize, Deserialize)]
pub struct Alive {
    attempt: Int,
}

impl Alive {
    /// Asks for this attempt.
    pub fn new(attempt: Attempt) -> Self {
        Self { attempt: Int::from(attempt.get()) }
    }

    /// Reads a question; none if it is malformed.
    pub fn parse(payload: &[u8]) -> Option<Attempt> {
        let alive: Self = if payload.len() <= 1024 { json::parse(payload).ok()? } else { return None };
        Attempt::new(u16::try_from(alive.attempt.get()).ok()?).ok()
    }

    /// The bytes of the question, which are those of the answer.
    pub fn to_bytes(&self) -> Bytes {
        json::to_vec(self).into()
    }
}

/// Asks `holder` once, for up to a second.
///
/// # Errors
///
/// A denied subject is an error, not silence.
pub async fn is_alive(
    connection: &Connection,
    subject: &str,
    attempt: Attempt,
) -> Result<bool, RequestError> {
    let question = Alive::new(attempt).to_bytes();
    match connection.request(subject, None, question, EVERY).await {
        Ok(answer) => Ok(Alive::parse(&answer.payload) == Some(attempt)),
        Err(error) if error.is_passing() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Asks `holder` once a second for `patience`, and keeps the message meanwhile.
///
/// Silence counts only on one unbroken connection, after a round trip to the server and with the inbox
/// emptied; whenever the connection breaks, the asking starts anew.
///
/// # Errors
///
/// A denied subject is an error, not silence.
pub async fn probe(
    connection: &Connection,
    namespace: &Namespace,
    worker: &WorkerName,
    job: &JobId,
    holder: &Holder,
    patience: Duration,
    acker: &Acker,
) -> Result<Probe, RequestError> {
    let subject = namespace.control(worker, &holder.instance, job, Control::Alive);
    let question = Alive::new(holder.attempt).to_bytes();
    let mut backoff = Backoff::new(Duration::from_millis(50), EVERY);
    'unbroken: loop {
        let breaks = connection.breaks();
        // The connection may be down already, and its break counted.
        if connection.round_trip(Duration::from_secs(2)).await.is_err() {
            backoff.wait().await;
            continue 'unbroken;
        }
        // One inbox for all questions, so that a late answer counts as well.
        let mut inbox = connection.inbox();
        let mut denials = connection.denials();
        let until = Instant::now() + patience;
        while Instant::now() < until {
            acker.in_progress().await;
            let next = (Instant::now() + EVERY).min(until);
            connection.publish(&subject, Some(inbox.subject()), question.clone()).await?;
            tokio::select! {
                true = answered(&mut inbox, holder.attempt, next) => return Ok(Probe::Answered),
                Ok(error) = timeout_at(next, denials.of(&subject)) => return Err(error),
                else => {}
            }
        }
        let arrived = connection.round_trip(Duration::from_secs(2)).await;
        if arrived.is_err() || connection.breaks() != breaks {
            continue 'unbroken;
        }
        let late = answered(&mut inbox, holder.attempt, Instant::now()).await;
        return Ok(if late { Probe::Answered } else { Probe::Silent });
    }
}

/// Reads answers until one is right or the time is over.
async fn answered(inbox: &mut crate::Inbox, attempt: Attempt, until: Instant) -> bool {
    let right = async {
        while let Some(answer) = inbox.next().await {
            if Alive::parse(&answer.payload) == Some(attempt) {
                return true;
            }
        }
        false
    };
    timeout_at(until, right).await.unwrap_or(false)
}
