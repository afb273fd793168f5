//! The keys of a deployment: made where there are none, and added to its trust file.

use std::{
    fs::Permissions,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rand::SeedableRng as _;
use subrosa_protocol::{
    id::WorkerName,
    identity::{
        PublicKey, Role, SigningKey, Trust,
        file::{self, KeyFileError},
    },
};

/// Which keys there are to be.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The launcher's key file
    #[arg(long, value_name = "FILE")]
    pub(crate) launcher: PathBuf,
    /// A worker's name and key file
    #[arg(long, value_name = "NAME=FILE", value_parser = named)]
    pub(crate) worker: Vec<(WorkerName, PathBuf)>,
    /// The trust file. What is in it already stays there
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: PathBuf,
}

impl Args {
    /// Makes the keys that are missing, and adds the public ones to the trust file. Running it again changes
    /// nothing.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let exists = self.trust.try_exists().with_context(|| self.trust.display().to_string())?;
        let before = if exists { Trust::from_file(&self.trust)? } else { Trust::default() };
        let mut trust = before.clone();
        let key = public_key(&self.launcher)?;
        if trust.launcher(&key.thumbprint()).is_err() {
            trust = trust.with_key(key, Role::Launcher, None);
        }
        for (name, path) in &self.worker {
            let key = public_key(path)?;
            if trust.worker(&key.thumbprint(), name).is_err() {
                trust = trust.with_key(key, Role::Worker, Some(vec![name.clone()]));
            }
        }
        let text = trust.to_json();
        if exists && text == before.to_json() {
            return Ok(());
        }
        replace(&self.trust, &text).with_context(|| format!("{} cannot be written", self.trust.display()))
    }
}

fn named(text: &str) -> Result<(WorkerName, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("give a worker's name and a file, as echo=echo.jwk")?;
    let name = name.parse::<WorkerName>().map_err(|error| error.to_string())?;
    Ok((name, path.into()))
}

/// The public half of the key in this file, which is made if it does not exist.
fn public_key(path: &Path) -> Result<PublicKey, KeyFileError> {
    let key = match file::load(path) {
        Err(KeyFileError::Missing { .. }) => {
            let key = SigningKey::generate(&mut rand::rngs::StdRng::from_rng(&mut rand::rng()));
            file::create(path, &key)?;
            tracing::info!(path = %path.display(), key = %key.thumbprint(), "made a key");
            key
        }
        other => other?,
    };
    Ok(key.public().clone())
}

/// Puts the file in place as a whole: whoever reads it meanwhile sees the old one or the new one.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(directory.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    tracing::info!(path = %path.display(), "wrote the trust file");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_second_run_changes_nothing_and_a_new_worker_is_added() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let worker = |name: &str| named(&format!("{name}={}", at(name).display())).unwrap();
        let mut args =
            Args { launcher: at("launcher"), worker: vec![worker("echo")], trust: at("trust.json") };
        args.run().unwrap();
        let first = [at("launcher"), at("echo"), at("trust.json")].map(|path| fs::read(path).unwrap());
        args.run().unwrap();
        assert_eq!(first, [at("launcher"), at("echo"), at("trust.json")].map(|path| fs::read(path).unwrap()));

        args.worker.push(worker("create-proof"));
        args.run().unwrap();
        let trust = Trust::from_file(at("trust.json")).unwrap();
        trust.launcher(&public_key(&at("launcher")).unwrap().thumbprint()).unwrap();
        for (name, path) in &args.worker {
            let key = public_key(path).unwrap().thumbprint();
            trust.worker(&key, name).unwrap();
            assert!(trust.worker(&key, &"another".parse().unwrap()).is_err());
        }
    }

    #[test]
    fn a_trust_file_that_cannot_be_read_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("trust.json"), "{").unwrap();
        let args = Args { launcher: at("launcher"), worker: Vec::new(), trust: at("trust.json") };
        assert!(args.run().is_err());
        assert_eq!(fs::read(at("trust.json")).unwrap(), b"{");
        assert!(named("echo").is_err());
        assert!(named("=file").is_err());
    }
}
