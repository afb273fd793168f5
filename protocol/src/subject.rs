//! Subjects and stream names on NATS, and which subjects may be answered.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::id::{Instance, JobId, WorkerName};

/// A text that cannot be part of a subject.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubjectError {
    /// A namespace is one token of a subject.
    #[error("a namespace has 1 to 32 characters out of a-z, 0-9, - and _")]
    Namespace,
    /// A reply token keeps one client's subjects apart from another's.
    #[error("a reply token has 16 to 64 characters out of A-Z, a-z and 0-9")]
    ReplyToken,
    /// The job's `reply` is no prefix that clients listen under.
    #[error("a reply prefix is <namespace>.v1.client.<token>")]
    ReplyPrefix,
}

/// The first token of every subject, so that deployments can share an account. `subrosa` by default.
///
/// ```
/// use subrosa_protocol::{id::JobId, subject::Namespace};
///
/// let namespace: Namespace = "acme".parse()?;
/// assert_eq!(namespace.launch(&"echo".parse()?), "acme.v1.launch.echo");
/// assert_eq!(namespace.queue_of(&"echo".parse()?), "acme.v1.queue.echo.*");
/// let reply = namespace.reply("AliceAliceAlice01")?;
/// assert!(reply.subject(&JobId::of(b"a job"), "done").starts_with("acme.v1.client.AliceAliceAlice01."));
/// assert!("two.tokens".parse::<Namespace>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace(String);

impl Default for Namespace {
    fn default() -> Self {
        Self("subrosa".to_owned())
    }
}

impl FromStr for Namespace {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let fits = (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        if fits { Ok(Self(text.to_owned())) } else { Err(SubjectError::Namespace) }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The launcher's services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Answers with a job's state.
    Status,
    /// Ends a job for whoever shows its cancel token.
    Cancel,
    /// Closes a job for whoever shows that the client has the result.
    Close,
    /// Reads what is stored of a job, for its client.
    Result,
    /// Lists the workers that may be launched.
    Workers,
}

impl Service {
    /// The service's token in its subject, and its endpoint's name.
    pub fn token(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Cancel => "cancel",
            Self::Close => "close",
            Self::Result => "result",
            Self::Workers => "workers",
        }
    }
}

/// What can be sent to the process that holds an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Asks whether the process still holds the attempt.
    Alive,
    /// Shows the signed record that ended the job.
    Stop,
    /// Cancels the job: sealed, by its client.
    Cancel,
}

impl Control {
    /// The last token of the control subject.
    pub fn token(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Stop => "stop",
            Self::Cancel => "cancel",
        }
    }
}

impl Namespace {
    /// Where launch requests for `worker` go.
    pub fn launch(&self, worker: &WorkerName) -> String {
        format!("{self}.v1.launch.{worker}")
    }

    /// Where launch requests for any worker arrive.
    pub fn launch_any(&self) -> String {
        format!("{self}.v1.launch.*")
    }

    /// Where requests to one of the launcher's services go.
    pub fn service(&self, service: Service) -> String {
        format!("{self}.v1.{}", service.token())
    }

    /// The queued job.
    pub fn queue(&self, worker: &WorkerName, job: &JobId) -> String {
        format!("{self}.v1.queue.{worker}.{job}")
    }

    /// All queued jobs of `worker`.
    pub fn queue_of(&self, worker: &WorkerName) -> String {
        format!("{self}.v1.queue.{worker}.*")
    }

    /// All queued jobs.
    pub fn queue_any(&self) -> String {
        format!("{self}.v1.queue.*.*")
    }

    /// The job's history.
    pub fn record(&self, worker: &WorkerName, job: &JobId) -> String {
        format!("{self}.v1.record.{worker}.{job}")
    }

    /// The history of the job with this id, whichever worker it is for.
    pub fn record_of(&self, job: &JobId) -> String {
        format!("{self}.v1.record.*.{job}")
    }

    /// All histories.
    pub fn record_any(&self) -> String {
        format!("{self}.v1.record.*.*")
    }

    /// All stored results.
    pub fn result_any(&self) -> String {
        format!("{self}.v1.result.*.*.*.*")
    }

    /// A stored message of an attempt at `job`.
    pub fn result(&self, worker: &WorkerName, job: &JobId, attempt: u16, number: u64) -> String {
        format!("{self}.v1.result.{worker}.{job}.{attempt}.{number}")
    }

    /// All that is stored of `job`.
    pub fn result_of(&self, worker: &WorkerName, job: &JobId) -> String {
        format!("{self}.v1.result.{worker}.{job}.*.*")
    }

    /// What is sent to the process that holds an attempt at `job`.
    pub fn control(&self, worker: &WorkerName, instance: &Instance, job: &JobId, control: Control) -> String {
        format!("{self}.v1.control.{worker}.{instance}.{job}.{}", control.token())
    }

    /// What a process listens to: everything that is sent to it for any job.
    pub fn control_of(&self, worker: &WorkerName, instance: &Instance) -> String {
        format!("{self}.v1.control.{worker}.{instance}.*.*")
    }

    /// The prefix that a client with this token listens under.
    ///
    /// # Errors
    ///
    /// [`SubjectError::ReplyToken`]
    pub fn reply(&self, token: &str) -> Result<ReplyPrefix, SubjectError> {
        let fits = (16..=64).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_alphanumeric());
        if fits {
            Ok(ReplyPrefix(format!("{self}.v1.client.{token}")))
        } else {
            Err(SubjectError::ReplyToken)
        }
    }

    /// Reads the `reply` member of a job.
    ///
    /// # Errors
    ///
    /// Anything but this namespace's prefix and a token is refused, so that nobody can be made to
    /// publish elsewhere.
    pub fn parse_reply(&self, text: &str) -> Result<ReplyPrefix, SubjectError> {
        text.strip_prefix(&self.0)
            .and_then(|rest| rest.strip_prefix(".v1.client."))
            .and_then(|token| self.reply(token).ok())
            .ok_or(SubjectError::ReplyPrefix)
    }

    /// The JetStream stream of queued jobs.
    pub fn queue_stream(&self) -> String {
        self.stream("QUEUE")
    }

    /// The JetStream stream of histories.
    pub fn records_stream(&self) -> String {
        self.stream("RECORDS")
    }

    /// The JetStream stream of stored results.
    pub fn results_stream(&self) -> String {
        self.stream("RESULTS")
    }

    fn stream(&self, name: &str) -> String {
        format!("{}_{name}", self.0.to_ascii_uppercase())
    }
}

/// The subject prefix that a client listens under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyPrefix(String);

impl ReplyPrefix {
    /// A subject of this job's, ending in `kind`.
    pub fn subject(&self, job: &JobId, kind: &str) -> String {
        format!("{self}.{job}.{kind}")
    }

    /// The client's token, which the prefix ends in.
    pub fn token(&self) -> &str {
        self.0.rsplit('.').next().unwrap_or_default()
    }

    /// All that is sent to this client.
    pub fn any(&self) -> String {
        format!("{self}.*.*")
    }
}

impl fmt::Display for ReplyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The last token of the subject that tells a client that its job has ended.
pub const ENDED: &str = "ended";

/// Whether a request may be answered at `subject`: a subject without wildcards whose first token is
/// `_INBOX` or begins with `_INBOX_`. Whoever answers elsewhere becomes somebody's deputy.
///
/// ```
/// # use subrosa_protocol::subject::may_answer;
/// assert!(may_answer("_INBOX_echo.a1.7"));
/// assert!(!may_answer("subrosa.v1.queue.echo"));
/// assert!(!may_answer("_INBOX.>"));
/// ```
pub fn may_answer(subject: &str) -> bool {
    let mut tokens = subject.split('.');
    let inbox = tokens.next().is_some_and(|first| first == "_INBOX" || first.starts_with("_INBOX_"));
    inbox
        && subject.len() <= 255
        && subject.split('.').all(|token| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()))
        && !subject.contains(['*', '>'])
        && tokens.next().is_some()
}

/// The worker's name in a subject that ends in `<worker>.<job>`: of the queue, or of the records.
pub fn worker_in(subject: &str) -> Option<WorkerName> {
    subject.rsplit('.').nth(1)?.parse().ok()
}

/// The job's id in a subject that ends in it.
pub fn job_in(subject: &str) -> Option<JobId> {
    subject.rsplit('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_as_documented() {
        let ns = Namespace::default();
        let worker = "echo".parse().unwrap();
        let job = JobId::of(b"");
        assert_eq!(ns.launch(&worker), "subrosa.v1.launch.echo");
        assert_eq!(ns.queue(&worker, &job), format!("subrosa.v1.queue.echo.{job}"));
        assert_eq!(ns.records_stream(), "SUBROSA_RECORDS");
        assert_eq!("acme-dev".parse::<Namespace>().unwrap().queue_stream(), "ACME-DEV_QUEUE");
        let reply = ns.reply("AliceAliceAlice01").unwrap();
        assert_eq!(reply.token(), "AliceAliceAlice01");
        assert_eq!(reply.subject(&job, "ready"), format!("subrosa.v1.client.AliceAliceAlice01.{job}.ready"));
    }

    #[test]
    fn a_reply_prefix_is_nothing_else() {
        let ns = Namespace::default();
        assert!(ns.parse_reply("subrosa.v1.client.AliceAliceAlice01").is_ok());
        for bad in [
            "",
            "subrosa.v1.client.short",
            "subrosa.v1.client.AliceAliceAlice01.x",
            "subrosa.v1.client.*",
            "other.v1.client.AliceAliceAlice01",
            "subrosa.v1.record.AliceAliceAlice01",
            "subrosa.v1.client.AliceAliceAlice_01",
            &format!("subrosa.v1.client.{}", "a".repeat(65)),
        ] {
            assert_eq!(ns.parse_reply(bad), Err(SubjectError::ReplyPrefix), "{bad}");
        }
    }

    #[test]
    fn only_inboxes_are_answered() {
        for good in ["_INBOX.a.b", "_INBOX_alice.x", "_INBOX.x"] {
            assert!(may_answer(good), "{good}");
        }
        for bad in [
            "",
            "_INBOX",
            "_INBOXES.a",
            "subrosa.v1.launch.echo",
            "_INBOX.*",
            "_INBOX.>",
            "_INBOX..a",
            "_INBOX.a b",
            "$JS.ACK.x",
        ] {
            assert!(!may_answer(bad), "{bad}");
        }
    }
}
