//! What a worker has stored because this client was away: read through a launcher, opened, and held against what
//! was sent.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use subrosa_protocol::{
    id::{JobId, Sha256Hash},
    session::client::{OptionsError, Stored, StoredResult},
    wire::ErrorMember,
};
use subrosa_transport::now_ms;

use super::{Driver, Over, Session, Taken};
use crate::{Event, JobError, State, UntrustedWorker, client::Shared, launcher::JobState};

/// How long a launcher may take to hand out one message.
const PATIENCE: Duration = Duration::from_secs(10);

/// The two messages: N with an `options`, and a `done`.
pub(super) type Messages = (Bytes, Bytes);

/// Reads both messages, if a job in this state may have any.
pub(super) async fn read(
    client: &Shared,
    job: &JobId,
    token: &Sha256Hash,
    state: &JobState,
) -> Option<Messages> {
    if !matches!(state.state.as_str(), "finished" | "failed") {
        return None;
    }
    let message = |number| client.launchers.stored(job, token, number, PATIENCE);
    let opening = message(0).await.ok()?;
    Some((opening, message(1).await.ok()?))
}

impl Driver {
    /// SHA-256(t), which reads what is stored: if a worker has the payload, and its result is not here.
    pub(super) fn reads_stored(&self) -> Option<Sha256Hash> {
        let waits = self.inputs.is_some() && !matches!(self.session, Session::Status(..));
        waits.then(|| Sha256Hash::of_secret(self.tokens.close.expose()))
    }

    /// Takes a stored result. What does not open is ignored like any message that does not.
    pub(super) fn take_stored(&mut self, (opening, done): Messages) -> Result<Option<Over>, JobError> {
        let Some(inputs) = self.inputs.clone().filter(|_| self.reads_stored().is_some()) else {
            return Ok(None);
        };
        let trust = self.client.trust.get();
        match self.launched.open_stored(&opening, done.into(), &inputs, &trust, now_ms()) {
            Ok(Stored::Result(StoredResult { opened, receipt, worker, attempt })) => {
                self.worker = Some((worker, attempt.get()));
                self.timings.done = self.since_launch();
                self.session = Session::None;
                self.reporter.report(Event::State(State::Done));
                Ok(Some(Over::Result(None, Taken { opened: Arc::new(opened), receipt })))
            }
            Ok(Stored::Unproven(error)) => Err(JobError::Receipt(error)),
            Ok(Stored::Failed(ErrorMember { code, message })) => Err(JobError::Worker { code, message }),
            Err(OptionsError::Untrusted { worker, reason, .. }) => {
                self.distrust(UntrustedWorker { worker, reason });
                Ok(None)
            }
            Err(error) => {
                tracing::debug!(%error, "a stored result was dropped");
                Ok(None)
            }
        }
    }
}
