//! Tickets: what a client keeps of a job that it leaves, to fetch the result later, in another process.

use std::fmt;

use serde::Deserialize;
use subrosa_protocol::{
    encoding::{DecodeError, b64u, b64u_decode},
    id::{Attempt, JobId, NameError, Sha256Hash},
    identity::Trust,
    job::Job,
    json::{self, Int, JsonError},
    launch::{self, LaunchRequest, Signers},
    member,
    session::client::Inputs,
    subject::Namespace,
    wire::{Content, Erased},
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    CancelToken, HandlerError, JobSecrets, JobState, SecretsError,
    handler::{Handler, Handlers, Kept},
    prepare::Text as SecretsText,
};

/// The largest text of a ticket, in bytes: room for options and payload as large as any server takes them.
pub const MAX_TICKET_BYTES: usize = 192 << 20;

/// Why a ticket is of no use. No message repeats anything of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TicketError {
    /// Larger than any ticket is.
    #[error("the ticket has more than {MAX_TICKET_BYTES} bytes, which is none of ours")]
    TooLarge,
    /// Not the JSON that a ticket is.
    #[error("the ticket's text {0}")]
    Json(#[from] JsonError),
    /// A version that this implementation does not know.
    #[error("the ticket is of version {found}, which is not supported here")]
    Version {
        /// The version.
        found: u64,
    },
    /// A member that is none.
    #[error("the `{member}` in the ticket {reason}")]
    Encoding {
        /// Which member.
        member: &'static str,
        /// What is wrong.
        reason: DecodeError,
    },
    /// The launch request in it is none.
    #[error(transparent)]
    Request(#[from] launch::LaunchError),
    /// The secrets in it are not those of its job.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The attempt in it is none.
    #[error("the ticket's attempt is none: {0}")]
    Attempt(#[from] NameError),
    /// An attempt that the job does not allow, or options or payload that are not those that were sent.
    #[error("the ticket's `{member}` does not fit the rest of it: it was altered")]
    Mismatch {
        /// Which member.
        member: &'static str,
    },
}

/// What opens the result of a job that its client has left: the job's keys and tokens, the attempt that it has
/// answered, and what it has sent. There is no key of any session in it. Overwritten when dropped.
///
/// Whoever has it can read the job's options, payload and result off the wire, fetch the result, or cancel the
/// job: it is to be kept sealed, and to be removed once it is used.
///
/// ```no_run
/// # // It takes a server.
/// # use subrosa_client::{Client, Namespace, Ticket, Trust};
/// # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
/// let job = client.job("adds-one").payload_value(77).launch().await?;
/// let ticket = job.detach().await?; // once the job runs
/// let kept = ticket.to_bytes(); // to be sealed
///
/// // Later, in another process.
/// let ticket = Ticket::from_bytes(&kept, &Namespace::default())?;
/// let client = Client::connect("nats://localhost:4222")
///     .reply_token(ticket.reply_token())
///     .trust(Trust::from_file("trust.json")?)
///     .await?;
/// let job = client.ticket(ticket).resume().await?;
/// assert_eq!(job.result::<u32>().await?.value, 78);
/// # Ok(())
/// # }
/// ```
pub struct Ticket {
    pub(crate) request: LaunchRequest,
    pub(crate) signers: Signers,
    pub(crate) secrets: JobSecrets,
    pub(crate) attempt: Attempt,
    pub(crate) inputs: Inputs,
    pub(crate) answers: Answers,
}

/// What the first attempt was told, where a further one is told the same.
pub(crate) struct Answers {
    pub(crate) options: Option<Kept>,
    pub(crate) payload: Option<Kept>,
}

/// The ticket as JSON. What is secret is borrowed, so that the only copy of it is in the text.
#[derive(Deserialize)]
struct Text<'a> {
    v: Int,
    request: &'a str,
    #[serde(borrow)]
    secrets: SecretsText<'a>,
    attempt: u16,
    sent: SentText,
    #[serde(default, borrow, deserialize_with = "member::present")]
    options: Option<KeptText<'a>>,
    #[serde(default, borrow, deserialize_with = "member::present")]
    payload: Option<KeptText<'a>>,
}

/// The hashes of what was sent.
#[derive(Deserialize)]
struct SentText {
    options: Sha256Hash,
    payload: Sha256Hash,
}

#[derive(Deserialize)]
struct KeptText<'a> {
    content: Content,
    body: &'a str,
}

impl KeptText<'_> {
    /// The answer, if it is the one that was sent.
    fn read(&self, member: &'static str, sent: &Sha256Hash) -> Result<Kept, TicketError> {
        let body = b64u_decode(self.body).map_err(|reason| TicketError::Encoding { member, reason })?;
        let body = bytes::Bytes::from_owner(Erased::new(body));
        if Sha256Hash::of_secret(&body) != *sent || self.content == Content::Stream {
            return Err(TicketError::Mismatch { member });
        }
        Ok(Kept { content: self.content, body })
    }
}

impl Ticket {
    pub(crate) fn new(
        request: LaunchRequest,
        secrets: JobSecrets,
        attempt: Attempt,
        inputs: Inputs,
        answers: Answers,
    ) -> Option<Self> {
        let signers = request.verify().ok()?;
        Some(Self { request, signers, secrets, attempt, inputs, answers })
    }

    /// The job that it is for.
    pub fn job(&self) -> &JobId {
        self.document().id()
    }

    /// The token of `subrosa.v1.client.<token>` that a client has to listen under to go on with the job, as
    /// [`Connect::reply_token`](crate::Connect::reply_token) takes it.
    pub fn reply_token(&self) -> &str {
        self.document().description().reply.token()
    }

    /// The attempt that was answered.
    pub fn attempt(&self) -> u16 {
        self.attempt.get()
    }

    /// The token that cancels the job.
    pub fn cancel_token(&self) -> CancelToken {
        self.secrets.cancel_token()
    }

    /// Whether a launcher's answer proves that the job has ended, by a record of somebody who is trusted: the ticket
    /// will never open anything then. What a launcher merely says is no reason to remove one.
    pub fn is_over(&self, state: &JobState, trust: &Trust) -> bool {
        state.is_proven_end(self.document(), trust)
    }

    pub(crate) fn document(&self) -> &Job {
        self.request.job()
    }

    /// What answers a further attempt, unless the application says something else.
    pub(crate) fn handlers(&mut self) -> Handlers {
        let kept = |answer: Option<Kept>, what: &'static str| match answer {
            Some(answer) => Handler::kept(answer),
            None => {
                Handler::refusing(move || HandlerError::new(format!("the ticket does not keep the {what}")))
            }
        };
        Handlers {
            options: kept(self.answers.options.take(), "options"),
            payload: kept(self.answers.payload.take(), "payload"),
            ..Handlers::none()
        }
    }

    /// The ticket in the clear, to be sealed and stored. The bytes are overwritten when dropped.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let (request, attempt) = (b64u(self.request.bytes()), self.attempt.get().to_string());
        let secrets = self.secrets.to_bytes();
        let hash = |hash: &Sha256Hash| Zeroizing::new(b64u(hash.0));
        let (options, payload) = (hash(&self.inputs.options), hash(&self.inputs.payload));
        let kept = |answer: &Option<Kept>| {
            answer.as_ref().map(|answer| {
                let content = if answer.content == Content::Json { "json" } else { "bytes" };
                (content, Zeroizing::new(b64u(&answer.body)))
            })
        };
        let mut parts: Vec<&[u8]> = vec![
            br#"{"v":1,"request":""#,
            request.as_bytes(),
            br#"","secrets":"#,
            secrets.trim_ascii_end(),
            br#","attempt":"#,
            attempt.as_bytes(),
            br#","sent":{"options":""#,
            options.as_bytes(),
            br#"","payload":""#,
            payload.as_bytes(),
            br#""}"#,
        ];
        let answers = [
            (&br#","options""#[..], kept(&self.answers.options)),
            (br#","payload""#, kept(&self.answers.payload)),
        ];
        for (member, answer) in &answers {
            if let Some((content, body)) = answer {
                let content = content.as_bytes();
                parts.extend([
                    *member,
                    br#":{"content":""#,
                    content,
                    br#"","body":""#,
                    body.as_bytes(),
                    br#""}"#,
                ]);
            }
        }
        parts.push(b"}\n");
        // `concat` allocates once, so no half-written copy stays behind.
        Zeroizing::new(parts.concat())
    }

    /// Reads what [`Ticket::to_bytes`] has written, for a job in this namespace.
    ///
    /// # Errors
    ///
    /// Anything else. The error repeats nothing of it.
    pub fn from_bytes(bytes: &[u8], namespace: &Namespace) -> Result<Self, TicketError> {
        if bytes.len() > MAX_TICKET_BYTES {
            return Err(TicketError::TooLarge);
        }
        let text: Text<'_> = json::parse(bytes)?;
        if text.v.get() != 1 {
            return Err(TicketError::Version { found: text.v.get() });
        }
        let request = b64u_decode(text.request)
            .map_err(|reason| TicketError::Encoding { member: "request", reason })?;
        let request = LaunchRequest::parse(&request, namespace)?;
        let signers = request.verify()?;
        let secrets = text.secrets.read()?;
        secrets.check_job(request.job())?;
        let attempt = Attempt::new(text.attempt)?;
        if text.attempt > request.job().description().max_attempts {
            return Err(TicketError::Mismatch { member: "attempt" });
        }
        let inputs = Inputs { options: text.sent.options, payload: text.sent.payload };
        let kept = |member, answer: Option<KeptText<'_>>, sent: &Sha256Hash| {
            answer.map(|answer| answer.read(member, sent)).transpose()
        };
        let answers = Answers {
            options: kept("options", text.options, &inputs.options)?,
            payload: kept("payload", text.payload, &inputs.payload)?,
        };
        Ok(Self { request, signers, secrets, attempt, inputs, answers })
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

#[cfg(test)]
mod tests;
