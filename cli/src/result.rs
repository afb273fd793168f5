//! `subrosa result`: the result of a job that was left.

use std::{
    future::IntoFuture as _,
    path::{Path, PathBuf},
    pin::pin,
};

use serde_json::json;
use subrosa_client::{HandlerError, Job, JobError, Outcome, Parameters, Receipt, Ticket};
use tokio::sync::{mpsc, oneshot};

use crate::{
    exit::{Exit, Failure},
    interrupt,
    nats::Nats,
    run::{
        receipt::Files,
        show::{Arrived, Show},
        timing,
        whom::Whom,
    },
    ticket::{self, Opening},
};

/// Options of `subrosa result`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ticket's file, as `subrosa run --detach` wrote it; it is removed once it is used
    ticket: PathBuf,
    #[command(flatten)]
    whom: Whom,
    /// Keep the worker's receipt in this new file, its salt in FILE.salt and a certificate in FILE.cert
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Say nothing but the result
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    opening: Opening,
    #[command(flatten)]
    nats: Nats,
}

/// A result that waits to be put away, and who hears that it was.
type Waiting = (Parameters, oneshot::Sender<()>);

/// Waits for the result. Ctrl-C leaves the job as it is, and the ticket.
pub(crate) async fn run(args: Args, as_json: bool) -> Result<(), Failure> {
    let trust = args.whom.trust()?;
    let receipt = args.receipt.as_deref().map(Files::create).transpose()?;
    let ticket = args.opening.open(&args.ticket, &args.nats.namespace)?;
    let told = interrupt::until_told()?;
    let mut told = pin!(told);
    let connect = args.whom.connect(&args.nats, trust).timing(timing(&args.nats));
    let untouched = |told: Failure| told.context("the ticket is as good as before").reporting(json!({}));
    let client = tokio::select! {
        client = connect.reply_token(ticket.reply_token()).into_future() => client?,
        told = &mut told => return Err(untouched(told)),
    };
    let show = Show::new(as_json, args.quiet);
    let ended = tokio::select! {
        ended = fetch(&client, ticket, &show, receipt) => ended,
        told = told => Err(Over::Ticket(untouched(told))),
    };
    // The launcher is shown that the result is here, and what is stored goes.
    let closed = client.close().await;
    match ended {
        Ok(kept) if !closed => kept.and(Err(not_closed())),
        Ok(kept) => ticket::remove(&args.ticket).and(kept),
        Err(Over::Used(failure)) => Err(used(failure, &args.ticket)),
        Err(Over::Ticket(failure)) => Err(failure),
    }
}

/// Why there is no result.
enum Over {
    /// The job has none, or none any more.
    Used(Failure),
    /// The ticket may still be good for one.
    Ticket(Failure),
}

/// The result was printed, but its job would fail with nobody to close it.
fn not_closed() -> Failure {
    let text = "no launcher has closed the job yet: the ticket stays, to be used once more before the result is gone";
    Failure::because(Exit::Unreachable, text)
}

fn used(failure: Failure, ticket: &Path) -> Failure {
    match ticket::remove(ticket) {
        Ok(()) => failure,
        Err(other) => failure.context(format!("{:#}", other.error)),
    }
}

/// Fetches the result and puts it away. What is returned is what became of its receipt.
async fn fetch(
    client: &subrosa_client::Client,
    ticket: Ticket,
    show: &Show,
    receipt: Option<Files>,
) -> Result<Result<(), Failure>, Over> {
    let id = *ticket.job();
    let (given, results) = mpsc::channel(1);
    let job = client.ticket(ticket).status(move |result| hand_over(given.clone(), result)).resume();
    let job = job.await.map_err(|error| Over::Ticket(error.into()))?;
    show.launched(&id);
    put_away(job, results, show, receipt).await
}

/// Answers only when the result was put away. What was not stays where it is.
async fn hand_over(given: mpsc::Sender<Waiting>, result: Parameters) -> Result<(), HandlerError> {
    let (taken, is_taken) = oneshot::channel();
    let handed = given.send((result, taken)).await.is_ok();
    if handed && is_taken.await.is_ok() { Ok(()) } else { std::future::pending().await }
}

async fn put_away(
    mut job: Job,
    mut results: mpsc::Receiver<Waiting>,
    show: &Show,
    mut receipt: Option<Files>,
) -> Result<Result<(), Failure>, Over> {
    let id = *job.id();
    let mut events = job.events();
    let outcome = job.result_bytes();
    tokio::pin!(outcome);
    let mut kept = Ok(());
    let ended: Result<Outcome<Vec<u8>>, JobError> = loop {
        tokio::select! {
            biased;
            Some(event) = events.next() => show.event(&event),
            Some((result, taken)) = results.recv() => {
                // A result that is here is shown, whatever becomes of its receipt.
                kept = keep(&result, receipt.take());
                print(&id, &result, show).map_err(Over::Ticket)?;
                let _ = taken.send(());
            }
            ended = &mut outcome => break ended,
        }
    };
    show.over();
    ended.map(|_| kept).map_err(|error| {
        let used = uses_up(&error);
        let taken = matches!(&error, JobError::Ended { state, .. } if state == "closed");
        let mut failure = Failure::from(error).reporting(json!({ "job": id }));
        if taken {
            failure = failure.context("the result was fetched before: a ticket is good for one result");
        }
        if used { Over::Used(failure) } else { Over::Ticket(failure) }
    })
}

/// Whether the job has ended, so that its ticket will never open anything.
fn uses_up(error: &JobError) -> bool {
    matches!(
        error,
        JobError::Worker { .. }
            | JobError::Receipt(_)
            | JobError::Result(_)
            | JobError::Ended { .. }
            | JobError::Cancelled { .. }
    )
}

fn keep(result: &Parameters, files: Option<Files>) -> Result<(), Failure> {
    match (files, result.receipt()) {
        (Some(files), Some(receipt)) => files.keep(receipt),
        _ => Ok(()),
    }
}

fn print(id: &subrosa_client::JobId, result: &Parameters, show: &Show) -> Result<(), Failure> {
    let receipt = result.receipt().map(|receipt| Receipt::verify(&receipt.jws)).transpose();
    let receipt = receipt.map_err(|error| Failure::new(Exit::Failure, error))?;
    let Some((receipt, worker)) = receipt else { return Ok(()) };
    let (worker, attempt) = (worker.thumbprint(), receipt.attempt.get());
    show.result(id, Arrived { value: result.bytes(), worker, attempt, timings: None })
}
