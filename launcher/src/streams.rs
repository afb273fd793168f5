//! The streams and consumers: made and changed by `--setup`, checked by a running launcher.
//!
//! What is made and what is expected are one table, so that they cannot differ.

use std::{fmt, time::Duration};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use subrosa_protocol::{id::WorkerName, subject::Namespace};
use subrosa_transport::{Connection, RequestError};
use thiserror::Error;
use tokio::time::Instant;

use crate::config::{Config, Storage, Stream};

/// How long one request to JetStream is tried.
const DEADLINE: Duration = Duration::from_secs(10);

/// JetStream's errors.
const NOT_ENABLED: [u64; 2] = [10076, 10039];
const STREAM_NOT_FOUND: u64 = 10059;
const CONSUMER_NOT_FOUND: u64 = 10014;

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

/// A stream or consumer, and the settings that it has to have.
struct Wanted {
    /// What it is called in messages.
    name: String,
    info: String,
    settings: Map<String, Value>,
    kind: Kind,
}

enum Kind {
    Stream { stream: String },
    Consumer { stream: String, worker: WorkerName, filter: String },
}

/// The streams and consumers that this configuration asks for, streams first.
fn wanted(config: &Config) -> Vec<Wanted> {
    let ns = &config.namespace;
    let streams = &config.streams;
    let mut wanted = vec![
        stream(
            ns.queue_stream(),
            ns.queue_any(),
            &streams.queue,
            json!({
                "retention": "workqueue", "max_msgs_per_subject": 1, "discard": "new",
                "discard_new_per_subject": true, "deny_purge": false,
            }),
        ),
        stream(
            ns.records_stream(),
            ns.record_any(),
            &streams.records,
            json!({
                "retention": "limits", "max_msgs_per_subject": -1, "discard": "new",
                "deny_delete": true, "deny_purge": true, "allow_direct": true,
            }),
        ),
        stream(
            ns.results_stream(),
            ns.result_any(),
            &streams.results,
            json!({
                "retention": "limits", "max_msgs_per_subject": 1, "allow_direct": true, "deny_purge": false,
            }),
        ),
    ];
    wanted.extend(config.workers.iter().map(|worker| consumer(ns, &worker.name, config.timing.ack_wait)));
    wanted
}

fn stream(name: String, subjects: String, config: &Stream, own: Value) -> Wanted {
    let mut settings = object(json!({
        "name": name,
        "subjects": [subjects],
        "storage": match config.storage { Storage::File => "file", Storage::Memory => "memory" },
        "num_replicas": config.replicas,
        "max_age": nanoseconds(config.max_age.unwrap_or_default()),
        "max_bytes": config.max_bytes.map_or(json!(-1), Value::from),
        "max_msgs": -1,
        "max_msg_size": -1,
        "max_consumers": -1,
    }));
    settings.extend(object(own));
    Wanted {
        info: format!("$JS.API.STREAM.INFO.{name}"),
        settings,
        kind: Kind::Stream { stream: name.clone() },
        name: format!("stream {name}"),
    }
}

fn consumer(ns: &Namespace, worker: &WorkerName, ack_wait: Duration) -> Wanted {
    let (stream, filter) = (ns.queue_stream(), ns.queue_of(worker));
    let settings = object(json!({
        "durable_name": worker,
        "filter_subject": filter,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": nanoseconds(ack_wait),
        "max_deliver": -1,
        "max_ack_pending": -1,
    }));
    Wanted {
        name: format!("consumer {worker} of {stream}"),
        info: format!("$JS.API.CONSUMER.INFO.{stream}.{worker}"),
        settings,
        kind: Kind::Consumer { stream, worker: worker.clone(), filter },
    }
}

/// Creates what is not there, and updates what differs.
///
/// # Errors
///
/// See [`StreamsError`]. Some settings cannot be changed once a stream exists, its storage for one.
pub(crate) async fn setup(connection: &Connection, config: &Config) -> Result<(), StreamsError> {
    let api = Api { connection, url: &config.nats.url };
    for wanted in wanted(config) {
        let (request, body) = match (api.found(&wanted).await?, &wanted.kind) {
            (Some(found), _) if differences(&wanted, &found).is_empty() => {
                tracing::info!("{}: as it should be", wanted.name);
                continue;
            }
            (None, Kind::Stream { stream }) => {
                (format!("$JS.API.STREAM.CREATE.{stream}"), Value::Object(wanted.settings.clone()))
            }
            (Some(mut found), Kind::Stream { stream }) => {
                // What is not ours to say stays as it is.
                found.extend(wanted.settings.clone());
                (format!("$JS.API.STREAM.UPDATE.{stream}"), Value::Object(found))
            }
            (found, Kind::Consumer { stream, worker, filter }) => {
                let mut config = found.unwrap_or_default();
                config.extend(wanted.settings.clone());
                let subject = format!("$JS.API.CONSUMER.CREATE.{stream}.{worker}.{filter}");
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

/// Checks that everything is there and as the configuration says.
///
/// # Errors
///
/// See [`StreamsError`]; all differences are named.
pub(crate) async fn verify(connection: &Connection, config: &Config) -> Result<(), StreamsError> {
    let api = Api { connection, url: &config.nats.url };
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

/// Asks JetStream.
struct Api<'a> {
    connection: &'a Connection,
    url: &'a str,
}

/// JetStream's error.
struct ApiError {
    code: u64,
    description: String,
}

impl ApiError {
    fn refused(self, wanted: &Wanted) -> StreamsError {
        let Self { code, description } = self;
        StreamsError::Refused { name: wanted.name.clone(), code, description }
    }
}

impl Api<'_> {
    /// The settings on the server; none if it does not exist.
    async fn found(&self, wanted: &Wanted) -> Result<Option<Map<String, Value>>, StreamsError> {
        match self.ask(&wanted.name, &wanted.info, Bytes::new()).await? {
            Ok(mut answer) => match answer.remove("config") {
                Some(Value::Object(config)) => Ok(Some(config)),
                _ => Err(StreamsError::Malformed { name: wanted.name.clone() }),
            },
            // A consumer of a stream that is not there is not there either.
            Err(ApiError { code: STREAM_NOT_FOUND | CONSUMER_NOT_FOUND, .. }) => Ok(None),
            Err(error) => Err(error.refused(wanted)),
        }
    }

    async fn ask(
        &self,
        name: &str,
        subject: &str,
        body: Bytes,
    ) -> Result<Result<Map<String, Value>, ApiError>, StreamsError> {
        let no_jetstream = || StreamsError::NoJetStream { url: self.url.to_owned() };
        let deadline = Instant::now() + DEADLINE;
        let answer = match self.connection.request_until(subject, None, body, deadline).await {
            Err(RequestError::NoResponders { .. }) => return Err(no_jetstream()),
            answer => answer?,
        };
        let malformed = || StreamsError::Malformed { name: name.to_owned() };
        let Ok(Value::Object(mut answer)) = serde_json::from_slice(&answer.payload) else {
            return Err(malformed());
        };
        let Some(error) = answer.remove("error") else { return Ok(Ok(answer)) };
        let code = error.get("err_code").and_then(Value::as_u64).unwrap_or_default();
        if NOT_ENABLED.contains(&code) {
            return Err(no_jetstream());
        }
        let description = error.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Err(ApiError { code, description }))
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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
    fn a_worker_has_a_consumer_of_its_name() {
        let wanted = wanted(&Config::from_toml(CONFIG).unwrap());
        let echo = named(&wanted, "consumer echo of SUBROSA_QUEUE");
        assert_eq!(echo.settings["filter_subject"], "subrosa.v1.queue.echo.*");
        assert_eq!(echo.settings["max_ack_pending"], -1);
        assert_eq!(echo.settings["ack_wait"], 30_000_000_000_u64);
    }
}
