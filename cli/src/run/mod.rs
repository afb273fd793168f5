//! `subrosa run`: one job, from here.

mod detach;
pub(crate) mod input;
pub(crate) mod receipt;
pub(crate) mod show;
pub(crate) mod whom;

use std::{
    future::IntoFuture as _,
    path::PathBuf,
    pin::{Pin, pin},
    time::Duration,
};

use serde_json::json;
use subrosa_client::{
    Bytes, CancelToken, Client, EventStream, Job, JobBuilder, JobError, JobId, JobSecrets, LaunchError,
    LaunchRequest, SigningKey, Timing, Trust, identity::file,
};
use subrosa_transport::{RequestError, now_ms};
use zeroize::Zeroizing;

use self::{
    detach::{Leaving, Place},
    input::{Input, Text},
    receipt::Files,
    show::Show,
    whom::Whom,
};
use crate::{
    exit::{Exit, Failure},
    interrupt,
    job::{JobFile, Unseal, secrets_of},
    nats::Nats,
    new_file,
};

/// How long the end of a job may take to be recorded before this program ends all the same.
const CLOSE: Duration = Duration::from_secs(15);

/// Options of `subrosa run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The worker's name
    #[arg(required_unless_present = "job")]
    worker: Option<String>,
    /// Launch the job in this file, made by `subrosa job new`, with the signatures that it has
    #[arg(long, value_name = "FILE", conflicts_with_all = ["worker", "label", "expires_in", "timeout", "attempts", "bind_input"])]
    job: Option<PathBuf>,
    /// The sealed secrets of that job; beside it, as NAME.secrets.age, by default
    // What `requires` asks for is not asked for where it is in conflict with something that is there.
    #[arg(long, value_name = "FILE", requires = "job", conflicts_with = "worker")]
    secrets: Option<PathBuf>,
    /// The client's options: JSON, or @FILE, or - for standard input
    #[arg(long, value_name = "JSON", default_value = "null")]
    options: Input,
    /// The payload: JSON, or @FILE, or - for standard input
    #[arg(long, value_name = "JSON", default_value = "null")]
    payload: Input,
    /// Send the payload as bytes, whatever they are
    #[arg(long)]
    bytes: bool,
    #[command(flatten)]
    whom: Whom,
    /// Sign the job with this key, as its owner. Without one, the job is anonymous. (Not with --job, which has
    /// its signatures already)
    #[arg(long, value_name = "FILE", env = "SUBROSA_KEY_FILE")]
    key: Option<PathBuf>,
    /// A public text that everyone between client and worker can read
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// How long the job may wait for a worker
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = seconds())]
    expires_in: u64,
    /// How long one attempt may run
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = seconds())]
    timeout: u64,
    /// How many attempts may be made if workers are lost
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=10))]
    attempts: u16,
    /// The token of subrosa.v1.client.TOKEN that this user may listen to; a random one by default
    #[arg(long, value_name = "TOKEN", env = "SUBROSA_REPLY_TOKEN")]
    reply_token: Option<String>,
    /// Keep the worker's receipt in this new file, its salt in FILE.salt and a certificate in FILE.cert
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Keep the token that cancels the job in this new file, for `subrosa cancel`
    #[arg(long, value_name = "FILE")]
    cancel_token: Option<PathBuf>,
    /// Bind the job to this very payload: its signature is for no other
    #[arg(long)]
    bind_input: bool,
    /// Say nothing but the result
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    detach: Leaving,
    #[command(flatten)]
    unseal: Unseal,
    #[command(flatten)]
    nats: Nats,
}

/// At most a day.
pub(crate) fn seconds() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=86_400)
}

/// What the command line and its files say, checked before anything is sent.
struct Order {
    options: Text,
    payload: Text,
    trust: Trust,
    key: Option<SigningKey>,
    prepared: Option<(LaunchRequest, JobSecrets)>,
    leaving: Option<Place>,
}

impl Order {
    fn read(args: &Args) -> Result<Self, Failure> {
        if args.options.is_stdin() && args.payload.is_stdin() {
            return Err(Failure::usage("only one of --options and --payload can be standard input"));
        }
        let trust = args.whom.trust()?;
        let key = args.key.as_ref().map(file::load).transpose()?;
        let payload = match args.bytes {
            true => args.payload.read()?,
            false => args.payload.read()?.json("--payload")?,
        };
        Ok(Self {
            options: args.options.read()?.json("--options")?,
            prepared: prepared(args, &payload)?,
            payload,
            trust,
            key,
            leaving: args.detach.place(args.whom.as_option())?,
        })
    }
}

/// The job of `--job` and its secrets, of which nothing is sent unless they fit the payload, too.
fn prepared(args: &Args, payload: &Text) -> Result<Option<(LaunchRequest, JobSecrets)>, Failure> {
    let Some(file) = &args.job else { return Ok(None) };
    let request = JobFile { file: file.clone(), namespace: args.nats.namespace.clone() }.read()?;
    // What no launcher would take is known before a passphrase is asked for.
    request.check_times(now_ms())?;
    request.verify()?;
    let secrets = args.secrets.clone().unwrap_or_else(|| secrets_of(file));
    let secrets = args.unseal.open(&secrets)?;
    let fits = secrets
        .check_job(request.job())
        .and_then(|()| secrets.check_payload(request.job(), payload.as_bytes()));
    fits.map_err(|error| Failure::new(Exit::Usage, error))?;
    Ok(Some((request, secrets)))
}

/// Runs the job. Ctrl-C cancels it.
pub(crate) async fn run(args: Args, json: bool) -> Result<(), Failure> {
    let Order { options, payload, trust, key, prepared, leaving } = Order::read(&args)?;
    // Not before: what comes from a terminal or a pipe is waited for until a signal ends it.
    let told = interrupt::until_told()?;
    let mut told = pin!(told);
    let mut connect = args.whom.connect(&args.nats, trust).timing(timing(&args.nats));
    if let Some(key) = key {
        connect = connect.identity(key);
    }
    // A prepared job says itself where it is answered.
    let token = prepared.as_ref().map(|(request, _)| request.job().description().reply.token());
    if let Some(token) = token.or(args.reply_token.as_deref()) {
        connect = connect.reply_token(token);
    }
    let goal = match leaving {
        Some(place) => Goal::Ticket(place, Box::new(args.nats.clone())),
        None => Goal::Result(args.receipt.as_deref().map(Files::create).transpose()?),
    };
    let client = tokio::select! {
        client = connect.into_future() => client?,
        told = &mut told => return Err(told),
    };
    let show = Show::new(json, args.quiet);
    let ended = match prepared {
        Some((request, secrets)) => {
            keep_cancel_token(&args, || secrets.cancel_token())?;
            let job = answering(client.prepared(request, secrets), options, payload);
            launch_and_follow(job.launch(), &show, goal, told).await
        }
        None => {
            let mut job = described(&client, &args, &payload);
            if let Some(token) = keep_cancel_token(&args, CancelToken::random)? {
                job = job.cancel_token(token);
            }
            let job = answering(job, options, payload);
            let ended = launch_and_follow(job.launch(), &show, goal, told).await;
            if ended.as_ref().is_err_and(may_be_queued) {
                show.say("no launcher answered, but the job may be queued: withdrawing it…");
            }
            ended
        }
    };
    // A job that was dropped is cancelled, which this sees to.
    client.close().await;
    ended
}

/// Whether a launcher may have heard of the job, which has not answered.
fn may_be_queued(failure: &Failure) -> bool {
    let error = failure.error.downcast_ref::<LaunchError>();
    let Some(LaunchError::NoAnswer { reason, .. }) = error else { return false };
    !matches!(reason, RequestError::NoResponders { .. })
}

/// Writes the token that cancels the job, before there is a job, if it is asked for.
fn keep_cancel_token(
    args: &Args,
    token: impl FnOnce() -> CancelToken,
) -> Result<Option<CancelToken>, Failure> {
    let Some(file) = &args.cancel_token else { return Ok(None) };
    let token = token();
    let line = Zeroizing::new([token.reveal().as_str(), "\n"].concat());
    new_file::create(file, line.as_bytes(), 0o600)?;
    Ok(Some(token))
}

/// A job as the command line describes it.
fn described<'a>(client: &'a Client, args: &Args, payload: &Text) -> JobBuilder<'a> {
    let mut job = client
        .job(args.worker.clone().unwrap_or_default())
        .expires_in(Duration::from_secs(args.expires_in))
        .timeout(Duration::from_secs(args.timeout))
        .max_attempts(args.attempts);
    if let Some(label) = &args.label {
        job = job.label(label);
    }
    match payload {
        _ if !args.bind_input => job,
        Text::Bytes(payload) => job.bind_input_bytes(payload),
        Text::Json(payload) => job.bind_input(payload),
    }
}

fn answering<J>(job: JobBuilder<'_, J>, options: Text, payload: Text) -> JobBuilder<'_, J> {
    let job = job.options_value(options.into_json());
    match payload {
        Text::Bytes(payload) => job.payload_bytes(Bytes(payload)),
        Text::Json(payload) => job.payload_value(payload),
    }
}

async fn launch_and_follow(
    launch: impl Future<Output = Result<Job, LaunchError>>,
    show: &Show,
    goal: Goal,
    mut told: Pin<&mut impl Future<Output = Failure>>,
) -> Result<(), Failure> {
    tokio::pin!(launch);
    let job = tokio::select! {
        launched = &mut launch => launched?,
        told = &mut told => {
            // It may be queued by now, and nobody else has the token that cancels it.
            return Err(match launch.await {
                Ok(job) => stopped(told, job.id(), "the job is withdrawn"),
                Err(_) => told.reporting(json!({})),
            });
        }
    };
    let (id, canceller) = (*job.id(), job.canceller());
    let followed = async {
        match goal {
            Goal::Result(receipt) => follow(job, show, receipt).await,
            Goal::Ticket(place, nats) => detach::leave(job, show, place, &nats).await,
        }
    };
    tokio::pin!(followed);
    tokio::select! {
        ended = &mut followed => ended,
        told = told => {
            canceller.cancel();
            // The worker is told, and where it does not answer, a launcher.
            Err(match tokio::time::timeout(CLOSE, followed).await {
                // What it has come to is said already.
                Ok(Ok(())) => told,
                Ok(Err(failure)) => match failure.error.downcast_ref() {
                    Some(JobError::Cancelled { .. }) => stopped(told, &id, "the job was cancelled"),
                    _ => stopped(told, &id, &format!("{:#}", failure.error)),
                },
                Err(_) => stopped(told, &id, "nobody has confirmed that the job is cancelled"),
            })
        }
    }
}

/// What became of the job when this program was told to end.
fn stopped(told: Failure, job: &JobId, what: &str) -> Failure {
    Failure::because(told.exit, format!("{:#}; {what}", told.error)).reporting(json!({ "job": job }))
}

/// What `run` is to end with.
enum Goal {
    /// The result, and its receipt.
    Result(Option<Files>),
    /// A ticket for the result.
    Ticket(Place, Box<Nats>),
}

pub(crate) fn timing(nats: &Nats) -> Timing {
    let mut timing = Timing::default();
    timing.admission = nats.patience();
    timing.close = CLOSE;
    timing
}

async fn follow(mut job: Job, show: &Show, receipt: Option<Files>) -> Result<(), Failure> {
    let id = *job.id();
    show.launched(&id);
    let events = job.events();
    let outcome = shown_until(job.result_bytes(), events, show).await;
    let outcome = outcome.map_err(|error| Failure::from(error).reporting(json!({ "job": id })));
    let outcome = outcome?;
    // A result that is here is shown, whatever becomes of its receipt.
    let kept = receipt.map_or(Ok(()), |files| files.keep(&outcome.receipt));
    show.outcome(&id, &outcome)?;
    kept
}

/// Shows what happens until the job is over.
async fn shown_until<T>(over: impl Future<Output = T>, mut events: EventStream, show: &Show) -> T {
    tokio::pin!(over);
    let over = loop {
        tokio::select! {
            biased;
            Some(event) = events.next() => show.event(&event),
            over = &mut over => break over,
        }
    };
    while let Some(event) = events.next().await {
        show.event(&event);
    }
    over
}
