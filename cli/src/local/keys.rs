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
        self, Certificate, Certified, PublicKey, Role, SigningKey, Trust,
        file::{self, KeyFileError},
    },
};
use subrosa_transport::now_ms;

use super::nats_users;

/// How long a certificate holds, in seconds: 90 days. It is issued anew when half of that is over.
const VALID_S: u64 = 90 * 86_400;

/// Which keys there are to be.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The launcher's key file
    #[arg(long, value_name = "FILE")]
    pub(crate) launcher: PathBuf,
    /// A worker's name and key file
    #[arg(long, value_name = "NAME=FILE", value_parser = named)]
    pub(crate) worker: Vec<(WorkerName, PathBuf)>,
    /// The authority's key file. Workers get certificates by it beside their key files, and the trust file
    /// names the authority instead of them
    #[arg(long, value_name = "FILE")]
    pub(crate) authority: Option<PathBuf>,
    /// The trust file. What is in it already stays there
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: PathBuf,
    #[command(flatten)]
    pub(crate) nats: nats_users::NatsUsers,
}

impl Args {
    /// Makes the keys that are missing, and adds the public ones to the trust file. Running it again changes
    /// nothing.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        self.nats.run()?;
        let exists = self.trust.try_exists().with_context(|| self.trust.display().to_string())?;
        let before = if exists { Trust::from_file(&self.trust)? } else { Trust::default() };
        let mut trust = before.clone();
        let key = signing_key(&self.launcher)?.public();
        if trust.launcher(&key.thumbprint()).is_err() {
            trust = trust.with_key(key, Role::Launcher, None);
        }
        let authority = self.authority.as_ref().map(signing_key).transpose()?;
        for (name, path) in &self.worker {
            let key = signing_key(path)?.public();
            if let Some(authority) = &authority {
                certify(authority, name, key, &certificate(path))?;
                if trust.authority(&authority.thumbprint(), name).is_err() {
                    trust = trust.with_key(authority.public(), Role::Authority, None);
                }
            } else if trust.worker(&key.thumbprint(), name).is_err() {
                trust = trust.with_key(key, Role::Worker, Some(vec![name.clone()]));
            }
        }
        let text = trust.to_json();
        if exists && text == before.to_json() {
            return Ok(());
        }
        replace(&self.trust, &text, 0o644)
            .with_context(|| format!("{} cannot be written", self.trust.display()))
    }
}

pub(super) fn named(text: &str) -> Result<(WorkerName, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("give a worker's name and a file, as echo=echo.jwk")?;
    let name = name.parse::<WorkerName>().map_err(|error| error.to_string())?;
    Ok((name, path.into()))
}

/// Where a worker's certificate lies: beside its key.
pub(super) fn certificate(key: &Path) -> PathBuf {
    key.with_extension("cert")
}

/// Issues a certificate, unless there is a good one that does not expire soon.
fn certify(authority: &SigningKey, worker: &WorkerName, key: PublicKey, path: &Path) -> anyhow::Result<()> {
    let now_s = now_ms() / 1000;
    let good = |known: &Certified| {
        let certificate = &known.certificate;
        known.authority == authority.public()
            && (&certificate.worker, &certificate.key) == (worker, &key)
            && certificate.expires_s > now_s + VALID_S / 2
    };
    if identity::load_cert(path).is_ok_and(|(_, known)| good(&known)) {
        return Ok(());
    }
    let certificate =
        Certificate { worker: worker.clone(), key, issued_s: now_s, expires_s: now_s + VALID_S, image: None };
    let jwt = certificate.sign(authority) + "\n";
    replace(path, &jwt, 0o644).with_context(|| format!("{} cannot be written", path.display()))
}

/// The key in this file, which is made if it does not exist.
fn signing_key(path: impl AsRef<Path>) -> Result<SigningKey, KeyFileError> {
    let path = path.as_ref();
    Ok(match file::load(path) {
        Err(KeyFileError::Missing { .. }) => {
            let key = SigningKey::generate(&mut rand::rngs::StdRng::from_rng(&mut rand::rng()));
            file::create(path, &key)?;
            tracing::info!(path = %path.display(), key = %key.thumbprint(), "made a key");
            key
        }
        other => other?,
    })
}

/// Puts the file in place as a whole: whoever reads it meanwhile sees the old one or the new one.
pub(crate) fn replace(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    tracing::info!(path = %path.display(), "written");
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
        let mut args = Args {
            launcher: at("launcher"),
            worker: vec![worker("echo")],
            authority: None,
            trust: at("trust.json"),
            nats: Default::default(),
        };
        args.run().unwrap();
        let first = [at("launcher"), at("echo"), at("trust.json")].map(|path| fs::read(path).unwrap());
        args.run().unwrap();
        assert_eq!(first, [at("launcher"), at("echo"), at("trust.json")].map(|path| fs::read(path).unwrap()));

        args.worker.push(worker("create-proof"));
        args.run().unwrap();
        let trust = Trust::from_file(at("trust.json")).unwrap();
        trust.launcher(&signing_key(at("launcher")).unwrap().thumbprint()).unwrap();
        for (name, path) in &args.worker {
            let key = signing_key(path).unwrap().thumbprint();
            trust.worker(&key, name).unwrap();
            assert!(trust.worker(&key, &"another".parse().unwrap()).is_err());
        }
    }

    #[test]
    fn with_an_authority_workers_get_certificates_and_keep_them() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let name: WorkerName = "echo".parse().unwrap();
        let args = Args {
            launcher: at("launcher.jwk"),
            worker: vec![(name.clone(), at("echo.jwk"))],
            authority: Some(at("authority.jwk")),
            trust: at("trust.json"),
            nats: Default::default(),
        };
        args.run().unwrap();
        let first = [at("echo.cert"), at("trust.json")].map(|path| fs::read_to_string(path).unwrap());
        let trust = Trust::from_file(at("trust.json")).unwrap();
        let key = signing_key(at("echo.jwk")).unwrap().thumbprint();
        assert!(trust.vouched(&key, &name, None, now_ms()).is_err());
        trust.vouched(&key, &name, Some(first[0].trim_end()), now_ms()).unwrap();
        args.run().unwrap();
        assert_eq!(first, [at("echo.cert"), at("trust.json")].map(|path| fs::read_to_string(path).unwrap()));
        // One that is another key's is replaced.
        fs::remove_file(at("echo.jwk")).unwrap();
        args.run().unwrap();
        let (cert, _) = identity::load_cert(at("echo.cert")).unwrap();
        let key = signing_key(at("echo.jwk")).unwrap().thumbprint();
        trust.vouched(&key, &name, Some(&cert), now_ms()).unwrap();
    }

    #[test]
    fn a_trust_file_that_cannot_be_read_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("trust.json"), "{").unwrap();
        let args = Args {
            launcher: at("launcher"),
            worker: Vec::new(),
            authority: None,
            trust: at("trust.json"),
            nats: Default::default(),
        };
        assert!(args.run().is_err());
        assert_eq!(fs::read(at("trust.json")).unwrap(), b"{");
        assert!(named("echo").is_err());
        assert!(named("=file").is_err());
    }
}
