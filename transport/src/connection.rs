//! One connection to NATS, and what can be asked over it.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event, ServerError, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use thiserror::Error;
use tokio::{sync::broadcast, time::Instant};

use crate::{Backoff, Inbox, inbox::Router};

/// How a connection is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connect {
    /// The server's URL, or several with commas between them.
    pub url: String,
    /// A NATS credentials file.
    pub credentials: Option<PathBuf>,
    /// The prefix of reply subjects; every role on a server needs one of its own. `_INBOX` if absent.
    pub inbox_prefix: Option<String>,
    /// What the server shows of this connection.
    pub name: String,
    /// How long to try before giving up; for ever if absent.
    pub deadline: Option<Duration>,
}

/// A connection that could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody answers there.
    #[error("no NATS server answers at {url}: {reason}; is it running, and is the URL right?")]
    Unreachable {
        /// The URL.
        url: String,
        /// What happened last.
        reason: String,
    },
    /// The server does not know these credentials.
    #[error("the NATS server at {url} refuses the credentials")]
    Unauthorized {
        /// The URL.
        url: String,
    },
    /// The credentials file cannot be used.
    #[error("the NATS credentials file {path} cannot be used: {reason}")]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The URL is none.
    #[error("{url} is not the URL of a NATS server: {reason}")]
    Url {
        /// The text.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The inbox prefix could not be answered at.
    #[error("the inbox prefix {prefix} must be _INBOX or begin with _INBOX_, without dots or wildcards")]
    InboxPrefix {
        /// The prefix.
        prefix: String,
    },
    /// The server does not let this connection listen.
    #[error(transparent)]
    Subscribe(#[from] RequestError),
}

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

/// Messages on a subject.
#[derive(Debug)]
pub struct Subscription(Subscriber);

impl Subscription {
    /// The next message; `None` when the connection is closed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Message> {
        self.0.next().await.map(Message::from)
    }
}

/// A connection to NATS. Clones share it.
#[derive(Clone, Debug)]
pub struct Connection {
    client: Client,
    watch: Arc<Watch>,
    router: Router,
}

/// What the connection's events tell.
#[derive(Debug)]
struct Watch {
    /// Rises whenever the connection breaks.
    breaks: AtomicU64,
    /// Subjects that the server has denied.
    denied: broadcast::Sender<String>,
}

impl Watch {
    fn new() -> Self {
        Self { breaks: AtomicU64::new(0), denied: broadcast::channel(64).0 }
    }

    fn see(&self, event: Event) {
        match event {
            Event::Disconnected => {
                self.breaks.fetch_add(1, Ordering::SeqCst);
                tracing::warn!("disconnected from NATS, reconnecting");
            }
            Event::Connected => tracing::debug!("connected to NATS"),
            Event::ServerError(ServerError::Other(text)) => match denied_subject(&text) {
                Some(subject) => {
                    tracing::warn!(subject, "the NATS server denies a subject to this user");
                    // Nobody may be waiting for it.
                    let _ = self.denied.send(subject.to_owned());
                }
                None => tracing::warn!(error = text, "the NATS server reports an error"),
            },
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

impl Connect {
    /// To the server at `url`, as `name`, trying for 30 s.
    pub fn new(url: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            credentials: None,
            inbox_prefix: None,
            name: name.into(),
            deadline: Some(Duration::from_secs(30)),
        }
    }

    /// Connects, trying again until the deadline. That the server is unreachable is said once.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`]. What another try cannot mend ends the tries at once.
    pub async fn connect(&self) -> Result<Connection, ConnectError> {
        self.connect_with(ConnectOptions::new()).await
    }

    /// Connects with more of async-nats's options, TLS for one.
    ///
    /// # Errors
    ///
    /// As for [`Connect::connect`].
    pub async fn connect_with(&self, options: ConnectOptions) -> Result<Connection, ConnectError> {
        let prefix = self.inbox_prefix.clone().unwrap_or_else(|| "_INBOX".to_owned());
        if prefix.contains('.') || !subrosa_protocol::subject::may_answer(&format!("{prefix}.x")) {
            return Err(ConnectError::InboxPrefix { prefix });
        }
        let watch = Arc::new(Watch::new());
        let seen = watch.clone();
        let mut options = options
            .name(&self.name)
            .custom_inbox_prefix(&prefix)
            .event_callback(move |event| {
                let seen = seen.clone();
                async move { seen.see(event) }
            })
            .reconnect_delay_callback(|tries| match tries {
                0 | 1 => Duration::from_millis(2),
                tries => {
                    let exponent = u32::try_from(tries.min(7)).unwrap_or(7);
                    Backoff::new(Duration::from_millis(10 << exponent), Duration::from_secs(2)).next_delay()
                }
            });
        if let Some(path) = &self.credentials {
            let failed = |reason| ConnectError::Credentials { path: path.clone(), reason };
            options = options.credentials_file(path).await.map_err(failed)?;
        }
        let client = self.try_until_deadline(options).await?;
        let connection = Connection { router: Router::new(&client, &prefix), client, watch };
        connection.router.start(&connection).await?;
        Ok(connection)
    }

    async fn try_until_deadline(&self, options: ConnectOptions) -> Result<Client, ConnectError> {
        let addresses: Vec<async_nats::ServerAddr> = self
            .url
            .split(',')
            .map(|url| url.trim().parse())
            .collect::<Result<_, std::io::Error>>()
            .map_err(|error| ConnectError::Url { url: self.url.clone(), reason: error.to_string() })?;
        let deadline = self.deadline.map(|deadline| Instant::now() + deadline);
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let mut said = false;
        loop {
            let error = match options.clone().connect(addresses.clone()).await {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            if matches!(
                error.kind(),
                async_nats::ConnectErrorKind::AuthorizationViolation | async_nats::ConnectErrorKind::Authentication
            ) {
                return Err(ConnectError::Unauthorized { url: self.url.clone() });
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(ConnectError::Unreachable { url: self.url.clone(), reason: error.to_string() });
            }
            if !said {
                tracing::warn!(url = self.url, %error, "no NATS server answers, trying again");
                said = true;
            }
            backoff.wait().await;
        }
    }
}

impl Connection {
    /// The largest message that the server takes, in bytes.
    pub fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    /// The connection as async-nats knows it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// How often the connection has broken so far. What was silent on an unbroken one was silent.
    pub fn breaks(&self) -> u64 {
        self.watch.breaks.load(Ordering::SeqCst)
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
    pub async fn publish(&self, subject: &str, reply: Option<&str>, payload: Bytes) -> Result<(), RequestError> {
        let (bytes, max_bytes) = (payload.len(), self.max_payload());
        if bytes > max_bytes {
            return Err(RequestError::TooLarge { bytes, max_bytes });
        }
        match reply {
            Some(reply) => self.client.publish_with_reply(subject.to_owned(), reply.to_owned(), payload).await,
            None => self.client.publish(subject.to_owned(), payload).await,
        }
        .map_err(|_| RequestError::Closed)
    }

    /// Subscribes to a subject.
    ///
    /// # Errors
    ///
    /// A denied subject, and a connection that is closed.
    pub async fn subscribe(&self, subject: &str) -> Result<Subscription, RequestError> {
        let mut denied = self.watch.denied.subscribe();
        let subscriber = self.client.subscribe(subject.to_owned()).await.map_err(|_| RequestError::Closed)?;
        let subscription = Subscription(subscriber);
        // A round trip: the server has judged the subscription once the answer is here.
        self.client.flush().await.map_err(|_| RequestError::Closed)?;
        match denied.try_recv() {
            Ok(denied) if denied == subject => Err(RequestError::Denied { subject: denied }),
            _ => Ok(subscription),
        }
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
        let (bytes, max_bytes) = (payload.len(), self.max_payload());
        if bytes > max_bytes {
            return Err(RequestError::TooLarge { bytes, max_bytes });
        }
        let mut denied = self.watch.denied.subscribe();
        let mut inbox = self.inbox();
        let to = subject.to_owned();
        let published = match headers {
            Some(headers) => {
                self.client.publish_with_reply_and_headers(to, inbox.subject().to_owned(), headers, payload).await
            }
            None => self.client.publish_with_reply(to, inbox.subject().to_owned(), payload).await,
        };
        published.map_err(|_| RequestError::Closed)?;
        let answer = async {
            loop {
                tokio::select! {
                    message = inbox.next() => break match message {
                        Some(message) if message.is_no_responders() => {
                            Err(RequestError::NoResponders { subject: subject.to_owned() })
                        }
                        Some(message) => Ok(message),
                        None => Err(RequestError::Closed),
                    },
                    Ok(denied) = denied.recv() => if denied == subject {
                        break Err(RequestError::Denied { subject: denied });
                    },
                }
            }
        };
        tokio::time::timeout(timeout, answer)
            .await
            .unwrap_or_else(|_| Err(RequestError::Timeout { subject: subject.to_owned() }))
    }

    /// Asks for 2 s at a time, until an answer or the deadline.
    ///
    /// # Errors
    ///
    /// The last error at the deadline; what another try cannot mend, at once.
    pub async fn request_until(
        &self,
        subject: &str,
        headers: Option<async_nats::HeaderMap>,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<Message, RequestError> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = left.clamp(Duration::from_millis(100), Duration::from_secs(2));
            match self.request(subject, headers.clone(), payload.clone(), timeout).await {
                Err(error) if error.is_passing() && Instant::now() < deadline => backoff.wait().await,
                answer => return answer,
            }
        }
    }

    /// Goes to the server and back: what was sent to this connection before has arrived by then.
    ///
    /// # Errors
    ///
    /// When the server does not answer within `timeout`.
    pub async fn round_trip(&self, timeout: Duration) -> Result<(), RequestError> {
        let mut inbox = self.inbox();
        let subject = inbox.subject().to_owned();
        self.publish(&subject, None, Bytes::new()).await?;
        let arrived = tokio::time::timeout(timeout, inbox.next()).await;
        arrived.ok().flatten().map(|_| ()).ok_or(RequestError::Timeout { subject })
    }

    /// Hands everything published so far to the server.
    ///
    /// # Errors
    ///
    /// When the connection is closed.
    pub async fn flush(&self) -> Result<(), RequestError> {
        self.client.flush().await.map_err(|_| RequestError::Closed)
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
