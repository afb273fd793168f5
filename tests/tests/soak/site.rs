//! The deployment: everything in processes of its own, which can be killed, and are started again at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
};

use bytes::Bytes;
use futures_util::future::join_all;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::{Value, json};
use subrosa::local::Plan;
use subrosa_client::JobId;
use subrosa_protocol::subject::Namespace;
use subrosa_tests::{
    checkpoint::Checkpoint,
    chores::RUNS,
    lab::{Lab, PATIENCE, guarded, patiently},
    processes::{Process, until},
};
use subrosa_transport::Connection;
use tempfile::TempDir;
use tokio::process::Child;

use crate::{
    CHORES, PROGRAM,
    jobs::{self, Heard},
};

/// The workers that pull their jobs themselves, and how many processes each has.
const RESIDENT: [(&str, usize); 3] = [("red", 2), ("green", 2), ("blue", 1)];
/// The worker that the launchers start, one process per job.
const STARTED: &str = "grey";
const LAUNCHERS: usize = 2;

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Victim {
    /// A resident worker.
    Worker,
    /// A process that a launcher has started for one job.
    Started,
    /// A launcher.
    Launcher,
    /// The nats-server.
    Server,
    /// One client's connection, for a while.
    Connection,
}

impl Victim {
    /// Each as often as it is to be picked.
    pub(crate) const LOTS: [Self; 20] = {
        use Victim::{Connection, Launcher, Server, Started, Worker};
        [
            Worker, Worker, Worker, Worker, Worker, Worker, Worker, Started, Started, Started, Started,
            Started, Launcher, Launcher, Launcher, Launcher, Server, Server, Server, Connection,
        ]
    };
}

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Launcher,
    Worker(&'static str),
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Launcher => "launcher",
            Self::Worker(name) => name,
        }
    }
}

/// A process of the deployment, and what it logs.
struct Part {
    kind: Kind,
    child: Child,
    log: PathBuf,
}

pub(crate) struct Site {
    pub(crate) lab: Lab,
    parts: Vec<Part>,
    /// How many processes have been started so far.
    started: usize,
    /// Processes that have ended by themselves, and should not have.
    deserters: Vec<String>,
    /// On the way of some of the clients.
    pub(crate) checkpoint: Checkpoint,
    /// What the deployment keeps and what its parts log. It stays, unless everything is [stopped](Site::stop).
    folder: TempDir,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let folder =
            tempfile::Builder::new().prefix("subrosa-soak-").disable_cleanup(true).tempdir().unwrap();
        println!("kept if this fails: {}", folder.path().display());
        let runs = folder.path().join("runs");
        File::create(&runs).unwrap();
        fs::create_dir(folder.path().join("logs")).unwrap();
        let others = RESIDENT.iter().map(|(name, _)| *name).chain([STARTED]);
        let others = others.map(str::to_owned).collect();
        let state_dir = Some(folder.path().join("deployment"));
        let plan = Plan { others, launchers: 0, state_dir, ..Plan::of(PROGRAM, []) };
        let lab = Lab::configured(plan, |lab, config| {
            config.extend(toml::toml! {
                timing = { ack_wait = "6s", probe = "2s", sweep = "2s", queued_age = "5s", open_age = "20s" }
            });
            let workers = config["worker"].as_array_mut().unwrap();
            let started = workers.iter_mut().find(|worker| worker["name"].as_str() == Some(STARTED));
            let mut entry = lab.started(STARTED, &[CHORES, STARTED]);
            let env = toml::Table::from_iter([(RUNS.to_owned(), runs.to_str().unwrap().into())]);
            entry.as_table_mut().unwrap().insert("env".to_owned(), env.into());
            *started.unwrap() = entry;
        })
        .await;
        let checkpoint = Checkpoint::before(lab.url()).await;
        let (parts, deserters) = (Vec::new(), Vec::new());
        let mut site = Self { lab, parts, started: 0, deserters, checkpoint, folder };
        let workers =
            RESIDENT.iter().flat_map(|(name, count)| std::iter::repeat_n(Kind::Worker(name), *count));
        for kind in std::iter::repeat_n(Kind::Launcher, LAUNCHERS).chain(workers) {
            site.start(kind);
        }
        site
    }

    /// The workers, each as often as it is to have jobs.
    pub(crate) fn workers() -> impl Iterator<Item = &'static str> {
        RESIDENT.iter().flat_map(|(name, processes)| std::iter::repeat_n(*name, *processes)).chain([STARTED])
    }

    /// Where the functions write down their runs.
    pub(crate) fn runs(&self) -> PathBuf {
        self.folder.path().join("runs")
    }

    fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    /// The lines that a panic has written.
    pub(crate) fn panics(&self) -> Vec<String> {
        let logs = fs::read_dir(self.logs()).unwrap().map(|entry| entry.unwrap().path());
        let logs: Vec<_> = logs.map(|path| fs::read_to_string(path).unwrap()).collect();
        let lines = logs.iter().flat_map(|log| log.lines());
        // A function that is told to panic does so in the only file where that is meant.
        let unmeant = |line: &&str| line.contains("panicked") && !line.contains("chores.rs");
        lines.filter(unmeant).map(str::to_owned).collect()
    }

    fn start(&mut self, kind: Kind) {
        self.started += 1;
        let log = self.logs().join(format!("{}.{}", kind.name(), self.started));
        let mut command = match kind {
            Kind::Launcher => {
                let mut command = guarded(PROGRAM, PROGRAM);
                command.args(["internal", "launcher", "--config"]).arg(self.lab.local.launcher_config());
                command
            }
            Kind::Worker(name) => {
                let mut command = self.lab.worker_command(name, CHORES);
                command.arg(name).env(RUNS, self.runs());
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        self.parts.push(Part { kind, child: command.spawn().unwrap(), log });
    }

    /// Starts again what has ended by itself, as a service manager does. Only who was not ready yet may: one that
    /// does not find its server gives up.
    pub(crate) fn revive(&mut self) {
        let ended = |part: &mut Part| part.child.try_wait().unwrap().is_some();
        for part in self.parts.extract_if(.., ended).collect::<Vec<_>>() {
            let log = fs::read_to_string(&part.log).unwrap();
            if log.contains(" ready") {
                self.deserters.push(format!("{:?}:\n{log}", part.kind));
            }
            self.start(part.kind);
        }
    }

    /// The processes that have ended by themselves, and should not have, with what they have logged.
    pub(crate) fn deserters(&self) -> &[String] {
        &self.deserters
    }

    /// Kills one, and starts it again. Which one of several the number says. False if there is none.
    pub(crate) async fn strike(&mut self, victim: Victim, which: usize) -> bool {
        match victim {
            Victim::Worker => self.kill(|kind| kind != Kind::Launcher, which).await,
            Victim::Started => return self.kill_started(which),
            Victim::Launcher => self.kill(|kind| kind == Kind::Launcher, which).await,
            Victim::Server => {
                self.lab.local.server.kill().await.unwrap();
                self.lab.local.server.restart().await.unwrap();
            }
            Victim::Connection => self.checkpoint.close(),
        }
        true
    }

    async fn kill(&mut self, is_one: impl Fn(Kind) -> bool, which: usize) {
        let all = (0..self.parts.len()).filter(|index| is_one(self.parts[*index].kind));
        let all: Vec<_> = all.collect();
        let mut part = self.parts.remove(all[which % all.len()]);
        part.child.kill().await.unwrap();
        self.start(part.kind);
    }

    fn pids(&self, is_one: impl Fn(Kind) -> bool) -> impl Iterator<Item = (Kind, u32)> {
        let parts = self.parts.iter().filter(move |part| is_one(part.kind));
        parts.filter_map(|part| Some((part.kind, part.child.id()?)))
    }

    /// The processes that the launchers have started.
    pub(crate) fn started(&self) -> Vec<Process> {
        let launchers = self.pids(|kind| kind == Kind::Launcher);
        launchers.flat_map(|(_, pid)| Process::children_of(pid)).collect()
    }

    fn kill_started(&self, which: usize) -> bool {
        let started: Vec<_> = self.started().into_iter().filter(|process| !process.is_zombie).collect();
        if started.is_empty() {
            return false;
        }
        let Process { pid, parent, .. } = started[which % started.len()];
        // By its descriptor: the number may be another process's by now.
        let id = Pid::from_raw(pid.try_into().unwrap()).unwrap();
        let Ok(descriptor) = pidfd_open(id, PidfdFlags::empty()) else { return false };
        let is_it = Process::children_of(parent).iter().any(|child| child.pid == pid);
        is_it && pidfd_send_signal(descriptor, Signal::KILL).is_ok()
    }

    /// Has every worker do something: some of what a process keeps open it opens only then.
    pub(crate) async fn warm_up(&self) -> Vec<Heard> {
        let client = self.lab.client().await;
        let workers = Self::workers().flat_map(|name| std::iter::repeat_n(name, 3 * LAUNCHERS));
        let jobs = workers.map(|worker| jobs::Plan::simple(worker).run(client.clone()));
        let heard = patiently(join_all(jobs)).await;
        patiently(client.close()).await;
        until("no worker is left that was started for a job", || self.started().is_empty()).await;
        heard
    }

    /// The descriptors that launchers and workers have open: the most that one of each name has.
    pub(crate) fn descriptors(&self) -> BTreeMap<&'static str, usize> {
        let mut most = BTreeMap::new();
        for (kind, pid) in self.pids(|_| true) {
            let open = open_descriptors(&pid.to_string());
            most.entry(kind.name()).and_modify(|most: &mut usize| *most = open.max(*most)).or_insert(open);
        }
        most
    }

    /// How many messages a stream has, and of each of its consumers how many are not acknowledged or not
    /// delivered.
    pub(crate) async fn left_in(&self, connection: &Connection, stream: &str) -> Left {
        let info = ask(connection, &format!("$JS.API.STREAM.INFO.{stream}"), "").await;
        let messages = info["state"]["messages"].as_u64().unwrap();
        let consumers = ask(connection, &format!("$JS.API.CONSUMER.LIST.{stream}"), "").await;
        let consumers = consumers["consumers"].as_array().unwrap().iter().map(|consumer| {
            let number = |name: &str| consumer[name].as_u64().unwrap();
            number("num_ack_pending") + number("num_pending")
        });
        Left { messages, deliveries: consumers.sum() }
    }

    /// The jobs of which anything is stored.
    pub(crate) async fn stored(&self, connection: &Connection) -> BTreeSet<JobId> {
        let question = json!({ "subjects_filter": Namespace::default().result_any() }).to_string();
        let info = ask(connection, "$JS.API.STREAM.INFO.SUBROSA_RESULTS", question).await;
        let subjects = info["state"]["subjects"].as_object().into_iter().flatten();
        subjects.map(|(subject, _)| subject.split('.').nth(4).unwrap().parse().unwrap()).collect()
    }

    /// Stops everything; says which of its processes are still there.
    pub(crate) async fn stop(self) -> Vec<Process> {
        let Self { lab, parts, checkpoint, mut folder, .. } = self;
        drop(checkpoint);
        for mut part in parts {
            part.child.kill().await.unwrap();
        }
        lab.stop().await;
        let left = Process::that_know(folder.path()).into_iter();
        let left = left.filter(|process| process.pid != std::process::id()).collect();
        folder.disable_cleanup(false);
        left
    }
}

/// What is left in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) messages: u64,
    pub(crate) deliveries: u64,
}

impl Left {
    pub(crate) const NOTHING: Self = Self { messages: 0, deliveries: 0 };
}

async fn ask(connection: &Connection, subject: &str, question: impl Into<Bytes>) -> Value {
    let answer = connection.request(subject, None, question.into(), PATIENCE).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

/// How many descriptors a process has open.
pub(crate) fn open_descriptors(process: &str) -> usize {
    fs::read_dir(Path::new("/proc").join(process).join("fd")).unwrap().count()
}
