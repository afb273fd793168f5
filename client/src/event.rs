//! What a job reports while it runs.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use subrosa_protocol::{
    identity::Thumbprint,
    wire::{self, LogLevel},
};
use tokio::sync::mpsc;

use crate::UntrustedWorker;

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// A launcher has admitted it; it waits for a worker.
    Queued,
    /// A trusted worker has taken it, and gets the client's options.
    Taken,
    /// The worker has the options, and gets the payload.
    Prepared,
    /// The worker has the payload; its function runs.
    Running,
    /// The result is here, and the worker is told so.
    Done,
}

/// What a job reports. Everything that the worker says in it was sealed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The job has come to this state.
    State(State),
    /// A trusted worker serves this attempt.
    Attempt {
        /// Which, from 1.
        number: u16,
        /// How many there may be.
        max: u16,
        /// The worker's key.
        worker: Thumbprint,
    },
    /// How far the work is.
    Progress {
        /// From 0.0 to 1.0.
        fraction: f64,
        /// What is being done.
        message: String,
    },
    /// A line of the worker's log for this client.
    Log {
        /// How grave it is.
        level: LogLevel,
        /// The text.
        line: String,
    },
    /// A worker answered that is not trusted. It was told nothing; the job waits on.
    Untrusted(UntrustedWorker),
}

impl From<wire::Event> for Event {
    fn from(event: wire::Event) -> Self {
        match event {
            wire::Event::Progress { progress, message } => Self::Progress { fraction: progress, message },
            wire::Event::Log { log } => Self::Log { level: log.level, line: log.line },
        }
    }
}

/// When each step was, from the call of `launch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// A launcher had admitted the job.
    pub queued: Duration,
    /// A trusted worker had proven to serve it.
    pub taken: Duration,
    /// The worker was ready for the payload.
    pub ready: Duration,
    /// The payload was sent.
    pub payload: Duration,
    /// The result had arrived.
    pub done: Duration,
}

/// A job's events, in order, until the job is over. Progress and log lines are dropped where nobody reads
/// them in time; states are not.
///
/// ```
/// use subrosa_client::{Event, State};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = subrosa_testing::client(subrosa_testing::values((), 78)).await;
/// # let mut job = client.job("adds-one").payload_value(77).launch().await?;
/// let mut events = job.events();
/// job.result::<u32>().await?;
/// let mut states = Vec::new();
/// while let Some(event) = events.next().await {
///     if let Event::State(state) = event {
///         states.push(state);
///     }
/// }
/// assert_eq!(states, [State::Queued, State::Taken, State::Prepared, State::Running, State::Done]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct EventStream(pub(crate) mpsc::Receiver<Event>);

impl EventStream {
    /// The next event; `None` when the job is over.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }
}

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_recv(cx)
    }
}

/// Events that may wait to be read.
const CAPACITY: usize = 512;
/// Places that only states and attempts may take.
const RESERVED: usize = 128;

/// The other end.
#[derive(Debug)]
pub(crate) struct Reporter(mpsc::Sender<Event>);

pub(crate) fn channel() -> (Reporter, EventStream) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    (Reporter(sender), EventStream(receiver))
}

impl Reporter {
    pub(crate) fn report(&self, event: Event) {
        let chatter = matches!(event, Event::Progress { .. } | Event::Log { .. });
        if !chatter || self.0.capacity() > RESERVED {
            // Nobody reads, or nobody does any more.
            let _ = self.0.try_send(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn chatter_leaves_room_for_states() {
        let (reporter, mut events) = channel();
        for _ in 0..2 * CAPACITY {
            reporter.report(Event::Progress { fraction: 0.5, message: String::new() });
        }
        reporter.report(Event::State(State::Done));
        drop(reporter);
        let mut all = Vec::new();
        while let Some(event) = events.next().await {
            all.push(event);
        }
        assert_eq!(all.len(), CAPACITY - RESERVED + 1);
        assert_eq!(all.last(), Some(&Event::State(State::Done)));
    }
}
