//! A whole deployment on this machine: a nats-server, a launcher and example workers, each in a process of
//! its own, with fresh keys in a temporary directory. It ends with this process, however that ends.

mod files;
mod group;
pub(crate) mod keys;
mod nats_users;
mod own;

use std::{
    ffi::OsString,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use subrosa_launcher::guard::Guard;
use subrosa_protocol::{
    id::{NameError, WorkerName},
    identity::{Trust, TrustError},
};
use tempfile::TempDir;
use thiserror::Error;
use tokio::process::{Child, Command};

use self::{files::Files, own::Program};
pub use self::{
    group::Group,
    own::{Own, OwnError},
};
pub use crate::internal::Example;
use crate::server::{self, Progress, Server, ServerError};

/// How long a part may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// How workers are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Long-lived processes that pull jobs themselves.
    Resident,
    /// One process per job, started by the launcher.
    Process,
}

/// What a deployment consists of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program that the parts are started from: `subrosa` itself.
    pub program: PathBuf,
    /// The example workers.
    pub workers: Vec<Example>,
    /// More workers that the launcher knows, each with a key; somebody else runs them, resident.
    pub others: Vec<String>,
    /// Whether an authority of the deployment's own vouches for the workers; if not, their keys are pinned.
    pub authority: bool,
    /// How the examples are run.
    pub backend: Backend,
    /// How many launchers there are.
    pub launchers: usize,
    /// How many processes there are of each resident worker.
    pub replicas: usize,
    /// Workers of one's own, and settings of the launchers.
    pub own: Own,
    /// Where keys, configuration and streams are kept; without one, in a temporary directory that is removed
    /// at the end.
    pub state_dir: Option<PathBuf>,
    /// The server's port; without one, a free one.
    pub port: Option<u16>,
}

impl Plan {
    /// One launcher and one resident process of each of these workers, from this program, certified by an
    /// authority.
    ///
    /// # Errors
    ///
    /// When the program's own path is not known.
    pub fn new(workers: impl Into<Vec<Example>>) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        Ok(Self { authority: true, ..Self::of(program, workers) })
    }

    /// The same with pinned keys, from the program at this path.
    pub fn of(program: impl Into<PathBuf>, workers: impl Into<Vec<Example>>) -> Self {
        Self {
            program: program.into(),
            workers: workers.into(),
            others: Vec::new(),
            authority: false,
            backend: Backend::Resident,
            launchers: 1,
            replicas: 1,
            own: Own::default(),
            state_dir: None,
            port: None,
        }
    }
}

/// A deployment that does not come up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The trust file.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Another file.
    #[error("{path} cannot be written: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A worker's name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The program's path is not UTF-8.
    #[error("the path {path} is not UTF-8")]
    Program {
        /// The path.
        path: PathBuf,
    },
    /// The keys, the launcher's configuration or the streams.
    #[error("the deployment cannot be set up: {0}")]
    Setup(String),
    /// A process cannot be started.
    #[error("{part} cannot be started: {error}")]
    Start {
        /// Which.
        part: &'static str,
        /// Why.
        error: io::Error,
    },
}

/// A running deployment. Dropping it kills every part of it.
#[derive(Debug)]
pub struct Local {
    /// The server.
    pub server: Server,
    /// The launchers.
    pub launchers: Vec<Child>,
    /// The resident workers of the examples.
    pub workers: Vec<Child>,
    /// The resident workers of one's own that this deployment runs.
    pub own: Vec<(WorkerName, Group)>,
    files: Files,
    plan: Plan,
    // Last: what runs may still write there.
    directory: Directory,
}

/// Where the files of a deployment lie.
#[derive(Debug)]
enum Directory {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Directory {
    fn prepare(wanted: Option<&Path>) -> io::Result<Self> {
        let Some(path) = wanted else {
            return Ok(Self::Temporary(tempfile::Builder::new().prefix("subrosa-").tempdir()?));
        };
        std::fs::create_dir_all(path)?;
        Ok(Self::Kept(path.canonicalize()?))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(directory) => directory.path(),
            Self::Kept(path) => path,
        }
    }
}

impl Local {
    /// Brings a deployment up. Call it from a thread that lives as long as it is needed.
    ///
    /// # Errors
    ///
    /// See [`LocalError`].
    pub async fn start(plan: Plan, progress: &mut Progress<'_>) -> Result<Self, LocalError> {
        let guard = Guard::new(plan.program.clone());
        let state_dir = plan.state_dir.as_ref().map(|state| state.join("nats"));
        let options = server::Options { state_dir, port: plan.port, ..server::Options::new(guard) };
        let server = server::start(options, progress).await?;
        Self::on(server, plan).await
    }

    /// Brings a deployment up on a server of one's own.
    ///
    /// # Errors
    ///
    /// See [`LocalError`].
    pub async fn on(server: Server, plan: Plan) -> Result<Self, LocalError> {
        let directory = Directory::prepare(plan.state_dir.as_deref()).map_err(|error| LocalError::File {
            path: plan.state_dir.clone().unwrap_or_else(std::env::temp_dir),
            error,
        })?;
        let files = Files::write(directory.path(), &plan, server.url(), &plan.program)?;
        let setup = |error: &dyn std::error::Error| LocalError::Setup(error.to_string());
        let config = subrosa_launcher::Config::from_file(&files.config).map_err(|error| setup(&error))?;
        subrosa_launcher::setup(&config).await.map_err(|error| setup(&error))?;
        let (launchers, workers, own) = (Vec::new(), Vec::new(), Vec::new());
        let mut local = Self { server, launchers, workers, own, files, plan, directory };
        for _ in 0..local.plan.launchers {
            local.start_launcher()?;
        }
        if local.plan.backend == Backend::Resident {
            for worker in local.plan.workers.clone() {
                for _ in 0..local.plan.replicas {
                    local.start_worker(worker)?;
                }
            }
        }
        for worker in local.plan.own.workers.clone() {
            if let Some(program) = &worker.program {
                local.start_own(&worker, program)?;
            }
        }
        Ok(local)
    }

    /// Starts another launcher.
    ///
    /// # Errors
    ///
    /// [`LocalError::Start`]
    pub fn start_launcher(&mut self) -> Result<(), LocalError> {
        let mut command = self.part();
        command.args(["launcher", "--config"]).arg(&self.files.config);
        let child = self.spawn(command, "launcher")?;
        self.launchers.push(child);
        Ok(())
    }

    /// Starts another process of a resident worker.
    ///
    /// # Errors
    ///
    /// [`LocalError::Start`]
    pub fn start_worker(&mut self, worker: Example) -> Result<(), LocalError> {
        let mut command = self.part();
        command.args(["worker", worker.name()]).envs(self.environment(worker.name()));
        let child = self.spawn(command, "worker")?;
        self.workers.push(child);
        Ok(())
    }

    /// Starts a program of one's own as a resident worker. What it says is shown.
    fn start_own(&mut self, worker: &own::Worker, program: &Program) -> Result<(), LocalError> {
        let Some((name, args)) = program.command.split_first() else { return Ok(()) };
        let mut command = Guard::new(self.plan.program.clone()).command(name);
        command.args(args).envs(self.environment(worker.name.as_str())).envs(&program.env);
        command.stdin(Stdio::null()).stdout(io::stderr());
        let group = Group::start(command).map_err(|error| LocalError::Start { part: "worker", error })?;
        self.own.push((worker.name.clone(), group));
        Ok(())
    }

    /// What a resident worker of this name is told by its environment.
    pub fn environment(&self, worker: &str) -> Vec<(&'static str, OsString)> {
        let cert = self.files.worker_cert(worker).map(|cert| ("SUBROSA_CERT_FILE", cert.into()));
        let others = [
            ("SUBROSA_NATS_URL", self.server.url().into()),
            ("SUBROSA_KEY_FILE", self.files.worker_key(worker).into()),
            ("SUBROSA_TRUST_FILE", self.files.trust.clone().into()),
        ];
        others.into_iter().chain(cert).collect()
    }

    /// The names of the workers that somebody else is to run.
    pub fn run_elsewhere(&self) -> impl Iterator<Item = &WorkerName> {
        let resident =
            |worker: &&own::Worker| worker.program.is_none() && worker.entry.get("command").is_none();
        self.plan.own.workers.iter().filter(resident).map(|worker| &worker.name)
    }

    fn part(&self) -> Command {
        let mut command = Guard::new(self.plan.program.clone()).command(&self.plan.program);
        command.arg("internal");
        command
    }

    fn spawn(&self, mut command: Command, part: &'static str) -> Result<Child, LocalError> {
        let path = self.log(part);
        let log = File::options().create(true).append(true).open(&path);
        let log = log.map_err(|error| LocalError::File { path, error })?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().map_err(|error| LocalError::Start { part, error })
    }

    /// The file that takes what the launchers (`launcher`) or the resident workers (`worker`) log.
    pub fn log(&self, part: &str) -> PathBuf {
        self.directory.path().join(format!("{part}.log"))
    }

    /// A worker's private key file.
    pub fn worker_key(&self, name: &str) -> PathBuf {
        self.files.worker_key(name)
    }

    /// The launchers' configuration file.
    pub fn launcher_config(&self) -> &Path {
        &self.files.config
    }

    /// The trust file: the launchers' and workers' public keys.
    pub fn trust_file(&self) -> &Path {
        &self.files.trust
    }

    /// Whom a client of this deployment trusts.
    ///
    /// # Errors
    ///
    /// When the trust file was changed.
    pub fn trust(&self) -> Result<Trust, TrustError> {
        Trust::from_file(&self.files.trust)
    }

    /// Lets every part end, workers first, and removes what they left.
    ///
    /// # Errors
    ///
    /// When the server cannot be stopped; everything else is stopped by then.
    pub async fn stop(self) -> Result<(), LocalError> {
        let Self { server, launchers, workers, own, directory, .. } = self;
        own.iter().for_each(|(_, group)| group.terminate());
        for (_, group) in own {
            group.end().await;
        }
        for children in [workers, launchers] {
            children.iter().for_each(terminate);
            for mut child in children {
                if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
                    // It is gone already, or it is killed here; either way it is waited for.
                    let _ = child.kill().await;
                }
            }
        }
        server.stop().await?;
        drop(directory);
        Ok(())
    }
}

fn terminate(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may just have ended.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}
