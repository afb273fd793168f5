//! The processes that are looked into, and the keys that they tell.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use subrosa::local::Plan;
use subrosa_tests::{
    gate::Gate,
    lab::{Lab, guarded},
    memory::{Finding, Search, Secret},
    processes::Running,
};

use crate::PROGRAM;

/// The worker that the probe serves as.
pub(crate) const WORKER: &str = "erasing";

/// Names the profile that the probe is built with, if not with the tests' own: `release` tries what is shipped.
const PROFILE: &str = "SUBROSA_TEST_PROBE_PROFILE";

/// The probe, built with the workspace's features and one more, so that little is compiled again.
static PROBE: LazyLock<PathBuf> = LazyLock::new(|| {
    let own = Path::new(PROGRAM).parent().unwrap();
    let target = own.parent().unwrap();
    let directory = std::env::var_os(PROFILE).map_or(own.to_owned(), |profile| target.join(profile));
    let profile = match directory.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        profile => profile,
    };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--workspace", "--locked", "--quiet", "--bin", "erasure-probe"])
        .args(["--features", "subrosa-erasure-probe/danger-expose-keys", "--profile", profile])
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("SUBROSA_DANGER_BUILD", "1")
        .status();
    assert!(built.unwrap().success());
    directory.join("erasure-probe")
});

/// Where the probe lies.
pub(crate) fn probe() -> &'static Path {
    &PROBE
}

/// A deployment, and the files in which probes tell their keys.
pub(crate) struct Site {
    pub(crate) lab: Lab,
    pub(crate) gate: Gate,
    told: tempfile::TempDir,
    erases: bool,
}

/// A process that tells its keys.
pub(crate) struct Probe {
    pub(crate) process: Running,
    name: &'static str,
    told: PathBuf,
}

impl Site {
    /// With or without the overwriting.
    pub(crate) async fn new(erases: bool) -> Self {
        let plan = Plan { others: vec![WORKER.to_owned()], ..Plan::of(PROGRAM, []) };
        let lab = Lab::configured(plan, |_, config| {
            // As quick as a lost worker can be noticed.
            config.extend(toml::toml! { timing = { ack_wait = "5s", probe = "1s" } });
        });
        Self { lab: lab.await, gate: Gate::new().await, told: tempfile::tempdir().unwrap(), erases }
    }

    fn start(&self, mut command: tokio::process::Command, name: &'static str) -> Probe {
        let file = tempfile::Builder::new().prefix(name).tempfile_in(self.told.path());
        let (_, told) = file.unwrap().keep().unwrap();
        command.env("SUBROSA_DANGER_EXPOSE_KEYS", &told);
        // Resolving the symbols of a panic takes seconds of a busy machine.
        command.env("RUST_BACKTRACE", "0");
        if !self.erases {
            command.env("SUBROSA_DANGER_KEEP_KEYS", "1");
        }
        Probe { process: Running::start(command), name, told }
    }

    /// A worker that is ready.
    pub(crate) async fn worker(&self, args: &[&str]) -> Probe {
        let mut command = self.lab.worker_command(WORKER, PROBE.to_str().unwrap());
        command.arg("worker").args(args);
        let mut probe = self.start(command, "worker");
        probe.process.says("worker ready").await;
        probe
    }

    /// A client of this worker, with one job.
    pub(crate) fn client(&self, worker: &str, args: &[&str]) -> Probe {
        let mut command = guarded(PROGRAM, PROBE.to_str().unwrap());
        command.args(["client", self.lab.url()]).arg(self.lab.local.trust_file());
        command.args([worker, self.gate.payload().as_str().unwrap()]).args(args);
        self.start(command, "client")
    }
}

impl Probe {
    /// The keys that it has told up to now, by the names that the protocol has for them.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let mut secrets = Secret::told_in(&self.told);
        let (mut tokens, mut exports) = (["cancel token", "close token"].iter(), 0);
        for secret in &mut secrets {
            secret.name = match secret.name.as_str() {
                "private_key" => format!("{}'s private key", self.name),
                "dh" => "Diffie-Hellman result".to_owned(),
                "exp" => "exporter".to_owned(),
                "sec" => {
                    exports += 1;
                    // Those of each attempt follow upon each other.
                    ["key to the worker", "options key", "key to the client"][exports % 3].to_owned()
                }
                "random" => (*tokens.next().unwrap()).to_owned(),
                name => name.to_owned(),
            };
        }
        secrets
    }

    /// Which of these are in its memory, and where.
    pub(crate) async fn holds(&self, secrets: &[Secret]) -> BTreeMap<String, String> {
        let found = Search::of(secrets).in_process(self.process.pid()).await;
        found
            .into_iter()
            .map(|Finding { secret, form, place, .. }| (secret.name, format!("{form}, {place}")))
            .collect()
    }
}
