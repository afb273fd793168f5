//! What a client asks the launcher's services.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use subrosa_protocol::{
    encoding::b64u,
    id::{JobId, WorkerName},
    json,
    refusal::Code,
    subject::{Namespace, Service},
};
use subrosa_transport::{Backoff, Connection, Message, RequestError};
use tokio::time::Instant;

use crate::LaunchError;

/// The longest answer that is read, in bytes: a record and what is around it.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// The longest text of an error that is shown, in bytes.
const MAX_MESSAGE_BYTES: usize = 1024;

/// The services of this namespace.
#[derive(Clone, Debug)]
pub(crate) struct Launchers {
    connection: Connection,
    namespace: Namespace,
}

/// What a launcher says of a job. Nobody has to believe it.
#[derive(Debug, Deserialize)]
pub(crate) struct JobState {
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) code: Option<String>,
    #[serde(default)]
    pub(crate) reason: Option<String>,
}

impl JobState {
    /// Whether nothing counts after this state.
    pub(crate) fn is_end(&self) -> bool {
        matches!(self.state.as_str(), "closed" | "failed" | "cancelled" | "expired")
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    message: String,
}

#[derive(Serialize)]
struct Question<'a> {
    job: &'a JobId,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl Launchers {
    pub(crate) fn new(connection: Connection, namespace: Namespace) -> Self {
        Self { connection, namespace }
    }

    /// Hands in a launch request, again and again while launchers are overloaded.
    pub(crate) async fn launch(
        &self,
        worker: &WorkerName,
        request: &[u8],
        patience: Duration,
    ) -> Result<JobState, LaunchError> {
        let subject = self.namespace.launch(worker);
        let request = Bytes::copy_from_slice(request);
        let deadline = Instant::now() + patience;
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.ask(&subject, request.clone(), left).await {
                // Many ask at once: it passes.
                Err(LaunchError::Refused { code: Code::Overloaded, .. }) if Instant::now() < deadline => {
                    backoff.wait().await;
                }
                answer => return answer,
            }
        }
    }

    /// Asks for a job's state.
    pub(crate) async fn status(&self, job: &JobId, patience: Duration) -> Result<JobState, LaunchError> {
        self.question(Service::Status, job, None, patience).await
    }

    /// Shows the token that ends the job: by `Service::Cancel` or `Service::Close`.
    pub(crate) async fn show(
        &self,
        service: Service,
        job: &JobId,
        token: &[u8; 32],
        patience: Duration,
    ) -> Result<JobState, LaunchError> {
        self.question(service, job, Some(token), patience).await
    }

    async fn question(
        &self,
        service: Service,
        job: &JobId,
        token: Option<&[u8; 32]>,
        patience: Duration,
    ) -> Result<JobState, LaunchError> {
        let question = Question { job, token: token.map(b64u) };
        self.ask(&self.namespace.service(service), json::to_vec(&question).into(), patience).await
    }

    async fn ask(&self, subject: &str, payload: Bytes, patience: Duration) -> Result<JobState, LaunchError> {
        let deadline = Instant::now() + patience;
        let answer = self.connection.request_until(subject, None, payload, deadline).await;
        let answer = answer.map_err(|error| match error {
            RequestError::TooLarge { .. } => {
                LaunchError::Refused { code: Code::TooLarge, message: error.to_string() }
            }
            error => LaunchError::NoLauncher(error),
        })?;
        if let Some((code, message)) = refusal(&answer) {
            return Err(LaunchError::Refused { code, message });
        }
        if answer.payload.len() > MAX_ANSWER_BYTES {
            return Err(LaunchError::Malformed);
        }
        let state: JobState = json::parse(&answer.payload).map_err(|_| LaunchError::Malformed)?;
        Ok(JobState {
            state: printable(&state.state),
            code: state.code.as_deref().map(printable),
            reason: state.reason.as_deref().map(printable),
        })
    }
}

/// Somebody else's text, fit for a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE_BYTES).collect()
}

/// The error of an answer, if it is one.
fn refusal(answer: &Message) -> Option<(Code, String)> {
    let headers = answer.headers.as_ref()?;
    let word = headers.get("Nats-Service-Error")?.as_str();
    let code = Code::from_word(word).unwrap_or(Code::BadRequest);
    let body = headers.get("Subrosa-Error").map(|value| value.as_str());
    let message = body
        .filter(|body| body.len() <= 4 * MAX_MESSAGE_BYTES)
        .and_then(|body| json::parse::<ErrorBody>(body.as_bytes()).ok())
        .map(|body| printable(&body.message));
    Some((code, message.unwrap_or_default()))
}
