//! The job: public, immutable, named by its own hash.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::IgnoredAny};
use thiserror::Error;

use crate::{
    encoding::{b64u, b64u_array},
    hpke::KemPublicKey,
    id::{JobId, Sha256Hash, WorkerName},
    identity::Thumbprint,
    json::{self, Int, JsonError},
    member,
    refusal::Code,
    subject::{Namespace, ReplyPrefix},
};

/// Clocks may differ by this much, everywhere a time is checked. In milliseconds.
pub const CLOCK_TOLERANCE_MS: u64 = 2 * 60 * 1000;
/// The longest time between a job's `created_ms` and `expires_ms`, and the longest `timeout_ms`.
pub const MAX_SPAN_MS: u64 = 24 * 60 * 60 * 1000;
/// The longest label, in bytes.
pub const MAX_LABEL_BYTES: usize = 1024;
/// The longest name of a pre-shared key, in bytes.
pub const MAX_PSK_ID_BYTES: usize = 256;

/// The one suite so far.
const SUITE: &str = "x25519";

/// Why a job was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobError {
    /// Not the JSON that a job is.
    #[error("the job {0}")]
    Json(#[from] JsonError),
    /// A version, suite or critical member that this implementation does not know.
    #[error("the job needs {what}, which is not supported here")]
    Unsupported {
        /// What it needs.
        what: &'static str,
    },
    /// A member that breaks a rule.
    #[error("the job's `{member}` {rule}")]
    Invalid {
        /// The member's name.
        member: &'static str,
        /// The rule.
        rule: String,
    },
}

impl JobError {
    /// The code that a launcher refuses with.
    pub fn code(&self) -> Code {
        match self {
            Self::Unsupported { .. } => Code::Unsupported,
            Self::Json(_) | Self::Invalid { .. } => Code::BadRequest,
        }
    }
}

/// What a job says, as its client wrote it.
#[derive(Clone, Debug)]
pub struct Description {
    /// The worker that is to run it.
    pub worker: WorkerName,
    /// The owner's thumbprint, if the job is not anonymous.
    pub client: Option<Thumbprint>,
    /// Public text, at most [`MAX_LABEL_BYTES`]. Everyone between client and worker can read it.
    pub label: Option<String>,
    /// The client's ephemeral KEM public key.
    pub client_key: KemPublicKey,
    /// The name of the pre-shared key that both sides are to mix in.
    pub psk_id: Option<String>,
    /// The subject prefix that the client listens under.
    pub reply: ReplyPrefix,
    /// When the job was made, in Unix milliseconds.
    pub created_ms: u64,
    /// No attempt starts after this, in Unix milliseconds.
    pub expires_ms: u64,
    /// The run limit of one attempt, counted from the payload's arrival, in milliseconds.
    pub timeout_ms: u64,
    /// How many attempts may be made, 1 to 10.
    pub max_attempts: u16,
    /// SHA-256 of the token that cancels the job.
    pub cancel: Sha256Hash,
    /// SHA-256 of SHA-256 of the token that closes the job.
    pub close: Sha256Hash,
    /// SHA-256(salt ‖ SHA-256(payload)), where the signers approve one particular payload.
    pub input: Option<Sha256Hash>,
}

/// A job and the bytes that it is.
///
/// ```
/// use std::time::{SystemTime, UNIX_EPOCH};
/// use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// use subrosa_protocol::{hpke::RecipientKey, id::Sha256Hash, secret::Secret, subject::Namespace};
/// use subrosa_protocol::job::{Description, Job};
///
/// let mut rng = UnwrapErr(SysRng);
/// let key = RecipientKey::generate(&mut rng);
/// let (cancel, close) = (Secret::<32>::random(&mut rng), Secret::<32>::random(&mut rng));
/// let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
/// let job = Job::new(Description {
///     worker: "echo".parse()?,
///     client: None,
///     label: Some("invoice 4711".into()),
///     client_key: *key.public(),
///     psk_id: None,
///     reply: Namespace::default().reply("AliceAliceAlice01")?,
///     created_ms: now_ms,
///     expires_ms: now_ms + 600_000,
///     timeout_ms: 600_000,
///     max_attempts: 3,
///     cancel: Sha256Hash::of(cancel.expose()),
///     close: Sha256Hash::of(Sha256Hash::of(close.expose()).0),
///     input: None,
/// })?;
///
/// let read = Job::parse(job.bytes().to_vec(), &Namespace::default())?;
/// assert_eq!((read.id(), read.worker()), (job.id(), &"echo".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Job {
    id: JobId,
    bytes: Vec<u8>,
    description: Description,
}

/// The job as JSON.
#[derive(Serialize, Deserialize)]
struct Wire {
    v: Int,
    worker: WorkerName,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    client: Option<Thumbprint>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    label: Option<String>,
    suite: String,
    client_key: String,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    psk_id: Option<String>,
    reply: String,
    created_ms: Int,
    expires_ms: Int,
    timeout_ms: Int,
    max_attempts: Int,
    cancel: Sha256Hash,
    close: Sha256Hash,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "member::present")]
    input: Option<Sha256Hash>,
}

/// What decides whether the rest can be understood at all.
#[derive(Deserialize)]
struct Version {
    v: Int,
}

/// See [`Version`].
#[derive(Deserialize)]
struct Preamble {
    #[serde(default, deserialize_with = "member::present")]
    suite: Option<String>,
    #[serde(default)]
    crit: Vec<String>,
}

/// Members that this implementation understands, and so may be listed as critical.
const UNDERSTOOD: [&str; 16] = [
    "v",
    "worker",
    "client",
    "label",
    "suite",
    "client_key",
    "psk_id",
    "reply",
    "created_ms",
    "expires_ms",
    "timeout_ms",
    "max_attempts",
    "cancel",
    "close",
    "input",
    "crit",
];

impl Job {
    /// Writes a job down. The bytes are what travels and what is signed; nobody writes them again.
    ///
    /// # Errors
    ///
    /// The same rules hold as for reading.
    pub fn new(description: Description) -> Result<Self, JobError> {
        check(&description)?;
        let d = &description;
        let wire = Wire {
            v: Int::from(1),
            worker: d.worker.clone(),
            client: d.client,
            label: d.label.clone(),
            suite: SUITE.to_owned(),
            client_key: b64u(d.client_key.as_bytes()),
            psk_id: d.psk_id.clone(),
            reply: d.reply.to_string(),
            created_ms: int(d.created_ms, "created_ms")?,
            expires_ms: int(d.expires_ms, "expires_ms")?,
            timeout_ms: int(d.timeout_ms, "timeout_ms")?,
            max_attempts: Int::from(d.max_attempts),
            cancel: d.cancel,
            close: d.close,
            input: d.input,
        };
        let bytes = json::to_vec(&wire);
        Ok(Self { id: JobId::of(&bytes), bytes, description })
    }

    /// Reads a job. The caller has checked the size (a launch request has at most 64 KiB).
    ///
    /// # Errors
    ///
    /// Anything that section 3 of the protocol refuses, with the member's name.
    pub fn parse(bytes: Vec<u8>, namespace: &Namespace) -> Result<Self, JobError> {
        let version: Version = json::parse(&bytes)?;
        if version.v.get() != 1 {
            return Err(JobError::Unsupported { what: "another protocol version" });
        }
        let preamble: Preamble = json::parse(&bytes)?;
        if preamble.suite.is_some_and(|suite| suite != SUITE) {
            return Err(JobError::Unsupported { what: "another suite" });
        }
        if preamble.crit.iter().any(|name| !UNDERSTOOD.contains(&name.as_str())) {
            return Err(JobError::Unsupported { what: "a critical member" });
        }
        let wire: Wire = json::parse(&bytes)?;
        let client_key: [u8; 32] =
            b64u_array(&wire.client_key).map_err(|error| invalid("client_key", error))?;
        let description = Description {
            worker: wire.worker,
            client: wire.client,
            label: wire.label,
            client_key: client_key.as_slice().try_into().map_err(|error| invalid("client_key", error))?,
            psk_id: wire.psk_id,
            reply: namespace.parse_reply(&wire.reply).map_err(|error| invalid("reply", error))?,
            created_ms: wire.created_ms.get(),
            expires_ms: wire.expires_ms.get(),
            timeout_ms: wire.timeout_ms.get(),
            max_attempts: u16::try_from(wire.max_attempts.get()).unwrap_or(u16::MAX),
            cancel: wire.cancel,
            close: wire.close,
            input: wire.input,
        };
        check(&description)?;
        Ok(Self { id: JobId::of(&bytes), bytes, description })
    }

    /// The job's id.
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the job says.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The names of the members that this implementation ignores. Whoever signs the job signs them, too.
    pub fn unknown_members(&self) -> Vec<String> {
        let members: BTreeMap<String, IgnoredAny> = json::parse(&self.bytes).unwrap_or_default();
        members.into_keys().filter(|name| !UNDERSTOOD.contains(&name.as_str())).collect()
    }

    /// The suite that the two ends use.
    pub fn suite(&self) -> &'static str {
        SUITE
    }

    /// The worker that is to run it.
    pub fn worker(&self) -> &WorkerName {
        &self.description.worker
    }

    /// HPKE's `info`: it binds the session to this job and no other.
    pub fn info(&self) -> Vec<u8> {
        [b"subrosa/1".as_slice(), self.id.as_bytes()].concat()
    }

    /// Whether no attempt may start any more, as far as a clock can tell that may be wrong by
    /// [`CLOCK_TOLERANCE_MS`].
    pub fn expired(&self, now_ms: u64) -> bool {
        now_ms > self.description.expires_ms.saturating_add(CLOCK_TOLERANCE_MS)
    }
}

fn check(d: &Description) -> Result<(), JobError> {
    let rule = |holds: bool, member: &'static str, rule: &str| {
        if holds { Ok(()) } else { Err(JobError::Invalid { member, rule: rule.to_owned() }) }
    };
    rule(
        d.label.as_ref().is_none_or(|label| label.len() <= MAX_LABEL_BYTES),
        "label",
        "is longer than 1 KiB",
    )?;
    rule(
        d.psk_id.as_ref().is_none_or(|id| (1..=MAX_PSK_ID_BYTES).contains(&id.len())),
        "psk_id",
        "must have 1 to 256 bytes",
    )?;
    rule(
        d.expires_ms.checked_sub(d.created_ms).is_some_and(|span| span <= MAX_SPAN_MS),
        "expires_ms",
        "must be at or up to 24 h after `created_ms`",
    )?;
    rule((1..=MAX_SPAN_MS).contains(&d.timeout_ms), "timeout_ms", "must be 1 ms to 24 h")?;
    rule((1..=10).contains(&d.max_attempts), "max_attempts", "must be 1 to 10")
}

fn int(value: u64, member: &'static str) -> Result<Int, JobError> {
    Int::try_from(value).map_err(|_| invalid(member, "is over 2^53 - 1"))
}

fn invalid(member: &'static str, rule: impl ToString) -> JobError {
    JobError::Invalid { member, rule: rule.to_string() }
}

#[cfg(test)]
mod tests;
