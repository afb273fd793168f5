//! What a configuration asks for: made by `--setup`, checked by a running launcher.

use std::time::Duration;

use serde_json::{Map, Value, json};
use subrosa_protocol::{id::WorkerName, subject::Namespace};

use crate::config::{Config, Placement, Storage, Stream};

/// A stream or consumer, and the settings that it has to have.
pub(super) struct Wanted {
    /// What it is called in messages.
    pub(super) name: String,
    /// The request for what it is.
    pub(super) info: String,
    pub(super) settings: Map<String, Value>,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Stream { stream: String },
    Consumer { stream: String, worker: WorkerName, filter: String },
}

/// The streams and consumers that this configuration asks for, streams first.
pub(super) fn wanted(config: &Config) -> Vec<Wanted> {
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
    if let Some(Placement { cluster, tags }) = &config.placement {
        let mut placement = Map::new();
        placement.extend(cluster.as_ref().map(|cluster| ("cluster".to_owned(), json!(cluster))));
        if !tags.is_empty() {
            placement.insert("tags".to_owned(), json!(tags));
        }
        settings.insert("placement".to_owned(), Value::Object(placement));
    }
    Wanted {
        info: format!("STREAM.INFO.{name}"),
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
        info: format!("CONSUMER.INFO.{stream}.{worker}"),
        settings,
        kind: Kind::Consumer { stream, worker: worker.clone(), filter },
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
