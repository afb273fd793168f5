//! What a worker is told by its environment.

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use subrosa_protocol::{
    id::{Attempt, NameError},
    identity::{
        self, CertFileError, Certificate, PublicKey, RevokedError, SigningKey, TrustError,
        file::{self, KeyFileError},
    },
    launch::{LaunchRequest, MAX_REQUEST_BYTES, MAX_SIGNATURES},
    policy::{Mode, ModeError, Policy, PolicyError},
    subject::{Namespace, SubjectError},
};
use subrosa_transport::{ApiPrefix, Connect, Live, LiveTrust, now_ms, trace::TraceContext};
use thiserror::Error;
use tokio::sync::Notify;

/// Who this worker is, where it listens, and how long it waits.
///
/// ```
/// use std::time::Duration;
/// use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// use subrosa_protocol::identity::{SigningKey, Trust};
/// use subrosa_transport::Connect;
/// use subrosa_worker::Config;
///
/// let key = SigningKey::generate(&mut UnwrapErr(SysRng));
/// let trust = Trust::pinned([key.public()]); // and the launchers' keys
/// let mut config = Config::new(Connect::new("nats://localhost:4222", "echo"), key, trust);
/// config.slots = 4;
/// config.timing.drain = Duration::from_secs(5);
/// assert!(config.one_job.is_none()); // resident
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Config {
    /// How to reach NATS.
    pub nats: Connect,
    /// The first token of every subject.
    pub namespace: Namespace,
    /// The worker's signing key.
    pub identity: SigningKey,
    /// The certificate of that key, a compact JWT, for clients that know its authority only.
    pub cert: Live<Option<String>>,
    /// The launchers and workers whose records count. A clone of it can have the files read again.
    pub trust: LiveTrust,
    /// Who may have jobs run here; *anyone* by default. It is checked before anything is asked for, whatever a
    /// launcher has checked. A clone of it can have the file read again.
    pub policy: Live<Policy>,
    /// How many jobs run at once when resident.
    pub slots: usize,
    /// How long things may take.
    pub timing: Timing,
    /// The one job to run; none for a resident worker.
    pub one_job: Option<OneJob>,
    /// The trace that the one job's launcher has started this process in.
    pub trace: Option<TraceContext>,
    /// Tells that the files of the connection are to be looked at. A clone of it can.
    pub renewal: Arc<Notify>,
    /// Where a resident worker answers health checks and tells its numbers; nowhere by default. Whoever reaches
    /// the address is answered.
    pub health: Option<SocketAddr>,
}

/// The job that a launcher has started this process for.
#[derive(Clone, Debug)]
pub struct OneJob {
    /// The launch request.
    pub request: String,
    /// The attempt.
    pub attempt: Attempt,
}

/// How long things may take.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Timing {
    /// How long the client may take to answer `options`: 10 minutes, or `SUBROSA_OPTIONS_SECONDS`.
    pub options: Duration,
    /// How long the client may take to answer `ready`: 10 minutes, or `SUBROSA_READY_SECONDS`.
    pub ready: Duration,
    /// How long the client may take to answer `done`: 60 s, or `SUBROSA_DONE_SECONDS`.
    pub done: Duration,
    /// How often the last record of a running job is looked at: every 10 s, or `SUBROSA_LOOK_SECONDS`. Less than
    /// the ack wait of the queue, or other workers are given the job to no use.
    pub look: Duration,
    /// How long the process that holds an attempt is asked before it counts as silent: 10 s, or
    /// `SUBROSA_PROBE_SECONDS`.
    pub probe: Duration,
    /// How long running jobs may take to finish after SIGTERM: 30 s, or `SUBROSA_DRAIN_SECONDS`.
    pub drain: Duration,
    /// How long a record may take to be written: 60 s, or `SUBROSA_RECORD_SECONDS`.
    pub record: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            options: Duration::from_secs(600),
            ready: Duration::from_secs(600),
            done: Duration::from_secs(60),
            look: Duration::from_secs(10),
            probe: Duration::from_secs(10),
            drain: Duration::from_secs(30),
            record: Duration::from_secs(60),
        }
    }
}

impl Timing {
    fn from_env() -> Result<Self, ConfigError> {
        let mut timing = Self::default();
        for (name, least, member) in [
            ("SUBROSA_OPTIONS_SECONDS", 1, &mut timing.options),
            ("SUBROSA_READY_SECONDS", 1, &mut timing.ready),
            ("SUBROSA_DONE_SECONDS", 1, &mut timing.done),
            ("SUBROSA_LOOK_SECONDS", 1, &mut timing.look),
            ("SUBROSA_PROBE_SECONDS", 1, &mut timing.probe),
            ("SUBROSA_DRAIN_SECONDS", 0, &mut timing.drain),
            ("SUBROSA_RECORD_SECONDS", 1, &mut timing.record),
        ] {
            if let Some(seconds) = number(name, least..=86_400)? {
                *member = Duration::from_secs(seconds);
            }
        }
        Ok(timing)
    }
}

/// An environment that a worker cannot run in.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A variable is missing.
    #[error("the environment variable {name} is missing: it holds {what}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// What belongs in it.
        what: &'static str,
    },
    /// A variable that is not what it should be.
    #[error("the environment variable {name} {rule}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What it should be.
        rule: String,
    },
    /// The key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The trust file cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The revocation file cannot be used.
    #[error(transparent)]
    Revoked(#[from] RevokedError),
    /// The signers file cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl Config {
    /// A configuration with defaults for everything else.
    pub fn new(nats: Connect, identity: SigningKey, trust: impl Into<LiveTrust>) -> Self {
        Self {
            nats,
            namespace: Namespace::default(),
            identity,
            cert: Live::given(None),
            trust: trust.into(),
            policy: Live::given(Policy::anyone()),
            slots: 16,
            timing: Timing::default(),
            one_job: None,
            trace: None,
            renewal: Arc::default(),
            health: None,
        }
    }

    /// Reads the environment. `name` is what the NATS server shows of the connection.
    ///
    /// # Errors
    ///
    /// Variables that are missing or malformed, and files that cannot be used.
    pub fn from_env(name: &str) -> Result<Self, ConfigError> {
        let url = text("SUBROSA_NATS_URL")?.unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
        let mut nats = Connect::new(url, format!("subrosa worker {name}"));
        nats.credentials = text("SUBROSA_NATS_CREDS")?.map(PathBuf::from);
        nats.inbox_prefix = text("SUBROSA_INBOX_PREFIX")?;
        nats.api_prefix = api_prefix_from_env()?;
        nats.tls.ca = text("SUBROSA_NATS_CA")?.map(PathBuf::from);
        nats.tls.cert = text("SUBROSA_NATS_CERT")?.map(PathBuf::from);
        nats.tls.key = text("SUBROSA_NATS_KEY")?.map(PathBuf::from);
        if !nats.tls.is_whole() {
            return Err(invalid("SUBROSA_NATS_CERT", "and SUBROSA_NATS_KEY need each other"));
        }
        let key = required("SUBROSA_KEY_FILE", "the path of the worker's signing key, a JWK file")?;
        let trust = required("SUBROSA_TRUST_FILE", "the path of the trusted keys, a JWK Set")?;
        let mut trust = LiveTrust::from_file(trust)?;
        if let Some(revoked) = text("SUBROSA_REVOKED_FILE")? {
            trust = trust.with_revoked_file(revoked)?;
        }
        let mut config = Self::new(nats, file::load(&key)?, trust);
        config.policy = policy_from_env()?;
        if let Some(namespace) = text("SUBROSA_NAMESPACE")? {
            let rule = |error: SubjectError| invalid("SUBROSA_NAMESPACE", error);
            config.namespace = namespace.parse().map_err(rule)?;
        }
        if let Some(slots) = number("SUBROSA_SLOTS", 1..=4096)? {
            config.slots = usize::try_from(slots).unwrap_or(usize::MAX);
        }
        config.timing = Timing::from_env()?;
        if let Some(path) = text("SUBROSA_CERT_FILE")? {
            let (name, key) = (name.to_owned(), config.identity.public());
            config.cert = Live::file(path, move |path| read_cert(path, &name, &key).map(Some))?;
        }
        config.one_job = OneJob::from_env()?;
        if let Some(one_job) = &config.one_job {
            config.nats.deadline = config.nats.deadline.max(one_job.patience(&config.namespace, now_ms()));
        }
        config.health = health_from_env()?;
        // Nothing depends on it: what is no trace is left alone.
        let parent = text("TRACEPARENT").ok().flatten().unwrap_or_default();
        config.trace = TraceContext::parse(&parent, text("TRACESTATE").ok().flatten().as_deref());
        Ok(config)
    }
}

pub(crate) fn health_from_env() -> Result<Option<SocketAddr>, ConfigError> {
    let rule = |_| invalid("SUBROSA_HEALTH_LISTEN", "must be an address and a port, as 127.0.0.1:9091");
    text("SUBROSA_HEALTH_LISTEN")?.map(|address| address.parse()).transpose().map_err(rule)
}

fn api_prefix_from_env() -> Result<ApiPrefix, ConfigError> {
    match (text("SUBROSA_NATS_DOMAIN")?, text("SUBROSA_NATS_API_PREFIX")?) {
        (None, None) => Ok(ApiPrefix::default()),
        (Some(name), None) => ApiPrefix::domain(&name).map_err(|error| invalid("SUBROSA_NATS_DOMAIN", error)),
        (None, Some(prefix)) => prefix.parse().map_err(|error| invalid("SUBROSA_NATS_API_PREFIX", error)),
        (Some(_), Some(_)) => {
            Err(invalid("SUBROSA_NATS_DOMAIN", "and SUBROSA_NATS_API_PREFIX exclude each other"))
        }
    }
}

fn policy_from_env() -> Result<Live<Policy>, ConfigError> {
    let needed = number("SUBROSA_SIGNERS_NEEDED", 1..=MAX_SIGNATURES as u64)?;
    let mode = text("SUBROSA_POLICY_MODE")?;
    let Some(signers) = text("SUBROSA_SIGNERS_FILE")? else {
        // Whoever sets these believes that somebody is kept out.
        let alone = [("SUBROSA_SIGNERS_NEEDED", needed.is_some()), ("SUBROSA_POLICY_MODE", mode.is_some())];
        return match alone.into_iter().find(|(_, is_set)| *is_set) {
            Some((name, _)) => Err(invalid(name, "is of no use without SUBROSA_SIGNERS_FILE")),
            None => Ok(Live::given(Policy::anyone())),
        };
    };
    let needed = needed.ok_or(ConfigError::Missing {
        name: "SUBROSA_SIGNERS_NEEDED",
        what: "how many of the keys in SUBROSA_SIGNERS_FILE have to sign a job",
    })?;
    let needed = usize::try_from(needed).unwrap_or(usize::MAX);
    let rule = |error: ModeError| invalid("SUBROSA_POLICY_MODE", error);
    let mode = mode.map_or(Ok(Mode::default()), |mode| mode.parse()).map_err(rule)?;
    let read = move |path: &Path| Policy::from_file(path, needed).map(|policy| policy.in_mode(mode));
    Ok(Live::file(signers, read)?)
}

impl OneJob {
    fn from_env() -> Result<Option<Self>, ConfigError> {
        let Some(request) = text("SUBROSA_JOB")? else { return Ok(None) };
        if request.len() > MAX_REQUEST_BYTES {
            return Err(invalid("SUBROSA_JOB", "is over 64 KiB"));
        }
        let attempt = required("SUBROSA_ATTEMPT", "the attempt that SUBROSA_JOB is started for")?;
        let rule = |error: NameError| invalid("SUBROSA_ATTEMPT", error);
        Ok(Some(Self { request, attempt: attempt.parse().map_err(rule)? }))
    }

    /// How long to try to reach the server: as long as the job may wait for a worker. That of a process which ends
    /// before it has taken its job fails; one that is of no use any more, its launcher ends.
    fn patience(&self, namespace: &Namespace, now_ms: u64) -> Option<Duration> {
        let request = LaunchRequest::parse(self.request.as_bytes(), namespace).ok()?;
        let expires_ms = request.job().description().expires_ms;
        Some(Duration::from_millis(expires_ms.saturating_sub(now_ms)))
    }
}

/// Reads the certificate, which has to be this worker's: clients would not believe another.
fn read_cert(path: &Path, name: &str, own: &PublicKey) -> Result<String, ConfigError> {
    let file = |error: CertFileError| invalid("SUBROSA_CERT_FILE", format!("cannot be used: {error}"));
    let (jwt, certified) = identity::load_cert(path).map_err(file)?;
    let Certificate { worker, key, .. } = certified.certificate;
    if worker.as_str() != name {
        return Err(invalid("SUBROSA_CERT_FILE", format!("names a certificate for the worker {worker}")));
    }
    if key != *own {
        let rule = "names a certificate for another key than that in SUBROSA_KEY_FILE";
        return Err(invalid("SUBROSA_CERT_FILE", rule));
    }
    Ok(jwt)
}

fn invalid(name: &'static str, rule: impl ToString) -> ConfigError {
    ConfigError::Invalid { name, rule: rule.to_string() }
}

fn text(name: &'static str) -> Result<Option<String>, ConfigError> {
    match env::var(name) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(invalid(name, "is not UTF-8")),
    }
}

fn required(name: &'static str, what: &'static str) -> Result<String, ConfigError> {
    text(name)?.ok_or(ConfigError::Missing { name, what })
}

fn number(name: &'static str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, ConfigError> {
    let Some(text) = text(name)? else { return Ok(None) };
    match text.parse() {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => Err(invalid(name, format!("must be a number from {} to {}", range.start(), range.end()))),
    }
}
