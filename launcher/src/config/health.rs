//! Where health checks are answered, in the configuration.

use std::{net::SocketAddr, time::Duration};

use serde::Deserialize;

use super::{ConfigError, file::invalid, values::Humane};

/// How health checks are answered, and metrics told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Where they are asked; not at all, if absent. Whoever reaches the address is answered.
    pub listen: Option<SocketAddr>,
    /// How often the server is asked how long the queues are, while they may be asked for.
    pub sample: Duration,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wire {
    listen: Option<String>,
    sample: Option<Humane>,
}

impl Wire {
    pub(super) fn check(self) -> Result<Health, ConfigError> {
        let rule = |_| invalid("health.listen", "must be an address and a port, as \"127.0.0.1:9090\"");
        let listen = self.listen.map(|listen| listen.parse()).transpose().map_err(rule)?;
        let sample = self.sample.map_or(Duration::from_secs(10), |sample| sample.0);
        if !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&sample) {
            return Err(invalid("health.sample", "must be \"100ms\" to \"1h\""));
        }
        Ok(Health { listen, sample })
    }
}
