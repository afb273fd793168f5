//! How the launcher reaches NATS, as it stands in the file.

use std::path::PathBuf;

use serde::Deserialize;
use subrosa_transport::{ApiPrefix, Connect, Tls};

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
    tls_ca: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
}

/// The files for TLS: a certificate has a key.
pub(super) fn tls(
    member: &str,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Tls, ConfigError> {
    let mut tls = Tls::default();
    (tls.ca, tls.cert, tls.key) = (ca, cert, key);
    if tls.is_whole() { Ok(tls) } else { Err(invalid(member, "needs the other of `tls_cert` and `tls_key`")) }
}

impl Wire {
    pub(super) fn check(self) -> Result<Connect, ConfigError> {
        let url = self.url.unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
        check_inbox_prefix("nats.inbox_prefix", self.inbox_prefix.as_deref())?;
        let mut nats = Connect::new(url, "subrosa-launcher");
        nats.credentials = self.credentials;
        nats.inbox_prefix = self.inbox_prefix;
        nats.tls = tls("nats.tls_cert", self.tls_ca, self.tls_cert, self.tls_key)?;
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
