//! Many jobs, while something is killed every second: at the end each has ended, none twice, and nothing is left.
//!
//! The kills and the jobs follow from a seed, which is printed:
//!
//! ```console
//! $ SUBROSA_SOAK_SEED=4711 SUBROSA_SOAK_SECONDS=20 SUBROSA_SOAK_JOBS=300 \
//!     cargo test -p subrosa-tests --test soak -- --ignored
//! ```
//!
//! What is killed follows from it, but not what that was doing just then.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

mod jobs;
mod site;
mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    pin::pin,
    time::Duration,
};

use futures_util::future::join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use subrosa_client::{Client, Timing};
use subrosa_protocol::{record::Record, subject::Namespace};
use subrosa_tests::{
    chores::Run,
    lab::{PATIENCE, fresh_key},
    processes::{Process, until},
};
use subrosa_transport::{Connection, History, Records, now_ms};
use tokio::{
    runtime::Handle,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    jobs::{Heard, Plan},
    site::{Left, Site, Victim, open_descriptors},
    verdict::{Case, Runs},
};

/// The program that users run.
const PROGRAM: &str = env!("CARGO_BIN_EXE_subrosa-under-test");
/// A worker whose function does what it is told.
const CHORES: &str = env!("CARGO_BIN_EXE_chores-worker");

/// After the last kill, nothing takes this long unless it hangs.
const SETTLED: Duration = Duration::from_secs(180);
/// For so many ticks a client stays cut off.
const CUT: u64 = 4;

/// How much is done.
struct Settings {
    seed: u64,
    /// For how long something is killed every second.
    seconds: u64,
    /// The jobs that are launched meanwhile.
    jobs: u64,
}

impl Settings {
    fn from_env() -> Self {
        let number = |name| env::var(name).ok().map(|text| text.parse().unwrap());
        Self {
            seed: number("SUBROSA_SOAK_SEED").unwrap_or_else(rand::random),
            seconds: number("SUBROSA_SOAK_SECONDS").unwrap_or(120),
            jobs: number("SUBROSA_SOAK_JOBS").unwrap_or(2_000),
        }
    }
}

/// Clients: two at the server, and two that can be cut off from it.
async fn clients(site: &Site) -> Vec<Client> {
    let mut timing = Timing::default();
    // Hardly anybody is there for longer than a moment.
    timing.admission = SETTLED;
    timing.status = Duration::from_secs(2);
    timing.settle = Duration::from_secs(2);
    timing.close = SETTLED;
    let mut clients = Vec::new();
    for url in [site.lab.url(), site.lab.url(), site.checkpoint.url(), site.checkpoint.url()] {
        let client = Client::connect(url).identity(fresh_key()).trust(site.lab.local.trust().unwrap());
        clients.push(client.timing(timing.clone()).await.unwrap());
    }
    clients
}

/// Launches the jobs, evenly over the time, while something is killed every second.
async fn rage(site: &mut Site, clients: &[Client], settings: &Settings) -> JoinSet<Heard> {
    let Settings { seed, seconds, jobs } = *settings;
    let mut plans = StdRng::seed_from_u64(seed);
    let mut lots = StdRng::seed_from_u64(!seed);
    let mut running = JoinSet::new();
    let mut kills: BTreeMap<Victim, u32> = BTreeMap::new();
    let start = Instant::now();
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut launches = interval(Duration::from_secs(seconds) / u32::try_from(jobs).unwrap());
    let (mut launched, mut tick, mut closed) = (0, 0, None);
    while launched < jobs || start.elapsed() < Duration::from_secs(seconds) {
        tokio::select! {
            _ = launches.tick(), if launched < jobs => {
                let client = clients[plans.random_range(0..clients.len())].clone();
                running.spawn(Plan::any(&mut plans).run(client));
                launched += 1;
            }
            _ = ticks.tick() => {
                tick += 1;
                site.revive();
                if closed.is_some_and(|closed| tick >= closed + CUT) {
                    site.checkpoint.open();
                    closed = None;
                }
                let victim = loop {
                    let victim = Victim::LOTS[lots.random_range(0..Victim::LOTS.len())];
                    if site.strike(victim, lots.random_range(0..1_000)).await {
                        break victim;
                    }
                };
                *kills.entry(victim).or_default() += 1;
                if victim == Victim::Connection {
                    closed = Some(tick);
                }
            }
        }
    }
    site.checkpoint.open();
    println!("{launched} jobs; killed: {kills:?}");
    running
}

/// Waits until every client knows how its jobs ended, every end is recorded, and nothing is queued any more.
async fn settle(
    site: &mut Site,
    connection: &Connection,
    clients: Vec<Client>,
    mut running: JoinSet<Heard>,
) -> Vec<Heard> {
    let start = Instant::now();
    let mut ticks = interval(Duration::from_secs(1));
    let mut heard = Vec::new();
    while !running.is_empty() {
        tokio::select! {
            Some(job) = running.join_next() => heard.push(job.unwrap()),
            _ = ticks.tick() => {
                site.revive();
                if start.elapsed() > SETTLED {
                    panic!("clients never hear how these jobs ended:\n{}", unheard(connection, &heard).await);
                }
            }
        }
    }
    println!("every client knows after {:.1?}", start.elapsed());
    let mut closed = pin!(join_all(clients.into_iter().map(Client::close)));
    loop {
        tokio::select! {
            _ = &mut closed => break,
            _ = ticks.tick() => site.revive(),
        }
    }
    println!("every client is closed after {:.1?}", start.elapsed());
    loop {
        let left = site.left_in(connection, "SUBROSA_QUEUE").await;
        if left == Left::NOTHING {
            break;
        }
        assert!(start.elapsed() < SETTLED, "still queued: {left:?}");
        ticks.tick().await;
    }
    println!("settled after {:.1?}", start.elapsed());
    heard
}

/// The histories of the jobs that are none of these.
async fn unheard(connection: &Connection, heard: &[Heard]) -> String {
    let deadline = Instant::now() + PATIENCE;
    let records = Records::new(connection.clone(), Namespace::default());
    let history = History::new(connection.clone(), Namespace::default());
    let heard: BTreeSet<_> = heard.iter().map(|job| job.id).collect();
    let mut lines = String::new();
    for (worker, job) in records.jobs(deadline).await.unwrap() {
        if heard.contains(&job) {
            continue;
        }
        let _ = write!(lines, "{job} {worker}:");
        for stored in history.all(&worker, &job, deadline).await.unwrap() {
            let Record { event, attempt, at_ms, .. } = Record::read_unverified(&stored.bytes).unwrap();
            let _ =
                write!(lines, " {} {attempt} {} s ago,", event.name(), now_ms().saturating_sub(at_ms) / 1000);
        }
        lines.push('\n');
    }
    lines
}

/// Judges every job, by all that was written down of it.
async fn judge(site: &Site, connection: &Connection, heard: &[Heard]) {
    let deadline = Instant::now() + SETTLED;
    let records = Records::new(connection.clone(), Namespace::default());
    let mut recorded = records.jobs(deadline).await.unwrap();
    let mut known: Vec<_> = heard.iter().map(|job| (job.plan.worker().parse().unwrap(), job.id)).collect();
    recorded.sort();
    known.sort();
    assert_eq!(recorded, known, "a job is missing, or nobody's");

    let runs = Runs::new(Run::read(&site.runs()));
    let ids: BTreeSet<_> = heard.iter().map(|job| job.id).collect();
    assert!(runs.jobs().all(|id| ids.contains(id)), "a function ran for nobody");

    let history = History::new(connection.clone(), Namespace::default());
    let trust = site.lab.local.trust().unwrap();
    let stored = site.stored(connection).await;
    let (mut wrong, mut ends) = (Vec::new(), BTreeMap::<_, u32>::new());
    for job in heard {
        let worker = job.plan.worker().parse().unwrap();
        let messages = history.all(&worker, &job.id, deadline).await.unwrap();
        let case = Case { heard: job, messages: &messages, trust: &trust, runs: &runs, stored: &stored };
        let faults = case.faults();
        if !faults.is_empty() {
            wrong.push(format!("{} {:?}: {faults:?}", job.id, job.plan));
        }
        *ends.entry(job.outcome.to_string()).or_default() += 1;
    }
    println!("{ends:#?}");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), heard.len(), wrong.join("\n"));
}

#[tokio::test]
#[ignore = "it needs the machine for itself"]
async fn whatever_is_killed_every_job_ends_and_nothing_is_left() {
    let settings = Settings::from_env();
    println!("SUBROSA_SOAK_SEED={}", settings.seed);
    let mut site = Site::new().await;
    let connection = site.lab.connection().await;
    let metrics = Handle::current().metrics();
    let own = || (open_descriptors("self"), metrics.num_alive_tasks());
    let before = own();
    let first = site.warm_up().await;
    let theirs = site.descriptors();

    let clients = clients(&site).await;
    let running = rage(&mut site, &clients, &settings).await;
    let mut heard = settle(&mut site, &connection, clients, running).await;
    heard.extend(first);
    judge(&site, &connection, &heard).await;

    println!("descriptors and tasks: {before:?} before, {:?} after", own());
    until("nothing of the clients is left", || own().0 <= before.0 && own().1 <= before.1).await;
    until("no worker is left that was started for a job", || site.started().is_empty()).await;
    until("no descriptor is left", || site.descriptors().iter().all(|(name, open)| open <= &theirs[name]))
        .await;
    assert_eq!(site.deserters(), Vec::<String>::new());
    assert_eq!(site.panics(), Vec::<String>::new());
    drop(connection);
    assert_eq!(site.stop().await, [], "still there");
    assert_eq!(Process::children_of(std::process::id()), [], "still there");
}
