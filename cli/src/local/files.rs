//! The files of a local deployment: fresh keys, who trusts whom, the launcher's configuration.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rand::SeedableRng as _;
use serde::Serialize;
use subrosa_protocol::{
    id::WorkerName,
    identity::{
        Role, SigningKey, Trust,
        file::{self, KeyFileError},
    },
};

use super::{Backend, LocalError, Plan};

/// Where they lie.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) trust: PathBuf,
    pub(super) config: PathBuf,
    directory: PathBuf,
}

/// The launcher's configuration, as far as a local deployment needs it.
#[derive(Serialize)]
struct Config<'a> {
    key_file: &'a Path,
    trust_file: &'a Path,
    nats: Nats<'a>,
    worker: Vec<Worker<'a>>,
}

#[derive(Serialize)]
struct Nats<'a> {
    url: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "backend", rename_all = "lowercase")]
enum Worker<'a> {
    Resident { name: &'a str },
    Process { name: &'a str, command: Vec<&'a str>, key_file: PathBuf, trust_file: &'a Path },
}

impl Files {
    /// Makes the keys and writes everything down.
    pub(super) fn write(directory: &Path, plan: &Plan, url: &str, program: &Path) -> Result<Self, LocalError> {
        let at = |name: &str| directory.join(name);
        let files = Self { trust: at("trust.json"), config: at("launcher.toml"), directory: directory.to_owned() };
        let launcher = fresh_key(&at("launcher.jwk"))?;
        let mut trust = Trust::default().with_key(launcher.public().clone(), Role::Launcher, None);
        let examples = plan.workers.iter().map(|worker| worker.name());
        for worker in examples.clone().chain(plan.others.iter().map(String::as_str)) {
            let key = fresh_key(&files.worker_key(worker))?;
            let name: Vec<WorkerName> = worker.parse().into_iter().collect();
            trust = trust.with_key(key.public().clone(), Role::Worker, Some(name));
        }
        write(&files.trust, &trust.to_json())?;
        let program = program.to_str().ok_or_else(|| LocalError::Program { path: program.to_owned() })?;
        let launcher_key = at("launcher.jwk");
        let config = Config {
            key_file: &launcher_key,
            trust_file: &files.trust,
            nats: Nats { url },
            worker: examples
                .map(|name| files.worker(name, plan.backend, program))
                .chain(plan.others.iter().map(|name| Worker::Resident { name }))
                .collect(),
        };
        let text = toml::to_string(&config).map_err(io::Error::other);
        write(&files.config, &text.map_err(|error| LocalError::File { path: files.config.clone(), error })?)?;
        Ok(files)
    }

    fn worker<'a>(&'a self, name: &'a str, backend: Backend, program: &'a str) -> Worker<'a> {
        match backend {
            Backend::Resident => Worker::Resident { name },
            Backend::Process => Worker::Process {
                name,
                command: vec![program, "internal", "worker", name],
                key_file: self.worker_key(name),
                trust_file: &self.trust,
            },
        }
    }

    /// A worker's signing key.
    pub(super) fn worker_key(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.jwk"))
    }
}

fn fresh_key(path: &Path) -> Result<SigningKey, KeyFileError> {
    let key = SigningKey::generate(&mut rand::rngs::StdRng::from_rng(&mut rand::rng()));
    file::create(path, &key)?;
    Ok(key)
}

fn write(path: &Path, text: &str) -> Result<(), LocalError> {
    fs::write(path, text).map_err(|error| LocalError::File { path: path.to_owned(), error })
}
