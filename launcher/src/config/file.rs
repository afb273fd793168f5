//! The configuration as it stands in the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use serde::Deserialize;
use subrosa_protocol::{id::WorkerName, launch::MAX_SIGNATURES, policy::Mode, subject};

use super::{
    Backend, Config, ConfigError, PerJob, Process, Timing, Worker, WorkerPolicy, docker, health, nats, quota,
    streams,
    values::{Humane, Size},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default)]
    nats: nats::Wire,
    namespace: Option<String>,
    key_file: PathBuf,
    trust_file: PathBuf,
    revoked_file: Option<PathBuf>,
    #[serde(default)]
    worker: Vec<WorkerWire>,
    #[serde(default)]
    streams: streams::Wire,
    #[serde(default)]
    timing: TimingWire,
    #[serde(default)]
    quota: quota::Wire,
    max_requests: Option<usize>,
    #[serde(default)]
    health: health::Wire,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkerWire {
    name: WorkerName,
    backend: BackendWire,
    command: Option<Vec<String>>,
    max_running: Option<usize>,
    key_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    trust_file: Option<PathBuf>,
    nats_url: Option<String>,
    credentials: Option<PathBuf>,
    inbox_prefix: Option<String>,
    tls_ca: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    env: Option<BTreeMap<String, String>>,
    policy: Option<PolicyWire>,
    engine: Option<String>,
    image: Option<String>,
    pull: Option<bool>,
    user: Option<u32>,
    network: Option<String>,
    open_network: Option<bool>,
    memory: Option<Size>,
    cpus: Option<f64>,
    pids: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyWire {
    signers_file: PathBuf,
    needed: usize,
    #[serde(default)]
    mode: Mode,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BackendWire {
    Resident,
    Process,
    Docker,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TimingWire {
    ack_wait: Option<Humane>,
    request: Option<Humane>,
    probe: Option<Humane>,
    silence: Option<Humane>,
    sweep: Option<Humane>,
    queued_age: Option<Humane>,
    open_age: Option<Humane>,
    drain: Option<Humane>,
}

/// Reads a configuration.
pub(super) fn read(text: &str) -> Result<Config, ConfigError> {
    let wire: Wire = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        // Its first line only: the others repeat the file.
        let message = error.message().lines().next().unwrap_or_default().to_owned();
        ConfigError::Toml { line, message }
    })?;
    wire.check()
}

impl Wire {
    fn check(self) -> Result<Config, ConfigError> {
        let namespace = match self.namespace {
            Some(text) => text.parse().map_err(|error| invalid("namespace", error))?,
            None => subject::Namespace::default(),
        };
        let nats = self.nats.check()?;
        if self.worker.is_empty() {
            return Err(invalid("worker", "names no worker: add a [[worker]]"));
        }
        let mut names = BTreeSet::new();
        let mut workers = Vec::with_capacity(self.worker.len());
        for worker in self.worker {
            if !names.insert(worker.name.clone()) {
                return Err(invalid("worker.name", format!("stands twice: {}", worker.name)));
            }
            workers.push(worker.check(&nats.url)?);
        }
        let max_requests = self.max_requests.unwrap_or(256);
        if !(1..=65_536).contains(&max_requests) {
            return Err(invalid("max_requests", "must be 1 to 65536"));
        }
        Ok(Config {
            nats,
            namespace,
            key_file: self.key_file,
            trust_file: self.trust_file,
            revoked_file: self.revoked_file,
            workers,
            streams: self.streams.check()?,
            timing: self.timing.check()?,
            quota: self.quota.check()?,
            max_requests,
            health: self.health.check()?,
        })
    }
}

impl WorkerWire {
    fn check(mut self, nats_url: &str) -> Result<Worker, ConfigError> {
        let name = self.name.clone();
        let member = |member: &str| format!("worker.{member} of {name}");
        let policy = self.policy.take().map(|policy| policy.check(&member("policy.needed"))).transpose()?;
        let backend = match self.backend {
            BackendWire::Resident => {
                let rule = "is for the other backends: a resident worker is started by somebody else";
                self.refuse_per_job(rule)?;
                self.refuse_docker(rule)?;
                Backend::Resident
            }
            BackendWire::Process => {
                self.refuse_docker("is for the backend \"docker\"")?;
                let command = self.command.take();
                let command = command.ok_or_else(|| self.missing("command"))?;
                let (program, args) = command
                    .split_first()
                    .filter(|(program, _)| !program.is_empty())
                    .ok_or_else(|| invalid(member("command"), "names no program"))?;
                check_command(&member("command"), &command)?;
                Backend::Process(Box::new(Process {
                    program: PathBuf::from(program),
                    args: args.to_vec(),
                    per_job: self.per_job(Some(nats_url))?,
                }))
            }
            BackendWire::Docker => {
                let command = self.command.take().unwrap_or_default();
                check_command(&member("command"), &command)?;
                let wire = docker::Wire {
                    engine: self.engine.take(),
                    image: self.image.take().ok_or_else(|| self.missing("image"))?,
                    pull: self.pull.unwrap_or_default(),
                    command,
                    user: self.user,
                    network: self.network.take().ok_or_else(|| self.missing("network"))?,
                    open_network: self.open_network.unwrap_or_default(),
                    memory: self.memory,
                    cpus: self.cpus,
                    pids: self.pids,
                    // The launcher's own URL may mean another host in there, or none.
                    per_job: self.per_job(None)?,
                };
                Backend::Docker(Box::new(wire.check(member)?))
            }
        };
        Ok(Worker { name, backend, policy })
    }

    fn member(&self, member: &str) -> String {
        format!("worker.{member} of {}", self.name)
    }

    fn missing(&self, member: &str) -> ConfigError {
        let backend = match self.backend {
            BackendWire::Docker => "docker",
            BackendWire::Process | BackendWire::Resident => "process",
        };
        invalid(self.member(member), format!("is missing: the backend \"{backend}\" needs it"))
    }

    fn refuse_per_job(&self, rule: &str) -> Result<(), ConfigError> {
        self.refuse(
            rule,
            &[
                ("command", self.command.is_some()),
                ("max_running", self.max_running.is_some()),
                ("key_file", self.key_file.is_some()),
                ("cert_file", self.cert_file.is_some()),
                ("trust_file", self.trust_file.is_some()),
                ("nats_url", self.nats_url.is_some()),
                ("credentials", self.credentials.is_some()),
                ("inbox_prefix", self.inbox_prefix.is_some()),
                ("tls_ca", self.tls_ca.is_some()),
                ("tls_cert", self.tls_cert.is_some()),
                ("tls_key", self.tls_key.is_some()),
                ("env", self.env.is_some()),
            ],
        )
    }

    fn refuse_docker(&self, rule: &str) -> Result<(), ConfigError> {
        self.refuse(
            rule,
            &[
                ("engine", self.engine.is_some()),
                ("image", self.image.is_some()),
                ("pull", self.pull.is_some()),
                ("user", self.user.is_some()),
                ("network", self.network.is_some()),
                ("open_network", self.open_network.is_some()),
                ("memory", self.memory.is_some()),
                ("cpus", self.cpus.is_some()),
                ("pids", self.pids.is_some()),
            ],
        )
    }

    fn refuse(&self, rule: &str, given: &[(&str, bool)]) -> Result<(), ConfigError> {
        match given.iter().find(|(_, given)| *given) {
            Some((superfluous, _)) => Err(invalid(self.member(superfluous), rule)),
            None => Ok(()),
        }
    }

    /// What every worker that is started per job has. Without a URL by default, it must have one.
    fn per_job(self, nats_url: Option<&str>) -> Result<PerJob, ConfigError> {
        let member = |member: &str| self.member(member);
        let max_running = self.max_running.unwrap_or(4);
        if !(1..=4096).contains(&max_running) {
            return Err(invalid(member("max_running"), "must be 1 to 4096"));
        }
        check_inbox_prefix(&member("inbox_prefix"), self.inbox_prefix.as_deref())?;
        let tls_member = member("tls_cert");
        let env = self.env.clone().unwrap_or_default();
        check_env(&member("env"), &env)?;
        let nats_url = self.nats_url.clone().or_else(|| nats_url.map(str::to_owned));
        let nats_url = nats_url.ok_or_else(|| self.missing("nats_url"))?;
        // It is in the worker's environment, for everyone to see who may look there; and the launcher's own rights are
        // not for workers.
        if nats_url.contains('@') {
            let reason = "must not hold a user or password, nor `nats.url` in its place: use `credentials`";
            return Err(invalid(member("nats_url"), reason));
        }
        Ok(PerJob {
            max_running,
            key_file: self.key_file.clone().ok_or_else(|| self.missing("key_file"))?,
            trust_file: self.trust_file.clone().ok_or_else(|| self.missing("trust_file"))?,
            nats_url,
            cert_file: self.cert_file,
            credentials: self.credentials,
            inbox_prefix: self.inbox_prefix,
            tls: nats::tls(&tls_member, self.tls_ca, self.tls_cert, self.tls_key)?,
            env,
        })
    }
}

fn check_command(member: &str, command: &[String]) -> Result<(), ConfigError> {
    if command.iter().any(|text| text.contains('\0')) {
        return Err(invalid(member, "has a text that no command line can hold"));
    }
    Ok(())
}

impl PolicyWire {
    /// How many keys there are, the file says.
    fn check(self, needed: &str) -> Result<WorkerPolicy, ConfigError> {
        if !(1..=MAX_SIGNATURES).contains(&self.needed) {
            return Err(invalid(needed, format!("must be 1 to {MAX_SIGNATURES}")));
        }
        Ok(WorkerPolicy { signers_file: self.signers_file, needed: self.needed, mode: self.mode })
    }
}

/// What `env` sets is the operator's business, but for what the launcher itself sets. How long a worker waits is
/// nothing of that.
fn check_env(member: &str, env: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    for (name, value) in env {
        if name.starts_with("SUBROSA_") && !name.ends_with("_SECONDS") {
            return Err(invalid(member, format!("must not set {name}: the launcher does")));
        }
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(invalid(member, "has a variable that no environment can hold"));
        }
    }
    Ok(())
}

pub(super) fn check_inbox_prefix(member: &str, prefix: Option<&str>) -> Result<(), ConfigError> {
    match prefix {
        Some(prefix) if prefix.contains('.') || !subject::may_answer(&format!("{prefix}.x")) => {
            Err(invalid(member, "must be _INBOX or begin with _INBOX_, without dots or wildcards"))
        }
        _ => Ok(()),
    }
}

impl TimingWire {
    fn check(self) -> Result<Timing, ConfigError> {
        let seconds = Duration::from_secs;
        let within = |name: &str, given: Option<Humane>, default: u64, least: u64, most: u64| {
            let value = given.map_or(seconds(default), |given| given.0);
            if (seconds(least)..=seconds(most)).contains(&value) {
                Ok(value)
            } else {
                Err(invalid(format!("timing.{name}"), format!("must be \"{least}s\" to \"{most}s\"")))
            }
        };
        Ok(Timing {
            ack_wait: within("ack_wait", self.ack_wait, 30, 5, 3600)?,
            request: within("request", self.request, 10, 2, 600)?,
            probe: within("probe", self.probe, 10, 1, 600)?,
            silence: within("silence", self.silence, 60, 1, 3600)?,
            sweep: within("sweep", self.sweep, 15, 1, 3600)?,
            queued_age: within("queued_age", self.queued_age, 30, 1, 86_400)?,
            open_age: within("open_age", self.open_age, 600, 10, 86_400)?,
            drain: within("drain", self.drain, 30, 0, 86_400)?,
        })
    }
}

pub(super) fn invalid(member: impl Into<String>, rule: impl ToString) -> ConfigError {
    ConfigError::Invalid { member: member.into(), rule: rule.to_string() }
}
