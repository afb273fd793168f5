//! The client: one job, whose handlers end it as the test wants.

use std::{path::PathBuf, time::Duration};

use clap::ValueEnum;
use subrosa_client::{Bytes, Client, HandlerError, Timing, Trust};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use crate::body;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The server.
    url: String,
    /// Whom to trust.
    trust: PathBuf,
    /// The worker's name.
    worker: String,
    /// Where the function is to go.
    gate: String,
    /// The handler that ends the job.
    #[arg(long)]
    breaks: Option<Handler>,
    /// In which way.
    #[arg(long, default_value = "fails")]
    how: How,
    /// It leaves the job once that runs, and drops the ticket.
    #[arg(long)]
    leaves: bool,
    /// How long an attempt may run.
    #[arg(long, default_value_t = 600_000)]
    timeout_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Handler {
    Options,
    Payload,
    Status,
}

#[derive(Clone, Copy, ValueEnum)]
enum How {
    Fails,
    Panics,
    Hangs,
}

/// Says "over" when the job is over for the application, and "forgotten" when nothing is kept of it any more.
/// The process stays, so that the test can look into its memory. SIGUSR1 makes it drop the job's handle,
/// SIGUSR2 cancel the job.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut give_up = signal(SignalKind::user_defined1())?;
    let mut cancel = signal(SignalKind::user_defined2())?;
    let mut timing = Timing::default();
    // A token is shown only if the job's end is not learnt otherwise, and then before the test gives up.
    timing.settle = Duration::from_secs(25);
    timing.cancel = Duration::from_secs(25);
    timing.close = Duration::from_secs(600);
    let client = Client::connect(args.url).trust(Trust::from_file(&args.trust)?).timing(timing).await?;
    let options = body("options");
    let breaks = |handler| args.breaks.filter(|breaks| *breaks == handler).map(|_| args.how);
    let (at_options, at_payload, at_status) =
        (breaks(Handler::Options), breaks(Handler::Payload), breaks(Handler::Status));
    let mut job =
        client.job(args.worker).timeout(Duration::from_millis(args.timeout_ms)).options(move |_| {
            let options = options.clone();
            async move { break_off(at_options).await.map(|()| options) }
        });
    let payload = body("payload");
    job = match at_payload {
        Some(_) => job.payload(move |_| async move { break_off(at_payload).await }),
        None => job.payload_bytes(Bytes([payload.as_bytes(), b" ", args.gate.as_bytes()].concat())),
    };
    let launched = job.status(move |_| async move { break_off(at_status).await }).launch().await;
    drop(payload);
    match launched {
        Ok(job) if args.leaves => {
            say(&format!("launched {}", job.id()));
            let ticket = job.detach().await?;
            drop(ticket.to_bytes());
            say("over: it was left");
        }
        Ok(job) => {
            say(&format!("launched {}", job.id()));
            let canceller = job.canceller();
            tokio::spawn(async move {
                if cancel.recv().await.is_some() {
                    canceller.cancel();
                }
            });
            tokio::select! {
                outcome = job.result_bytes() => match outcome {
                    Ok(outcome) => {
                        drop(Zeroizing::new(outcome.value));
                        say("over: it has a result");
                    }
                    Err(error) => say(&format!("over: {error}")),
                },
                _ = give_up.recv() => say("over: given up"),
            }
        }
        Err(error) => say(&format!("over: {error}")),
    }
    client.close().await;
    say("forgotten");
    std::future::pending().await
}

#[expect(clippy::panic, reason = "this is what is tried")]
async fn break_off(how: Option<How>) -> Result<(), HandlerError> {
    match how {
        None => Ok(()),
        Some(How::Fails) => Err(HandlerError::new("as the test wants it")),
        Some(How::Panics) => panic!("as the test wants it"),
        Some(How::Hangs) => {
            say("it hangs");
            std::future::pending().await
        }
    }
}

fn say(line: &str) {
    println!("{line}");
}
