use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::stream;
use tokio::sync::mpsc;

use super::*;
use crate::{Connect, Link, Pending, Subscription};

/// A server that shows no record, and has a word of its own for who appends one.
#[derive(Debug)]
struct Forgetful {
    /// What it says to each append, in turn; then what it said last. It may say nothing.
    says: &'static [Option<&'static str>],
    appends: AtomicUsize,
    looks: AtomicUsize,
    inbox: Mutex<Option<mpsc::UnboundedSender<Message>>>,
}

impl Forgetful {
    fn new(says: &'static [Option<&'static str>]) -> Arc<Self> {
        let (appends, looks) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { says, appends, looks, inbox: Mutex::default() })
    }

    fn answer(&self, subject: &str) -> Option<Message> {
        let message = |payload: &'static str, status| Message {
            subject: String::new(),
            reply: None,
            payload: payload.into(),
            headers: None,
            status,
        };
        if subject.starts_with("$JS.API.DIRECT.GET.") {
            self.looks.fetch_add(1, Ordering::SeqCst);
            return Some(message("", Some(404)));
        }
        let number = self.appends.fetch_add(1, Ordering::SeqCst);
        let said = self.says[number.min(self.says.len() - 1)];
        said.map(|payload| message(payload, None))
    }
}

impl Link for Forgetful {
    fn max_payload(&self) -> usize {
        1 << 20
    }

    fn publish(&self, message: Message) -> Pending<'_, Result<(), RequestError>> {
        let answer = match message.reply {
            Some(reply) => self.answer(&message.subject).map(|answer| Message { subject: reply, ..answer }),
            // To its own inbox.
            None => Some(message),
        };
        if let (Some(answer), Some(inbox)) = (answer, &*self.inbox.lock().unwrap()) {
            inbox.send(answer).unwrap();
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn subscribe(&self, _: &str) -> Pending<'_, Result<Subscription, RequestError>> {
        let (sender, mut messages) = mpsc::unbounded_channel();
        *self.inbox.lock().unwrap() = Some(sender);
        let messages = stream::poll_fn(move |context| messages.poll_recv(context));
        Box::pin(std::future::ready(Ok(Subscription::new(messages))))
    }
}

async fn begin_history(server: &Arc<Forgetful>) -> Result<Commit, HistoryError> {
    let connection = Connect::over(server.clone(), "test").connect().await.unwrap();
    let history = History::new(connection, Namespace::default());
    let (worker, deadline) = ("echo".parse().unwrap(), Instant::now() + LAG);
    history.append(&worker, &JobId::of(b"a job"), None, b"a record".to_vec(), deadline).await
}

#[tokio::test(start_paused = true)]
async fn a_first_record_that_nobody_answers_for_is_published_again_at_once() {
    let server = Forgetful::new(&[None, Some(r#"{"stream":"R","seq":7}"#)]);
    let Ok(Commit::Won(stored)) = begin_history(&server).await else { panic!("it was lost") };
    assert_eq!(stored.sequence, 7);
    assert_eq!(server.looks.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_there_and_cannot_be_read_is_told_from_silence() {
    let server = Forgetful::new(&[Some(
        r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 5"}}"#,
    )]);
    let error = begin_history(&server).await.unwrap_err();
    assert!(matches!(error, HistoryError::Unreadable { .. }), "{error}");
    assert!(server.looks.load(Ordering::SeqCst) > 1, "a replica may lag");
}
