//! How the launcher reaches NATS, as it stands in the file.

use std::path::PathBuf;

use serde::Deserialize;
use subrosa_transport::{ApiPrefix, Connect};

use super::{
    ConfigError,
    file::{check_inbox_prefix, invalid},
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wire {
    url: Option<String>,
    credentials: Option<PathBuf>,
    inbox_prefix: Option<String>,
    domain: Option<String>,
    api_prefix: Option<String>,
}

impl Wire {
    pub(super) fn check(self) -> Result<Connect, ConfigError> {
        let url = self.url.unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
        check_inbox_prefix("nats.inbox_prefix", self.inbox_prefix.as_deref())?;
        let mut nats = Connect::new(url, "subrosa-launcher");
        nats.credentials = self.credentials;
        nats.inbox_prefix = self.inbox_prefix;
        nats.api_prefix = match (self.domain, self.api_prefix) {
            (None, None) => ApiPrefix::default(),
            (Some(name), None) => ApiPrefix::domain(&name).map_err(|error| invalid("nats.domain", error))?,
            (None, Some(prefix)) => prefix.parse().map_err(|error| invalid("nats.api_prefix", error))?,
            (Some(_), Some(_)) => {
                return Err(invalid("nats.domain", "and `nats.api_prefix` exclude each other"));
            }
        };
        Ok(nats)
    }
}
