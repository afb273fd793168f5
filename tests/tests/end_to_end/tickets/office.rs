//! Where tickets lie, and who comes for them.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use subrosa_client::{Client, JobId, Ticket, Timing};
use subrosa_tests::{
    gate::{self, Gate, Visitor},
    lab::{Lab, PATIENCE, serve},
    runs::Runs,
};
use tempfile::TempDir;
use tokio::time::Instant;

use super::say;
use crate::{
    PROGRAM,
    commands::{Said, subrosa},
    job_files::IDENTITY,
};

/// A deployment whose worker does not wait long for its clients, and a desk with tickets.
pub(super) struct Office {
    pub(super) lab: Lab,
    pub(super) gate: Gate,
    pub(super) runs: Runs,
    pub(super) desk: TempDir,
}

impl Office {
    pub(super) async fn new() -> Self {
        let office = Self::without_worker(Lab::new(PROGRAM, &[], &[gate::WORKER]).await).await;
        let mut config = office.lab.worker_config(gate::WORKER);
        config.timing.done = Duration::from_millis(500);
        config.timing.record = Duration::from_secs(2);
        let counted = office.runs.clone();
        serve(config, gate::WORKER, move |job| {
            counted.count(&job);
            gate::pass(job)
        });
        office
    }

    pub(super) async fn without_worker(lab: Lab) -> Self {
        let office =
            Self { lab, gate: Gate::new().await, runs: Runs::default(), desk: tempfile::tempdir().unwrap() };
        office.private("identity", IDENTITY);
        office.private("passphrase", "correct horse\n");
        office.private("wrong", "incorrect horse\n");
        office.private("payload", &office.gate.payload().to_string());
        office
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.desk.path().join(name)
    }

    pub(super) fn file(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(super) fn private(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(super) fn trust(&self) -> &str {
        self.lab.local.trust_file().to_str().unwrap()
    }

    /// What leaves a job whose function waits at the gate.
    pub(super) fn leaving(&self, url: &str, sealing: &[&str]) -> Vec<String> {
        let (payload, ticket) = (format!("@{}", self.file("payload")), self.file("ticket"));
        let fixed = ["run", gate::WORKER, "--payload", &payload, "--detach", "--ticket", &ticket];
        let here = ["--nats", url, "--trust", self.trust()];
        [&fixed[..], &here, sealing].concat().into_iter().map(str::to_owned).collect()
    }

    /// Leaves such a job; its ticket is in `ticket`.
    pub(super) async fn leave(&self, sealing: &[&str]) -> (JobId, Visitor) {
        let said = say(&self.leaving(self.lab.url(), sealing)).await;
        assert_eq!((said.code, &said.json["state"]), (Some(0), &json!("running")), "{}", said.stderr);
        assert_eq!(said.json["ticket"], self.file("ticket"));
        (said.json["job"].as_str().unwrap().parse().unwrap(), self.gate.arrival().await)
    }

    /// `subrosa result`, or another command with a ticket.
    pub(super) async fn with(&self, command: &[&str], ticket: &str, more: &[&str]) -> Said {
        let ticket = self.file(ticket);
        subrosa(&[command, &[&ticket, "--nats", self.lab.url()], more].concat()).await
    }

    pub(super) async fn result(&self, ticket: &str, more: &[&str]) -> Said {
        let identity = self.file("identity");
        let fixed = ["--identity-file", &identity, "--trust", self.trust()];
        self.with(&["result"], ticket, &[&fixed, more].concat()).await
    }

    pub(super) async fn history(&self, job: &JobId, end: &str) -> Vec<String> {
        self.lab.history(gate::WORKER, job, end).await
    }

    /// Waits until so many messages are stored for clients that are away.
    pub(super) async fn stored(&self, count: u64) {
        let connection = self.lab.connection().await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let api = "$JS.API.STREAM.INFO.SUBROSA_RESULTS";
            let answer = connection.request(api, None, "".into(), PATIENCE).await.unwrap();
            let info: Value = serde_json::from_slice(&answer.payload).unwrap();
            let found = info["state"]["messages"].as_u64().unwrap();
            if found == count {
                return;
            }
            assert!(Instant::now() < deadline, "{found} are stored, not {count}");
        }
    }

    /// The trust file without whoever has this role.
    pub(super) fn trust_without(&self, role: &str) -> String {
        let mut trust: Value = serde_json::from_slice(&fs::read(self.trust()).unwrap()).unwrap();
        trust["keys"].as_array_mut().unwrap().retain(|key| key["role"] != role);
        fs::write(self.path(role), trust.to_string()).unwrap();
        self.file(role)
    }

    /// A client in this process that goes on with the job of a ticket.
    pub(super) async fn returned(&self, ticket: &Ticket) -> Client {
        self.returned_to(self.lab.url(), ticket, PATIENCE).await
    }

    pub(super) async fn returned_to(&self, url: &str, ticket: &Ticket, steps: Duration) -> Client {
        let mut timing = Timing::default();
        timing.status = Duration::from_millis(200);
        timing.settle = Duration::from_millis(200);
        timing.steps = steps;
        let client = Client::connect(url).reply_token(ticket.reply_token()).timing(timing);
        client.trust(self.lab.local.trust().unwrap()).await.unwrap()
    }
}
