//! The streams and consumers: made and changed by `--setup`, checked by a running launcher.
//!
//! What is made and what is expected are one table, so that they cannot differ.

mod api;
mod wanted;

use std::{fmt, time::Duration};

use serde_json::{Map, Value, json};
use subrosa_protocol::{id::WorkerName, subject::Namespace};
use subrosa_transport::{Connection, Position, QueueError, RequestError};
use thiserror::Error;
use tokio::time::Instant;

use self::{
    api::{Api, DEADLINE},
    wanted::{Kind, Wanted, wanted},
};
use crate::config::Config;

/// Streams or consumers that are not there, or not as they should be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StreamsError {
    /// The server answers, but has no JetStream.
    #[error(
        "the NATS server at {url} has no JetStream for this user: start it with `-js`, or with a `jetstream` \
         block in its configuration and in the account"
    )]
    NoJetStream {
        /// The server's URL.
        url: String,
    },
    /// They differ from the configuration.
    #[error(
        "the streams on the NATS server differ from the configuration; run `subrosa-launcher --setup` with \
         an administrator's rights, or mend the configuration:{}",
        Lines(differences)
    )]
    Differ {
        /// Each difference.
        differences: Vec<Difference>,
    },
    /// The server does not answer, or denies it.
    #[error("the streams on the NATS server cannot be used: {0}")]
    Request(#[from] RequestError),
    /// A consumer cannot be looked at.
    #[error("the queues on the NATS server cannot be used: {0}")]
    Queue(#[from] QueueError),
    /// The server refuses.
    #[error("the NATS server refuses to set up {name}: {description} (error {code})")]
    Refused {
        /// The stream or consumer.
        name: String,
        /// JetStream's error code.
        code: u64,
        /// Its text.
        description: String,
    },
    /// Another answer than JetStream's.
    #[error("the NATS server's answer about {name} is not JetStream's")]
    Malformed {
        /// The stream or consumer.
        name: String,
    },
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// The stream or consumer is not there.
    Missing {
        /// Its name.
        name: String,
    },
    /// A setting has another value.
    Setting {
        /// The stream or consumer.
        name: String,
        /// The setting, as JetStream names it.
        setting: String,
        /// The value on the server.
        found: String,
        /// The value that it should have.
        expected: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name } => write!(f, "{name} does not exist"),
            Self::Setting { name, setting, found, expected } => {
                write!(f, "{name}: `{setting}` is {found}, expected {expected}")
            }
        }
    }
}

/// Each on a line of its own.
struct Lines<'a>(&'a [Difference]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|difference| write!(f, "\n  {difference}"))
    }
}

/// Creates what is not there, and updates what differs.
///
/// # Errors
///
/// See [`StreamsError`]. Some settings cannot be changed once a stream exists, its storage for one.
pub(crate) async fn setup(connection: &Connection, config: &Config) -> Result<(), StreamsError> {
    let api = Api { connection, url: config.nats.shown_url() };
    for wanted in wanted(config) {
        if let Kind::Consumer { worker, .. } = &wanted.kind {
            unmake_misplaced(&api, &config.namespace, worker, &wanted).await?;
        }
        let (request, body) = match (api.found(&wanted).await?, &wanted.kind) {
            (Some(found), _) if differences(&wanted, &found).is_empty() => {
                tracing::info!("{}: as it should be", wanted.name);
                continue;
            }
            (None, Kind::Stream { stream }) => {
                (format!("STREAM.CREATE.{stream}"), Value::Object(wanted.settings.clone()))
            }
            (Some(mut found), Kind::Stream { stream }) => {
                // What is not ours to say stays as it is.
                found.extend(wanted.settings.clone());
                (format!("STREAM.UPDATE.{stream}"), Value::Object(found))
            }
            (found, Kind::Consumer { stream, worker, filter }) => {
                let mut config = found.unwrap_or_default();
                config.extend(wanted.settings.clone());
                let subject = format!("CONSUMER.CREATE.{stream}.{worker}.{filter}");
                (subject, json!({ "stream_name": stream, "config": config }))
            }
        };
        api.ask(&wanted.name, &request, body.to_string().into())
            .await?
            .map_err(|error| error.refused(&wanted))?;
        tracing::info!("{}: set up", wanted.name);
    }
    Ok(())
}

/// Removes a consumer that takes jobs for done that are not. What is queued is then delivered by a new one; also
/// what a worker has just now, which does no harm.
async fn unmake_misplaced(
    api: &Api<'_>,
    namespace: &Namespace,
    worker: &WorkerName,
    wanted: &Wanted,
) -> Result<(), StreamsError> {
    let connection = api.connection;
    let deadline = || Instant::now() + DEADLINE;
    let seen = match Position::read(connection, namespace, worker, deadline()).await {
        Ok(position) => position,
        Err(QueueError::NoConsumer { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let has_passed_over = async || seen.has_passed_over(connection, namespace, worker, deadline()).await;
    if !seen.is_ahead() && !has_passed_over().await? {
        return Ok(());
    }
    tokio::time::sleep(Position::SETTLED).await;
    let position = Position::read(connection, namespace, worker, deadline()).await?;
    // What the consumer had passed over then, it has passed over for good.
    if !position.is_ahead() && !has_passed_over().await? {
        return Ok(());
    }
    let (delivered, end) = (position.delivered, position.end);
    tracing::warn!(delivered, end, "{}: its position is not the queue's: made anew", wanted.name);
    let request = format!("CONSUMER.DELETE.{}.{worker}", namespace.queue_stream());
    let deleted = api.ask(&wanted.name, &request, bytes::Bytes::new()).await?;
    deleted.map(drop).map_err(|error| error.refused(wanted))
}

/// Checks that everything is there and as the configuration says.
///
/// # Errors
///
/// See [`StreamsError`]; all differences are named.
pub(crate) async fn verify(connection: &Connection, config: &Config) -> Result<(), StreamsError> {
    let api = Api { connection, url: config.nats.shown_url() };
    let mut all = Vec::new();
    for wanted in wanted(config) {
        match api.found(&wanted).await? {
            Some(found) => all.extend(differences(&wanted, &found)),
            None => all.push(Difference::Missing { name: wanted.name }),
        }
    }
    if all.is_empty() { Ok(()) } else { Err(StreamsError::Differ { differences: all }) }
}

fn differences(wanted: &Wanted, found: &Map<String, Value>) -> Vec<Difference> {
    let differs = |(setting, expected): (&String, &Value)| {
        let found = found.get(setting).unwrap_or(&Value::Null);
        // The server leaves out what is off.
        let same = found == expected || (found.is_null() && *expected == Value::Bool(false));
        (!same).then(|| Difference::Setting {
            name: wanted.name.clone(),
            setting: setting.clone(),
            found: readable(setting, found),
            expected: readable(setting, expected),
        })
    };
    wanted.settings.iter().filter_map(differs).collect()
}

/// Durations are nanoseconds on the wire.
fn readable(setting: &str, value: &Value) -> String {
    match (setting, value.as_u64()) {
        ("max_age" | "ack_wait", Some(0)) => "no limit".to_owned(),
        ("max_age" | "ack_wait", Some(nanoseconds)) => format!("{:?}", Duration::from_nanos(nanoseconds)),
        _ if value.is_null() => "off".to_owned(),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
        key_file = "k"
        trust_file = "t"
        [[worker]]
        name = "echo"
        backend = "resident"
    "#;

    fn named<'a>(wanted: &'a [Wanted], name: &str) -> &'a Wanted {
        wanted.iter().find(|wanted| wanted.name == name).unwrap()
    }

    #[test]
    fn every_difference_is_named() {
        let wanted = wanted(&Config::from_toml(CONFIG).unwrap());
        let queue = named(&wanted, "stream SUBROSA_QUEUE");
        let mut found = queue.settings.clone();
        assert!(differences(queue, &found).is_empty());
        found.insert("deny_purge".to_owned(), Value::Null);
        assert!(differences(queue, &found).is_empty(), "the server leaves out what is off");
        found.insert("retention".to_owned(), json!("limits"));
        found.insert("max_age".to_owned(), json!(60_000_000_000_u64));
        let shown: Vec<String> = differences(queue, &found).iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "stream SUBROSA_QUEUE: `max_age` is 60s, expected no limit",
                r#"stream SUBROSA_QUEUE: `retention` is "limits", expected "workqueue""#,
            ]
        );
    }

    #[test]
    fn a_placement_is_asked_for_if_there_is_one() {
        let placed = |more: &str| {
            let wanted = wanted(&Config::from_toml(&format!("{CONFIG}\n[streams.records]\n{more}")).unwrap());
            named(&wanted, "stream SUBROSA_RECORDS").settings.get("placement").cloned()
        };
        assert_eq!(placed(""), None);
        assert_eq!(
            placed("placement = { cluster = \"east\", tags = [\"ssd\", \"az:a\"] }"),
            Some(json!({ "cluster": "east", "tags": ["ssd", "az:a"] }))
        );
        assert_eq!(placed("placement = { tags = [\"ssd\"] }"), Some(json!({ "tags": ["ssd"] })));
    }

    #[test]
    fn a_worker_has_a_consumer_of_its_name() {
        let wanted = wanted(&Config::from_toml(CONFIG).unwrap());
        let echo = named(&wanted, "consumer echo of SUBROSA_QUEUE");
        assert_eq!(echo.settings["filter_subject"], "subrosa.v1.queue.echo.*");
        assert_eq!(echo.settings["max_ack_pending"], -1);
        assert_eq!(echo.settings["ack_wait"], 30_000_000_000_u64);
    }
}
