//! What a worker has stored because this client was away: read through a launcher, opened, and held against what
//! was sent.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use subrosa_protocol::{
    id::{JobId, Sha256Hash},
    refusal::Code,
    session::client::{OptionsError, Stored, StoredResult},
    wire::ErrorMember,
};
use subrosa_transport::now_ms;
use tokio::time::Instant;

use super::{Driver, Over, Session, Taken};
use crate::{JobError, LaunchError, Parameters, UntrustedWorker, client::Shared, launcher::JobState};

/// How long a launcher may take to hand out one message.
const PATIENCE: Duration = Duration::from_secs(10);

/// The two messages: N with an `options`, and a `done`.
type Messages = (Bytes, Bytes);

/// What is stored of a job.
pub(super) enum Store {
    /// That is not known.
    Unread,
    /// Nothing, as a launcher says.
    Empty,
    /// Both messages.
    Has(Messages),
}

/// Reads both messages, if a job in this state may have any.
pub(super) async fn read(client: &Shared, job: &JobId, token: &Sha256Hash, state: &JobState) -> Store {
    if !matches!(state.state.as_str(), "finished" | "failed") {
        return Store::Unread;
    }
    let message = |number| client.launchers.stored(job, token, number, PATIENCE);
    let messages = async { Ok((message(0).await?, message(1).await?)) };
    match messages.await {
        Ok(messages) => Store::Has(messages),
        Err(LaunchError::Refused { code: Code::NotStored, .. }) => Store::Empty,
        Err(_) => Store::Unread,
    }
}

impl Driver {
    /// SHA-256(t), which reads what is stored: if a worker has the payload, and its result is not here.
    pub(super) fn reads_stored(&self) -> Option<Sha256Hash> {
        let waits =
            self.inputs.is_some() && !matches!(self.session, Session::Status(..) | Session::Stored(..));
        waits.then(|| Sha256Hash::of_secret(self.tokens.close.expose()))
    }

    /// What is missing for long is not there any more: whoever has come back to fetch it is told so.
    pub(super) fn look_for(&mut self, state: &Result<JobState, Code>, stored: &Store) -> Option<Over> {
        let finished = state.as_ref().is_ok_and(|state| state.state == "finished");
        if !(self.resumed && finished && matches!(stored, Store::Empty)) {
            self.missing = None;
            return None;
        }
        let since = *self.missing.get_or_insert_with(Instant::now);
        // Until then it may be a replica that lags, by up to 10 s.
        (since.elapsed() >= 2 * self.client.timing.settle).then_some(Over::Left(JobError::NotStored))
    }

    /// Takes a stored result, which is then judged. What does not open is ignored like any message that does not.
    pub(super) fn take_stored(&mut self, (opening, done): Messages) -> Result<(), JobError> {
        let Some(inputs) = self.inputs.clone().filter(|_| self.reads_stored().is_some()) else {
            return Ok(());
        };
        let (trust, now_ms) = (self.client.trust.get(), now_ms());
        match self.launched.open_stored(&opening, done.into(), &inputs, &trust, now_ms) {
            Ok(Stored::Result(StoredResult { opened, receipt, worker, attempt })) => {
                self.worker = Some((worker, attempt.get()));
                self.voucher = (receipt.cert.clone(), now_ms);
                self.timings.done = self.since_launch();
                if let Err(error) = opened.bytes() {
                    return Err(JobError::Result(error));
                }
                let taken = Taken { opened: Arc::new(opened), receipt: Arc::from(receipt) };
                let handler = self.handlers.status.start(Parameters::result(&taken));
                self.session = Session::Stored(handler, taken);
                Ok(())
            }
            Ok(Stored::Unproven(error)) => Err(JobError::Receipt(error)),
            Ok(Stored::Failed(ErrorMember { code, message })) => Err(JobError::Worker { code, message }),
            Err(OptionsError::Untrusted { worker, reason, .. }) => {
                let worker = UntrustedWorker { worker, reason };
                self.distrust(worker.clone());
                // Whoever has launched the job may see another worker come yet.
                if self.resumed { Err(JobError::Untrusted(worker)) } else { Ok(()) }
            }
            Err(error) => {
                tracing::debug!(%error, "a stored result was dropped");
                Ok(())
            }
        }
    }
}
