//! Who there is: three jobs of two clients, and four workers. They are the same in every history.

use std::sync::LazyLock;

use rand::{SeedableRng as _, rngs::StdRng};
use subrosa_protocol::{
    hpke::RecipientKey,
    id::{Instance, Sha256Hash},
    identity::{Role, SigningKey, Trust},
    job::{Description, Job},
    secret::Secret,
    subject::Namespace,
};

/// When every history begins.
pub(super) const START_MS: u64 = 1_800_000_000_000;
/// The close token of all jobs.
pub(super) const TOKEN: [u8; 32] = [0xC1; 32];
/// The cancel token of all jobs.
pub(super) const CANCEL: [u8; 32] = [0xCA; 32];
pub(super) const MAX_ATTEMPTS: u16 = 3;
/// Larger envelopes do not fit one message.
pub(super) const MAX_BYTES: usize = 1500;
/// What does not fit one message.
pub(super) const TOO_LARGE: usize = 2000;

/// Which job. The first two are of one client and have the same key, as if somebody had copied it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JobNumber(pub(super) usize);

impl JobNumber {
    pub(super) const ALL: [Self; 3] = [Self(0), Self(1), Self(2)];

    /// Mostly the first.
    pub(super) fn from_byte(byte: u8) -> Self {
        Self(usize::from(byte & 31).saturating_sub(29))
    }
}

/// Which worker's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// Trusted for the first two jobs.
    First,
    /// The same.
    Second,
    /// Trusted, but for the third job only.
    Other,
    /// Trusted for none at first.
    Stranger,
}

impl Identity {
    pub(super) fn from_byte(byte: u8) -> Self {
        match byte & 7 {
            0..=2 => Self::First,
            3 | 4 => Self::Second,
            5 => Self::Other,
            _ => Self::Stranger,
        }
    }

    /// A worker that every client of the job trusts.
    pub(super) fn trusted_for(job: JobNumber) -> Self {
        if job.0 == 2 { Self::Other } else { Self::First }
    }

    /// Whether the client of the job trusts it.
    pub(super) fn is_trusted(self, job: JobNumber, stranger_is_trusted: bool) -> bool {
        match self {
            Self::First | Self::Second => job.0 != 2,
            Self::Other => job.0 == 2,
            Self::Stranger => stranger_is_trusted,
        }
    }

    /// Another one, which the same clients trust, if there is one.
    pub(super) fn another(self) -> Self {
        if self == Self::First { Self::Second } else { Self::First }
    }

    pub(super) fn key(self) -> &'static SigningKey {
        &CAST.identities[self as usize]
    }
}

pub(super) struct Cast {
    pub(super) jobs: [Job; 3],
    identities: [SigningKey; 4],
    pub(super) trust: Trust,
    /// The stranger is trusted too.
    pub(super) trust_all: Trust,
    pub(super) instance: Instance,
}

pub(super) static CAST: LazyLock<Cast> = LazyLock::new(|| {
    let identities = [1, 2, 3, 4].map(|seed| SigningKey::from_seed(&Secret::take(&mut [seed; 32])));
    let worker = |name: &str| Some(vec![name.parse().unwrap()]);
    let trust = Trust::default()
        .with_key(identities[0].public(), Role::Worker, worker("echo"))
        .with_key(identities[1].public(), Role::Worker, worker("echo"))
        .with_key(identities[2].public(), Role::Worker, worker("other"));
    Cast {
        jobs: JobNumber::ALL.map(job),
        trust_all: trust.clone().with_key(identities[3].public(), Role::Worker, None),
        trust,
        identities,
        instance: Instance::random(&mut StdRng::seed_from_u64(0)),
    }
});

/// The client's key of a job; every call makes it anew.
pub(super) fn client_key(job: JobNumber) -> RecipientKey {
    RecipientKey::generate(&mut StdRng::seed_from_u64(job.0 as u64 / 2))
}

fn job(number: JobNumber) -> Job {
    let description = Description {
        worker: if number.0 == 2 { "other" } else { "echo" }.parse().unwrap(),
        client: None,
        label: Some(format!("job {}", number.0)),
        client_key: *client_key(number).public(),
        psk_id: None,
        reply: Namespace::default().reply("AliceAliceAlice01").unwrap(),
        created_ms: START_MS,
        expires_ms: START_MS + 60_000,
        timeout_ms: 60_000,
        max_attempts: MAX_ATTEMPTS,
        cancel: Sha256Hash::of(CANCEL),
        close: Sha256Hash::of(Sha256Hash::of(TOKEN).0),
        input: None,
    };
    Job::new(description).unwrap()
}
