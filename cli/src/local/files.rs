//! The files of a local deployment: fresh keys, who trusts whom, the launcher's configuration.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{Backend, LocalError, Plan, keys};

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
    pub(super) fn write(
        directory: &Path,
        plan: &Plan,
        url: &str,
        program: &Path,
    ) -> Result<Self, LocalError> {
        let at = |name: &str| directory.join(name);
        let files =
            Self { trust: at("trust.json"), config: at("launcher.toml"), directory: directory.to_owned() };
        let examples = plan.workers.iter().map(|worker| worker.name());
        let mut workers = Vec::new();
        for name in examples.clone().chain(plan.others.iter().map(String::as_str)) {
            workers.push((name.parse()?, files.worker_key(name)));
        }
        let keys = keys::Args { launcher: at("launcher.jwk"), worker: workers, trust: files.trust.clone() };
        keys.run().map_err(|error| LocalError::Setup(format!("{error:#}")))?;
        let program = program.to_str().ok_or_else(|| LocalError::Program { path: program.to_owned() })?;
        let config = Config {
            key_file: &keys.launcher,
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

fn write(path: &Path, text: &str) -> Result<(), LocalError> {
    fs::write(path, text).map_err(|error| LocalError::File { path: path.to_owned(), error })
}
