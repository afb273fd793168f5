//! Reply subjects. One subscription serves them all, and each takes any number of answers: whoever can
//! publish to an inbox must not be able to end a wait.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use rand::RngExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Connection, Message, RequestError, denied::SETTLE};

/// Answers that are not read yet; more are dropped. A step that loses its answer so is sent again.
const QUEUED_ANSWERS: usize = 64;

type Waiting = Arc<Mutex<HashMap<String, mpsc::Sender<Message>>>>;

/// Hands the answers out.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    prefix: String,
    waiting: Waiting,
    closed: CancellationToken,
    /// Ends the task that hands out, with the last clone.
    _open: Arc<DropGuard>,
}

impl Router {
    pub(crate) fn new(prefix: String) -> Self {
        let closed = CancellationToken::new();
        let _open = Arc::new(closed.clone().drop_guard());
        Self { prefix, waiting: Arc::default(), closed, _open }
    }

    /// Subscribes, once.
    pub(crate) async fn start(&self, connection: &Connection) -> Result<(), RequestError> {
        let subject = format!("{}.*", self.prefix);
        let mut denials = connection.denials();
        let mut answers = connection.subscribe_unseen(&subject).await?;
        let (waiting, closed) = (self.waiting.clone(), self.closed.clone());
        tokio::spawn(async move {
            while let Some(Some(message)) = closed.run_until_cancelled(answers.next()).await {
                let token = message.subject.rsplit('.').next().unwrap_or_default();
                let inbox = lock(&waiting).get(token).cloned();
                if let Some(inbox) = inbox {
                    // Full, or just gone.
                    let _ = inbox.try_send(message);
                }
            }
        });
        // What comes back comes by this very subscription: there is nothing more to be told of it.
        connection.settle(&mut denials, &[&subject], SETTLE).await
    }

    pub(crate) fn inbox(&self) -> Inbox {
        // Not to be guessed: the answers of JetStream and of services are not sealed.
        let token = format!("{:032x}", rand::rng().random::<u128>());
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
