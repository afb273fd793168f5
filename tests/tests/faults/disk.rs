//! There is no room left for what is to be stored: in a stream, in the account, in the server, in the file system.
//! Launches are refused, what runs ends or waits, and all goes on once there is room.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use subrosa::{
    local::Plan,
    server::{self, Choice, Server},
};
use subrosa_client::{Client, LaunchError, Timing};
use subrosa_launcher::Guard;
use subrosa_protocol::id::JobId;
use subrosa_protocol::refusal::Code;
use subrosa_tests::{
    lab::{Lab, PATIENCE, fresh_key, patiently},
    skipped::skipped,
};
use subrosa_transport::Connection;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    PROGRAM,
    scene::{self, Case, Moment, Phase},
};

const WORKER: &str = "resident";
/// Takes what fills an account or a server.
const FILLER: &str = "FILLER";
/// What is written at once at first, when all is filled, in bytes; then half of it, and so on.
const PIECE: usize = 512 * 1024;

/// A place that can be filled.
struct Full {
    lab: Lab,
    connection: Connection,
    place: Place,
}

/// What is full.
enum Place {
    /// The stream of records.
    Stream,
    /// All streams of the account, or of the server.
    Store,
    /// The file system that the server writes to.
    Disk(Disk),
}

/// A file system in memory.
struct Disk(TempDir);

impl Disk {
    /// Makes one, if this user may.
    fn new() -> Option<Self> {
        let directory = tempfile::Builder::new().prefix("subrosa-disk-").tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(directory.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(directory))
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    /// Writes until nothing fits.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        let mut piece = PIECE;
        while piece > 0 {
            match ballast.write(&vec![0; piece]) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => piece /= 2,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

/// Settings of the launcher that differ from the defaults.
fn settings(config: &mut toml::Table) {
    config.extend(toml::toml! { timing = { ack_wait = "5s", probe = "1s" } });
}

fn plan() -> Plan {
    Plan { others: vec![WORKER.to_owned()], ..Plan::of(PROGRAM, []) }
}

/// A server with this configuration.
async fn server(config: &str, state: &Path) -> Server {
    let path = state.join("nats.conf");
    fs::write(&path, config).unwrap();
    let mut options = server::Options::new(Guard::new(PROGRAM.into()));
    options.choice = Choice::Wheel;
    options.config = Some(path);
    options.state_dir = Some(state.join("store"));
    patiently(server::start(options, &mut |_: &str| {})).await.unwrap()
}

impl Full {
    async fn new(lab: Lab, place: Place) -> Self {
        let connection = lab.connection().await;
        if matches!(place, Place::Store) {
            let filler = json!({ "name": FILLER, "subjects": [FILLER], "discard": "new" });
            ask(&connection, &format!("$JS.API.STREAM.CREATE.{FILLER}"), filler.to_string()).await;
        }
        Self { lab, connection, place }
    }

    /// Leaves no room.
    async fn fill(&self) {
        let subject = match &self.place {
            // Nobody looks at the jobs of a worker that nobody knows.
            Place::Stream => format!("subrosa.v1.record.nobody.{}", JobId::of(b"")),
            Place::Store => FILLER.to_owned(),
            Place::Disk(disk) => return disk.fill(),
        };
        let mut piece = PIECE;
        while piece > 0 {
            if ask(&self.connection, &subject, vec![0; piece]).await.get("error").is_some() {
                piece /= 2;
            }
        }
    }

    /// Makes room, as an operator would.
    async fn make_room(&self) {
        match &self.place {
            Place::Stream => {
                self.lab.configure(|config| {
                    config.insert("streams".to_owned(), toml::Table::new().into());
                });
                self.lab.set_up().await;
            }
            Place::Store => {
                let deleted = ask(&self.connection, &format!("$JS.API.STREAM.DELETE.{FILLER}"), "").await;
                assert_eq!(deleted["success"], true, "{deleted}");
            }
            Place::Disk(disk) => fs::remove_file(disk.ballast()).unwrap(),
        }
    }
}

async fn ask(connection: &Connection, subject: &str, body: impl Into<Vec<u8>>) -> Value {
    let deadline = Instant::now() + PATIENCE;
    let answer = connection.request_until(subject, None, body.into().into(), deadline).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

/// A client that does not wait long for a job to be admitted.
async fn client(lab: &Lab) -> Client {
    let mut timing = Timing::default();
    timing.admission = Duration::from_millis(500);
    timing.status = Duration::from_millis(200);
    timing.settle = Duration::from_millis(200);
    let client = Client::connect(lab.url()).identity(fresh_key()).timing(timing);
    client.trust(lab.local.trust().unwrap()).await.unwrap()
}

/// With settings for a stream of records that is soon full.
fn small_stream(config: &mut toml::Table) {
    settings(config);
    config.extend(toml::toml! { streams = { records = { max_bytes = "1MiB" } } });
}

async fn survives(full: Full) {
    let lab = &full.lab;
    // The launcher may still be on its way.
    let client = lab.client().await;
    let mut config = lab.worker_config(WORKER);
    config.timing.probe = Duration::from_secs(1);
    let _worker = scene::serve_gated(config, WORKER);
    let mut cases = scene::in_every_phase(lab, &client, WORKER).await;
    let mut asked = full.connection.subscribe("subrosa.v1.control.*.*.*.alive").await.unwrap();
    full.fill().await;

    let hasty = self::client(lab).await;
    let refused = patiently(async {
        loop {
            match hasty.job(WORKER).launch().await.err() {
                // It has not answered in that time.
                Some(LaunchError::NoLauncher(_)) => {}
                other => break other,
            }
        }
    })
    .await;
    let Some(LaunchError::Refused { code, message }) = refused else { panic!("{refused:?}") };
    assert_eq!((code, message.contains("full")), (Code::Overloaded, true), "{message}");
    scene::go_on(&mut cases, Moment::During).await;
    // That they run cannot be recorded, so their functions do not; and their next attempts cannot be recorded either.
    let mut lost: BTreeSet<String> = cases.iter().filter(|case| is_lost(case)).map(Case::id).collect();
    while !lost.is_empty() {
        let message = patiently(asked.next()).await.unwrap();
        lost.retain(|job| !message.subject.contains(job));
    }

    full.make_room().await;
    scene::go_on(&mut cases, Moment::After).await;
    for case in cases {
        let lost = u16::from(is_lost(&case));
        case.ends_after(lost, lab).await;
    }
    scene::goes_on(lab, &client, WORKER).await;
    patiently(client.close()).await;
    patiently(hasty.close()).await;
    full.lab.stop().await;
}

/// Whether it comes to the record `running` while there is no room.
fn is_lost(case: &Case) -> bool {
    case.moment == Moment::During && case.phase < Phase::Running
}

#[tokio::test]
async fn jobs_survive_a_full_stream_of_records() {
    let lab = Lab::configured(plan(), |_, config| small_stream(config)).await;
    survives(Full::new(lab, Place::Stream).await).await;
}

/// Pauses that grew with every refusal would outlast any patience.
#[tokio::test]
async fn an_end_that_a_full_store_refuses_is_asked_for_again_as_soon() {
    let full =
        Full::new(Lab::configured(plan(), |_, config| small_stream(config)).await, Place::Stream).await;
    let mut timing = Timing::default();
    timing.settle = Duration::from_millis(10);
    let client = Client::connect(full.lab.url()).trust(full.lab.local.trust().unwrap()).timing(timing);
    let client = client.await.unwrap();
    let job = client.job(WORKER).launch().await.unwrap();
    let id = *job.id();
    let mut asked = full.connection.subscribe("subrosa.v1.cancel").await.unwrap();
    full.fill().await;
    drop(job);
    patiently(async {
        for _ in 0..24 {
            asked.next().await.unwrap();
        }
    })
    .await;
    full.make_room().await;
    patiently(client.close()).await;
    assert_eq!(full.lab.history(WORKER, &id, "cancelled").await, ["queued", "cancelled"]);
    full.lab.stop().await;
}

#[tokio::test]
async fn jobs_survive_a_full_account() {
    let state = TempDir::new().unwrap();
    let config = "accounts { A { jetstream { max_file: 2MB, max_mem: 1MB }, users: [{ user: a, password: a }] } }\n\
                  no_auth_user: a\n";
    let server = server(config, state.path()).await;
    let lab = Lab::on_server(server, plan(), |_, config| settings(config)).await;
    survives(Full::new(lab, Place::Store).await).await;
}

#[tokio::test]
async fn jobs_survive_a_full_server() {
    let state = TempDir::new().unwrap();
    let server = server("jetstream { max_file_store: 2MB }\n", state.path()).await;
    let lab = Lab::on_server(server, plan(), |_, config| settings(config)).await;
    survives(Full::new(lab, Place::Store).await).await;
}

/// This needs the right to mount.
#[tokio::test]
async fn jobs_survive_a_full_disk() {
    let Some(disk) = Disk::new() else {
        skipped("this user may not mount a file system to fill it");
        return;
    };
    let server = server("", disk.0.path()).await;
    let lab = Lab::on_server(server, plan(), |_, config| settings(config)).await;
    survives(Full::new(lab, Place::Disk(disk)).await).await;
}
