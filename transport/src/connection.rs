//! A connection to NATS, and what can be asked over it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::{Client, StatusCode, connection::State};
use bytes::Bytes;
use thiserror::Error;
use tokio::{
    sync::{broadcast, watch},
    time::Instant,
};

use crate::{ApiPrefix, Backoff, Inbox, Link, Subscription, events::Watch, inbox::Router, jetstream};

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

/// What came of a question that was asked again and again.
#[derive(Debug)]
pub struct Asked {
    /// The last answer.
    pub answer: Result<Message, RequestError>,
    /// Whether a try has got no answer: somebody may have heard it, and still work on it.
    pub silence: bool,
}

/// A connection to NATS. Clones share it.
#[derive(Clone, Debug)]
pub struct Connection {
    link: Arc<dyn Link>,
    watch: Arc<Watch>,
    router: Router,
    api: Arc<ApiPrefix>,
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
            Err(error) => tracing::error!(%error, "the connection stays as it is"),
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

    /// Asks for 2 s at a time, until an answer or the deadline; the last time for 1 s at least. A late answer to an earlier try counts; that JetStream
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
        self.request_unless(subject, headers, payload, deadline, jetstream::is_passing).await.answer
    }

    /// Asks like [`Connection::request_until`], and also again after an answer that `passes`.
    pub async fn request_unless(
        &self,
        subject: &str,
        headers: Option<async_nats::HeaderMap>,
        payload: Bytes,
        deadline: Instant,
        passes: impl Fn(&Message) -> bool,
    ) -> Asked {
        let mut inbox = self.inbox();
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let (mut heard, mut silence) = (false, false);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = left.clamp(Duration::from_secs(1), Duration::from_secs(2));
            let answer = self.ask(&mut inbox, subject, headers.clone(), payload.clone(), timeout).await;
            heard |= !matches!(answer, Err(RequestError::NoResponders { .. }));
            silence |= matches!(answer, Err(RequestError::Timeout { .. }));
            let again = match &answer {
                Ok(answer) => passes(answer),
                Err(error) => error.is_passing(),
            };
            if again && Instant::now() < deadline {
                backoff.wait().await;
                continue;
            }
            let answer = match answer {
                Err(RequestError::NoResponders { subject }) if heard => {
                    Err(RequestError::Timeout { subject })
                }
                answer => answer,
            };
            return Asked { answer, silence };
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
