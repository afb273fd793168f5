//! Where NATS is, and as whom to connect: the options that most commands share.

use std::{path::PathBuf, time::Duration};

use subrosa_client::Namespace;
use subrosa_transport::{ApiPrefix, Connect, Connection, Tls};

use crate::exit::Failure;

/// The server's URL if nothing else is said.
pub(crate) const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

/// How to reach NATS.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "NATS")]
pub(crate) struct Nats {
    /// The server's URL, or several with commas between them
    #[arg(long = "nats", value_name = "URL", env = "SUBROSA_NATS_URL", hide_env_values = true,
          default_value = DEFAULT_URL)]
    pub(crate) url: String,
    /// A NATS credentials file
    #[arg(long, value_name = "FILE", env = "SUBROSA_NATS_CREDS")]
    pub(crate) creds: Option<PathBuf>,
    /// The prefix of reply subjects that this user may listen to
    #[arg(long, value_name = "PREFIX", env = "SUBROSA_INBOX_PREFIX", default_value = "_INBOX")]
    pub(crate) inbox_prefix: String,
    /// The domain of the JetStream that has the streams
    #[arg(long, value_name = "NAME", env = "SUBROSA_NATS_DOMAIN", value_parser = ApiPrefix::domain,
          conflicts_with = "api_prefix")]
    domain: Option<ApiPrefix>,
    /// The prefix of JetStream's API, where it is another than $JS.API
    #[arg(long, value_name = "PREFIX", env = "SUBROSA_NATS_API_PREFIX")]
    api_prefix: Option<ApiPrefix>,
    /// TLS: the authorities that certify the server, as PEM; this machine's, if left out
    #[arg(long, value_name = "FILE", env = "SUBROSA_NATS_CA")]
    tls_ca: Option<PathBuf>,
    /// TLS: a certificate of one's own, as PEM
    #[arg(long, value_name = "FILE", env = "SUBROSA_NATS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// TLS: the private key of that certificate, as PEM
    #[arg(long, value_name = "FILE", env = "SUBROSA_NATS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The first token of every subject
    #[arg(long, value_name = "TOKEN", env = "SUBROSA_NAMESPACE", default_value = "subrosa")]
    pub(crate) namespace: Namespace,
    /// How long to try to reach server and launcher
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) patience: u64,
}

impl Nats {
    /// How long to try.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }

    /// The files for TLS.
    pub(crate) fn tls(&self) -> Tls {
        let mut tls = Tls::default();
        (tls.ca, tls.cert, tls.key) = (self.tls_ca.clone(), self.tls_cert.clone(), self.tls_key.clone());
        tls
    }

    /// What to do where no JetStream answers.
    pub(crate) fn without_jetstream(&self) -> &'static str {
        match (&self.domain, &self.api_prefix) {
            (Some(_), _) => "no JetStream answers for this domain: check --domain",
            (None, Some(_)) => "no JetStream answers under this prefix: check --api-prefix",
            (None, None) => {
                "JetStream is off for this account: start nats-server with `-js`, or enable it in the account"
            }
        }
    }

    /// Connects as `name`.
    pub(crate) async fn connect(&self, name: &str) -> Result<Connection, Failure> {
        let mut connect = Connect::new(&self.url, name);
        connect.credentials.clone_from(&self.creds);
        connect.inbox_prefix = Some(self.inbox_prefix.clone());
        connect.tls = self.tls();
        connect.api_prefix = self.domain.as_ref().or(self.api_prefix.as_ref()).cloned().unwrap_or_default();
        connect.deadline = Some(self.patience());
        Ok(connect.connect().await?)
    }
}
