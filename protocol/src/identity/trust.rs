//! Who is trusted, and as what.

mod error;

use std::{collections::HashMap, fmt, fs::File, io::Read as _, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::error::{TrustError, Untrusted};

use super::{
    ImageDigest, Jwk, PublicKey, Revoked, Thumbprint,
    jwk::{self, Members},
    vouchers::Vouchers,
};
use crate::{id::WorkerName, json};

/// The largest trust file, in bytes.
pub const MAX_TRUST_BYTES: usize = 1 << 20;

/// What a key is trusted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// It may serve jobs.
    Worker,
    /// It may write a launcher's records.
    Launcher,
    /// It may certify workers.
    Authority,
}

impl Role {
    fn parse(text: &str) -> Option<Self> {
        [Self::Worker, Self::Launcher, Self::Authority].into_iter().find(|role| role.as_str() == text)
    }

    /// The role as it is written in a trust file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Launcher => "launcher",
            Self::Authority => "authority",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The keys that are trusted, each in its role. Cloning is cheap. The default trusts nobody.
///
/// ```
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// # use subrosa_protocol::identity::{Role, SigningKey, Trust};
/// # let mut rng = UnwrapErr(SysRng);
/// # let (worker, launcher) = (SigningKey::generate(&mut rng), SigningKey::generate(&mut rng));
/// let trust = Trust::default()
///     .with_key(worker.public(), Role::Worker, Some(vec!["echo".parse()?]))
///     .with_key(launcher.public(), Role::Launcher, None);
/// assert!(trust.worker(&worker.thumbprint(), &"echo".parse()?).is_ok());
/// assert!(trust.worker(&worker.thumbprint(), &"other".parse()?).is_err());
/// assert!(trust.worker(&launcher.thumbprint(), &"echo".parse()?).is_err());
///
/// let file = trust.to_json(); // what `Trust::from_file` reads
/// assert!(Trust::from_jwk_set(file.as_bytes())?.launcher(&launcher.thumbprint()).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Trust(Arc<Inner>);

#[derive(Clone, Debug, Default)]
struct Inner {
    grants: HashMap<Thumbprint, Vec<Grant>>,
    any_worker: bool,
    revoked: Revoked,
    /// The image that workers must be certified for.
    image: Option<ImageDigest>,
    vouchers: Vouchers,
}

#[derive(Clone, Debug)]
struct Grant {
    key: PublicKey,
    role: Role,
    /// The names that the key is good for; `None` for all.
    workers: Option<Vec<WorkerName>>,
}

impl Trust {
    /// Reads a JWK Set (RFC 7517, section 5) with the additional members `role` and `workers`.
    ///
    /// Without `role` a key is a worker's, and without `workers` it is good for every name. Other
    /// members are ignored.
    ///
    /// # Errors
    ///
    /// One key that cannot be used refuses the whole set: nobody should believe a key trusted that is not.
    pub fn from_jwk_set(bytes: &[u8]) -> Result<Self, TrustError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Members>,
        }

        if bytes.len() > MAX_TRUST_BYTES {
            return Err(TrustError::TooLarge);
        }
        let set: Set = json::parse(bytes).map_err(TrustError::Json)?;
        let mut trust = Self::default();
        for (index, members) in set.keys.iter().enumerate() {
            let key = jwk::read(members).map_err(|reason| TrustError::Key { index, reason })?;
            let role = match members.get("role") {
                None => Role::Worker,
                Some(role) => role.as_str().and_then(Role::parse).ok_or(TrustError::Role { index })?,
            };
            let workers = members
                .get("workers")
                .map(|names| read_names(names, role))
                .transpose()
                .map_err(|rule| TrustError::Workers { index, rule })?;
            trust = trust.with_key(key, role, workers);
        }
        Ok(trust)
    }

    /// Reads a JWK Set from a file; see [`Trust::from_jwk_set`].
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or is refused. The error names it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TrustError> {
        let path = path.as_ref();
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_TRUST_BYTES as u64 + 1).read_to_end(&mut bytes))
            .map_err(|reason| TrustError::Read { path: path.to_owned(), reason })?;
        Self::from_jwk_set(&bytes)
            .map_err(|reason| TrustError::InFile { path: path.to_owned(), reason: Box::new(reason) })
    }

    /// Trusts these keys as workers, for every name.
    pub fn pinned(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        keys.into_iter().fold(Self::default(), |trust, key| trust.with_key(key, Role::Worker, None))
    }

    /// Trusts whoever answers as a worker.
    ///
    /// Then whoever controls the broker can answer, and reads everything that the client sends. Launchers
    /// are never trusted this way. This is for experiments.
    pub fn danger_trust_any_worker() -> Self {
        Self(Arc::new(Inner { any_worker: true, ..Inner::default() }))
    }

    /// Adds a key, for all names or for some.
    ///
    /// A launcher's records are not bound to a name: a launcher's key with names is never trusted.
    #[must_use]
    pub fn with_key(mut self, key: PublicKey, role: Role, workers: Option<Vec<WorkerName>>) -> Self {
        let grants = &mut Arc::make_mut(&mut self.0).grants;
        grants.entry(key.thumbprint()).or_default().push(Grant { key, role, workers });
        self
    }

    /// Takes these keys out of every role.
    #[must_use]
    pub fn with_revoked(mut self, revoked: Revoked) -> Self {
        Arc::make_mut(&mut self.0).revoked = revoked;
        self
    }

    /// Asks that every worker is certified for this image. A pinned key alone is not enough then.
    #[must_use]
    pub fn with_image(mut self, image: ImageDigest) -> Self {
        Arc::make_mut(&mut self.0).image = Some(image);
        self
    }

    /// Whether this key is revoked.
    pub fn is_revoked(&self, key: &Thumbprint) -> bool {
        self.0.revoked.contains(key)
    }

    /// How many certificates are known to hold.
    #[cfg(test)]
    pub(super) fn certificates_kept(&self) -> usize {
        self.0.vouchers.len()
    }

    /// The set as a trust file, sorted by thumbprint. That anyone is trusted, what is revoked and which
    /// image is asked for cannot be written down.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Set<'a> {
            keys: Vec<Entry<'a>>,
        }

        #[derive(Serialize)]
        struct Entry<'a> {
            #[serde(flatten)]
            key: Jwk,
            role: Role,
            #[serde(skip_serializing_if = "Option::is_none")]
            workers: Option<&'a [WorkerName]>,
        }

        let mut grants: Vec<_> = self.0.grants.iter().collect();
        grants.sort_unstable_by_key(|(thumbprint, _)| **thumbprint);
        let grants = grants.into_iter().flat_map(|(_, grants)| grants);
        let keys = grants
            .map(|grant| Entry {
                key: grant.key.to_jwk(),
                role: grant.role,
                workers: grant.workers.as_deref(),
            })
            .collect();
        serde_json::to_string_pretty(&Set { keys }).unwrap_or_default()
    }

    /// Whether this key may serve the worker `name`: because it is pinned, or because `cert` says so, which
    /// counts if it is by a trusted authority, for this key and name, and holds at `at_ms`, in Unix
    /// milliseconds.
    ///
    /// The key must have been seen to sign: a certificate alone proves nothing.
    ///
    /// # Errors
    ///
    /// [`Untrusted`] says why not.
    pub fn vouched(
        &self,
        key: &Thumbprint,
        name: &WorkerName,
        cert: Option<&str>,
        at_ms: u64,
    ) -> Result<(), Untrusted> {
        match (self.worker(key, name), cert) {
            (Err(revoked @ Untrusted::Revoked { .. }), _) => Err(revoked),
            (Ok(()), _) if self.0.image.is_none() => Ok(()),
            (Ok(()), None) => Err(Untrusted::Uncertified { key: *key }),
            (Err(unknown), None) => Err(unknown),
            (_, Some(cert)) => self.certified(key, name, cert, at_ms),
        }
    }

    fn certified(
        &self,
        key: &Thumbprint,
        name: &WorkerName,
        cert: &str,
        at_ms: u64,
    ) -> Result<(), Untrusted> {
        let certified = self.0.vouchers.verify(cert, at_ms);
        let certified =
            certified.map_err(|reason| Untrusted::Certificate { key: *key, reason: Box::new(reason) })?;
        let (certificate, authority) = (&certified.certificate, certified.authority.thumbprint());
        let other = |what| Err(Untrusted::OtherCertificate { key: *key, what });
        if certificate.key.thumbprint() != *key {
            return other("key");
        }
        if certificate.worker != *name {
            return other("worker");
        }
        if self.0.image.is_some() && self.0.image != certificate.image {
            return other("image");
        }
        self.authority(&authority, name)
            .map_err(|reason| Untrusted::Authority { key: *key, reason: Box::new(reason) })
    }

    /// Whether this key is pinned as one that may serve the worker `name`.
    ///
    /// # Errors
    ///
    /// [`Untrusted`] says why not.
    pub fn worker(&self, key: &Thumbprint, name: &WorkerName) -> Result<(), Untrusted> {
        match self.for_name(key, Role::Worker, name) {
            Err(Untrusted::Unknown { .. } | Untrusted::Role { .. } | Untrusted::Worker { .. })
                if self.0.any_worker =>
            {
                Ok(())
            }
            judged => judged,
        }
    }

    /// Whether this key may write a launcher's records.
    ///
    /// # Errors
    ///
    /// [`Untrusted`] says why not.
    pub fn launcher(&self, key: &Thumbprint) -> Result<(), Untrusted> {
        let unrestricted = self.in_role(key, Role::Launcher)?.any(|grant| grant.workers.is_none());
        if unrestricted { Ok(()) } else { Err(Untrusted::Role { key: *key, role: Role::Launcher }) }
    }

    /// Whether this key may certify keys for the worker `name`.
    ///
    /// # Errors
    ///
    /// [`Untrusted`] says why not.
    pub fn authority(&self, key: &Thumbprint, name: &WorkerName) -> Result<(), Untrusted> {
        self.for_name(key, Role::Authority, name)
    }

    /// Whether there is any authority that may certify keys for the worker `name`.
    pub fn has_authority(&self, name: &WorkerName) -> bool {
        self.0.grants.keys().any(|key| self.authority(key, name).is_ok())
    }

    fn for_name(&self, key: &Thumbprint, role: Role, name: &WorkerName) -> Result<(), Untrusted> {
        let mut grants = self.in_role(key, role)?.peekable();
        if grants.peek().is_none() {
            return Err(Untrusted::Role { key: *key, role });
        }
        let good = grants.any(|grant| grant.workers.as_ref().is_none_or(|names| names.contains(name)));
        if good { Ok(()) } else { Err(Untrusted::Worker { key: *key, worker: name.clone() }) }
    }

    fn in_role(&self, key: &Thumbprint, role: Role) -> Result<impl Iterator<Item = &Grant>, Untrusted> {
        if self.is_revoked(key) {
            return Err(Untrusted::Revoked { key: *key });
        }
        let grants = self.0.grants.get(key).ok_or(Untrusted::Unknown { key: *key, role })?;
        Ok(grants.iter().filter(move |grant| grant.role == role))
    }
}

fn read_names(names: &Value, role: Role) -> Result<Vec<WorkerName>, String> {
    if role == Role::Launcher {
        return Err("a launcher's key cannot be limited to workers: leave them out".to_owned());
    }
    let names = names.as_array().filter(|names| !names.is_empty());
    let names = names.ok_or("give an array of names, or leave it out to allow every name")?;
    let name = |name: &Value| name.as_str().unwrap_or_default().parse::<WorkerName>();
    names.iter().map(name).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
