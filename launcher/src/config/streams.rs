//! The streams as they stand in the file.

use std::time::Duration;

use serde::Deserialize;

use super::{
    ConfigError, Placement, Storage, Stream, Streams,
    file::invalid,
    values::{Humane, Size},
};

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wire {
    queue: StreamWire,
    records: StreamWire,
    results: StreamWire,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StreamWire {
    replicas: Option<u8>,
    storage: Storage,
    max_age: Option<Humane>,
    max_bytes: Option<Size>,
    placement: Option<Placement>,
}

impl Wire {
    pub(super) fn check(self) -> Result<Streams, ConfigError> {
        let mut streams = Streams {
            queue: self.queue.check("streams.queue")?,
            records: self.records.check("streams.records")?,
            results: self.results.check("streams.results")?,
        };
        let results_age = *streams.results.max_age.get_or_insert(7 * DAY);
        if streams.records.max_age.is_some_and(|age| age < results_age + 3 * DAY) {
            return Err(invalid(
                "streams.records.max_age",
                "must be at least 3 days more than that of the results: a history has to outlive its job",
            ));
        }
        Ok(streams)
    }
}

impl StreamWire {
    fn check(self, name: &str) -> Result<Stream, ConfigError> {
        let replicas = self.replicas.unwrap_or(1);
        if !(1..=5).contains(&replicas) {
            return Err(invalid(format!("{name}.replicas"), "must be 1 to 5"));
        }
        let max_age = self.max_age.map(|age| age.0);
        if max_age.is_some_and(|age| age < Duration::from_secs(3600)) {
            return Err(invalid(format!("{name}.max_age"), "must be at least \"1h\""));
        }
        let max_bytes = self.max_bytes.map(|size| size.0);
        if max_bytes.is_some_and(|bytes| bytes < 1 << 20) {
            return Err(invalid(format!("{name}.max_bytes"), "must be at least \"1MiB\""));
        }
        let placement = self.placement;
        let is_word = |text: &String| !text.is_empty() && !text.contains(char::is_whitespace);
        if placement.as_ref().is_some_and(|Placement { cluster, tags }| {
            (cluster.is_none() && tags.is_empty()) || !cluster.iter().chain(tags).all(is_word)
        }) {
            let rule = "must name a `cluster`, or `tags` of servers, or both, without spaces";
            return Err(invalid(format!("{name}.placement"), rule));
        }
        Ok(Stream { replicas, storage: self.storage, max_age, max_bytes, placement })
    }
}
