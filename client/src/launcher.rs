//! What a client asks the launcher's services.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use subrosa_protocol::{
    encoding::b64u,
    id::{JobId, Sha256Hash, WorkerName},
    identity::Trust,
    job::Job,
    json::{self, Int},
    member,
    record::Record,
    refusal::Code,
    subject::{Namespace, Service},
};
use subrosa_transport::{Asked, Connection, Message, RequestError, trace};
use tokio::time::Instant;

use crate::{CancelToken, LaunchError};

/// The longest answer that is read, in bytes: a record and what is around it.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// The longest text of an error that is shown, in bytes.
const MAX_MESSAGE_BYTES: usize = 1024;

/// The launchers' services in one namespace, which any of them answers.
///
/// ```no_run
/// # // It takes a server and a launcher.
/// # use std::time::Duration;
/// # use subrosa_client::{JobId, Launchers, Namespace};
/// # async fn example(job: JobId) -> Result<(), Box<dyn std::error::Error>> {
/// let nats = subrosa_transport::Connect::new("nats://localhost:4222", "monitor").connect().await?;
/// let launchers = Launchers::new(nats, Namespace::default());
/// for known in launchers.workers(Duration::from_secs(5)).await? {
///     println!("{} ({})", known.worker, known.backend);
/// }
/// println!("{}", launchers.status(&job, Duration::from_secs(5)).await?.state);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Launchers {
    connection: Connection,
    namespace: Namespace,
}

/// What a launcher says of a job. Nobody has to believe it: `record`, its last record as it was signed, can
/// be verified.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobState {
    /// The last record's event, as `queued` or `closed`.
    pub state: String,
    /// The job.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub job: Option<JobId>,
    /// The worker that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub worker: Option<WorkerName>,
    /// The highest attempt taken, 0 if none.
    #[serde(default)]
    pub attempt: u16,
    /// When the last record was written, in Unix milliseconds of its writer's clock.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub at_ms: Option<Int>,
    /// Why it ended, as a code.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub code: Option<String>,
    /// Why it ended, in public words.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub reason: Option<String>,
    /// The last record.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "member::present")]
    pub record: Option<String>,
}

/// A worker that may be launched, as a launcher says: for information, never a source of trust.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KnownWorker {
    /// Its name.
    pub worker: WorkerName,
    /// How it is run: `resident` or `process`.
    pub backend: String,
    /// Who may launch it.
    pub policy: serde_json::Value,
    /// The public keys that may serve it, as JWKs.
    pub keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct KnownWorkers {
    workers: Vec<KnownWorker>,
}

impl JobState {
    /// Whether nothing counts after this state.
    pub fn is_end(&self) -> bool {
        matches!(self.state.as_str(), "closed" | "failed" | "cancelled" | "expired")
    }

    /// Whether it is this job's end, by a record that somebody has signed who is trusted.
    pub(crate) fn is_proven_end(&self, job: &Job, trust: &Trust) -> bool {
        let proven = |record: &String| {
            Record::verify(record.as_bytes(), job.id(), job.worker(), trust)
                .is_ok_and(|verified| verified.record.event.name() == self.state)
        };
        self.is_end() && self.record.as_ref().is_some_and(proven)
    }
}

/// A job that no launcher has admitted, as far as is known.
#[derive(Debug)]
pub(crate) struct NotLaunched {
    pub(crate) error: LaunchError,
    /// Whether one may admit it all the same: it has not said that it does not.
    pub(crate) in_doubt: bool,
}

impl NotLaunched {
    fn new(error: LaunchError, silence: bool) -> Self {
        let in_doubt = match &error {
            LaunchError::Malformed => true,
            // Who did not answer may have had more time than who refused it, but no other opinion.
            error => silence && error.is_unheard(),
        };
        Self { error, in_doubt }
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
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
}

impl Launchers {
    /// The services in this namespace.
    pub fn new(connection: Connection, namespace: Namespace) -> Self {
        Self { connection, namespace }
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Hands in a launch request, again and again while launchers are overloaded.
    pub(crate) async fn launch(
        &self,
        worker: &WorkerName,
        request: &[u8],
        patience: Duration,
    ) -> Result<JobState, NotLaunched> {
        let subject = self.namespace.launch(worker);
        let (answer, silence) =
            self.ask_unless(&subject, Bytes::copy_from_slice(request), patience, is_overloaded).await;
        answer.and_then(|answer| state(&answer)).map_err(|error| NotLaunched::new(error, silence))
    }

    /// Asks for a job's state, again and again while launchers are overloaded.
    pub(crate) async fn insist(&self, job: &JobId, patience: Duration) -> Result<JobState, LaunchError> {
        let question = json::to_vec(&Question { job, token: None, from: None });
        let subject = self.namespace.service(Service::Status);
        let (answer, _) = self.ask_unless(&subject, question.into(), patience, is_overloaded).await;
        state(&answer?)
    }

    /// Asks for a job's state, for as long as `patience` lasts.
    ///
    /// # Errors
    ///
    /// When no launcher answers or knows the job, or its answer cannot be understood.
    pub async fn status(&self, job: &JobId, patience: Duration) -> Result<JobState, LaunchError> {
        self.question(Service::Status, job, None, patience).await
    }

    /// Cancels a job by its cancel token, for as long as `patience` lasts. What is returned is the end that it
    /// came to, which may be another one.
    ///
    /// # Errors
    ///
    /// When no launcher answers or knows the job, the token is not the job's, or the answer cannot be understood.
    pub async fn cancel(
        &self,
        job: &JobId,
        token: &CancelToken,
        patience: Duration,
    ) -> Result<JobState, LaunchError> {
        self.show(Service::Cancel, job, token.0.expose(), patience).await
    }

    /// Asks which workers may be launched, for as long as `patience` lasts.
    ///
    /// # Errors
    ///
    /// When no launcher answers, or its answer cannot be understood.
    pub async fn workers(&self, patience: Duration) -> Result<Vec<KnownWorker>, LaunchError> {
        let subject = self.namespace.service(Service::Workers);
        let known: KnownWorkers = parsed(&self.ask(&subject, Bytes::new(), patience).await?)?;
        Ok(known.workers)
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

    /// Reads a message that is stored of a job, for whoever shows SHA-256(t).
    pub(crate) async fn stored(
        &self,
        job: &JobId,
        token: &Sha256Hash,
        number: u64,
        patience: Duration,
    ) -> Result<Bytes, LaunchError> {
        let question = Question { job, token: Some(b64u(token.0)), from: Some(number) };
        let subject = self.namespace.service(Service::Result);
        Ok(self.ask(&subject, json::to_vec(&question).into(), patience).await?.payload)
    }

    async fn question(
        &self,
        service: Service,
        job: &JobId,
        token: Option<&[u8; 32]>,
        patience: Duration,
    ) -> Result<JobState, LaunchError> {
        let question = Question { job, token: token.map(b64u), from: None };
        let subject = self.namespace.service(service);
        state(&self.ask(&subject, json::to_vec(&question).into(), patience).await?)
    }

    async fn ask(&self, subject: &str, payload: Bytes, patience: Duration) -> Result<Message, LaunchError> {
        self.ask_unless(subject, payload, patience, |_| false).await.0
    }

    /// The first answer that does not pass; and whether a try has got none.
    async fn ask_unless(
        &self,
        subject: &str,
        payload: Bytes,
        patience: Duration,
        passes: fn(&Message) -> bool,
    ) -> (Result<Message, LaunchError>, bool) {
        let deadline = Instant::now() + patience;
        let asked = self.connection.request_unless(subject, trace::headers(), payload, deadline, passes);
        let Asked { answer, silence } = asked.await;
        let answer = answer.map_err(|error| match error {
            RequestError::TooLarge { .. } => {
                LaunchError::Refused { code: Code::TooLarge, message: error.to_string() }
            }
            reason if reason.is_passing() => LaunchError::NoAnswer { within: patience, reason },
            error => LaunchError::NoLauncher(error),
        });
        let answer = answer.and_then(|answer| match refusal(&answer) {
            Some((code, message)) => Err(LaunchError::Refused { code, message }),
            None => Ok(answer),
        });
        (answer, silence)
    }
}

/// Many ask at once: it passes.
fn is_overloaded(answer: &Message) -> bool {
    refusal(answer).is_some_and(|(code, _)| code == Code::Overloaded)
}

fn parsed<T: DeserializeOwned>(answer: &Message) -> Result<T, LaunchError> {
    if answer.payload.len() > MAX_ANSWER_BYTES {
        return Err(LaunchError::Malformed);
    }
    json::parse(&answer.payload).map_err(|_| LaunchError::Malformed)
}

fn state(answer: &Message) -> Result<JobState, LaunchError> {
    let state: JobState = parsed(answer)?;
    Ok(JobState {
        state: printable(&state.state),
        code: state.code.as_deref().map(printable),
        reason: state.reason.as_deref().map(printable),
        ..state
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_is_in_doubt_only_if_somebody_was_silent_and_nobody_has_decided() {
        let refused = |code| LaunchError::Refused { code, message: String::new() };
        let unanswered = |subject: &str| {
            let reason = RequestError::Timeout { subject: subject.to_owned() };
            LaunchError::NoAnswer { within: Duration::ZERO, reason }
        };
        for (error, silence, in_doubt) in [
            (refused(Code::Overloaded), true, true),
            (refused(Code::Overloaded), false, false),
            (refused(Code::Unauthorized), true, false),
            (unanswered("launch"), true, true),
            (unanswered("launch"), false, false),
            (LaunchError::Malformed, false, true),
        ] {
            let said = format!("{error}, {silence}");
            assert_eq!(NotLaunched::new(error, silence).in_doubt, in_doubt, "{said}");
        }
    }
}
