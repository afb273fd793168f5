//! Jobs that are made before they are launched, so that others can sign them first.

use std::{fmt, time::Duration};

use rand::{RngExt as _, distr::Alphanumeric, rand_core::UnwrapErr, rngs::SysRng};
use serde::{Deserialize, Serialize};
use subrosa_protocol::{
    encoding::{DecodeError, b64u},
    hpke::RecipientKey,
    id::{JobId, Sha256Hash},
    identity::Thumbprint,
    job::{Description, Job, MAX_SPAN_MS},
    json::{self, Int, JsonError},
    launch::LaunchRequest,
    member,
    receipt::{Salt, SaltError},
    secret::Secret,
    subject::{Namespace, ReplyPrefix},
    wire::{BodyError, Json, Raw, body_hash},
};
use subrosa_transport::now_ms;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{CancelToken, LaunchError, driver::Tokens};

/// The largest text of a job's secrets, in bytes.
const MAX_SECRETS_BYTES: usize = 4096;

/// A job to be made now, signed by several parties, and launched later. It takes no connection.
///
/// ```
/// # use subrosa_client::{Draft, JobSecrets, SigningKey};
/// # use rand::{rand_core::UnwrapErr, rngs::SysRng};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut rng = UnwrapErr(SysRng);
/// # let (alice, controller) = (SigningKey::generate(&mut rng), SigningKey::generate(&mut rng));
/// # let client = subrosa_testing::client(subrosa_testing::values((), 78)).await;
/// let prepared = Draft::new("adds-one").owner(alice.thumbprint()).reply_token(client.reply_token()).prepare()?;
/// let kept = prepared.secrets.to_bytes(); // to be sealed; it is nobody else's
///
/// // The request has nothing secret: each party signs it where its key is, in any order.
/// let request = prepared.request.signed_by(&controller)?.signed_by(&alice)?;
///
/// let job = client.prepared(request, JobSecrets::from_bytes(&kept)?).payload_value(77).launch().await?;
/// assert_eq!(job.result::<u32>().await?.value, 78);
/// # Ok(())
/// # }
/// ```
#[must_use = "a draft is made a job by `prepare`"]
pub struct Draft {
    pub(crate) worker: String,
    pub(crate) owner: Option<Thumbprint>,
    pub(crate) label: Option<String>,
    pub(crate) expires_in: Duration,
    pub(crate) timeout: Duration,
    pub(crate) max_attempts: u16,
    namespace: Namespace,
    reply_token: Option<String>,
    payload: Option<Result<Sha256Hash, BodyError>>,
    cancel: Option<CancelToken>,
}

/// A job that nobody has signed yet, and the secrets that its client needs once it is launched.
#[derive(Debug)]
#[non_exhaustive]
pub struct PreparedJob {
    /// For the signers, and in the end for the launcher. Everyone may see it.
    pub request: LaunchRequest,
    /// For the client alone.
    pub secrets: JobSecrets,
}

impl Draft {
    /// A job for this worker.
    pub fn new(worker: impl Into<String>) -> Self {
        Self {
            worker: worker.into(),
            owner: None,
            label: None,
            expires_in: Duration::from_secs(600),
            timeout: Duration::from_secs(600),
            max_attempts: 3,
            namespace: Namespace::default(),
            reply_token: None,
            payload: None,
            cancel: None,
        }
    }

    /// Whose job it is: the worker sees this key as the caller's, and it must be among the signers. Without
    /// an owner the job is anonymous, whoever signs it.
    pub fn owner(mut self, owner: Thumbprint) -> Self {
        self.owner = Some(owner);
        self
    }

    /// A public text of up to 1 KiB. Everyone between client and worker can read it.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Until when the signatures are there and a worker has the job. 10 minutes by default, at most 24 h.
    pub fn expires_in(mut self, expires_in: Duration) -> Self {
        self.expires_in = expires_in;
        self
    }

    /// How long one attempt may run once it has the payload. 10 minutes by default, at most 24 h.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many attempts may be made if workers are lost: 1 to 10, 3 by default.
    pub fn max_attempts(mut self, max_attempts: u16) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// The first token of every subject. `subrosa` by default.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }

    /// The token of `subrosa.v1.client.<token>` under which the client that launches the job listens, as
    /// [`Connect::reply_token`](crate::Connect::reply_token) takes it. A random one by default.
    pub fn reply_token(mut self, token: impl Into<String>) -> Self {
        self.reply_token = Some(token.into());
        self
    }

    /// Binds the job to this payload, so that whoever signs it approves that and no other. The worker refuses
    /// any other, and the hash in the job, which is public, is salted.
    pub fn bind_input(mut self, payload: &impl Serialize) -> Self {
        self.payload = Some(body_hash(Json(payload)));
        self
    }

    /// As [`Draft::bind_input`], for a payload of bytes.
    pub fn bind_input_bytes(mut self, payload: &[u8]) -> Self {
        self.payload = Some(body_hash(Raw(payload)));
        self
    }

    /// The token that cancels the job. A random one by default.
    pub fn cancel_token(mut self, token: CancelToken) -> Self {
        self.cancel = Some(token);
        self
    }

    /// Makes the job and its secrets.
    ///
    /// # Errors
    ///
    /// A job that breaks a rule.
    pub fn prepare(self) -> Result<PreparedJob, LaunchError> {
        let token = self.reply_token.clone().unwrap_or_else(random_token);
        let reply = self.namespace.reply(&token)?;
        self.prepare_under(reply)
    }

    /// Makes the job for a client that listens under `reply`.
    pub(crate) fn prepare_under(self, reply: ReplyPrefix) -> Result<PreparedJob, LaunchError> {
        // No generator of ours: whoever found its seed later could make these keys again.
        let mut system = UnwrapErr(SysRng);
        let key = RecipientKey::generate(&mut system);
        let bound = self.payload.transpose()?.map(|payload| {
            let salt = Salt::random(&mut system);
            (salt.payload_hash(payload), salt)
        });
        let (input, input_salt) = bound.unzip();
        let tokens = Tokens {
            cancel: self.cancel.map_or_else(|| Secret::random(&mut system), |token| token.0),
            close: Secret::random(&mut system),
            input: input_salt,
        };
        let created_ms = now_ms();
        let job = Job::new(Description {
            worker: self.worker.parse()?,
            client: self.owner,
            label: self.label,
            client_key: *key.public(),
            psk_id: None,
            reply,
            created_ms,
            expires_ms: created_ms.saturating_add(milliseconds(self.expires_in)),
            timeout_ms: milliseconds(self.timeout),
            max_attempts: self.max_attempts,
            cancel: tokens.cancel_hash(),
            close: tokens.close_hash(),
            input,
        })?;
        let secrets = JobSecrets { job: *job.id(), key, tokens };
        Ok(PreparedJob { request: LaunchRequest::unsigned(job), secrets })
    }
}

/// Without the payload's hash, which is not salted yet.
impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("worker", &self.worker).finish_non_exhaustive()
    }
}

/// A token to listen under.
pub(crate) fn random_token() -> String {
    rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect()
}

/// Milliseconds; what is beyond the limit stays beyond it, to be refused by name.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(MAX_SPAN_MS + 1).min(MAX_SPAN_MS + 1)
}

/// Why a job's secrets are of no use.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretsError {
    /// Larger than any secrets are.
    #[error("the job's secrets have more than {MAX_SECRETS_BYTES} bytes, which is none of ours")]
    TooLarge,
    /// Not the JSON that a job's secrets are.
    #[error("the text of the job's secrets {0}")]
    Json(#[from] JsonError),
    /// A version that this implementation does not know.
    #[error("the job's secrets are of version {found}, which is not supported here")]
    Version {
        /// The version.
        found: u64,
    },
    /// A member that is none.
    #[error("the `{member}` among the job's secrets {reason}")]
    Encoding {
        /// Which member.
        member: &'static str,
        /// What is wrong.
        reason: DecodeError,
    },
    /// A salt that is none.
    #[error(transparent)]
    Salt(#[from] SaltError),
    /// They are of another job.
    #[error("the secrets are those of the job {found}, not of {expected}")]
    AnotherJob {
        /// The job that is to be launched.
        expected: JobId,
        /// The job that they are of.
        found: JobId,
    },
    /// They name the job, but its keys and hashes are others.
    #[error("the secrets do not fit the job that they name: one of the two was forged")]
    Mismatch,
    /// The job is bound to another payload, or to none.
    #[error("the payload is not the one that the job is bound to")]
    Payload,
}

/// What only the client of a prepared job knows: the private half of the job's ephemeral key, the tokens that
/// cancel and close it, and the salt of a bound input. Overwritten when dropped.
///
/// Whoever has them can read the job's options, payload and result off the wire, or cancel it: they are to
/// be kept sealed, and from the signers as from everyone else.
pub struct JobSecrets {
    pub(crate) job: JobId,
    pub(crate) key: RecipientKey,
    pub(crate) tokens: Tokens,
}

/// The secrets as JSON. What is secret is borrowed, so that the only copy of it is in the text.
#[derive(Deserialize)]
struct Text<'a> {
    v: Int,
    job: JobId,
    client_key: &'a str,
    cancel: &'a str,
    close: &'a str,
    #[serde(default, borrow, deserialize_with = "member::present")]
    salt: Option<&'a str>,
}

impl JobSecrets {
    /// The job that they are of.
    pub fn job(&self) -> &JobId {
        &self.job
    }

    /// The secrets in the clear, to be sealed and stored. The bytes are overwritten when dropped.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let text = |secret: &Secret<32>| Zeroizing::new(b64u(secret.expose()));
        let (job, key) = (self.job.to_string(), text(self.key.secret()));
        let (cancel, close) = (text(&self.tokens.cancel), text(&self.tokens.close));
        let salt = self.salt().map(Salt::reveal);
        let parts = [
            r#"{"v":1,"job":""#,
            &job,
            r#"","client_key":""#,
            &key,
            r#"","cancel":""#,
            &cancel,
            r#"","close":""#,
            &close,
            salt.as_ref().map_or("", |_| r#"","salt":""#),
            salt.as_ref().map_or("", |salt| salt),
            "\"}\n",
        ];
        // `concat` allocates once, so no half-written copy stays behind.
        Zeroizing::new(parts.concat().into_bytes())
    }

    /// Reads what [`JobSecrets::to_bytes`] has written.
    ///
    /// # Errors
    ///
    /// Anything else. The error repeats nothing of it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SecretsError> {
        if bytes.len() > MAX_SECRETS_BYTES {
            return Err(SecretsError::TooLarge);
        }
        let text: Text<'_> = json::parse(bytes)?;
        if text.v.get() != 1 {
            return Err(SecretsError::Version { found: text.v.get() });
        }
        let tokens = Tokens {
            cancel: secret("cancel", text.cancel)?,
            close: secret("close", text.close)?,
            input: text.salt.map(str::parse).transpose()?,
        };
        let key = RecipientKey::from_secret(secret("client_key", text.client_key)?);
        Ok(Self { job: text.job, key, tokens })
    }

    /// Whether these are the secrets of `job`.
    ///
    /// # Errors
    ///
    /// [`SecretsError::AnotherJob`] and [`SecretsError::Mismatch`]
    pub fn check_job(&self, job: &Job) -> Result<(), SecretsError> {
        if self.job != *job.id() {
            return Err(SecretsError::AnotherJob { expected: *job.id(), found: self.job });
        }
        // Where secrets are sealed for a public key, anybody can have sealed them.
        let d = job.description();
        let fits = *self.key.public() == d.client_key
            && self.tokens.cancel_hash() == d.cancel
            && self.tokens.close_hash() == d.close
            && self.tokens.input.is_some() == d.input.is_some();
        if fits { Ok(()) } else { Err(SecretsError::Mismatch) }
    }

    /// The token that cancels the job.
    pub fn cancel_token(&self) -> CancelToken {
        CancelToken::copy(&self.tokens.cancel)
    }

    /// The salt of a bound input. Who is given it beside the payload can tell by [`check_input`] that it is the
    /// payload of this job; who has it alone can try guesses at the payload.
    pub fn salt(&self) -> Option<&Salt> {
        self.tokens.input.as_ref()
    }

    /// Whether `job` takes a payload of these bytes: any, if it is bound to none.
    ///
    /// # Errors
    ///
    /// [`SecretsError::Payload`]
    pub fn check_payload(&self, job: &Job, payload: &[u8]) -> Result<(), SecretsError> {
        match self.salt() {
            None if job.description().input.is_none() => Ok(()),
            None => Err(SecretsError::Mismatch),
            Some(salt) => check_input(job, salt, payload),
        }
    }
}

/// Whether `job` is bound to a payload of these bytes, as whoever has the salt can tell.
///
/// # Errors
///
/// [`SecretsError::Payload`], for another payload, and for a job that is bound to none.
pub fn check_input(job: &Job, salt: &Salt, payload: &[u8]) -> Result<(), SecretsError> {
    let found = salt.payload_hash(Sha256Hash::of_secret(payload));
    if job.description().input == Some(found) { Ok(()) } else { Err(SecretsError::Payload) }
}

/// Reads a member that is secret.
fn secret(member: &'static str, text: &str) -> Result<Secret<32>, SecretsError> {
    Secret::from_b64u(text).map_err(|reason| SecretsError::Encoding { member, reason })
}

impl fmt::Debug for JobSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobSecrets")
    }
}

#[cfg(test)]
mod tests;
