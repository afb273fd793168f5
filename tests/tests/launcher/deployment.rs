//! A deployment with least rights: a server with `deploy/nats.conf` in force, and a user of it for each role.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use subrosa::server::{self, Options, Server};
use subrosa_client::{Client, ClientError, Connect as Connecting, Trust};
use subrosa_launcher::{Config, Guard, Launcher, setup};
use subrosa_protocol::identity::file;
use subrosa_tests::{lab::patiently, launcher::InProcess};
use subrosa_transport::Connect;
use subrosa_worker::{Failure, serve_with};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::PROGRAM;

/// The very files that a deployment uses.
const NATS: &str = include_str!("../../../deploy/nats.conf");
const ACCOUNTS: &str = include_str!("../../../deploy/accounts.conf");

/// The users in it.
pub(crate) const ROLES: [&str; 8] = [
    "admin",
    "launcher",
    "worker-create-proof",
    "job-create-proof",
    "worker-echo",
    "job-echo",
    "client",
    "auditor",
];

/// What the user `client` may listen under.
pub(crate) const TOKEN: &str = "FirstClientsToken";

pub(crate) struct Deployment {
    pub(crate) server: Server,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) trust: Trust,
}

impl Deployment {
    pub(crate) async fn new() -> Self {
        Self::with(ACCOUNTS).await
    }

    /// Whose users have all their rights but this one, which stands in the file as it is here.
    pub(crate) async fn without(right: &str) -> Self {
        assert!(ACCOUNTS.contains(right), "nobody has the right {right}");
        let deployment = Self::with(&ACCOUNTS.replace(right, "")).await;
        deployment.set_up().await;
        deployment
    }

    pub(crate) async fn with(accounts: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        // Many servers run here at once. The other port is set on the command line.
        assert!(NATS.contains("127.0.0.1:8222"));
        fs::write(at("accounts.conf"), accounts).unwrap();
        fs::write(at("nats.conf"), NATS.replace("127.0.0.1:8222", "127.0.0.1:-1")).unwrap();
        fs::create_dir(at("users")).unwrap();
        let named = |name: &str, file: &str| format!("{name}={}", at(file).display());
        let mut keys = Command::new(PROGRAM);
        keys.args(["internal", "keys", "--launcher"]).arg(at("launcher.jwk"));
        keys.arg("--trust").arg(at("trust.json")).arg("--nats-users").arg(at("users/users.conf"));
        for worker in ["create-proof", "echo"] {
            keys.arg("--worker").arg(named(worker, &format!("{worker}.jwk")));
        }
        for role in ROLES {
            keys.arg("--nats-user").arg(named(role, &format!("{role}.nk")));
        }
        let made = patiently(keys.output()).await.unwrap();
        assert!(made.status.success(), "{made:?}");
        let options = Options { config: Some(at("nats.conf")), ..Options::new(Guard::new(PROGRAM.into())) };
        let server = server::start(options, &mut |_: &str| {}).await.unwrap();
        let trust = Trust::from_file(at("trust.json")).unwrap();
        Self { server, directory, trust }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where this user's key lies.
    pub(crate) fn credentials(&self, user: &str) -> PathBuf {
        self.at(&format!("{user}.nk"))
    }

    /// How this user connects.
    pub(crate) fn connect(&self, user: &str) -> Connect {
        let mut nats = Connect::new(self.server.url(), user);
        nats.credentials = Some(self.credentials(user));
        nats.inbox_prefix = Some(format!("_INBOX_{user}"));
        nats
    }

    /// A command of `subrosa`, as this user.
    pub(crate) fn command(&self, args: &[&str], user: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(args).args(["--nats", self.server.url()]).arg("--creds").arg(self.credentials(user));
        command.args(["--inbox-prefix", &format!("_INBOX_{user}"), "--json"]).kill_on_drop(true);
        command
    }

    /// The configuration of a launcher that connects as this user, and starts the worker itself.
    pub(crate) fn config(&self, user: &str) -> Config {
        let worker = format!(
            r#"[[worker]]
            name = "create-proof"
            backend = "process"
            command = ["{PROGRAM}", "internal", "worker", "create-proof"]
            key_file = "create-proof.jwk"
            trust_file = "trust.json"
            credentials = "job-create-proof.nk"
            inbox_prefix = "_INBOX_job-create-proof""#
        );
        self.config_with(user, &worker)
    }

    /// The configuration of a launcher that connects as this user, with these workers.
    pub(crate) fn config_with(&self, user: &str, workers: &str) -> Config {
        let text = format!(
            r#"
            key_file = "launcher.jwk"
            trust_file = "trust.json"
            [nats]
            url = "{}"
            credentials = "{user}.nk"
            inbox_prefix = "_INBOX_{user}"
            {workers}
            "#,
            self.server.url(),
        );
        let path = self.at(&format!("{user}.toml"));
        fs::write(&path, text).unwrap();
        let mut config = Config::from_file(&path).unwrap();
        config.timing.sweep = Duration::from_millis(50);
        config.timing.queued_age = Duration::from_millis(100);
        config
    }

    /// Makes the streams and consumers, as the administrator.
    pub(crate) async fn set_up(&self) {
        setup(&self.config("admin")).await.unwrap();
    }

    /// How an app connects.
    pub(crate) fn app(&self) -> Connecting {
        let client = Client::connect(self.server.url()).credentials(self.credentials("client"));
        client.inbox_prefix("_INBOX_client").reply_token(TOKEN).trust(self.trust.clone())
    }

    pub(crate) async fn client(&self) -> Result<Client, ClientError> {
        self.app().await
    }

    /// What the resident worker of this name is configured with.
    pub(crate) fn worker_config(&self, worker: &str) -> subrosa_worker::Config {
        let identity = file::load(self.at(&format!("{worker}.jwk"))).unwrap();
        subrosa_worker::Config::new(self.connect(&format!("worker-{worker}")), identity, self.trust.clone())
    }

    /// Serves jobs until it is told why that cannot be.
    pub(crate) async fn serve(&self) -> subrosa_worker::Error {
        let function = |_| async { Err(Failure::new("never asked")) };
        let config = self.worker_config("create-proof");
        let served = serve_with(config, "create-proof", function, CancellationToken::new());
        patiently(served).await.unwrap_err()
    }

    /// Starts a launcher that cannot be.
    pub(crate) async fn launch(&self) -> subrosa_launcher::Error {
        let config = self.config("launcher");
        let launcher = patiently(Launcher::start(&config, &Guard::new(PROGRAM.into()))).await;
        launcher.map(drop).unwrap_err()
    }

    pub(crate) async fn run(&self, config: &Config) -> InProcess {
        InProcess::start(config, PROGRAM).await.unwrap()
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await.unwrap();
    }

    /// The lines of the server's log that tell of a denial. (A round trip is a message to an inbox of one's own;
    /// that it is denied does as well.)
    pub(crate) fn violations(&self) -> Vec<String> {
        let log = fs::read_to_string::<&Path>(self.server.log().as_ref()).unwrap();
        let told = |line: &&str| line.contains("Violation") && !line.contains("Subject \"_INBOX_");
        log.lines().filter(told).map(str::to_owned).collect()
    }
}
