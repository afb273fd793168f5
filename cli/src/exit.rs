//! How commands end, in numbers and words that scripts can tell apart.

use std::process::ExitCode;

use subrosa_client::{ClientError, Code, JobError, LaunchError};
use subrosa_transport::{ConnectError, HistoryError, RequestError};

/// How a command ended. The numbers are part of the command's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Anything that is none of the others.
    Failure,
    /// The command line, or a file that it names, is not what it should be.
    Usage,
    /// No NATS server, no JetStream or no launcher answers.
    Unreachable,
    /// The NATS server denies it to this user.
    Denied,
    /// A launcher refuses it.
    Refused,
    /// The job has ended without a result.
    JobFailed,
    /// No trusted worker took the job in time.
    NoWorker,
    /// There is no such job, or more than one.
    UnknownJob,
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

impl Exit {
    const ALL: [(Self, u8, &str, &str); 10] = [
        (Self::Failure, 1, "failure", "something else failed"),
        (Self::Usage, 2, "usage", "the command line, or a file that it names, is not what it should be"),
        (Self::Unreachable, 3, "unreachable", "no NATS server, no JetStream or no launcher answers"),
        (Self::Denied, 4, "denied", "the NATS server denies it to this user"),
        (Self::Refused, 5, "refused", "a launcher refuses it"),
        (Self::JobFailed, 6, "job_failed", "the job has ended without a result"),
        (Self::NoWorker, 7, "no_worker", "no trusted worker took the job in time"),
        (Self::UnknownJob, 8, "unknown_job", "there is no such job, or a prefix fits several"),
        (Self::Interrupted, 130, "interrupted", "Ctrl-C"),
        (Self::Terminated, 143, "terminated", "SIGTERM"),
    ];

    /// The table that `--help` ends with.
    pub(crate) fn table() -> String {
        let rows = Self::ALL.map(|(_, code, _, meaning)| format!("  {code:>3}  {meaning}"));
        format!("Exit codes:\n    0  success\n{}", rows.join("\n"))
    }

    fn row(self) -> (u8, &'static str) {
        let found = Self::ALL.into_iter().find(|(exit, ..)| *exit == self);
        found.map_or((1, "failure"), |(_, code, word, _)| (code, word))
    }

    /// The word for it in `--json`.
    pub(crate) fn word(self) -> &'static str {
        self.row().1
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.row().0)
    }
}

/// A command that failed: how it ends, and what is said.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) error: anyhow::Error,
    /// What `--json` prints beside the error.
    pub(crate) report: serde_json::Value,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into(), report: serde_json::Value::Null }
    }

    /// A failure that is explained by a text alone.
    pub(crate) fn because(exit: Exit, text: impl Into<String>) -> Self {
        Self::new(exit, anyhow::Error::msg(text.into()))
    }

    /// Something on the command line, or in a file that it names.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::because(Exit::Usage, text)
    }

    /// Says first what was tried.
    pub(crate) fn context(self, text: impl Into<String>) -> Self {
        Self { error: self.error.context(text.into()), ..self }
    }

    /// Whether standard output was closed before everything was printed.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        let error = self.error.downcast_ref::<std::io::Error>();
        error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// Prints this object's members beside the error with `--json`.
    pub(crate) fn reporting(self, report: serde_json::Value) -> Self {
        Self { report, ..self }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failure, error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failure, error)
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let exit = match error {
            RequestError::Denied { .. } => Exit::Denied,
            RequestError::TooLarge { .. } => Exit::Refused,
            _ => Exit::Unreachable,
        };
        Self::new(exit, error)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Subscribe(error) => error.into(),
            ConnectError::Unauthorized { .. } => Self::new(Exit::Denied, error),
            ConnectError::Unreachable { .. } => Self::new(Exit::Unreachable, error),
            error => Self::new(Exit::Usage, error),
        }
    }
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Request(error) => error.into(),
            error => Self::new(Exit::Failure, error),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Connect(error) => error.into(),
            ClientError::Subscribe(error) => error.into(),
            error => Self::new(Exit::Usage, error),
        }
    }
}

impl From<LaunchError> for Failure {
    fn from(error: LaunchError) -> Self {
        let exit = match &error {
            LaunchError::Refused { code: Code::UnknownJob, .. } => Exit::UnknownJob,
            LaunchError::Refused { .. } => Exit::Refused,
            LaunchError::NoLauncher(RequestError::Denied { .. }) => Exit::Denied,
            LaunchError::NoLauncher(_) | LaunchError::NoAnswer { .. } => Exit::Unreachable,
            LaunchError::Ended { .. } => Exit::JobFailed,
            LaunchError::Malformed => Exit::Failure,
            // The job, or what was made of it before.
            _ => Exit::Usage,
        };
        Self::new(exit, error)
    }
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        let exit = match &error {
            JobError::NoWorker { .. } => Exit::NoWorker,
            // It may have a result, for whoever comes back.
            JobError::Untrusted(_) | JobError::Unproven { .. } | JobError::Closed => Exit::Failure,
            _ => Exit::JobFailed,
        };
        Self::new(exit, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_number_and_a_word_of_its_own() {
        for (index, (exit, code, word, _)) in Exit::ALL.into_iter().enumerate() {
            assert_eq!(exit.row(), (code, word));
            let others = Exit::ALL.into_iter().skip(index + 1);
            assert!(others.clone().all(|other| other.1 != code && other.2 != word));
        }
        assert!(Exit::table().contains("  8  there is no such job"));
    }

    #[test]
    fn what_is_denied_is_told_from_what_is_not_there() {
        let subject = || "a.b".to_owned();
        let exit = |error: RequestError| Failure::from(HistoryError::Request(error)).exit;
        assert_eq!(exit(RequestError::Denied { subject: subject() }), Exit::Denied);
        assert_eq!(exit(RequestError::Timeout { subject: subject() }), Exit::Unreachable);
        let unknown = LaunchError::Refused { code: Code::UnknownJob, message: String::new() };
        assert_eq!(Failure::from(unknown).exit, Exit::UnknownJob);
    }
}
