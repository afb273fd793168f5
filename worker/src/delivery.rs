//! Carrying out the delivery rules for what the queue delivers.

use subrosa_protocol::{
    delivery::{Delivered, Ending, Holder, Last, OnDelivery, Probe, Settle, after_probe, deliver, settle},
    id::{Attempt, JobId},
    identity::Trust,
    launch::Checked,
    policy::{Policy, TooFew},
    record::Event,
    refusal::Code,
    subject::job_in,
};
use subrosa_transport::{
    Delivery, Found, HistoryError, RequestError, now_ms, probe,
    trace::{self, TARGET},
};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::{
    Function, attempt,
    process::{Process, Seen, Shared, Written, short},
};

/// A delivery that could not be dealt with now.
#[derive(Debug, Error)]
enum DeliveryError {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// Why the worker would refuse the request, if it would, as trust and policy are now; else what is to be said
/// when it runs the job all the same.
fn check(checked: &Checked, policy: &Policy, trust: &Trust) -> Result<Option<TooFew>, Code> {
    match checked.job() {
        // Before the signatures, which take more time.
        Some(job) if job.description().psk_id.is_some() => Err(Code::PskUnavailable),
        _ => checked.check(policy, trust),
    }
}

impl Process {
    /// Checks a request by the worker's own rules.
    pub(crate) fn check(&self, checked: &Checked) -> Result<Option<TooFew>, Code> {
        check(checked, &self.policy.get(), &self.trust.get())
    }
}

/// Says that a job runs which would be refused if the policy were enforced.
pub(crate) fn warn(job: &JobId, warning: Option<TooFew>) {
    if let Some(TooFew { needed, found }) = warning {
        tracing::warn!(job = short(job), needed, found, "UNAUTHORIZED job runs: the policy only warns");
    }
}

/// What a worker of this name says to a launch request that is delivered as `job`.
///
/// # Errors
///
/// The code that it refuses with.
#[cfg(feature = "fuzzing")]
pub fn verdict(
    bytes: &[u8],
    job: &JobId,
    name: &subrosa_protocol::id::WorkerName,
    namespace: &subrosa_protocol::subject::Namespace,
) -> Result<(), Code> {
    let checked = Checked::new(bytes, job, name, namespace);
    check(&checked, &Policy::anyone(), &Trust::default()).map(|_| ())
}

/// Deals with one delivery, to the end of the job if this process takes it.
pub(crate) async fn receive(
    process: &Shared,
    function: &Function,
    delivery: Delivery,
    draining: &CancellationToken,
    ack_wait: std::time::Duration,
) {
    let Some(job) = job_in(&delivery.subject) else {
        process.refused.count(Code::BadRequest.word());
        return delivery.acker.ack().await;
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
    let checked = Checked::new(&delivery.payload, job, &process.name, &process.namespace);
    let acker = &delivery.acker;
    // A rule of its own, so that nothing is read for what anyone may have put there.
    if !checked.is_the_job() {
        process.refused.count(checked.request().err().unwrap_or(Code::BadRequest).word());
        acker.ack().await;
        return Ok(());
    }
    let mut seen = match process.absences.look(&process.history, &process.name, job).await? {
        Found::Last(stored) => process.judge(job, stored),
        Found::NotYet(delay) => {
            acker.nak(delay).await;
            return Ok(());
        }
    };
    let mut known = Probe::NotAsked;
    loop {
        let description = checked.job();
        let verdict = if seen.last.may_be_taken() { process.check(&checked) } else { Ok(None) };
        let view = Delivered {
            last: &seen.last,
            is_the_job: true,
            held_here: process.held.holds_any(job),
            probe: known,
            refusal: verdict.err(),
            expired: description.is_some_and(|job| job.expired(now_ms())),
            max_attempts: description.map_or(0, |job| job.description().max_attempts),
        };
        let decided = deliver(&view);
        let now = now_ms();
        let until = match &decided {
            OnDelivery::End(_) => Some(now),
            // What is taken has to be ended too, however long it runs.
            OnDelivery::Take(_) => {
                Some(now.saturating_add(description.map_or(0, |job| job.description().timeout_ms)))
            }
            _ => None,
        };
        if let Some(until) = until
            && let Err(reason) = process.may_follow(seen.stored.as_ref(), until)
        {
            tracing::error!(job = short(job), %reason, "NOT TAKEN: this worker's records would not count");
            acker.nak(ack_wait).await;
            return Ok(());
        }
        match decided {
            OnDelivery::Nak => acker.nak(ack_wait).await,
            OnDelivery::Ack => {
                if seen.last == Last::Absent {
                    process.refused.count(Code::UnknownJob.word());
                }
                acker.ack().await;
            }
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
                known = after_probe(&seen.last, &again.last, asked);
                seen = again;
                continue;
            }
            OnDelivery::End(ending) => match end(process, job, &seen, ending).await? {
                Written::Won(record) => {
                    if let Err(refusal) = verdict {
                        process.refused.count(refusal.word());
                    }
                    if let Some(job) = checked.job() {
                        process.tell_ended(job, &record).await;
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
                        let Ok((request, signers)) = checked.into_signed() else { return Ok(()) };
                        warn(job, verdict.ok().flatten());
                        tracing::info!(job = short(job), attempt = number.get(), "job taken");
                        process.numbers.taken(number.get(), delivery);
                        let line = hold.line.clone();
                        let work = (request.job().clone(), signers);
                        let span = tracing::debug_span!(
                            target: TARGET, "attempt", job = short(job), attempt = number.get()
                        );
                        let run = async {
                            if let Some(told) = delivery.told {
                                trace::past("queue", told.stored_ms);
                            }
                            attempt::run(process, function, work, (holder, record), hold, draining.clone())
                                .await
                        };
                        let outcome = trace::within(delivery.trace.clone(), span, run).await;
                        tracing::info!(job = short(job), attempt = number.get(), ?outcome, "job left");
                        // The newest delivery is the one to acknowledge.
                        let acker = line.borrow().acker.clone();
                        carry_out(settle(outcome), acker.as_ref()).await;
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

async fn carry_out(settle: Settle, acker: Option<&subrosa_transport::Acker>) {
    let Some(acker) = acker else { return };
    match settle {
        Settle::Ack => acker.ack().await,
        Settle::Nak => acker.nak(std::time::Duration::ZERO).await,
        Settle::Nothing => {}
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
