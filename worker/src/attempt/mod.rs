//! One attempt at a job: its session, its record, and the function that runs.

mod finish;
mod run;
mod stage;
mod steps;

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use subrosa_protocol::{
    delivery::{Holder, Stopped},
    job::Job,
    launch::Signers,
    record::Times,
    session::{PeerError, worker::Offer},
    wire::{Event, Kind},
};
use subrosa_transport::{HeaderMap, Stored};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::run::run;
use self::stage::Stage;
use crate::{numbers::Timed, process::Shared};

/// Messages that are sealed and not yet published.
const OUTBOX: usize = 256;

/// Why an attempt is no longer worked on.
#[derive(Clone, Debug)]
pub(crate) enum Interrupt {
    /// Another process has taken over, or the record of this attempt is gone.
    Overtaken,
    /// The job has ended.
    Ended,
    /// The client did not answer this step in so much time.
    ClientGone(Kind, Duration),
    /// The client answered with an error.
    Client(PeerError),
    /// The history cannot be written.
    Unrecorded,
    /// This process is about to end.
    Draining,
}

impl Interrupt {
    /// As the delivery rules see it.
    fn stopped(&self) -> Stopped {
        match self {
            Self::Overtaken => Stopped::Overtaken,
            Self::Ended => Stopped::Ended,
            Self::ClientGone(..) => Stopped::ClientGone,
            Self::Client(_) => Stopped::ClientFailed,
            Self::Unrecorded => Stopped::Unrecorded,
            Self::Draining => Stopped::Draining,
        }
    }
}

/// An attempt, shared by the function's handle and the task that runs it.
pub(crate) struct Attempt {
    pub(crate) process: Shared,
    pub(crate) job: Job,
    pub(crate) signers: Signers,
    pub(crate) holder: Holder,
    /// Cancelled when the function's work is of no more use.
    pub(crate) cancelled: CancellationToken,
    stage: Mutex<Stage>,
    state: Mutex<State>,
    outbox: mpsc::Sender<Outgoing>,
    interrupt: watch::Sender<Option<Interrupt>>,
    /// Whether this process is about to end, whatever else has stopped the work before.
    draining: AtomicBool,
    payload_arrived: watch::Sender<Option<Instant>>,
}

/// What changes as the attempt goes on, beside the session.
struct State {
    /// The job's last record, as far as this process knows.
    last: Stored,
    looked: Instant,
    times: Times,
    /// The step that is not answered yet.
    outstanding: Option<(Kind, Bytes)>,
    /// The function works on the payload.
    run: Option<Timed>,
}

/// A sealed message, on its way out.
struct Outgoing {
    kind: Kind,
    envelope: Bytes,
    reply: Option<String>,
    /// Which trace it belongs to.
    headers: Option<HeaderMap>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Attempt {
    /// An attempt whose `taken` is accepted, and the task that publishes what it seals.
    fn new(process: Shared, job: Job, signers: Signers, holder: Holder, taken: Stored, offer: Offer) -> Self {
        let (outbox, outgoing) = mpsc::channel(OUTBOX);
        tokio::spawn(publish(process.clone(), job.clone(), outgoing));
        let now = Instant::now();
        let times = Times { taken_ms: steps::now(), ..Times::default() };
        Self {
            process,
            job,
            signers,
            holder,
            cancelled: CancellationToken::new(),
            stage: Mutex::new(Stage::Offer(offer)),
            state: Mutex::new(State { last: taken, looked: now, times, outstanding: None, run: None }),
            outbox,
            interrupt: watch::Sender::new(None),
            draining: AtomicBool::new(false),
            payload_arrived: watch::Sender::new(None),
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        lock(&self.stage)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Stops the work. The first reason stays.
    fn interrupt(&self, reason: Interrupt) {
        self.interrupt.send_if_modified(|current| {
            let first = current.is_none();
            current.get_or_insert(reason);
            first
        });
        self.cancelled.cancel();
    }

    /// Stops the work, and what is left to do after it: this process is about to end.
    fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.interrupt(Interrupt::Draining);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Stops the work, if this is the client's `cancel`. The answer to it, again if it comes again.
    pub(crate) fn cancel(&self, envelope: &[u8]) -> Option<Bytes> {
        let answer = self.stage().cancel(envelope)?;
        // The function is dropped, and the end that is recorded is the stage's.
        self.interrupt(Interrupt::Ended);
        Some(answer.into())
    }

    /// Which attempt this is, for people: "attempt 2 of 3".
    fn name(&self) -> String {
        format!("attempt {} of {}", self.holder.attempt, self.job.description().max_attempts)
    }

    fn interrupted(&self) -> Option<Interrupt> {
        self.interrupt.borrow().clone()
    }

    /// Seals an event and hands it out, unless more is waiting than can be published: events may get
    /// lost, and no number is used up by one that is not sealed.
    pub(crate) fn report(&self, event: Event) {
        let Ok(place) = self.outbox.try_reserve() else { return };
        let mut stage = self.stage();
        let sealed = match &mut *stage {
            Stage::HasOptions(state) => state.event(event),
            Stage::AwaitPayload(state) => state.event(event),
            Stage::HasPayload(state) => state.event(event),
            _ => return,
        };
        // While the stage is locked, so that records are published in the order of their numbers.
        match sealed {
            Ok(envelope) => {
                let (kind, envelope) = (Kind::Event, envelope.into());
                place.send(Outgoing { kind, envelope, reply: None, headers: None });
            }
            Err(error) => tracing::debug!(%error, "an event was not sealed"),
        }
    }
}

/// Publishes what an attempt seals, in that order.
async fn publish(process: Shared, job: Job, mut outgoing: mpsc::Receiver<Outgoing>) {
    while let Some(Outgoing { kind, envelope, reply, headers }) = outgoing.recv().await {
        let Some(token) = kind.token() else { continue };
        let subject = job.description().reply.subject(job.id(), token);
        let sent =
            process.connection.publish_with_headers(&subject, reply.as_deref(), headers, envelope).await;
        if let Err(error) = sent {
            tracing::debug!(%error, "a message was not published");
        }
    }
}
