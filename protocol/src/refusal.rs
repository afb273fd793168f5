//! Code words: why a launch was refused, why a step or a job failed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a launcher or worker refuses a job, or a service a request.
///
/// ```
/// # use subrosa_protocol::refusal::Code;
/// assert_eq!(Code::from_word("overloaded"), Some(Code::Overloaded));
/// assert_eq!(Code::Overloaded.to_string(), "overloaded");
/// assert_eq!(Code::Overloaded.number(), 503);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The request is not what it should be.
    BadRequest,
    /// The request is larger than allowed.
    TooLarge,
    /// A version, suite or critical member that is not known here.
    Unsupported,
    /// No such worker may be launched here.
    UnknownWorker,
    /// A signature does not verify.
    BadSignature,
    /// The signers may not run this worker.
    Unauthorized,
    /// The job's time is over.
    Expired,
    /// The pre-shared key that the job names is not here.
    PskUnavailable,
    /// The store is full, or the operator's limit is reached.
    Overloaded,
    /// There is no such job.
    UnknownJob,
    /// The token is not this job's.
    WrongToken,
    /// Nothing is stored there.
    NotStored,
}

impl Code {
    const ALL: [(Self, &'static str, u16); 12] = [
        (Self::BadRequest, "bad_request", 400),
        (Self::TooLarge, "too_large", 413),
        (Self::Unsupported, "unsupported", 501),
        (Self::UnknownWorker, "unknown_worker", 404),
        (Self::BadSignature, "bad_signature", 401),
        (Self::Unauthorized, "unauthorized", 403),
        (Self::Expired, "expired", 410),
        (Self::PskUnavailable, "psk_unavailable", 424),
        (Self::Overloaded, "overloaded", 503),
        (Self::UnknownJob, "unknown_job", 404),
        (Self::WrongToken, "wrong_token", 403),
        (Self::NotStored, "not_stored", 404),
    ];

    fn entry(self) -> (&'static str, u16) {
        Self::ALL
            .into_iter()
            .find_map(|(code, word, number)| (code == self).then_some((word, number)))
            .unwrap_or(("bad_request", 400))
    }

    /// The word that travels.
    pub fn word(self) -> &'static str {
        self.entry().0
    }

    /// The number in HTTP's manner that NATS services answer with.
    pub fn number(self) -> u16 {
        self.entry().1
    }

    /// The code with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(code, w, _)| (w == word).then_some(code))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why a step, and with it the job, failed. Travels sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepCode {
    /// What was sent cannot be used.
    BadInput,
    /// The function or handler failed or panicked.
    HandlerFailed,
    /// The job was cancelled.
    Cancelled,
    /// The run took longer than the job allows.
    Timeout,
    /// The answer does not fit one message.
    TooLarge,
    /// Something else went wrong over there.
    Internal,
    /// There is no such stream.
    UnknownStream,
}

impl StepCode {
    /// The word that travels.
    pub fn word(self) -> &'static str {
        match self {
            Self::BadInput => "bad_input",
            Self::HandlerFailed => "handler_failed",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Internal => "internal",
            Self::UnknownStream => "unknown_stream",
        }
    }
}

impl fmt::Display for StepCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_word() {
        for (code, word, _) in Code::ALL {
            assert_eq!(Code::from_word(word), Some(code));
            assert_eq!(code.to_string(), word);
        }
    }
}
