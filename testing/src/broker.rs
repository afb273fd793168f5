//! What stands for the server: who listens, and who gets what.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures_util::stream;
use subrosa_transport::{Link, Message, Pending, RequestError, Subscription};
use tokio::sync::mpsc;

use crate::world::World;

/// The largest message that is carried, in bytes: the server's default.
pub(crate) const MAX_PAYLOAD: usize = 1024 * 1024;

/// A message, and whether the attacker has made or moved it.
#[derive(Clone, Debug)]
pub(crate) struct Carried {
    pub(crate) message: Message,
    pub(crate) hostile: bool,
}

impl Carried {
    pub(crate) fn genuine(message: Message) -> Self {
        Self { message, hostile: false }
    }

    pub(crate) fn hostile(message: Message) -> Self {
        Self { message, hostile: true }
    }
}

/// Who listens on what.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Vec<Listener>);

#[derive(Debug)]
struct Listener {
    subject: String,
    messages: mpsc::UnboundedSender<Carried>,
    /// Whether the connection is gone.
    cut: Arc<AtomicBool>,
}

impl Listeners {
    /// Hands a message to everyone who listens there; false if nobody does.
    pub(crate) fn deliver(&mut self, carried: &Carried) -> bool {
        self.0.retain(|listener| !listener.messages.is_closed() && !listener.cut.load(Ordering::SeqCst));
        let listening = self.0.iter().filter(|listener| matches(&listener.subject, &carried.message.subject));
        listening.filter(|listener| listener.messages.send(carried.clone()).is_ok()).count() > 0
    }
}

/// Whether a subject is one that this pattern means.
fn matches(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some(wanted), Some(token)) if wanted == "*" || wanted == token => {}
            _ => return false,
        }
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Line {
    world: Arc<World>,
    cut: Arc<AtomicBool>,
}

impl Line {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world, cut: Arc::default() }
    }

    /// Ends the connection: nothing comes or goes any more.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }
}

impl Link for Line {
    fn max_payload(&self) -> usize {
        MAX_PAYLOAD
    }

    fn publish(&self, message: Message) -> Pending<'_, Result<(), RequestError>> {
        Box::pin(async move {
            if self.cut.load(Ordering::SeqCst) {
                return Err(RequestError::Closed);
            }
            self.world.publish(message);
            Ok(())
        })
    }

    fn subscribe(&self, subject: &str) -> Pending<'_, Result<Subscription, RequestError>> {
        let (messages, mut carried) = mpsc::unbounded_channel::<Carried>();
        let (subject, cut) = (subject.to_owned(), self.cut.clone());
        self.world.listeners().0.push(Listener { subject, messages, cut });
        let reached = self.world.reached.clone();
        let messages = stream::poll_fn(move |context| {
            carried.poll_recv(context).map(|next| {
                next.map(|carried| {
                    reached.count(carried.hostile);
                    carried.message
                })
            })
        });
        Box::pin(std::future::ready(Ok(Subscription::new(messages))))
    }
}

/// How many hostile messages were read, or hostile answers given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reached(Arc<AtomicUsize>);

impl Reached {
    pub(crate) fn count(&self, hostile: bool) {
        self.0.fetch_add(usize::from(hostile), Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use subrosa_worker::Failure;

    use super::*;
    use crate::{function::Watched, records::answered};

    #[tokio::test]
    async fn a_line_that_is_cut_carries_nothing_more() {
        let world = World::new(Watched::new(|_| async { Err(Failure::new("not called")) }), None);
        let (one, other) = (Line::new(world.clone()), Line::new(world));
        let (mut first, mut second) =
            (one.subscribe("a").await.unwrap(), other.subscribe("a").await.unwrap());
        let message = |text: &'static str| Message { subject: "a".to_owned(), ..answered(text, None) };
        other.publish(message("before")).await.unwrap();
        one.cut();
        assert_eq!(one.publish(message("from a cut line")).await, Err(RequestError::Closed));
        other.publish(message("after")).await.unwrap();
        let texts = [first.next().await, second.next().await, second.next().await];
        assert_eq!(texts.map(|message| message.unwrap().payload), ["before", "before", "after"]);
        assert!(first.next().await.is_none());
    }

    #[test]
    fn a_star_is_one_token_and_an_angle_all_that_follow() {
        for (pattern, subject) in
            [("a.b", "a.b"), ("a.*", "a.b"), ("*.b", "a.b"), ("a.>", "a.b.c"), (">", "a")]
        {
            assert!(matches(pattern, subject), "{pattern} {subject}");
        }
        for (pattern, subject) in [("a.b", "a.c"), ("a.*", "a.b.c"), ("a.*", "a"), ("a.>", "a"), ("a", "a.b")]
        {
            assert!(!matches(pattern, subject), "{pattern} {subject}");
        }
    }
}
