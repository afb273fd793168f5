//! With least rights: one user per role, each with a reply prefix of its own, and nothing more.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use subrosa::server::{self, Options, Server};
use subrosa_client::{Client, Trust};
use subrosa_launcher::{Config, Guard, Launcher, setup};
use subrosa_protocol::identity::{Role, file};
use subrosa_tests::lab::{fresh_key, patiently};
use tokio::sync::oneshot;

use crate::PROGRAM;

const USERS: &str = include_str!("roles.conf");

struct Deployment {
    server: Server,
    directory: tempfile::TempDir,
    trust: Trust,
}

impl Deployment {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("nats.conf"), USERS).unwrap();
        let options = Options { config: Some(at("nats.conf")), ..Options::new(Guard::new(PROGRAM.into())) };
        let server = server::start(options, &mut |_: &str| {}).await.unwrap();
        let mut trust = Trust::default();
        for (name, role) in [("launcher", Role::Launcher), ("create-proof", Role::Worker)] {
            let key = fresh_key();
            trust = trust.with_key(key.public().clone(), role, None);
            file::create(at(&format!("{name}.jwk")), &key).unwrap();
        }
        fs::write(at("trust.json"), trust.to_json()).unwrap();
        Self { server, directory, trust }
    }

    fn url(&self, user: &str, password: &str) -> String {
        self.server.url().replace("nats://", &format!("nats://{user}:{password}@"))
    }

    fn config(&self, user: &str, password: &str) -> Config {
        let text = format!(
            r#"
            key_file = "launcher.jwk"
            trust_file = "trust.json"
            [nats]
            url = "{}"
            inbox_prefix = "_INBOX_{user}"
            [[worker]]
            name = "create-proof"
            backend = "process"
            command = ["{PROGRAM}", "internal", "worker", "create-proof"]
            key_file = "create-proof.jwk"
            trust_file = "trust.json"
            nats_url = "{}"
            inbox_prefix = "_INBOX_j-create-proof"
            "#,
            self.url(user, password),
            self.url("j-create-proof", "job"),
        );
        let path = self.directory.path().join("launcher.toml");
        fs::write(&path, text).unwrap();
        let mut config = Config::from_file(&path).unwrap();
        config.timing.sweep = Duration::from_millis(50);
        config.timing.queued_age = Duration::from_millis(100);
        config
    }

    fn log(&self) -> String {
        fs::read_to_string::<&Path>(self.server.log().as_ref()).unwrap()
    }
}

#[tokio::test]
async fn a_launcher_gets_by_with_a_launchers_rights() {
    let deployment = Deployment::new().await;
    let config = deployment.config("launcher", "launcher");
    let denied = setup(&config).await.unwrap_err().to_string();
    assert!(denied.contains("denies $JS.API.STREAM.CREATE.SUBROSA_QUEUE to this user"), "{denied}");
    setup(&deployment.config("admin", "admin")).await.unwrap();

    let config = deployment.config("launcher", "launcher");
    let launcher = Launcher::start(&config, &Guard::new(PROGRAM.into())).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(launcher.serve(async move {
        let _ = stopped.await;
    }));
    let client = Client::connect(deployment.url("alice", "client"))
        .inbox_prefix("_INBOX_alice")
        .reply_token("AliceAliceAlice01")
        .trust(deployment.trust.clone())
        .await
        .unwrap();
    let options = json!({ "label": "rights" });
    let job = client.job("create-proof").options_value(options).payload_value(json!({ "value": 7 }));
    let job = job.launch().await.unwrap();
    patiently(job.result::<Value>()).await.unwrap();
    let job = client.job("create-proof").payload_value(json!({ "value": 7 })).launch().await.unwrap();
    drop(job);
    patiently(client.close()).await;
    let _ = stop.send(());
    patiently(served).await.unwrap();
    // A round trip is a message to an inbox of one's own; that it is denied does as well.
    let inbox = |line: &&str| line.contains("Subject \"_INBOX_");
    let log = deployment.log();
    let violations = log.lines().filter(|line| line.contains("Violation") && !inbox(line));
    let violations: Vec<&str> = violations.collect();
    assert!(matches!(violations[..], [setup] if setup.contains("STREAM.CREATE")), "{violations:#?}");
    deployment.server.stop().await.unwrap();
}
