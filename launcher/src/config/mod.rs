//! The launcher's configuration: a TOML file, every member of which `subrosa-launcher.example.toml` explains.

mod docker;
mod file;
mod health;
mod keys;
mod nats;
mod quota;
mod streams;
mod values;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use subrosa_protocol::{
    id::WorkerName,
    identity::{CertFileError, RevokedError, TrustError, Untrusted, file::KeyFileError},
    policy::{Mode, PolicyError},
    subject::Namespace,
};
use subrosa_transport::{Connect, ConnectError, Tls};
use thiserror::Error;

pub use self::{docker::Docker, health::Health, keys::Keys, quota::Quota};

/// An example with every member, as it is installed beside the program.
pub const EXAMPLE: &str = include_str!("../../subrosa-launcher.example.toml");

/// The largest configuration file, in bytes.
pub const MAX_CONFIG_BYTES: usize = 1 << 20;

/// What a launcher is to do.
///
/// ```
/// use subrosa_launcher::{Config, config::EXAMPLE};
///
/// let config = Config::from_toml(EXAMPLE)?;
/// for worker in &config.workers {
///     println!("{} ({})", worker.name, worker.backend.name());
/// }
/// let error = Config::from_toml("surprise = 1").unwrap_err();
/// assert!(error.to_string().starts_with("line 1: "));
/// # Ok::<(), subrosa_launcher::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// How to reach NATS.
    pub nats: Connect,
    /// The first token of every subject.
    pub namespace: Namespace,
    /// The launcher's signing key, a JWK file.
    pub key_file: PathBuf,
    /// The launchers and workers whose records count, a JWK Set.
    pub trust_file: PathBuf,
    /// Keys that are good for nothing any more, a thumbprint a line.
    pub revoked_file: Option<PathBuf>,
    /// The workers that may be launched.
    pub workers: Vec<Worker>,
    /// The streams as `--setup` makes them and as a running launcher expects them.
    pub streams: Streams,
    /// How long things may take.
    pub timing: Timing,
    /// How much one may have going at once.
    pub quota: Quota,
    /// How many requests are worked on at once; what comes beyond is refused as `overloaded`.
    pub max_requests: usize,
    /// How health checks are answered.
    pub health: Health,
}

/// A worker that may be launched.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Worker {
    /// Its name.
    pub name: WorkerName,
    /// Who starts it.
    pub backend: Backend,
    /// Who may launch it; anyone, if absent.
    pub policy: Option<WorkerPolicy>,
}

/// Who may launch a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerPolicy {
    /// The keys of which some have to sign, a JWK Set.
    pub signers_file: PathBuf,
    /// How many of them.
    pub needed: usize,
    /// What becomes of other jobs.
    pub mode: Mode,
}

/// Who starts a worker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Backend {
    /// Somebody else; it pulls its jobs itself.
    Resident,
    /// The launcher, one process per job.
    Process(Box<Process>),
    /// The launcher, one container per job.
    Docker(Box<Docker>),
}

impl Backend {
    /// The backend's name in configuration files and answers.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Resident => "resident",
            Self::Process(_) => "process",
            Self::Docker(_) => "docker",
        }
    }

    /// What a worker has that the launcher starts; none if somebody else does.
    pub fn per_job(&self) -> Option<&PerJob> {
        match self {
            Self::Resident => None,
            Self::Process(process) => Some(&process.per_job),
            Self::Docker(docker) => Some(&docker.per_job),
        }
    }
}

/// How the launcher starts a worker's process.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Process {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// What it is told.
    pub per_job: PerJob,
}

/// What every worker has that is started per job.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PerJob {
    /// How many run at once.
    pub max_running: usize,
    /// The workers' signing key, a JWK file.
    pub key_file: PathBuf,
    /// The certificate of that key, a compact JWT, for clients that know its authority only.
    pub cert_file: Option<PathBuf>,
    /// The launchers and workers whose records count for the worker.
    pub trust_file: PathBuf,
    /// The NATS server that the workers use.
    pub nats_url: String,
    /// The workers' NATS credentials file.
    pub credentials: Option<PathBuf>,
    /// The files for TLS of the workers' connections.
    pub tls: Tls,
    /// The prefix of the workers' reply subjects.
    pub inbox_prefix: Option<String>,
    /// More of the workers' environment.
    pub env: BTreeMap<String, String>,
}

/// The three streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streams {
    /// The work queue.
    pub queue: Stream,
    /// The jobs' histories.
    pub records: Stream,
    /// The stored results.
    pub results: Stream,
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stream {
    /// How many servers of a cluster keep it.
    pub replicas: u8,
    /// Where.
    pub storage: Storage,
    /// What is older is removed; nothing is, if absent.
    pub max_age: Option<Duration>,
    /// How large it may become; as large as the server lets it, if absent.
    pub max_bytes: Option<u64>,
    /// Which servers keep it; as the server chooses, if absent.
    pub placement: Option<Placement>,
}

/// Which servers keep a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Placement {
    /// Those of this cluster.
    pub cluster: Option<String>,
    /// Those that have all of these tags.
    pub tags: Vec<String>,
}

/// Where a stream is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// On disk.
    #[default]
    File,
    /// In memory: lost with the server.
    Memory,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// How long a delivered job may go without a sign of life before it is delivered again.
    pub ack_wait: Duration,
    /// How long one request may be worked on.
    pub request: Duration,
    /// How long the process that holds an attempt is asked before it counts as silent.
    pub probe: Duration,
    /// How long a worker that the launcher has started may go without answering before it is ended; before it
    /// has taken its job, counted from its start.
    pub silence: Duration,
    /// How often the sweep looks for what lies about.
    pub sweep: Duration,
    /// What is queued for longer is published to the queue again.
    pub queued_age: Duration,
    /// What is otherwise open for longer without a new record, likewise.
    pub open_age: Duration,
    /// How long running workers may take to finish after SIGTERM.
    pub drain: Duration,
}

/// A configuration that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// What is in the file is refused.
    #[error("{}: {reason}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: Box<Self>,
    },
    /// Larger than [`MAX_CONFIG_BYTES`].
    #[error("the configuration has more than {MAX_CONFIG_BYTES} bytes")]
    TooLarge,
    /// Not TOML, or not the members that a configuration has.
    #[error("line {line}: {message}")]
    Toml {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A member that breaks a rule.
    #[error("`{member}` {rule}")]
    Invalid {
        /// The member.
        member: String,
        /// The rule.
        rule: String,
    },
    /// A file that the configuration names is not there.
    #[error("`{member}` names the file {}, which does not exist", path.display())]
    MissingFile {
        /// The member.
        member: String,
        /// The file.
        path: PathBuf,
    },
    /// What a connection is to be made with cannot be used.
    #[error("{section}: {reason}")]
    Connect {
        /// Whose connection.
        section: String,
        /// The file, and why.
        reason: ConnectError,
    },
    /// A key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A certificate cannot be used.
    #[error(transparent)]
    Cert(#[from] CertFileError),
    /// A trust file cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The revocation file cannot be used.
    #[error(transparent)]
    Revoked(#[from] RevokedError),
    /// A signers file cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A key of this configuration is not trusted by it: its own records would not count.
    #[error("{} does not trust the key in {}: {reason}", trust.display(), key.display())]
    Untrusted {
        /// The trust file.
        trust: PathBuf,
        /// The key file.
        key: PathBuf,
        /// Why.
        reason: Untrusted,
    },
}

impl Config {
    /// Reads a configuration. Relative paths are as they stand.
    ///
    /// # Errors
    ///
    /// [`ConfigError::TooLarge`]; [`ConfigError::Toml`], with the line; [`ConfigError::Invalid`], with the
    /// member.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        if text.len() > MAX_CONFIG_BYTES {
            return Err(ConfigError::TooLarge);
        }
        file::read(text)
    }

    /// Reads a configuration file. Relative paths in it begin where the file lies.
    ///
    /// # Errors
    ///
    /// As for [`Config::from_toml`]; the error names the file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_CONFIG_BYTES as u64 + 1).read_to_string(&mut text))
            .map_err(|reason| ConfigError::Read { path: path.to_owned(), reason })?;
        let mut config = Self::from_toml(&text)
            .map_err(|reason| ConfigError::InFile { path: path.to_owned(), reason: Box::new(reason) })?;
        if let Some(directory) = path.parent() {
            config.paths(|member| {
                if member.is_relative() {
                    *member = directory.join(&member);
                }
            });
        }
        Ok(config)
    }

    fn paths(&mut self, mut change: impl FnMut(&mut PathBuf)) {
        change(&mut self.key_file);
        change(&mut self.trust_file);
        self.revoked_file.iter_mut().for_each(&mut change);
        self.nats.credentials.iter_mut().for_each(&mut change);
        tls_paths(&mut self.nats.tls, &mut change);
        for worker in &mut self.workers {
            worker.policy.iter_mut().for_each(|policy| change(&mut policy.signers_file));
            let per_job = match &mut worker.backend {
                Backend::Resident => continue,
                Backend::Docker(docker) => &mut docker.per_job,
                Backend::Process(process) => {
                    // A program without a slash is looked for on PATH.
                    if process.program.components().count() > 1 {
                        change(&mut process.program);
                    }
                    &mut process.per_job
                }
            };
            change(&mut per_job.key_file);
            per_job.cert_file.iter_mut().for_each(&mut change);
            change(&mut per_job.trust_file);
            per_job.credentials.iter_mut().for_each(&mut change);
            tls_paths(&mut per_job.tls, &mut change);
        }
    }
}

fn tls_paths(tls: &mut Tls, change: impl FnMut(&mut PathBuf)) {
    [&mut tls.ca, &mut tls.cert, &mut tls.key].into_iter().flatten().for_each(change);
}
