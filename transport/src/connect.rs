//! Making a connection to NATS.

use std::{
    fmt,
    future::{Ready, ready},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event, ReconnectToServer, Server, ServerAddr, ServerInfo};
use rand::{RngExt as _, seq::IndexedRandom as _};
use thiserror::Error;
use tokio::time::Instant;

use crate::{
    ApiPrefix, Backoff, Connection, Link, RequestError, Tls, credentials,
    events::Watch,
    files::{Files, with_credentials},
};

/// How often the server is pinged while it says nothing. The third time that it has answered none of them, after three
/// times this, the connection counts as broken.
///
/// A host or a link that vanishes closes nothing, and without pings nobody would ever know. The library's own 60 s leave
/// a process deaf for three minutes; this leaves it so for 30 s, like the ack wait, at twelve bytes in ten seconds for
/// each idle connection. Nor may a link be so slow that it carries one message for longer than that: 1 MB takes 270
/// kbit/s.
const PING: Duration = Duration::from_secs(10);

/// How a connection is made.
///
/// ```no_run
/// # // It takes a server.
/// # use std::time::Duration;
/// # use subrosa_transport::Connect;
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut nats = Connect::new("nats://localhost:4222", "monitor");
/// nats.credentials = Some("monitor.creds".into());
/// nats.inbox_prefix = Some("_INBOX_monitor".into());
/// nats.deadline = None; // tries for ever
/// let connection = nats.connect().await?;
/// let answer = connection.request("greet", None, "hello".into(), Duration::from_secs(5)).await?;
/// println!("{} bytes", answer.payload.len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Connect {
    /// The server's URL, or several with commas between them. It may hold a user and a password, which no message and
    /// no `Debug` shows.
    pub url: String,
    /// A NATS credentials file: a user's JWT and key, or the seed of its nkey alone. It is read again whenever the
    /// connection is made anew.
    pub credentials: Option<PathBuf>,
    /// The files for TLS, likewise.
    pub tls: Tls,
    /// The prefix of reply subjects; every role on a server needs one of its own. `_INBOX` if absent.
    pub inbox_prefix: Option<String>,
    /// Where JetStream is asked.
    pub api_prefix: ApiPrefix,
    /// What the server shows of this connection.
    pub name: String,
    /// How long to try before giving up; for ever if absent.
    pub deadline: Option<Duration>,
    /// What carries the messages in place of the server at `url`: tests need none.
    pub link: Option<Arc<dyn Link>>,
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, credentials, tls, inbox_prefix, api_prefix, name, deadline, link } = self;
        f.debug_struct("Connect")
            .field("url", &self.shown_url())
            .field("credentials", credentials)
            .field("tls", tls)
            .field("inbox_prefix", inbox_prefix)
            .field("api_prefix", api_prefix)
            .field("name", name)
            .field("deadline", deadline)
            .field("link", link)
            .finish()
    }
}

/// A connection that could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody answers there.
    #[error("no NATS server answers at {url}: {reason}; is it running, and is the URL right?")]
    Unreachable {
        /// The URL.
        url: String,
        /// What happened last.
        reason: String,
    },
    /// The server does not know these credentials.
    #[error("the NATS server at {url} refuses the credentials")]
    Unauthorized {
        /// The URL.
        url: String,
    },
    /// The credentials file cannot be used.
    #[error("the NATS credentials file {} cannot be used: {reason}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// A file for TLS cannot be used.
    #[error("the TLS file {} cannot be used: {reason}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The URL is none.
    #[error("{url} is not the URL of a NATS server: {reason}")]
    Url {
        /// The text.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The inbox prefix could not be answered at.
    #[error("the inbox prefix {prefix} must be _INBOX or begin with _INBOX_, without dots or wildcards")]
    InboxPrefix {
        /// The prefix.
        prefix: String,
    },
    /// The server does not let this connection listen.
    #[error(transparent)]
    Subscribe(#[from] RequestError),
}

impl Connect {
    /// To the server at `url`, as `name`, trying for 30 s.
    pub fn new(url: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            credentials: None,
            tls: Tls::default(),
            inbox_prefix: None,
            api_prefix: ApiPrefix::default(),
            name: name.into(),
            deadline: Some(Duration::from_secs(30)),
            link: None,
        }
    }

    /// Over this link, as `name`, without a server.
    pub fn over(link: Arc<dyn Link>, name: impl Into<String>) -> Self {
        Self { link: Some(link), ..Self::new("", name) }
    }

    /// Connects, trying again until the deadline. That the server is unreachable is said once.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`]. What another try cannot mend ends the tries at once.
    pub async fn connect(&self) -> Result<Connection, ConnectError> {
        self.start(None).await
    }

    /// Connects with more of async-nats's options. A credentials file is then read only once.
    ///
    /// # Errors
    ///
    /// As for [`Connect::connect`].
    pub async fn connect_with(&self, options: ConnectOptions) -> Result<Connection, ConnectError> {
        self.start(Some(options)).await
    }

    async fn start(&self, options: Option<ConnectOptions>) -> Result<Connection, ConnectError> {
        let prefix = self.inbox_prefix.clone().unwrap_or_else(|| "_INBOX".to_owned());
        if prefix.contains('.') || !subrosa_protocol::subject::may_answer(&format!("{prefix}.x")) {
            return Err(ConnectError::InboxPrefix { prefix });
        }
        let inboxes = format!("{prefix}.{:032x}", rand::rng().random::<u128>());
        let files = Files::new(self.credentials.clone(), self.tls.clone());
        let watch = Arc::new(Watch::new(inboxes.clone(), files));
        let link = match &self.link {
            Some(link) => link.clone(),
            None => {
                let client = Arc::new(self.server(options, &prefix, watch.clone()).await?);
                watch.is_of(&client);
                client
            }
        };
        Ok(Connection::new(link, watch, inboxes, self.api_prefix.clone()).await?)
    }

    async fn server(
        &self,
        options: Option<ConnectOptions>,
        prefix: &str,
        watch: Arc<Watch>,
    ) -> Result<Client, ConnectError> {
        // The library would take a file that is none for a server that does not answer.
        self.tls.check()?;
        let failed = |reason| match &self.credentials {
            Some(path) => ConnectError::Credentials { path: path.clone(), reason },
            None => ConnectError::Unreachable { url: self.shown_url(), reason: reason.to_string() },
        };
        let options = match (options, &self.credentials) {
            (None, None) => ConnectOptions::new().ping_interval(PING),
            (Some(options), None) => options,
            (None, Some(path)) => with_credentials(path).map_err(failed)?.ping_interval(PING),
            (Some(options), Some(path)) => credentials::add(options, path).map_err(failed)?,
        };
        let mut options = self
            .tls
            .apply(options)
            .name(&self.name)
            .custom_inbox_prefix(prefix)
            .event_callback(move |event| {
                let watch = watch.clone();
                async move {
                    if matches!(event, Event::LameDuckMode) {
                        // Beside this: what comes meanwhile has to be seen when it comes.
                        tokio::spawn(async move { watch.move_on().await });
                    } else {
                        watch.see(event);
                    }
                }
            })
            .reconnect_to_server_callback(at_once())
            .reconnect_delay_callback(|tries| match tries {
                0 | 1 => Duration::from_millis(2),
                tries => {
                    let exponent = u32::try_from(tries.min(7)).unwrap_or(7);
                    Backoff::new(Duration::from_millis(10 << exponent), Duration::from_secs(2)).next_delay()
                }
            });
        let addresses = self.addresses()?;
        // The library reads them out of the URL, but does not use them.
        if let Some((user, address)) =
            addresses.iter().find_map(|address| Some((address.username()?, address)))
        {
            let password = address.password().unwrap_or_default();
            options = options.user_and_password(user.to_owned(), password.to_owned());
        }
        self.try_until_deadline(options, addresses).await
    }

    fn addresses(&self) -> Result<Vec<ServerAddr>, ConnectError> {
        let address = |url: &str| match url.trim().parse::<ServerAddr>() {
            Ok(address) if address.host().is_empty() => Err("it names no host".to_owned()),
            parsed => parsed.map_err(|error| error.to_string()),
        };
        let addresses = self.url.split(',').map(address).collect::<Result<_, _>>();
        addresses.map_err(|reason| ConnectError::Url { url: self.shown_url(), reason })
    }

    /// The URL for messages: without the user and password that it may hold.
    pub fn shown_url(&self) -> String {
        let shown = |url: &str| {
            let (scheme, rest) = url.trim().split_once("://").unwrap_or(("nats", url.trim()));
            let address = rest.rsplit_once('@').map_or(rest, |(_, address)| address);
            format!("{scheme}://{address}")
        };
        self.url.split(',').map(shown).collect::<Vec<_>>().join(",")
    }

    async fn try_until_deadline(
        &self,
        options: ConnectOptions,
        addresses: Vec<ServerAddr>,
    ) -> Result<Client, ConnectError> {
        let deadline = self.deadline.map(|deadline| Instant::now() + deadline);
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let mut said = false;
        loop {
            let error = match options.clone().connect(addresses.clone()).await {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            if matches!(
                error.kind(),
                async_nats::ConnectErrorKind::AuthorizationViolation
                    | async_nats::ConnectErrorKind::Authentication
            ) {
                return Err(ConnectError::Unauthorized { url: self.shown_url() });
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(ConnectError::Unreachable { url: self.shown_url(), reason: error.to_string() });
            }
            if !said {
                tracing::warn!(url = self.shown_url(), %error, "no NATS server answers, trying again");
                said = true;
            }
            backoff.wait().await;
        }
    }
}

/// Has the first try begin at once: any other way, the library sleeps before it, a millisecond or more. All later
/// tries are left to the library, which then goes through the servers in turn.
fn at_once() -> impl Fn(Vec<Server>, ServerInfo) -> Ready<Option<ReconnectToServer>> + Send + Sync + 'static {
    let first = AtomicBool::new(true);
    move |servers, _| {
        let any = if first.swap(false, Ordering::Relaxed) { servers.choose(&mut rand::rng()) } else { None };
        let delay = Some(Duration::ZERO);
        ready(any.map(|server| ReconnectToServer { addr: server.addr.clone(), delay }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_do_not_hold_the_urls_password() {
        let shown = |url: &str| Connect::new(url, "test").shown_url();
        assert_eq!(shown("nats://me:s3cr3t@a:4222, tls://b"), "nats://a:4222,tls://b");
        assert_eq!(shown("me:s3cr3t@a"), "nats://a");
        assert_eq!(shown("127.0.0.1:4222"), "nats://127.0.0.1:4222");
        let debug = format!("{:?}", Connect::new("nats://me:s3cr3t@a", "test"));
        assert!(debug.contains("nats://a") && !debug.contains("s3cr3t"), "{debug}");
    }
}
