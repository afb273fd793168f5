//! Carrying out the delivery rules for what the queue delivers.

use subrosa_protocol::{
    delivery::{Delivered, Ending, Holder, OnDelivery, Probe, deliver},
    id::{Attempt, JobId},
    launch::{LaunchRequest, Signers},
    record::Event,
    refusal::Code,
};
use subrosa_transport::{Delivery, HistoryError, RequestError, now_ms, probe};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::{
    Function,
    attempt::{self, Outcome},
    process::{Seen, Shared, Written, short},
};

/// A delivery that could not be dealt with now.
#[derive(Debug, Error)]
enum DeliveryError {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// A launch request, and what the worker's own checks say of it.
pub(crate) struct Checked {
    /// Whether it is the job that was asked for, be it acceptable or not.
    is_the_job: bool,
    request: Option<LaunchRequest>,
    signers: Result<Signers, Code>,
}

impl Checked {
    /// Checks a launch request for `job`.
    pub(crate) fn new(process: &Shared, bytes: &[u8], job: &JobId) -> Self {
        match LaunchRequest::parse(bytes, &process.namespace) {
            Ok(request) => {
                let is_the_job = request.job().id() == job && *request.job().worker() == process.name;
                let signers = match request.job().description().psk_id {
                    Some(_) => Err(Code::PskUnavailable),
                    None if !is_the_job => Err(Code::BadRequest),
                    None => request.verify().map_err(|error| error.code()),
                };
                Self { is_the_job, request: Some(request), signers }
            }
            Err(error) => {
                let is_the_job = LaunchRequest::job_id(bytes).as_ref() == Some(job);
                Self { is_the_job, request: None, signers: Err(error.code()) }
            }
        }
    }

    /// The request and its signers, if the worker may run it.
    pub(crate) fn accepted(self) -> Result<(LaunchRequest, Signers), Code> {
        match (self.request, self.signers) {
            (Some(request), Ok(signers)) => Ok((request, signers)),
            (_, Err(code)) => Err(code),
            (None, Ok(_)) => Err(Code::BadRequest),
        }
    }
}

/// Deals with one delivery, to the end of the job if this process takes it.
pub(crate) async fn receive(
    process: &Shared,
    function: &Function,
    delivery: Delivery,
    draining: &CancellationToken,
    ack_wait: std::time::Duration,
) {
    let Some(job) = delivery.subject.rsplit('.').next().and_then(|token| token.parse().ok()) else {
        delivery.acker.ack().await;
        return;
    };
    if let Err(error) = decide(process, function, &job, &delivery, draining, ack_wait).await {
        tracing::warn!(job = short(&job), %error, "a delivery is given back");
        delivery.acker.nak(ack_wait).await;
    }
}

async fn decide(
    process: &Shared,
    function: &Function,
    job: &JobId,
    delivery: &Delivery,
    draining: &CancellationToken,
    ack_wait: std::time::Duration,
) -> Result<(), DeliveryError> {
    let checked = Checked::new(process, &delivery.payload, job);
    let acker = &delivery.acker;
    let mut seen = process.look(job, 0).await?;
    let mut known = Probe::NotAsked;
    loop {
        let description = checked.request.as_ref().map(|request| request.job());
        let view = Delivered {
            last: &seen.last,
            is_the_job: checked.is_the_job,
            held_here: process.held.holds_any(job),
            probe: known,
            refusal: checked.signers.as_ref().err().copied(),
            expired: description.is_some_and(|job| job.expired(now_ms())),
            max_attempts: description.map_or(0, |job| job.description().max_attempts),
        };
        match deliver(&view) {
            OnDelivery::Nak => acker.nak(ack_wait).await,
            OnDelivery::Ack => acker.ack().await,
            OnDelivery::GoOn => {
                process.held.redeliver(job, acker);
            }
            OnDelivery::AskAlive(holder) => {
                let patience = process.timing.probe;
                let asked = probe(
                    &process.connection,
                    &process.namespace,
                    &process.name,
                    job,
                    &holder,
                    patience,
                    acker,
                )
                .await?;
                let again = process.look(job, 0).await?;
                known = if again.last.hash() == seen.last.hash() { asked } else { Probe::NotAsked };
                seen = again;
                continue;
            }
            OnDelivery::End(ending) => match end(process, job, &seen, ending).await? {
                Written::Won(record) => {
                    if let Some(request) = &checked.request {
                        process.tell_ended(request.job(), &record).await;
                    }
                    acker.ack().await;
                }
                Written::Lost(last) => {
                    (seen, known) = (last, Probe::NotAsked);
                    continue;
                }
            },
            OnDelivery::Take(number) => {
                match claim(process, job, &seen, number, Some(acker.clone())).await? {
                    Taken::Won { holder, record, hold } => {
                        let Ok((request, signers)) = checked.accepted() else { return Ok(()) };
                        tracing::info!(job = short(job), attempt = number.get(), "job taken");
                        let line = hold.line.clone();
                        let work = (request.job().clone(), signers);
                        let outcome =
                            attempt::run(process, function, work, (holder, record), hold, draining.clone())
                                .await;
                        tracing::info!(job = short(job), attempt = number.get(), ?outcome, "job left");
                        // The newest delivery is the one to acknowledge.
                        let acker = line.borrow().acker.clone();
                        settle(outcome, acker.as_ref()).await;
                    }
                    Taken::Lost(last) => {
                        (seen, known) = (last, Probe::NotAsked);
                        continue;
                    }
                    Taken::Held => continue,
                }
            }
        }
        return Ok(());
    }
}

/// What becomes of the message. A worker acks only what it has seen to be ended, `finished` or absent.
async fn settle(outcome: Outcome, acker: Option<&subrosa_transport::Acker>) {
    let Some(acker) = acker else { return };
    match outcome {
        Outcome::Closed | Outcome::Failed | Outcome::Ended => acker.ack().await,
        Outcome::LetGo => acker.nak(std::time::Duration::ZERO).await,
        Outcome::Overtaken => {}
    }
}

async fn end(process: &Shared, job: &JobId, seen: &Seen, ending: Ending) -> Result<Written, HistoryError> {
    process.write(job, seen.last.attempt(), seen.stored.as_ref(), ending.into_event()).await
}

/// What became of a claim.
pub(crate) enum Taken {
    /// The attempt is this process's.
    Won { holder: Holder, record: subrosa_transport::Stored, hold: crate::held::Hold },
    /// Another process was first.
    Lost(Seen),
    /// Another delivery to this very process was first.
    Held,
}

/// Publishes `taken`, holding the attempt from before that.
pub(crate) async fn claim(
    process: &Shared,
    job: &JobId,
    seen: &Seen,
    attempt: Attempt,
    acker: Option<subrosa_transport::Acker>,
) -> Result<Taken, HistoryError> {
    let Some(hold) = process.held.hold(*job, attempt, acker) else { return Ok(Taken::Held) };
    let event = Event::Taken { instance: process.instance };
    Ok(match process.write(job, attempt.get(), seen.stored.as_ref(), event).await? {
        Written::Won(record) => {
            Taken::Won { holder: Holder { attempt, instance: process.instance }, record, hold }
        }
        Written::Lost(last) => Taken::Lost(last),
    })
}
