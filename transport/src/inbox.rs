//! Reply subjects. One subscription serves them all, and each takes any number of answers: whoever can
//! publish to an inbox must not be able to end a wait.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::mpsc;

use crate::{Connection, Message, RequestError};

/// Answers that are not read yet; more are dropped. A step that loses its answer so is sent again.
const QUEUED_ANSWERS: usize = 64;

type Waiting = Arc<Mutex<HashMap<String, mpsc::Sender<Message>>>>;

/// Hands the answers out.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    prefix: String,
    next: Arc<AtomicU64>,
    waiting: Waiting,
}

impl Router {
    pub(crate) fn new(prefix: String) -> Self {
        Self { prefix, next: Arc::default(), waiting: Arc::default() }
    }

    /// Subscribes, once.
    pub(crate) async fn start(&self, connection: &Connection) -> Result<(), RequestError> {
        let subject = format!("{}.*", self.prefix);
        let mut denied = connection.denials();
        let mut answers = connection.subscribe_unseen(&subject).await?;
        let waiting = Arc::downgrade(&self.waiting);
        tokio::spawn(async move {
            while let Some(message) = answers.next().await {
                let Some(waiting) = waiting.upgrade() else { return };
                let token = message.subject.rsplit('.').next().unwrap_or_default();
                let inbox = lock(&waiting).get(token).cloned();
                if let Some(inbox) = inbox {
                    // Full, or just gone.
                    let _ = inbox.try_send(message);
                }
            }
        });
        connection.judged(&mut denied, &subject).await
    }

    pub(crate) fn inbox(&self) -> Inbox {
        // A number is enough: whoever can publish to an inbox is dealt with by sealing, not by guessing.
        let token = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let (sender, answers) = mpsc::channel(QUEUED_ANSWERS);
        lock(&self.waiting).insert(token.clone(), sender);
        Inbox { subject: format!("{}.{token}", self.prefix), token, answers, waiting: self.waiting.clone() }
    }
}

fn lock(
    waiting: &Mutex<HashMap<String, mpsc::Sender<Message>>>,
) -> std::sync::MutexGuard<'_, HashMap<String, mpsc::Sender<Message>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A reply subject, for as long as it is kept.
#[derive(Debug)]
pub struct Inbox {
    subject: String,
    token: String,
    answers: mpsc::Receiver<Message>,
    waiting: Waiting,
}

impl Inbox {
    /// Where answers go.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The next answer; `None` when the connection is closed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Message> {
        self.answers.recv().await
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        lock(&self.waiting).remove(&self.token);
    }
}
