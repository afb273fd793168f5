//! Numbers that others keep, read when they are asked for.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use subrosa_transport::{Connection, Tally};

/// A connection to NATS, once there is one.
#[derive(Clone, Debug, Default)]
pub struct Nats(Arc<OnceLock<Connection>>);

impl Nats {
    /// A connection that is about to be made, whose numbers are told.
    pub fn new(registry: &mut Registry) -> Self {
        let nats = Self::default();
        registry.register_collector(Box::new(nats.clone()));
        nats
    }

    /// The connection is made.
    pub fn connected(&self, connection: &Connection) {
        // The first one stays.
        let _ = self.0.set(connection.clone());
    }
}

impl Collector for Nats {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let connection = self.0.get();
        let is_connected = ConstGauge::new(i64::from(connection.is_some_and(Connection::is_connected)));
        let help = "Whether there is a connection to NATS, as far as is known.";
        let gauge =
            encoder.encode_descriptor("subrosa_nats_connected", help, None, is_connected.metric_type())?;
        is_connected.encode(gauge)?;
        for (name, help, count) in [
            (
                "subrosa_nats_disconnects",
                "How often the connection to NATS has broken.",
                connection.map_or(0, Connection::breaks),
            ),
            (
                "subrosa_nats_slow_consumers",
                "How often messages came faster than they were read, and were lost.",
                connection.map_or(0, Connection::overruns),
            ),
            (
                "subrosa_nats_permission_violations",
                "How often the server has denied a subject to this user.",
                connection.map_or(0, Connection::denied),
            ),
        ] {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}

/// What is turned away, by its code.
#[derive(Debug)]
struct Refused {
    name: &'static str,
    help: &'static str,
    tally: Tally,
}

/// Tells what a tally counts as a counter of this name, with the label `code`.
pub fn tell_tally(registry: &mut Registry, name: &'static str, help: &'static str, tally: &Tally) {
    registry.register_collector(Box::new(Refused { name, help, tally: tally.clone() }));
}

impl Collector for Refused {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        for (code, count) in self.tally.counts() {
            ConstCounter::new(count).encode(family.encode_family(&[("code", code)])?)?;
        }
        Ok(())
    }
}
