//! The files that a configuration names: read, checked against each other, and read again.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use subrosa_protocol::{
    id::WorkerName,
    identity::{self, SigningKey, Thumbprint, Trust, file},
    policy::{Policy, PolicyError},
};
use subrosa_transport::{Live, LiveTrust, now_ms};

use super::{Backend, Config, ConfigError, PerJob, WorkerPolicy};

/// A launcher's own key, the keys that it trusts, and whose jobs it admits.
#[derive(Debug)]
pub struct Keys {
    /// Signs its records.
    pub identity: SigningKey,
    /// Whose records count.
    pub trust: LiveTrust,
    /// Who may launch which worker; anyone may launch the others.
    pub policies: HashMap<WorkerName, Live<Policy>>,
}

impl Config {
    /// Reads all key, trust, revocation and signers files, and checks that they fit together.
    ///
    /// # Errors
    ///
    /// A file that cannot be used, and a key whose records would not count.
    pub fn keys(&self) -> Result<Keys, ConfigError> {
        let identity = file::load(&self.key_file)?;
        let trust = self.live_trust(identity.thumbprint())?;
        let policies = self.policies()?;
        exists("nats.credentials", self.nats.credentials.as_ref())?;
        self.nats.tls.files().try_for_each(|path| exists("nats.tls_ca, tls_cert or tls_key", Some(path)))?;
        for worker in &self.workers {
            let Some(per_job) = worker.backend.per_job() else { continue };
            let member = |member| format!("worker.{member} of {}", worker.name);
            exists(&member("credentials"), per_job.credentials.as_ref())?;
            let tls = member("tls_ca, tls_cert or tls_key");
            per_job.tls.files().try_for_each(|path| exists(&tls, Some(path)))?;
            if let Backend::Process(process) = &worker.backend
                && process.program.components().count() > 1
            {
                exists(&member("command"), Some(&process.program))?;
            }
            per_job.check_keys(&worker.name, &trust.get(), &self.trust_file, &identity.thumbprint())?;
        }
        Ok(Keys { identity, trust, policies })
    }

    /// The trust file, which has to name the launcher itself: also when it is read again.
    fn live_trust(&self, own: Thumbprint) -> Result<LiveTrust, ConfigError> {
        let key = self.key_file.clone();
        let read = move |path: &Path| {
            let trust = Trust::from_file(path)?;
            match trust.launcher(&own) {
                Ok(()) => Ok(trust),
                Err(reason) => {
                    Err(ConfigError::Untrusted { trust: path.to_owned(), key: key.clone(), reason })
                }
            }
        };
        let trust = LiveTrust::new(Live::file(&self.trust_file, read)?);
        let Some(revoked) = &self.revoked_file else { return Ok(trust) };
        let trust = trust.with_revoked_file(revoked)?;
        trust.get().launcher(&own).map_err(|reason| ConfigError::Untrusted {
            trust: self.trust_file.clone(),
            key: self.key_file.clone(),
            reason,
        })?;
        Ok(trust)
    }

    fn policies(&self) -> Result<HashMap<WorkerName, Live<Policy>>, ConfigError> {
        let with_policy =
            self.workers.iter().filter_map(|worker| Some((&worker.name, worker.policy.as_ref()?)));
        with_policy.map(|(name, policy)| Ok((name.clone(), policy.read()?))).collect()
    }
}

impl WorkerPolicy {
    fn read(&self) -> Result<Live<Policy>, PolicyError> {
        let (needed, mode) = (self.needed, self.mode);
        let read = move |path: &Path| Policy::from_file(path, needed).map(|policy| policy.in_mode(mode));
        Live::file(&self.signers_file, read)
    }
}

impl PerJob {
    /// The worker's records count for the launcher, and the launcher's for the worker.
    fn check_keys(
        &self,
        name: &WorkerName,
        trust: &Trust,
        trust_file: &Path,
        launcher: &Thumbprint,
    ) -> Result<(), ConfigError> {
        let worker = file::load(&self.key_file)?.thumbprint();
        let cert = self.cert_file.as_ref().map(identity::load_cert).transpose()?;
        let cert = cert.as_ref().map(|(cert, _)| cert.as_str());
        trust.vouched(&worker, name, cert, now_ms()).map_err(|reason| ConfigError::Untrusted {
            trust: trust_file.to_owned(),
            key: self.key_file.clone(),
            reason,
        })?;
        Trust::from_file(&self.trust_file)?.launcher(launcher).map_err(|reason| ConfigError::Untrusted {
            trust: self.trust_file.clone(),
            key: PathBuf::from("the launcher's key_file"),
            reason,
        })
    }
}

fn exists(member: &str, path: Option<&PathBuf>) -> Result<(), ConfigError> {
    match path {
        Some(path) if !path.exists() => {
            Err(ConfigError::MissingFile { member: member.to_owned(), path: path.clone() })
        }
        _ => Ok(()),
    }
}
