//! The files that a connection is made with: credentials and TLS. They are read whenever it is made anew, so that
//! they can be replaced while a process runs.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_nats::{
    Auth, AuthError, ConnectOptions,
    rustls::{
        self, ClientConfig, RootCertStore,
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    },
};
use nkeys::KeyPair;

use crate::{ConnectError, Live, credentials, live::Stamp};

/// The files for TLS, in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// The authorities that certify servers; those of this machine, if absent.
    pub ca: Option<PathBuf>,
    /// This side's certificate, with the chain to its authority, for a server that asks for one.
    pub cert: Option<PathBuf>,
    /// The private key of that certificate.
    pub key: Option<PathBuf>,
}

impl Tls {
    /// The files that there are.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.ca, &self.cert, &self.key].into_iter().flatten()
    }

    /// Whether a certificate has its key, and a key its certificate.
    pub fn is_whole(&self) -> bool {
        self.cert.is_some() == self.key.is_some()
    }

    /// Whether a connection can be made with what the files have now: all can be read, and the key is the
    /// certificate's.
    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        let none = "it holds no certificate";
        let mut authorities = RootCertStore::empty();
        if let Some(ca) = &self.ca {
            for authority in certificates(ca)? {
                authorities.add(authority).map_err(|error| bad(ca, error))?;
            }
            if authorities.is_empty() {
                return Err(bad(ca, none));
            }
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            let chain = certificates(cert)?;
            if chain.is_empty() {
                return Err(bad(cert, none));
            }
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
                pem::Error::NoItemsFound => bad(key, "it holds no private key"),
                error => unread(key, error),
            })?;
            let config = ClientConfig::builder().with_root_certificates(authorities);
            config.with_client_auth_cert(chain, private).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    bad(key, format!("it is not the key of the certificate in {}", cert.display()))
                }
                rustls::Error::InvalidCertificate(_) => bad(cert, error),
                error => bad(key, error),
            })?;
        }
        Ok(())
    }

    /// With these files a connection is encrypted, or there is none.
    pub(crate) fn apply(&self, mut options: ConnectOptions) -> ConnectOptions {
        if self.files().next().is_some() {
            options = options.require_tls(true);
        }
        if let Some(ca) = &self.ca {
            options = options.add_root_certificates(ca.clone());
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        options
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    read.map_err(|error| unread(path, error))
}

fn unread(path: &Path, error: pem::Error) -> ConnectError {
    match error {
        pem::Error::Io(reason) => ConnectError::Tls { path: path.to_owned(), reason },
        // The library's words for it are lists of bytes.
        pem::Error::MissingSectionEnd { .. } => bad(path, "it ends in the middle"),
        pem::Error::IllegalSectionStart { .. } => bad(path, "it is not PEM"),
        error => bad(path, error),
    }
}

fn bad(path: &Path, error: impl Into<Box<dyn Error + Send + Sync>>) -> ConnectError {
    ConnectError::Tls { path: path.to_owned(), reason: io::Error::new(io::ErrorKind::InvalidData, error) }
}

/// Whether a connection could be made with these files, without making one: they can be read and are what they should
/// be, and the key is the certificate's. Whether the server likes them, it alone knows.
///
/// # Errors
///
/// [`ConnectError::Credentials`] and [`ConnectError::Tls`], which name the file.
pub fn check_files(credentials: Option<&Path>, tls: &Tls) -> Result<(), ConnectError> {
    if let Some(path) = credentials {
        let failed = |reason| ConnectError::Credentials { path: path.to_owned(), reason };
        Credentials::read(path).map_err(failed)?;
    }
    tls.check()
}

/// The key that signs what the server asks, and the token of the user who has it, unless the server knows the key.
#[derive(Clone)]
struct Credentials {
    jwt: Option<String>,
    key: Arc<KeyPair>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    fn read(path: &Path) -> io::Result<Self> {
        let text = credentials::read(path)?;
        let bad = |what| io::Error::new(io::ErrorKind::InvalidData, format!("it holds no {what}"));
        let (jwt, seed) = match credentials::seed(&text) {
            Some(seed) => (None, seed),
            None => {
                let jwt = section(&text, "NATS USER JWT").ok_or_else(|| bad("user's token"))?;
                (Some(jwt.to_owned()), section(&text, "USER NKEY SEED").ok_or_else(|| bad("seed"))?)
            }
        };
        let key = KeyPair::from_seed(seed).map_err(|_| bad("seed that is one"))?;
        Ok(Self { jwt, key: Arc::new(key) })
    }

    fn sign(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        let signature = self.key.sign(nonce).map_err(AuthError::new)?;
        let mut auth = Auth::new();
        auth.nkey = self.jwt.is_none().then(|| self.key.public_key());
        auth.jwt.clone_from(&self.jwt);
        auth.signature = Some(signature);
        Ok(auth)
    }
}

/// The line between `BEGIN` and `END`.
fn section<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("BEGIN {name}"))?;
    let (_, rest) = rest.split_once('\n')?;
    rest.lines().map(str::trim).find(|line| !line.is_empty()).filter(|line| !line.starts_with('-'))
}

/// Options that read these credentials whenever a connection is made. Those that cannot be read then are logged, and
/// the last good ones are used.
pub(crate) fn with_credentials(path: &Path) -> io::Result<ConnectOptions> {
    let credentials = Live::file(path, Credentials::read)?;
    let fresh = std::sync::atomic::AtomicBool::new(true);
    Ok(ConnectOptions::with_auth_callback(move |nonce| {
        if !fresh.swap(false, std::sync::atomic::Ordering::Relaxed) {
            credentials.reload();
        }
        std::future::ready(credentials.get().sign(&nonce))
    }))
}

/// The files of one connection, as they were when they were last looked at.
#[derive(Debug)]
pub(crate) struct Files {
    credentials: Option<PathBuf>,
    tls: Tls,
    seen: Mutex<Vec<Stamp>>,
}

impl Files {
    pub(crate) fn new(credentials: Option<PathBuf>, tls: Tls) -> Self {
        let files = Self { credentials, tls, seen: Mutex::default() };
        let seen = Mutex::new(files.stamps());
        Self { seen, ..files }
    }

    fn stamps(&self) -> Vec<Stamp> {
        self.credentials.iter().chain(self.tls.files()).map(|path| Stamp::of(path)).collect()
    }

    /// Whether one of them is another than at the last look, and a connection can be made with them.
    ///
    /// # Errors
    ///
    /// Why none can be made. At the next look they are still others then.
    pub(crate) fn have_changed(&self) -> Result<bool, ConnectError> {
        let now = self.stamps();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return Ok(false);
        }
        self.tls.check()?;
        *seen = now;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> io::Result<Credentials> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("user.creds");
        std::fs::write(&path, text).unwrap();
        Credentials::read(&path)
    }

    #[test]
    fn credentials_are_a_token_and_a_seed() {
        let key = KeyPair::new_user();
        let seed = key.seed().unwrap();
        let text = format!(
            "-----BEGIN NATS USER JWT-----\ne30.e30.c2ln\n------END NATS USER JWT------\n\n*** NOTES ***\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        let credentials = written(&text).unwrap();
        assert_eq!(credentials.jwt.as_deref(), Some("e30.e30.c2ln"));
        let auth = credentials.sign(b"nonce").unwrap();
        key.verify(b"nonce", &auth.signature.unwrap()).unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials");
        let auth = written(&format!("{seed}\n")).unwrap().sign(b"nonce").unwrap();
        assert_eq!((auth.jwt, auth.nkey), (None, Some(key.public_key())));
        for bad in [
            String::new(),
            text.replace(&seed, ""),
            text.replace(&seed, "SUAX"),
            text.replace("USER JWT", ""),
        ] {
            let error = written(&bad).unwrap_err().to_string();
            assert!(error.starts_with("it holds no ") && !error.contains(&seed), "{error}");
        }
    }
}
