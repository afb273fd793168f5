//! The broker's view: every message that NATS carries while the job runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use subrosa_transport::{Connect, Connection, Message};
use tokio::task::JoinHandle;

/// Listens to everything, as whoever runs the broker can.
#[derive(Debug)]
pub(super) struct Observer {
    connection: Connection,
    messages: Arc<Mutex<Vec<Message>>>,
    listener: JoinHandle<()>,
}

impl Observer {
    pub(super) async fn start(url: &str) -> anyhow::Result<Self> {
        let connection = Connect::new(url, "subrosa demo, the broker's view").connect().await?;
        let mut everything = connection.subscribe(">").await?;
        let messages = Arc::new(Mutex::new(Vec::new()));
        let seen = messages.clone();
        let listener = tokio::spawn(async move {
            while let Some(message) = everything.next().await {
                lock(&seen).push(message);
            }
        });
        Ok(Self { connection, messages, listener })
    }

    /// Everything that was carried up to now.
    pub(super) async fn stop(self) -> anyhow::Result<Vec<Message>> {
        self.connection.round_trip(std::time::Duration::from_secs(5)).await?;
        // The round trip's own message is the last one that has to be here.
        tokio::task::yield_now().await;
        self.listener.abort();
        Ok(std::mem::take(&mut *lock(&self.messages)))
    }
}

fn lock(messages: &Mutex<Vec<Message>>) -> MutexGuard<'_, Vec<Message>> {
    messages.lock().unwrap_or_else(PoisonError::into_inner)
}
