//! Who takes part: keys that are the same in every run.

use std::sync::LazyLock;

use ed25519_dalek::Signer as _;
use subrosa_protocol::{
    encoding::b64u,
    identity::{Role, SigningKey, Trust},
    secret::Secret,
    subject::Namespace,
};

/// When everything happens, in Unix milliseconds.
pub const NOW_MS: u64 = 1_800_000_000_000;

/// Everyone who signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Writes a launcher's records.
    Launcher,
    /// Serves jobs, under every name.
    Worker,
    /// Is in nobody's trust file.
    Stranger,
}

impl Party {
    /// A party for each number.
    pub fn pick(number: u8) -> Self {
        match number % 3 {
            0 => Self::Launcher,
            1 => Self::Worker,
            _ => Self::Stranger,
        }
    }

    fn seed(self) -> [u8; 32] {
        match self {
            Self::Launcher => [1; 32],
            Self::Worker => [2; 32],
            Self::Stranger => [3; 32],
        }
    }

    /// Its signing key.
    pub fn key(self) -> &'static SigningKey {
        static KEYS: LazyLock<[SigningKey; 3]> = LazyLock::new(|| {
            [Party::Launcher, Party::Worker, Party::Stranger]
                .map(|party| SigningKey::from_seed(&Secret::take(&mut party.seed())))
        });
        let [launcher, worker, stranger] = &*KEYS;
        match self {
            Self::Launcher => launcher,
            Self::Worker => worker,
            Self::Stranger => stranger,
        }
    }

    /// A compact JWS with any protected header at all, which this party has signed.
    pub fn sign(self, header: &[u8], payload: &[u8]) -> String {
        let signed = [b64u(header), b64u(payload)].join(".");
        let signature = ed25519_dalek::SigningKey::from_bytes(&self.seed()).sign(signed.as_bytes());
        [signed, b64u(signature.to_bytes())].join(".")
    }
}

/// What launcher, worker and client trust.
pub fn trust() -> &'static Trust {
    static TRUST: LazyLock<Trust> = LazyLock::new(|| {
        Trust::default().with_key(Party::Launcher.key().public(), Role::Launcher, None).with_key(
            Party::Worker.key().public(),
            Role::Worker,
            None,
        )
    });
    &TRUST
}

/// The namespace of all subjects.
pub fn namespace() -> Namespace {
    Namespace::default()
}
