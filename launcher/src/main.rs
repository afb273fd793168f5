//! `subrosa-launcher`: see `subrosa-launcher.example.toml` for what it can be told.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, anyhow};
use clap::{Parser, Subcommand};
use subrosa_launcher::{Config, Guard, JobId, guard};
use subrosa_telemetry::{Question, Telemetry, probe};
use tokio::signal::unix::{SignalKind, signal};

/// Admits sealed jobs, queues them, starts workers, and keeps the jobs' histories.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    /// The configuration file.
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Check the configuration and the files that it names, and end. Needs no server.
    #[arg(long, conflicts_with = "setup")]
    check: bool,
    /// Create or update the streams and consumers on the server, and end. Needs an administrator's rights.
    #[arg(long)]
    setup: bool,
    /// With --setup, the administrator's NATS credentials, in place of the launcher's in the configuration file; needs
    /// --inbox-prefix.
    #[arg(long, value_name = "FILE", requires = "setup", requires = "inbox_prefix")]
    creds: Option<PathBuf>,
    /// With --setup, the prefix of the administrator's reply subjects, which --creds needs.
    #[arg(long, value_name = "PREFIX", requires = "setup")]
    inbox_prefix: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Cancel a job as the operator, without its token. The worker is stopped, and the client is told.
    Cancel {
        /// The job's id.
        job: JobId,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Ask a running launcher whether it takes work, for health checks: exit code 0 if it does.
    Health {
        /// Where it answers: `listen` in the section `[health]` of its configuration.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
        address: SocketAddr,
        /// Ask only whether it is alive.
        #[arg(long)]
        live: bool,
    },
}

fn main() -> ExitCode {
    if let Some(error) = guard::exec_if_asked(std::env::args_os()) {
        eprintln!("subrosa-launcher: {error}");
        return ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    let _telemetry = Telemetry::start("subrosa-launcher");
    match start(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Its messages say their causes themselves.
            eprintln!("subrosa-launcher: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: &Cli) -> anyhow::Result<()> {
    if let Some(Command::Health { address, live }) = cli.command {
        let question = if live { Question::Alive } else { Question::Ready };
        return Ok(probe(address, question)?);
    }
    if let Some(Command::Cancel { job, config }) = &cli.command {
        return cancel(job, &Config::from_file(config)?);
    }
    let path = cli.config.as_ref().context("no configuration file: use --config FILE")?;
    let mut config = Config::from_file(path)?;
    if cli.check {
        let keys = config.keys()?;
        println!("{}: good; the launcher's key is {}", path.display(), keys.identity.thumbprint());
        return Ok(());
    }
    runtime()?.block_on(async {
        if cli.setup {
            if cli.creds.is_some() {
                config.nats.credentials.clone_from(&cli.creds);
            }
            if cli.inbox_prefix.is_some() {
                config.nats.inbox_prefix.clone_from(&cli.inbox_prefix);
            }
            return Ok(subrosa_launcher::setup(&config).await?);
        }
        let guard = Guard::this_program()
            .map_err(|error| anyhow!("the path of this program cannot be found out: {error}"))?;
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        Ok(subrosa_launcher::run(&config, &guard, shutdown).await?)
    })
}

/// One thread: this kind of load runs faster on it, and children must be spawned from a thread that lives as
/// long as the process.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| anyhow!("the runtime cannot be started: {error}"))
}

/// Cancels a job; fails if it has ended in another way before.
fn cancel(job: &JobId, config: &Config) -> anyhow::Result<()> {
    match runtime()?.block_on(subrosa_launcher::cancel(config, job))? {
        "cancelled" => println!("{job}: cancelled"),
        state => anyhow::bail!("the job had ended before: {state}"),
    }
    Ok(())
}
