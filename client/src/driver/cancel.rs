//! Cancelling a job: over its session if there is one, and by the launcher.

use std::time::Duration;

use bytes::Bytes;
use subrosa_protocol::{
    id::{Instance, JobId, WorkerName},
    session::client::{AwaitCancelled, Cancel},
    subject::{Control, ENDED, Service},
};
use subrosa_transport::Backoff;
use tokio::time::{Instant, sleep_until};

use super::{Driver, Session, Tokens};
use crate::{JobError, client::Shared, dispatch::Mail, launcher::JobState};

/// The first wait before a `cancel` is sent again; it doubles.
const RESEND: Duration = Duration::from_secs(1);
/// How long a launcher may take to say that the job has ended; meanwhile nothing is sent again.
const HINT: Duration = Duration::from_secs(2);
/// How long a launcher may take to end it.
const LAUNCHER: Duration = Duration::from_secs(10);

/// A job that this client cancels. Its keys are overwritten but for those of the session, which go with the
/// answer.
pub(super) struct Cancelling {
    pub(super) tokens: Tokens,
    job: JobId,
    worker: WorkerName,
    session: Option<(Instance, Cancel)>,
}

impl Driver {
    /// The job is over for this client. Only its tokens stay, and what it has yet to say to the worker.
    pub(super) fn into_cancelling(self) -> Cancelling {
        let (job, worker) = (self.id(), self.launched.job().worker().clone());
        let sealed = self.session.cancel(*self.tokens.cancel.expose());
        Cancelling { tokens: self.tokens, job, worker, session: self.instance.zip(sealed) }
    }
}

impl Session {
    /// Seals `cancel`; nothing if no session is live.
    fn cancel(self, token: [u8; 32]) -> Option<Cancel> {
        let sealed = match self {
            Self::None | Self::Stored(..) => return None,
            Self::Options(state, _) => state.cancel(token),
            Self::Ready(state) => state.cancel(token),
            Self::Payload(state, _) => state.cancel(token),
            Self::Done(state) => state.cancel(token),
            Self::Status(state, ..) => state.cancel(token),
        };
        sealed.ok()
    }
}

impl Cancelling {
    /// Tells the worker, and without an end in time, or without a worker, the launcher. Whether the end is
    /// known, and how the job has ended for the application.
    pub(super) async fn run(&mut self, client: &Shared, mail: &mut Mail) -> (bool, JobError) {
        let mut end = None;
        if let Some((instance, cancel)) = self.session.take() {
            end = self.tell_worker(client, mail, &instance, cancel).await;
        }
        if end.is_none() {
            let token = self.tokens.cancel.expose();
            let shown = client.launchers.show(Service::Cancel, &self.job, token, LAUNCHER).await;
            end = shown.ok().filter(JobState::is_end);
        }
        (end.is_some(), end.map_or(JobError::Cancelled { reason: None }, ended))
    }

    /// Sends `cancel` until it is answered. The end, if the job comes to one in time.
    async fn tell_worker(
        &self,
        client: &Shared,
        mail: &mut Mail,
        instance: &Instance,
        Cancel { next, envelope }: Cancel,
    ) -> Option<JobState> {
        let namespace = client.launchers.namespace();
        let subject = namespace.control(&self.worker, instance, &self.job, Control::Cancel);
        let envelope = Bytes::from(envelope);
        let mut inbox = client.connection.inbox();
        let mut waiting: Option<AwaitCancelled> = Some(next);
        let mut again = Backoff::new(RESEND, client.timing.cancel);
        let (mut resend, until) = (Instant::now(), Instant::now() + client.timing.cancel);
        loop {
            tokio::select! {
                // The worker is told before anybody's hints are followed.
                biased;
                () = sleep_until(until) => return None,
                () = sleep_until(resend), if waiting.is_some() => {
                    resend = Instant::now() + again.next_delay();
                    let reply = inbox.subject().to_owned();
                    let sent = client.connection.publish(&subject, Some(&reply), envelope.clone()).await;
                    if let Err(error) = sent {
                        tracing::debug!(%error, "a cancel was not sent");
                    }
                }
                Some(answer) = inbox.next() => if answer.status.is_none() && let Some(state) = waiting.take() {
                    waiting = state.receive(answer.payload.into()).err().map(|dropped| dropped.session);
                },
                message = mail.next() => match message {
                    None => return None,
                    // Only a hint to ask for the state.
                    Some(message) if message.kind == ENDED => {
                        let asked = client.launchers.status(&self.job, HINT).await;
                        if let Some(state) = asked.ok().filter(JobState::is_end) {
                            return Some(state);
                        }
                    }
                    Some(_) => {}
                },
            }
        }
    }
}

/// How an end is reported.
pub(super) fn ended(state: JobState) -> JobError {
    match state.state.as_str() {
        "cancelled" => JobError::Cancelled { reason: state.reason },
        _ => JobError::Ended { state: state.state, code: state.code, reason: state.reason },
    }
}
