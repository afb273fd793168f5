//! A connection to NATS, and what can be asked over it.

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, Event, ServerError, StatusCode, connection::State};
use bytes::Bytes;
use rand::RngExt as _;
use thiserror::Error;
use tokio::{
    sync::{broadcast, watch},
    time::Instant,
};

use crate::{ApiPrefix, Backoff, Inbox, Link, Subscription, Tally, files::Files, inbox::Router, jetstream};

/// How long a connection to a server that is about to stop is kept at most.
const LAME_DUCK: Duration = Duration::from_secs(2);

/// A request that was not answered.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// Nobody answered in time.
    #[error("nobody answered on {subject} in time")]
    Timeout {
        /// The subject.
        subject: String,
    },
    /// Nobody listens there just now.
    #[error("nobody listens on {subject}")]
    NoResponders {
        /// The subject.
        subject: String,
    },
    /// The server does not let this connection use the subject.
    #[error("the NATS server denies {subject} to this user: check its permissions")]
    Denied {
        /// The subject.
        subject: String,
    },
    /// The message is larger than the server takes.
    #[error("a message of {bytes} bytes is over the server's max_payload of {max_bytes}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// The connection is closed for good.
    #[error("the connection to NATS is closed")]
    Closed,
    /// What carries messages here is no NATS server.
    #[error("only a NATS server can do this")]
    NoServer,
}

impl RequestError {
    /// Whether another try may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::NoResponders { .. })
    }
}

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Message {
    /// Where it was sent to.
    pub subject: String,
    /// Where an answer goes, if one is wanted.
    pub reply: Option<String>,
    /// The content.
    pub payload: Bytes,
    /// The headers, if there are any.
    pub headers: Option<async_nats::HeaderMap>,
    /// The server's status, in place of a message.
    pub status: Option<u16>,
}

impl Message {
    /// Whether the server says that nobody listens.
    pub fn is_no_responders(&self) -> bool {
        self.status == Some(StatusCode::NO_RESPONDERS.as_u16())
    }
}

impl From<async_nats::Message> for Message {
    fn from(message: async_nats::Message) -> Self {
        Self {
            subject: message.subject.into_string(),
            reply: message.reply.map(|reply| reply.into_string()),
            payload: message.payload,
            headers: message.headers,
            status: message.status.map(|status| status.as_u16()),
        }
    }
}

/// A connection to NATS. Clones share it.
#[derive(Clone, Debug)]
pub struct Connection {
    link: Arc<dyn Link>,
    watch: Arc<Watch>,
    router: Router,
    api: Arc<ApiPrefix>,
}

/// What the connection's events tell.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Rises whenever the connection breaks.
    breaks: watch::Sender<u64>,
    /// Rises whenever the connection was broken and is made again.
    made: watch::Sender<u64>,
    /// Whether it is broken just now.
    broken: AtomicBool,
    /// How many subjects the server has denied, but for this connection's own.
    denials: AtomicU64,
    /// Subjects that the server has denied.
    denied: broadcast::Sender<String>,
    /// What this connection's own reply subjects begin with.
    inboxes: String,
    /// Messages that came faster than they were read.
    lost: Tally,
    /// What the connection is made with.
    files: Files,
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

    async fn reconnect(&self) {
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
                    // Its own inboxes it uses for round trips only, for which a refusal does as well.
                    if !subject.starts_with(&self.inboxes) {
                        self.denials.fetch_add(1, Ordering::SeqCst);
                        tracing::warn!(subject, "the NATS server denies a subject to this user");
                    }
                    // Nobody may be waiting for it.
                    let _ = self.denied.send(subject.to_owned());
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

impl Connection {
    /// A connection whose reply subjects begin with `inboxes`.
    pub(crate) async fn new(
        link: Arc<dyn Link>,
        watch: Arc<Watch>,
        inboxes: String,
        api: ApiPrefix,
    ) -> Result<Self, RequestError> {
        let connection = Self { router: Router::new(inboxes), link, watch, api: Arc::new(api) };
        connection.router.start(&connection).await?;
        Ok(connection)
    }

    /// The largest message that the server takes, in bytes.
    pub fn max_payload(&self) -> usize {
        self.link.max_payload()
    }

    /// The subject of a request to JetStream.
    pub fn api(&self, request: &str) -> String {
        self.api.subject(request)
    }

    /// What the subjects of requests to JetStream begin with.
    pub fn api_prefix(&self) -> &ApiPrefix {
        &self.api
    }

    /// The connection as async-nats knows it.
    ///
    /// # Errors
    ///
    /// [`RequestError::NoServer`], if something else carries its messages.
    pub fn client(&self) -> Result<&Client, RequestError> {
        self.link.client().ok_or(RequestError::NoServer)
    }

    /// Whether it is connected just now, as far as is known. Always so, if no server is behind it.
    pub fn is_connected(&self) -> bool {
        self.link.client().is_none_or(|client| client.connection_state() == State::Connected)
    }

    /// How often the connection has broken so far. What was silent on an unbroken one was silent.
    pub fn breaks(&self) -> u64 {
        *self.watch.breaks.borrow()
    }

    /// Makes the connection anew if the files that it is made with, credentials and TLS, have changed since the last
    /// time. What is under way is sent again, as after any other break. It stays as it is, and that is logged, while
    /// no connection could be made with the files for TLS.
    pub async fn renew(&self) {
        match self.watch.files.have_changed() {
            Ok(true) => {
                tracing::info!("connecting anew, with other credentials or certificates");
                self.watch.reconnect().await;
            }
            Ok(false) => {}
            Err(reason) => {
                tracing::error!(reason, "the files for TLS cannot be used: the connection stays as it is");
            }
        }
    }

    /// Waits until the connection has broken again since it had broken so often.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn broken_since(&self, breaks: u64) {
        // The sender lives as long as this connection.
        let _ = self.watch.breaks.subscribe().wait_for(|now| *now != breaks).await;
    }

    /// Changes whenever the connection was broken and is there again: what nobody has answered may be lost.
    pub fn reconnects(&self) -> watch::Receiver<u64> {
        self.watch.made.subscribe()
    }

    /// How often the server has denied a subject so far.
    pub fn denied(&self) -> u64 {
        self.watch.denials.load(Ordering::SeqCst)
    }

    /// How often messages came faster than they were read so far, and were lost.
    pub fn overruns(&self) -> u64 {
        self.watch.lost.counts().values().sum()
    }

    /// A subject of this connection's own, to be answered at any number of times.
    pub fn inbox(&self) -> Inbox {
        self.router.inbox()
    }

    /// Publishes a message, with a subject for answers if one is given.
    ///
    /// # Errors
    ///
    /// What is too large, and a connection that is closed. A denied subject is only told later.
    pub async fn publish(
        &self,
        subject: &str,
        reply: Option<&str>,
        payload: Bytes,
    ) -> Result<(), RequestError> {
        self.publish_with_headers(subject, reply, None, payload).await
    }

    /// As [`Connection::publish`], with headers.
    ///
    /// # Errors
    ///
    /// As for [`Connection::publish`].
    pub async fn publish_with_headers(
        &self,
        subject: &str,
        reply: Option<&str>,
        headers: Option<async_nats::HeaderMap>,
        payload: Bytes,
    ) -> Result<(), RequestError> {
        let (bytes, max_bytes) = (payload.len(), self.max_payload());
        if bytes > max_bytes {
            return Err(RequestError::TooLarge { bytes, max_bytes });
        }
        let (subject, reply) = (subject.to_owned(), reply.map(str::to_owned));
        self.link.publish(Message { subject, reply, payload, headers, status: None }).await
    }

    /// Subscribes to a subject.
    ///
    /// # Errors
    ///
    /// A denied subject, and a connection that is closed.
    pub async fn subscribe(&self, subject: &str) -> Result<Subscription, RequestError> {
        let mut denials = self.denials();
        let subscription = self.subscribe_unseen(subject).await?;
        self.judged(&mut denials, &[subject]).await?;
        Ok(subscription)
    }

    /// Subscribes, without waiting for what the server thinks of it.
    pub(crate) async fn subscribe_unseen(&self, subject: &str) -> Result<Subscription, RequestError> {
        self.link.subscribe(subject).await
    }

    /// Asks once, and takes the first answer.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn request(
        &self,
        subject: &str,
        headers: Option<async_nats::HeaderMap>,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Message, RequestError> {
        self.ask(&mut self.inbox(), subject, headers, payload, timeout).await
    }

    /// Asks once, and takes the first answer that comes to the inbox.
    async fn ask(
        &self,
        inbox: &mut Inbox,
        subject: &str,
        headers: Option<async_nats::HeaderMap>,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Message, RequestError> {
        let mut denials = self.denials();
        let reply = inbox.subject().to_owned();
        let answer = async {
            self.publish_with_headers(subject, Some(&reply), headers, payload).await?;
            tokio::select! {
                message = inbox.next() => match message {
                    Some(message) if message.is_no_responders() => {
                        Err(RequestError::NoResponders { subject: subject.to_owned() })
                    }
                    Some(message) => Ok(message),
                    None => Err(RequestError::Closed),
                },
                denied = denials.of(subject) => Err(denied),
            }
        };
        tokio::time::timeout(timeout, answer)
            .await
            .unwrap_or_else(|_| Err(RequestError::Timeout { subject: subject.to_owned() }))
    }

    /// Asks for 2 s at a time, until an answer or the deadline. A late answer to an earlier try counts; that JetStream
    /// cannot serve just now is none.
    ///
    /// # Errors
    ///
    /// The last error at the deadline; what another try cannot mend, at once. That nobody listens is only said if it
    /// was so every time: otherwise somebody may have heard it.
    pub async fn request_until(
        &self,
        subject: &str,
        headers: Option<async_nats::HeaderMap>,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<Message, RequestError> {
        let mut inbox = self.inbox();
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let mut heard = false;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = left.clamp(Duration::from_millis(100), Duration::from_secs(2));
            let answer = self.ask(&mut inbox, subject, headers.clone(), payload.clone(), timeout).await;
            heard |= !matches!(answer, Err(RequestError::NoResponders { .. }));
            match answer {
                Err(error) if error.is_passing() && Instant::now() < deadline => backoff.wait().await,
                Ok(answer) if jetstream::is_passing(&answer) && Instant::now() < deadline => {
                    backoff.wait().await;
                }
                Err(RequestError::NoResponders { subject }) if heard => {
                    return Err(RequestError::Timeout { subject });
                }
                answer => return answer,
            }
        }
    }

    /// The subjects that the server denies from now on.
    pub(crate) fn denied_subjects(&self) -> broadcast::Receiver<String> {
        self.watch.denied.subscribe()
    }

    /// Hands everything published so far to the network; gives up after `timeout`, as while it is down.
    pub async fn flush(&self, timeout: Duration) {
        // Closed, or too late: either way nothing more can be done about it here.
        let _ = tokio::time::timeout(timeout, self.link.flush()).await;
    }
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
