//! The client: one connection, one subscription, any number of jobs.

use std::{
    future::{Future, IntoFuture},
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use subrosa_protocol::{
    identity::{SigningKey, Trust},
    launch::LaunchRequest,
    subject::{Namespace, ReplyPrefix},
};
use subrosa_transport::{Connection, LiveTrust, Tls};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    ClientError, JobBuilder, JobSecrets, LaunchError, PreparedJob, Ticket, dispatch::Dispatch,
    launcher::Launchers, prepare::random_token,
};

/// How long things may take.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Timing {
    /// How long a launcher may take to admit a job: 30 s by default.
    pub admission: Duration,
    /// When a waiting job's state is first asked for: after 30 s by default; the time doubles up to 5 minutes.
    pub status: Duration,
    /// How long each attempt may take beside its run, for its steps and until a lost worker is noticed: 25 minutes
    /// by default. More than workers wait for this client's answers.
    pub steps: Duration,
    /// After the reply to `done`, how long the job's record of its end may take before the launcher is
    /// asked to write it: 5 s by default. Less than a worker that was lost just then is asked whether it lives, or
    /// the job may be seen to have failed.
    pub settle: Duration,
    /// How long a worker may take to end a job that this client cancels, before the launcher is asked to: 10 s by
    /// default.
    pub cancel: Duration,
    /// How long [`Client::close`] waits for jobs whose end is not recorded yet: 30 s by default.
    pub close: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            admission: Duration::from_secs(30),
            status: Duration::from_secs(30),
            steps: Duration::from_secs(25 * 60),
            settle: Duration::from_secs(5),
            cancel: Duration::from_secs(10),
            close: Duration::from_secs(30),
        }
    }
}

/// A connection to be made; awaiting it connects.
///
/// ```no_run
/// # // It takes a server.
/// # use std::time::Duration;
/// # use subrosa_client::{Client, Trust, identity};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect("nats://localhost:4222")
///     .credentials("app.creds")
///     .inbox_prefix("_INBOX_app")
///     .identity(identity::file::load("app.jwk")?)
///     .trust(Trust::from_file("trust.json")?)
///     .connect_timeout(Duration::from_secs(5))
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "awaiting it connects"]
pub struct Connect {
    nats: subrosa_transport::Connect,
    options: Option<async_nats::ConnectOptions>,
    namespace: Namespace,
    reply_token: Option<String>,
    identity: Option<SigningKey>,
    trust: Trust,
    revoked_file: Option<PathBuf>,
    timing: Timing,
}

impl Connect {
    /// Jobs are this identity's: it signs them, and workers see it as the caller. Without one, jobs are
    /// anonymous.
    pub fn identity(mut self, identity: SigningKey) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Which workers are trusted. Without it, none is.
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// A file of keys that are good for nothing any more, a thumbprint a line. It is looked at once a second:
    /// a worker whose key comes to stand there gets no further answer, and its result is not taken.
    pub fn revoked_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.revoked_file = Some(path.into());
        self
    }

    /// A NATS credentials file. It is read again whenever the connection is made anew, unless there are
    /// [`Connect::nats_options`].
    pub fn credentials(mut self, path: impl Into<PathBuf>) -> Self {
        self.nats.credentials = Some(path.into());
        self
    }

    /// The files for TLS, which are read again whenever the connection is made anew. With any of them there is no
    /// connection without TLS.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.nats.tls = tls;
        self
    }

    /// The prefix of reply subjects that this user may listen to. `_INBOX` by default.
    pub fn inbox_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.nats.inbox_prefix = Some(prefix.into());
        self
    }

    /// The token of `subrosa.v1.client.<token>` that this user may listen to: 16 to 64 characters out of
    /// A-Z, a-z and 0-9. A random one by default.
    pub fn reply_token(mut self, token: impl Into<String>) -> Self {
        self.reply_token = Some(token.into());
        self
    }

    /// The first token of every subject. `subrosa` by default.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }

    /// More of async-nats's options: TLS above all.
    pub fn nats_options(mut self, options: async_nats::ConnectOptions) -> Self {
        self.options = Some(options);
        self
    }

    /// How long to try to connect. 30 s by default.
    pub fn connect_timeout(mut self, deadline: Duration) -> Self {
        self.nats.deadline = Some(deadline);
        self
    }

    /// How long other things may take.
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    async fn connect(self) -> Result<Client, ClientError> {
        let token = self.reply_token.unwrap_or_else(random_token);
        let reply = self.namespace.reply(&token)?;
        let mut trust = LiveTrust::from(self.trust);
        if let Some(revoked) = self.revoked_file {
            trust = trust.with_revoked_file(revoked)?;
        }
        let connection = match self.options {
            Some(options) => self.nats.connect_with(options).await?,
            None => self.nats.connect().await?,
        };
        let messages = connection.subscribe(&reply.any()).await?;
        let dispatch = Dispatch::start(messages, connection.reconnects());
        let launchers = Launchers::new(connection.clone(), self.namespace.clone());
        let watched = trust.clone();
        let watch = AbortOnDropHandle::new(tokio::spawn(async move { watched.watch().await }));
        Ok(Client(Arc::new(Shared {
            connection,
            launchers,
            dispatch,
            reply,
            identity: self.identity,
            trust,
            _watch: watch,
            timing: self.timing,
        })))
    }
}

impl IntoFuture for Connect {
    type Output = Result<Client, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}

/// Hands jobs to workers. Clones share the connection.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = subrosa_testing::client(subrosa_testing::values((), 78)).await;
/// # let client = subrosa_client::Client::clone(&server); // in memory; else by `Client::connect`
/// let other = client.clone();
/// let (one, two) = tokio::join!(
///     client.job("adds-one").payload_value(77).launch(),
///     other.job("adds-one").payload_value(77).launch(),
/// );
/// assert_eq!(one?.result::<u32>().await?.value, two?.result::<u32>().await?.value);
/// client.close().await; // before the process ends
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client(pub(crate) Arc<Shared>);

/// What the jobs of one client share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connection: Connection,
    pub(crate) launchers: Launchers,
    pub(crate) dispatch: Dispatch,
    pub(crate) reply: ReplyPrefix,
    pub(crate) identity: Option<SigningKey>,
    pub(crate) trust: LiveTrust,
    /// Looks at the revocation file.
    _watch: AbortOnDropHandle<()>,
    pub(crate) timing: Timing,
}

impl Shared {
    /// Whether this client hears the answers to a job that was made elsewhere.
    pub(crate) fn listens_under(&self, request: &LaunchRequest) -> Result<(), LaunchError> {
        let reply = &request.job().description().reply;
        if *reply == self.reply {
            return Ok(());
        }
        Err(LaunchError::Reply { wanted: reply.to_string(), found: self.reply.to_string() })
    }
}

impl Client {
    /// Connects to the NATS server at `url`, or to one of several with commas between them.
    ///
    /// # Errors
    ///
    /// Awaiting it: see [`ClientError`].
    pub fn connect(url: impl Into<String>) -> Connect {
        Self::connect_with(subrosa_transport::Connect::new(url, "subrosa client"))
    }

    /// Connects in a way of one's own: under another name, or over something else than a server.
    ///
    /// # Errors
    ///
    /// Awaiting it: see [`ClientError`].
    pub fn connect_with(nats: subrosa_transport::Connect) -> Connect {
        Connect {
            nats,
            options: None,
            namespace: Namespace::default(),
            reply_token: None,
            identity: None,
            trust: Trust::default(),
            revoked_file: None,
            timing: Timing::default(),
        }
    }

    /// A job for this worker, to be described and launched.
    pub fn job(&self, worker: impl Into<String>) -> JobBuilder<'_> {
        JobBuilder::new(self, worker.into())
    }

    /// A job that was made before, as by [`Draft::prepare`](crate::Draft::prepare), to be launched by this
    /// client, which has to listen under the job's reply token.
    pub fn prepared(&self, request: LaunchRequest, secrets: JobSecrets) -> JobBuilder<'_, PreparedJob> {
        JobBuilder::prepared(self, PreparedJob { request, secrets })
    }

    /// A job that was left with this ticket, to be gone on with by this client, which has to listen under
    /// [`Ticket::reply_token`].
    pub fn ticket(&self, ticket: Ticket) -> JobBuilder<'_, Ticket> {
        JobBuilder::ticket(self, ticket)
    }

    /// The token of `subrosa.v1.client.<token>` that this client listens under.
    pub fn reply_token(&self) -> &str {
        self.0.reply.token()
    }

    /// Makes the connection anew if the files that it is made with, credentials and TLS, have changed. What is under
    /// way goes on over the new one.
    pub async fn renew_connection(&self) {
        self.0.connection.renew().await;
    }

    /// Waits until the end of every finished job is recorded, for 30 s by default, and says whether it is. To be
    /// called before the process ends; jobs that still run are not waited for longer than that.
    pub async fn close(self) -> bool {
        let over = tokio::time::timeout(self.0.timing.close, self.0.dispatch.all_over()).await;
        self.0.connection.flush(Duration::from_secs(2)).await;
        over.is_ok()
    }
}
