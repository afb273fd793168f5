//! What only a job's client knows, and how it is kept in a file.

use std::fmt;

use serde::Deserialize;
use subrosa_protocol::{
    encoding::{DecodeError, b64u},
    hpke::RecipientKey,
    id::{JobId, Sha256Hash},
    job::Job,
    json::{self, Int, JsonError},
    member,
    receipt::{Salt, SaltError},
    secret::Secret,
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{CancelToken, driver::Tokens};

/// The largest text of a job's secrets, in bytes.
const MAX_SECRETS_BYTES: usize = 4096;

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
pub(crate) struct Text<'a> {
    v: Int,
    job: JobId,
    client_key: &'a str,
    cancel: &'a str,
    close: &'a str,
    #[serde(default, borrow, deserialize_with = "member::present")]
    salt: Option<&'a str>,
}

impl Text<'_> {
    pub(crate) fn read(self) -> Result<JobSecrets, SecretsError> {
        if self.v.get() != 1 {
            return Err(SecretsError::Version { found: self.v.get() });
        }
        let tokens = Tokens {
            cancel: secret("cancel", self.cancel)?,
            close: secret("close", self.close)?,
            input: self.salt.map(str::parse).transpose()?,
        };
        let key = RecipientKey::from_secret(secret("client_key", self.client_key)?);
        Ok(JobSecrets { job: self.job, key, tokens })
    }
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
        json::parse::<Text<'_>>(bytes)?.read()
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
