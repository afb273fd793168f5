//! The files of a local deployment: fresh keys, who trusts whom, the launcher's configuration.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{Backend, LocalError, Plan, keys, nats_users, own};

/// Where they lie.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) trust: PathBuf,
    pub(super) config: PathBuf,
    directory: PathBuf,
    /// Whether workers have certificates.
    certified: bool,
    /// The key files that have a place of their own, by the worker's name.
    keys: BTreeMap<String, PathBuf>,
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
    Resident {
        name: &'a str,
    },
    Process {
        name: &'a str,
        command: Vec<&'a str>,
        key_file: PathBuf,
        #[serde(skip_serializing_if = "Option::is_none")]
        cert_file: Option<PathBuf>,
        trust_file: &'a Path,
    },
    /// Says itself which backend it has.
    #[serde(untagged)]
    Own(toml::Table),
}

impl Files {
    /// Makes the keys that are missing and writes everything down.
    pub(super) fn write(
        directory: &Path,
        plan: &Plan,
        url: &str,
        program: &Path,
    ) -> Result<Self, LocalError> {
        let at = |name: &str| directory.join(name);
        let own = &plan.own.workers;
        let named = |worker: &own::Worker| Some((worker.name.to_string(), worker.key_file.clone()?));
        let files = Self {
            trust: at("trust.json"),
            config: at("launcher.toml"),
            directory: directory.to_owned(),
            certified: plan.authority,
            keys: own.iter().filter_map(named).collect(),
        };
        let examples = plan.workers.iter().map(|worker| worker.name());
        let mut workers = Vec::new();
        for name in examples.clone().chain(plan.others.iter().map(String::as_str)) {
            workers.push((name.parse()?, files.worker_key(name)));
        }
        for worker in own {
            workers.push((worker.name.clone(), files.worker_key(worker.name.as_str())));
        }
        let keys = keys::Args {
            launcher: at("launcher.jwk"),
            worker: workers,
            authority: plan.authority.then(|| at("authority.jwk")),
            trust: files.trust.clone(),
            nats: nats_users::NatsUsers::default(),
        };
        keys.run().map_err(|error| LocalError::Setup(format!("{error:#}")))?;
        let program = program.to_str().ok_or_else(|| LocalError::Program { path: program.to_owned() })?;
        let config = Config {
            key_file: &keys.launcher,
            trust_file: &files.trust,
            nats: Nats { url },
            worker: examples
                .map(|name| files.worker(name, plan.backend, program))
                .chain(plan.others.iter().map(|name| Worker::Resident { name }))
                .chain(own.iter().map(|worker| Worker::Own(files.own(worker))))
                .collect(),
        };
        let text = toml::Table::try_from(&config).map(|mut table| {
            table.extend(plan.own.settings.clone());
            table.to_string()
        });
        let text = text.map_err(io::Error::other);
        write(&files.config, &text.map_err(|error| LocalError::File { path: files.config.clone(), error })?)?;
        Ok(files)
    }

    /// What the launcher is told of a worker of one's own.
    fn own(&self, worker: &own::Worker) -> toml::Table {
        let mut entry = worker.entry.clone();
        if entry.get("backend").and_then(toml::Value::as_str) == Some("process") {
            let path = |path: &Path| path.to_string_lossy().into_owned();
            entry.insert("key_file".to_owned(), path(&self.worker_key(worker.name.as_str())).into());
            if let Some(cert) = self.worker_cert(worker.name.as_str()) {
                entry.entry("cert_file").or_insert_with(|| path(&cert).into());
            }
            entry.entry("trust_file").or_insert_with(|| path(&self.trust).into());
        }
        entry
    }

    fn worker<'a>(&'a self, name: &'a str, backend: Backend, program: &'a str) -> Worker<'a> {
        match backend {
            Backend::Resident => Worker::Resident { name },
            Backend::Process => Worker::Process {
                name,
                command: vec![program, "internal", "worker", name],
                key_file: self.worker_key(name),
                cert_file: self.worker_cert(name),
                trust_file: &self.trust,
            },
        }
    }

    /// A worker's certificate, if workers have any.
    pub(super) fn worker_cert(&self, name: &str) -> Option<PathBuf> {
        self.certified.then(|| keys::certificate(&self.worker_key(name)))
    }

    /// A worker's signing key.
    pub(super) fn worker_key(&self, name: &str) -> PathBuf {
        self.keys.get(name).cloned().unwrap_or_else(|| self.directory.join(format!("{name}.jwk")))
    }
}

fn write(path: &Path, text: &str) -> Result<(), LocalError> {
    fs::write(path, text).map_err(|error| LocalError::File { path: path.to_owned(), error })
}
