//! A job on the command line: its id, or the beginning of it.

use std::str::FromStr;

use subrosa_client::JobId;
use subrosa_transport::{Connection, HistoryError, Records};
use tokio::time::Instant;

use crate::{
    exit::{Exit, Failure},
    nats::Nats,
};

/// The fewest digits of a prefix.
const MIN_DIGITS: usize = 8;
/// So many of the jobs that fit are named.
const NAMED: usize = 5;

/// An id of 64 hexadecimal digits, or a prefix of 8 or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JobRef {
    Id(JobId),
    Prefix(String),
}

impl FromStr for JobRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.to_ascii_lowercase();
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let fits = (MIN_DIGITS..64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if fits {
            Ok(Self::Prefix(text))
        } else {
            Err(format!("a job's id has 64 hexadecimal digits; a prefix has {MIN_DIGITS} or more"))
        }
    }
}

impl JobRef {
    /// The job that is meant. For a prefix the stream of records is asked.
    pub(crate) async fn resolve(self, connection: &Connection, nats: &Nats) -> Result<JobId, Failure> {
        let prefix = match self {
            Self::Id(id) => return Ok(id),
            Self::Prefix(prefix) => prefix,
        };
        let records = Records::new(connection.clone(), nats.namespace.clone());
        let jobs = records.jobs(Instant::now() + nats.patience()).await;
        let jobs = jobs.map_err(|error| unread(error, "a shortened job id", nats))?;
        let ids = jobs.into_iter().map(|(_, id)| id);
        let fitting: Vec<JobId> = ids.filter(|id| id.to_string().starts_with(&prefix)).collect();
        match fitting.as_slice() {
            [id] => Ok(*id),
            [] => Err(Failure::because(Exit::UnknownJob, format!("no job's id begins with {prefix}"))),
            several => {
                let named: Vec<String> = several.iter().take(NAMED).map(JobId::to_string).collect();
                let text = format!(
                    "{} jobs' ids begin with {prefix}: give more digits\n  {}",
                    several.len(),
                    named.join("\n  ")
                );
                Err(Failure::because(Exit::UnknownJob, text))
            }
        }
    }
}

/// Says what is missing where the stream of records cannot be read.
pub(crate) fn unread(error: HistoryError, what: &str, nats: &Nats) -> Failure {
    if error.is_without_jetstream() {
        return Failure::new(Exit::Unreachable, error).context(nats.without_jetstream());
    }
    let failure = Failure::from(error);
    match failure.exit {
        Exit::Denied => failure.context(format!(
            "{what} needs the record stream, which this NATS user may not read: connect with an auditor's \
             credentials (--creds)"
        )),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_an_id_or_eight_digits_of_it() {
        let id = JobId::of(b"a job");
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(JobRef::Id(id)));
        assert_eq!(text.to_uppercase().parse(), Ok(JobRef::Id(id)));
        let prefix = text.get(..8).unwrap();
        assert_eq!(prefix.parse(), Ok(JobRef::Prefix(prefix.to_owned())));
        for bad in ["", "1234567", "12345678g", &format!("{text}0")] {
            assert!(bad.parse::<JobRef>().unwrap_err().contains("8 or more"), "{bad}");
        }
    }
}
