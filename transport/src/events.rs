//! What happens to a connection, as async-nats tells it by its events.

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, Event, ServerError};
use rand::RngExt as _;
use tokio::sync::{broadcast, watch};

use crate::{Tally, files::Files};

/// How long a connection to a server that is about to stop is kept at most.
const LAME_DUCK: Duration = Duration::from_secs(2);

/// What the connection's events tell.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Rises whenever the connection breaks.
    pub(crate) breaks: watch::Sender<u64>,
    /// Rises whenever the connection was broken and is made again.
    pub(crate) made: watch::Sender<u64>,
    /// Whether it is broken just now.
    broken: AtomicBool,
    /// How many subjects the server has denied, but for this connection's own.
    pub(crate) denials: AtomicU64,
    /// Subjects that the server has denied.
    pub(crate) denied: broadcast::Sender<String>,
    /// What this connection's own reply subjects begin with.
    inboxes: String,
    /// Messages that came faster than they were read.
    pub(crate) lost: Tally,
    /// What the connection is made with.
    pub(crate) files: Files,
    /// The connection, once it has been made. Weakly: its own task holds this, and would keep it open for good.
    client: OnceLock<Weak<Client>>,
}

impl Watch {
    pub(crate) fn new(inboxes: String, files: Files) -> Self {
        Self {
            breaks: watch::Sender::new(0),
            made: watch::Sender::new(0),
            broken: AtomicBool::new(false),
            denials: AtomicU64::new(0),
            denied: broadcast::channel(4096).0,
            inboxes,
            lost: Tally::new("messages lost"),
            files,
            client: OnceLock::new(),
        }
    }

    /// These are the events of this connection.
    pub(crate) fn is_of(&self, client: &Arc<Client>) {
        // Set once, by whoever makes it.
        let _ = self.client.set(Arc::downgrade(client));
    }

    /// The server is about to stop (lame-duck mode), and takes no new connections: another one is looked for, a
    /// little later than by others, so that not all of them come there at once.
    pub(crate) async fn move_on(&self) {
        tracing::warn!("the NATS server is about to stop (lame duck): moving to another one");
        let breaks = *self.breaks.borrow();
        let delay = LAME_DUCK.mul_f64(rand::rng().random_range(0.0..=1.0));
        tokio::time::sleep(delay).await;
        // It may have said so more than once, or be gone.
        if *self.breaks.borrow() == breaks {
            self.reconnect().await;
        }
    }

    pub(crate) async fn reconnect(&self) {
        if let Some(client) = self.client.get().and_then(Weak::upgrade)
            && let Err(error) = client.force_reconnect().await
        {
            tracing::debug!(%error, "the connection was not made anew");
        }
    }

    pub(crate) fn see(&self, event: Event) {
        match event {
            Event::Disconnected => {
                self.broken.store(true, Ordering::SeqCst);
                self.breaks.send_modify(|breaks| *breaks += 1);
                tracing::warn!("disconnected from NATS, reconnecting");
            }
            Event::Connected => {
                if self.broken.swap(false, Ordering::SeqCst) {
                    tracing::info!("connected to NATS again");
                    self.made.send_modify(|made| *made += 1);
                } else {
                    tracing::debug!("connected to NATS");
                }
            }
            Event::ServerError(ServerError::Other(text)) => match denied_subject(&text) {
                Some(subject) => {
                    // Before it is logged, which may take a while. Nobody may be waiting for it.
                    let _ = self.denied.send(subject.to_owned());
                    // Its own inboxes it uses for round trips only, for which a refusal does as well.
                    if !subject.starts_with(&self.inboxes) {
                        self.denials.fetch_add(1, Ordering::SeqCst);
                        tracing::warn!(subject, "the NATS server denies a subject to this user");
                    }
                }
                None => tracing::warn!(error = text, "the NATS server reports an error"),
            },
            Event::SlowConsumer(_) => self.lost.count("too many at once"),
            // Each try to connect again fails with one, until a server is there.
            event if self.broken.load(Ordering::SeqCst) => tracing::debug!(%event, "NATS"),
            event => tracing::warn!(%event, "NATS"),
        }
    }
}

/// The subject in the server's `Permissions Violation for Publish to "subject"`.
fn denied_subject(text: &str) -> Option<&str> {
    let (what, rest) = text.split_once('"')?;
    let violation = what.to_ascii_lowercase().contains("permissions violation");
    violation.then(|| rest.split('"').next()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_denied_subject_is_found() {
        let text = r#"Permissions Violation for Publish to "subrosa.v1.launch.echo""#;
        assert_eq!(denied_subject(text), Some("subrosa.v1.launch.echo"));
        let text = r#"Permissions Violation for Subscription to "a.*" using queue "q""#;
        assert_eq!(denied_subject(text), Some("a.*"));
        assert_eq!(denied_subject("Authorization Violation"), None);
    }
}
