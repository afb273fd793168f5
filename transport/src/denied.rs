//! What the server denies, and whether it has seen what was sent.
//!
//! A subject that a user may not use is told by an event, some time later; what was asked on it gets no
//! answer, as if nobody listened. So whoever has to know waits until the server has been there and back.

use std::time::Duration;

use bytes::Bytes;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::broadcast,
    time::interval,
};

use crate::{Connection, RequestError};

/// How long the server may take to judge a subscription.
pub(crate) const SETTLE: Duration = Duration::from_secs(10);
/// A message that has not come back by then may be lost with a connection, and another one is sent.
const AGAIN: Duration = Duration::from_secs(1);

/// The subjects that the server denies to a connection, from when this was made.
#[derive(Debug)]
pub struct Denials(broadcast::Receiver<String>);

impl Denials {
    /// The next one.
    async fn next(&mut self) -> String {
        loop {
            match self.0.recv().await {
                Ok(subject) => return subject,
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                // The connection is closed.
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// The next one that is this subject.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn of(&mut self, wanted: &str) -> RequestError {
        loop {
            let subject = self.next().await;
            if subject == wanted {
                return RequestError::Denied { subject };
            }
        }
    }
}

impl Connection {
    /// The subjects that the server denies to this connection from now on.
    pub fn denials(&self) -> Denials {
        Denials(self.denied_subjects())
    }

    /// Says whether the server has denied one of these subjects, which were used since `denials` was made.
    ///
    /// # Errors
    ///
    /// [`RequestError::Denied`], and a server that does not answer.
    pub async fn judged(&self, denials: &mut Denials, subjects: &[&str]) -> Result<(), RequestError> {
        self.settle(denials, subjects, SETTLE).await?;
        // Denials are told by another task than messages are. On one thread it has had its turn before the answer was
        // seen; on several, it has while a second message is on its way.
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::CurrentThread => Ok(()),
            _ => self.settle(denials, subjects, SETTLE).await,
        }
    }

    /// Goes to the server and back: what was sent to this connection before has arrived by then.
    ///
    /// # Errors
    ///
    /// When the server does not answer within `timeout`.
    pub async fn round_trip(&self, timeout: Duration) -> Result<(), RequestError> {
        self.settle(&mut self.denials(), &[], timeout).await
    }

    /// Waits until the server has seen all that was sent before.
    ///
    /// A message to an inbox of one's own comes back, or is denied: most roles may not publish there. Either
    /// way the server has been there.
    pub(crate) async fn settle(
        &self,
        denials: &mut Denials,
        subjects: &[&str],
        timeout: Duration,
    ) -> Result<(), RequestError> {
        let mut inbox = self.inbox();
        let own = inbox.subject().to_owned();
        let answer = async {
            let mut tries = interval(AGAIN);
            loop {
                tokio::select! {
                    biased;
                    subject = denials.next() => match subject {
                        subject if subjects.contains(&subject.as_str()) => {
                            break Err(RequestError::Denied { subject });
                        }
                        subject if subject == own => break Ok(()),
                        _ => {}
                    },
                    arrived = inbox.next() => break arrived.map(|_| ()).ok_or(RequestError::Closed),
                    _ = tries.tick() => self.publish(&own, None, Bytes::new()).await?,
                }
            }
        };
        let late =
            || RequestError::Timeout { subject: subjects.first().unwrap_or(&own.as_str()).to_string() };
        tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| Err(late()))
    }
}
