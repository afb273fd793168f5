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
use subrosa_transport::{Live, LiveTrust, Tls, check_files, now_ms};

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
    /// Reads all files that the configuration names, and checks that they fit together: keys, trust, revocations and
    /// signers, credentials and those for TLS.
    ///
    /// # Errors
    ///
    /// A file that cannot be used, and a key whose records would not count.
    pub fn keys(&self) -> Result<Keys, ConfigError> {
        let identity = file::load(&self.key_file)?;
        let trust = self.live_trust(identity.thumbprint())?;
        let policies = self.policies()?;
        connects("`nats`", self.nats.credentials.as_deref(), &self.nats.tls)?;
        for worker in &self.workers {
            let Some(per_job) = worker.backend.per_job() else { continue };
            let section = format!("`worker` {}", worker.name);
            connects(&section, per_job.credentials.as_deref(), &per_job.tls)?;
            if let Backend::Process(process) = &worker.backend
                && process.program.components().count() > 1
                && !process.program.exists()
            {
                let member = format!("worker.command of {}", worker.name);
                return Err(ConfigError::MissingFile { member, path: process.program.clone() });
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

fn connects(section: &str, credentials: Option<&Path>, tls: &Tls) -> Result<(), ConfigError> {
    check_files(credentials, tls)
        .map_err(|reason| ConfigError::Connect { section: section.to_owned(), reason })
}
