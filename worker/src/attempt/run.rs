//! Running the function of one attempt, and watching over it meanwhile.

use std::{sync::Arc, time::Duration};

use rand::{rand_core::UnwrapErr, rngs::SysRng};
use subrosa_protocol::{
    delivery::{AfterLost, Holder, Look, Outcome, ending_lost},
    job::Job,
    launch::Signers,
    record::{Event, Reason},
    refusal::{Code, StepCode},
    session::worker::{Offer, Setup, SetupError},
    wire::ErrorMember,
};
use subrosa_transport::{Stored, trace};
use tokio::{
    sync::watch,
    time::{Instant, interval_at, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{Attempt, Interrupt};
use crate::{
    Failure, Function,
    held::{Hold, Line},
    job::{self, Done},
    panics,
    process::{Shared, Written},
};

/// Runs the function for an attempt whose `taken` is accepted, to its recorded end.
pub(crate) async fn run(
    process: &Shared,
    function: &Function,
    work: (Job, Signers),
    held: (Holder, Stored),
    hold: Hold,
    draining: CancellationToken,
) -> Outcome {
    let _runs = process.numbers.runs();
    let outcome = run_held(process, function, work, held, hold, draining).await;
    process.numbers.left(outcome);
    outcome
}

async fn run_held(
    process: &Shared,
    function: &Function,
    (job, signers): (Job, Signers),
    (holder, taken): (Holder, Stored),
    hold: Hold,
    draining: CancellationToken,
) -> Outcome {
    let cert = process.cert.get();
    let setup = Setup {
        job: &job,
        signers: &signers,
        attempt: holder.attempt,
        identity: &process.identity,
        cert: cert.as_deref(),
        instance: holder.instance,
        max_envelope_bytes: process.connection.max_payload(),
    };
    let offer = match Offer::new(&setup, &mut UnwrapErr(SysRng)) {
        Ok(offer) => offer,
        Err(error) => return refuse(process, &job, &taken, holder, error).await,
    };
    let attempt = Arc::new(Attempt::new(process.clone(), job, signers, holder, taken, offer));
    hold.works(&attempt);
    // Aborted with this future: nobody keeps a message whose attempt nobody runs.
    let _keeper = AbortOnDropHandle::new(tokio::spawn(keep(attempt.clone(), hold.line.clone(), draining)));
    let failure = work(&attempt, function).await;
    if let Some(error) = &failure
        && attempt.interrupted().is_none()
    {
        attempt.fail(error.clone()).await;
    }
    attempt.conclude(failure.as_ref()).await
}

/// The client's key is none: there is nothing to agree with.
async fn refuse(process: &Shared, job: &Job, taken: &Stored, holder: Holder, error: SetupError) -> Outcome {
    let code = match error {
        SetupError::PskUnavailable => Code::PskUnavailable,
        _ => Code::BadRequest,
    };
    let event = Event::Failed(Reason::new(code.word(), &error.to_string()));
    match process.write(job.id(), holder.attempt.get(), Some(taken), event).await {
        Ok(Written::Won(record)) => {
            process.tell_ended(job, &record).await;
            Outcome::Failed
        }
        Ok(Written::Lost(seen)) => match ending_lost(&seen.last, &holder, &taken.hash()) {
            AfterLost::Leave(outcome) => outcome,
            AfterLost::Again => Outcome::LetGo,
        },
        Err(_) => Outcome::LetGo,
    }
}

/// Runs the function until it returns, fails, takes too long, or is of no more use.
async fn work(attempt: &Arc<Attempt>, function: &Function) -> Option<ErrorMember> {
    let (function, job) = (function.clone(), job::Job::new(attempt.clone()));
    // Called on its own task: what it does before its first await may panic or take long as well.
    let mut task = attempt.process.functions.spawn(trace::carry(async move { function(job).await }));
    let mut interrupt = attempt.interrupt.subscribe();
    let limit = Duration::from_millis(attempt.job.description().timeout_ms);
    let patience = 2 * (attempt.process.timing.options + attempt.process.timing.ready);
    let failure = tokio::select! {
        joined = &mut task => return verdict(joined),
        _ = async { interrupt.wait_for(Option::is_some).await.is_ok() } => None,
        () = run_limit(attempt.payload_arrived.subscribe(), limit) => {
            let text = format!("{} ran longer than its timeout of {limit:?}", attempt.name());
            Some(ErrorMember::new(StepCode::Timeout, text))
        }
        () = never_asked(attempt.payload_arrived.subscribe(), patience) => {
            let name = attempt.name();
            let text = format!("in {name}, the worker's function did not ask for the payload within {patience:?}");
            Some(ErrorMember::new(StepCode::Timeout, text))
        }
    };
    // The function is dropped at its next await. What it runs elsewhere has to watch the token.
    attempt.cancelled.cancel();
    task.abort();
    failure
}

/// Passes when the payload has not arrived long after both of the client's answers were due: the function
/// does not ask for it.
async fn never_asked(mut arrived: watch::Receiver<Option<Instant>>, limit: Duration) {
    if timeout(limit, async { arrived.wait_for(Option::is_some).await.is_ok() }).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// Passes when the run has taken longer than allowed, counted from the payload's arrival.
async fn run_limit(mut arrived: watch::Receiver<Option<Instant>>, limit: Duration) {
    let at = arrived.wait_for(Option::is_some).await.ok().and_then(|at| *at);
    match at {
        Some(at) => sleep_until(at + limit).await,
        // The attempt is gone, and with it who waits here.
        None => std::future::pending().await,
    }
}

fn verdict(joined: Result<Result<Done, Failure>, tokio::task::JoinError>) -> Option<ErrorMember> {
    match joined {
        Ok(Ok(_)) => None,
        Ok(Err(failure)) => Some(failure.into_member()),
        Err(error) => {
            let message = match error.try_into_panic() {
                Ok(payload) => panics::message(&*payload),
                Err(_) => "the worker's function was stopped".to_owned(),
            };
            Some(ErrorMember::new(StepCode::HandlerFailed, message))
        }
    }
}

/// Looks at the last record now and then, and keeps the message as long as the attempt is ours.
async fn keep(attempt: Arc<Attempt>, line: watch::Receiver<Line>, draining: CancellationToken) {
    let mut shown = line.clone();
    let every = attempt.process.timing.look;
    let mut looks = interval_at(Instant::now() + every, every);
    let drained = async {
        draining.cancelled().await;
        sleep(attempt.process.timing.drain).await;
    };
    tokio::pin!(drained);
    loop {
        tokio::select! {
            _ = looks.tick() => if attempt.look().await == Some(Look::Keep) {
                let acker = line.borrow().acker.clone();
                if let Some(acker) = acker {
                    acker.in_progress().await;
                }
            },
            true = async { shown.wait_for(|line| line.ended).await.is_ok() } => {
                attempt.interrupt(Interrupt::Ended);
                return;
            }
            () = &mut drained => {
                attempt.drain();
                return;
            }
        }
    }
}
