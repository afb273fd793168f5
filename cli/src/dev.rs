//! `subrosa dev`: a whole deployment on this machine, for as long as it runs.

use std::{net::TcpListener, path::PathBuf, time::Duration};

use anstream::eprintln;
use subrosa_client::{Launchers, Namespace};
use subrosa_protocol::{audit::History, id::WorkerName};
use subrosa_transport::{Connect, History as Histories, Records};
use tokio::time::{Instant, interval, timeout};

use crate::{
    audit::messages,
    exit::{Exit, Failure},
    interrupt,
    local::{Example, Local, LocalError, Own, Plan},
    nats::DEFAULT_URL,
    output::{self, BAD, FAINT, STRONG, WARN},
};

/// How long the launcher may take until it answers.
const READY: Duration = Duration::from_secs(30);
/// How often to look whether everything still runs.
const LOOK: Duration = Duration::from_millis(500);
/// How long to judge histories at the end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Options of `subrosa dev`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server's port; 0 for any that is free. Without it, 4222 if that is free
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Keep keys, configuration and streams in this directory, instead of a temporary one that is removed
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Add workers of your own, and settings of the launcher: see `docs/commands.md`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl From<LocalError> for Failure {
    fn from(error: LocalError) -> Self {
        Self::new(Exit::Failure, error)
    }
}

/// Runs until it is told to end; then that is a success.
pub(crate) async fn run(args: Args, json: bool) -> Result<(), Failure> {
    let told = interrupt::until_told()?;
    let own = match &args.config {
        Some(path) => Own::from_file(path).map_err(|error| Failure::new(Exit::Usage, error))?,
        None => Own::default(),
    };
    let mut plan = Plan::new([Example::CreateProof, Example::Echo])?;
    (plan.own, plan.state_dir, plan.port) = (own, args.state_dir, port(args.port));
    tokio::pin!(told);
    let mut progress = |message: &str| eprintln!("{message}");
    let mut local = tokio::select! {
        local = Local::start(plan, &mut progress) => local?,
        _ = &mut told => return Ok(()),
    };
    let ended = tokio::select! {
        ended = serve(&mut local, json) => ended,
        _ = &mut told => Ok(()),
    };
    if ended.is_ok() && !json {
        // What cannot be said any more is no reason to fail.
        let _ = timeout(LAST_WORDS, tell_histories(&local)).await;
    }
    local.stop().await?;
    ended
}

/// Judges the history of every job, as an auditor would.
async fn tell_histories(local: &Local) -> anyhow::Result<()> {
    let (connection, namespace) = (
        Connect::new(local.server.url(), "subrosa dev, the histories").connect().await?,
        Namespace::default(),
    );
    let trust = local.trust()?;
    let deadline = Instant::now() + LAST_WORDS;
    let history = Histories::new(connection.clone(), namespace.clone());
    let jobs = Records::new(connection, namespace).jobs(deadline).await?;
    let (mut good, mut open) = (0, 0);
    for (worker, job) in &jobs {
        let stored = history.all(worker, job, deadline).await?;
        let judged = History::judge(&messages(&stored), Some(*job), &trust);
        if !judged.is_good() {
            eprintln!("{BAD}BAD{BAD:#}    job {job}: {} of its records", judged.bad());
        }
        good += usize::from(judged.is_good());
        open += usize::from(!judged.is_finished());
    }
    let (all, open) = (jobs.len(), if open > 0 { format!(", {open} unfinished") } else { String::new() });
    eprintln!("{STRONG}history{STRONG:#}  of {all} jobs, {good} have only records that are GOOD{open}");
    Ok(())
}

/// The port that is asked for; or the one that clients try first, if nobody has it.
fn port(wanted: Option<u16>) -> Option<u16> {
    match wanted {
        Some(0) => None,
        Some(port) => Some(port),
        None => {
            let usual = DEFAULT_URL.rsplit(':').next()?.parse().ok()?;
            TcpListener::bind(("127.0.0.1", usual)).is_ok().then_some(usual)
        }
    }
}

/// Says that everything is ready, and then when something is not any more.
async fn serve(local: &mut Local, json: bool) -> Result<(), Failure> {
    let url = local.server.url().to_owned();
    let connection = Connect::new(&url, "subrosa dev").connect().await?;
    let launchers = Launchers::new(connection, Namespace::default());
    let mut asked = Box::pin(launchers.workers(READY));
    let mut looks = interval(LOOK);
    loop {
        tokio::select! {
            answer = &mut asked => {
                answer.map_err(|error| Failure::from(error).context(said(local)))?;
                break;
            }
            _ = looks.tick() => still_runs(local)?,
        }
    }
    if json {
        output::json(&serde_json::json!({ "nats": url, "trust": local.trust_file() }))?;
    } else {
        let trust = local.trust_file().display();
        output::line(format_args!("{STRONG}ready{STRONG:#}  nats {url}  trust {trust}"))?;
        hints(local, &url);
    }
    loop {
        looks.tick().await;
        still_runs(local)?;
        local.own.retain_mut(|(worker, group)| match group.try_wait() {
            Ok(Some(status)) => {
                eprintln!("{WARN}ended{WARN:#}  {worker}: {status}");
                false
            }
            Ok(None) | Err(_) => true,
        });
    }
}

fn hints(local: &Local, url: &str) {
    let trust = local.trust_file().display();
    let nats = if url == DEFAULT_URL { String::new() } else { format!(" --nats {url}") };
    eprintln!(
        "{FAINT}try{FAINT:#}    subrosa run echo --payload '\"hello\"'{nats} --trust {trust} --receipt hello.receipt"
    );
    eprintln!(
        "{FAINT}check{FAINT:#}  subrosa verify receipt hello.receipt --cert hello.receipt.cert --trust {trust}"
    );
    let elsewhere: Vec<&WorkerName> = local.run_elsewhere().collect();
    for worker in elsewhere {
        let variables = local.environment(worker.as_str());
        let variables = variables.iter().map(|(name, value)| format!("{name}={}", value.display()));
        let variables = variables.collect::<Vec<_>>().join(" ");
        eprintln!("{FAINT}start{FAINT:#}  {worker} with {variables}");
    }
}

/// Launchers and example workers do not end by themselves.
fn still_runs(local: &mut Local) -> Result<(), Failure> {
    for (part, log) in [("launcher", local.log("launcher")), ("worker", local.log("worker"))] {
        let children = if part == "launcher" { &mut local.launchers } else { &mut local.workers };
        for child in children {
            if let Some(status) = child.try_wait()? {
                let text = format!("a {part} has ended ({status}):\n{}", tail(&log));
                return Err(Failure::because(Exit::Failure, text));
            }
        }
    }
    Ok(())
}

fn said(local: &Local) -> String {
    format!("the launcher does not answer; it said:\n{}", tail(&local.log("launcher")))
}

/// The last lines of a log.
fn tail(path: &std::path::Path) -> String {
    let log = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(10)).copied().collect::<Vec<_>>().join("\n")
}
