//! What a connection runs over: a NATS server, or what stands for one in tests.

use std::{fmt, pin::Pin};

use async_nats::Client;
use futures_util::{FutureExt as _, Stream, StreamExt as _};

use crate::{Message, RequestError};

/// What a [`Link`] is about to have done.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Carries messages between connections: a NATS server does, or what stands for one in tests.
///
/// What is asked on a subject that nobody listens on is answered with the status 503, as the server does.
pub trait Link: fmt::Debug + Send + Sync {
    /// The largest message that it takes, in bytes.
    fn max_payload(&self) -> usize;

    /// Sends a message to all who listen on its subject.
    fn publish(&self, message: Message) -> Pending<'_, Result<(), RequestError>>;

    /// Listens on a subject, which may have wildcards.
    fn subscribe(&self, subject: &str) -> Pending<'_, Result<Subscription, RequestError>>;

    /// Waits until everything published so far has left.
    fn flush(&self) -> Pending<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// The server's client, for what only a server can do.
    fn client(&self) -> Option<&Client> {
        None
    }
}

impl Link for Client {
    fn max_payload(&self) -> usize {
        self.max_payload()
    }

    fn publish(&self, message: Message) -> Pending<'_, Result<(), RequestError>> {
        let Message { subject, reply, payload, headers, .. } = message;
        Box::pin(async move {
            match (reply, headers) {
                (Some(reply), Some(headers)) => {
                    self.publish_with_reply_and_headers(subject, reply, headers, payload).await
                }
                (Some(reply), None) => self.publish_with_reply(subject, reply, payload).await,
                (None, Some(headers)) => self.publish_with_headers(subject, headers, payload).await,
                (None, None) => self.publish(subject, payload).await,
            }
            .map_err(|_| RequestError::Closed)
        })
    }

    fn subscribe(&self, subject: &str) -> Pending<'_, Result<Subscription, RequestError>> {
        let subject = subject.to_owned();
        Box::pin(async move {
            let subscriber = self.subscribe(subject).await.map_err(|_| RequestError::Closed)?;
            Ok(Subscription::new(subscriber.map(Message::from)))
        })
    }

    fn flush(&self) -> Pending<'_, ()> {
        // Closed: nothing more can be done about it here.
        Box::pin(self.flush().map(|_| ()))
    }

    fn client(&self) -> Option<&Client> {
        Some(self)
    }
}

/// Messages on a subject.
pub struct Subscription(Pin<Box<dyn Stream<Item = Message> + Send>>);

impl Subscription {
    /// Messages as a [`Link`] brings them; they end when it is closed.
    pub fn new(messages: impl Stream<Item = Message> + Send + 'static) -> Self {
        Self(Box::pin(messages))
    }

    /// The next message; `None` when the connection is closed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Message> {
        self.0.next().await
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscription")
    }
}
