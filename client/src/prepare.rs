//! Jobs that are made before they are launched, so that others can sign them first.

mod secrets;

use std::{fmt, time::Duration};

use rand::{RngExt as _, distr::Alphanumeric, rand_core::UnwrapErr, rngs::SysRng};
use serde::Serialize;
use subrosa_protocol::{
    hpke::RecipientKey,
    id::Sha256Hash,
    identity::Thumbprint,
    job::{Description, Job, MAX_SPAN_MS},
    launch::LaunchRequest,
    receipt::Salt,
    secret::Secret,
    subject::{Namespace, ReplyPrefix},
    wire::{BodyError, Json, Raw, body_hash},
};
use subrosa_transport::now_ms;

pub(crate) use self::secrets::Text;
pub use self::secrets::{JobSecrets, SecretsError, check_input};
use crate::{CancelToken, LaunchError, driver::Tokens};

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

#[cfg(test)]
mod tests;
