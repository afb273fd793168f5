//! One party's connection is cut, or nothing passes over it, for longer than one request takes; and one that is away
//! for longer than the ack wait.

use std::time::Duration;

use subrosa::{local::Plan, server};
use subrosa_client::{Client, Timing};
use subrosa_launcher::Guard;
use subrosa_tests::{
    checkpoint::Checkpoint,
    gate::Gate,
    lab::{Lab, PATIENCE, fresh_key, patiently},
    relay::Relay,
};
use subrosa_transport::{Connect, Connection, RequestError, Subscription};
use tokio::time::{Instant, timeout};

use crate::{
    GATED, PROGRAM,
    scene::{self, Case, Moment, Phase},
};

/// A worker of the test's own.
const RESIDENT: &str = "resident";
/// A worker that the launcher starts, one process for each job.
const STARTED: &str = "started";

/// How long a delivery may go unacknowledged.
const ACK_WAIT: Duration = Duration::from_secs(5);
/// One try of a request takes this long at most, in every part.
const ONE_TRY: Duration = Duration::from_secs(2);

/// Whose connection is disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Client,
    Worker,
    Launcher,
}

/// A deployment whose launcher reaches the server by this URL; the workers that it starts do so directly.
async fn lab(launcher_url: impl FnOnce(&Lab) -> String) -> Lab {
    let others = [RESIDENT, STARTED].map(str::to_owned).to_vec();
    let plan = Plan { others, ..Plan::of(PROGRAM, []) };
    Lab::configured(plan, |lab, config| {
        let url = launcher_url(lab);
        config.extend(toml::toml! { timing = { ack_wait = "5s", probe = "5s" } });
        config.insert("nats".to_owned(), toml::toml! { url = url }.into());
        let workers = config["worker"].as_array_mut().unwrap();
        let started = workers.iter_mut().find(|worker| worker["name"].as_str() == Some(STARTED)).unwrap();
        *started = lab.started(STARTED, &[GATED, STARTED]);
        let started = started.as_table_mut().unwrap();
        started.insert("max_running".to_owned(), i64::try_from(scene::SLOTS).unwrap().into());
        started.insert("nats_url".to_owned(), lab.url().into());
    })
    .await
}

/// A client that soon sees to it that its jobs are closed.
async fn client(lab: &Lab, url: &str) -> Client {
    let mut timing = Timing::default();
    timing.status = Duration::from_millis(200);
    timing.settle = Duration::from_millis(200);
    let client = Client::connect(url).identity(fresh_key()).timing(timing);
    client.trust(lab.local.trust().unwrap()).await.unwrap()
}

/// Waits for as long as one request does, over a connection that is disturbed.
async fn for_one_request(connection: &Connection) {
    let asked = connection.request("$JS.API.INFO", None, "".into(), ONE_TRY).await;
    assert!(matches!(asked, Err(RequestError::Timeout { .. })), "{asked:?}");
}

async fn survives(whose: Whose, disturb: impl FnOnce(&Relay)) {
    let mut relay = None;
    let lab = lab(|lab| {
        let relay = relay.insert(Relay::before(lab.url()));
        if whose == Whose::Launcher { relay.url() } else { lab.url() }.to_owned()
    })
    .await;
    let relay = relay.unwrap();
    let client = client(&lab, if whose == Whose::Client { relay.url() } else { lab.url() }).await;
    let worker = if whose == Whose::Launcher { STARTED } else { RESIDENT };
    let _served = (whose != Whose::Launcher).then(|| {
        let mut config = lab.worker_config(worker);
        if whose == Whose::Worker {
            config.nats.url = relay.url().to_owned();
        }
        scene::serve_gated(config, worker)
    });
    let disturbed = Connect::new(relay.url(), "test").connect().await.unwrap();
    let mut cases = scene::in_every_phase(&lab, &client, worker).await;
    disturb(&relay);
    scene::go_on(&mut cases, Moment::During).await;
    for_one_request(&disturbed).await;
    relay.mend();
    scene::go_on(&mut cases, Moment::After).await;
    scene::are_done(cases, &lab, &client, worker).await;
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn jobs_survive_a_cut_of_their_clients_connection() {
    survives(Whose::Client, Relay::cut).await;
}

#[tokio::test]
async fn jobs_survive_that_nothing_passes_over_their_clients_connection() {
    survives(Whose::Client, Relay::block).await;
}

#[tokio::test]
async fn jobs_survive_a_cut_of_their_workers_connection() {
    survives(Whose::Worker, Relay::cut).await;
}

#[tokio::test]
async fn jobs_survive_that_nothing_passes_over_their_workers_connection() {
    survives(Whose::Worker, Relay::block).await;
}

#[tokio::test]
async fn jobs_survive_a_cut_of_their_launchers_connection() {
    survives(Whose::Launcher, Relay::cut).await;
}

#[tokio::test]
async fn jobs_survive_that_nothing_passes_over_their_launchers_connection() {
    survives(Whose::Launcher, Relay::block).await;
}

#[tokio::test]
async fn a_connection_that_goes_dark_is_noticed_and_made_anew() {
    let options = server::Options::new(Guard::new(PROGRAM.into()));
    let server = server::start(options, &mut |_: &str| {}).await.unwrap();
    let relay = Relay::before(server.url());
    let connection = Connect::new(relay.url(), "test").connect().await.unwrap();
    connection.round_trip(PATIENCE).await.unwrap();
    let breaks = connection.breaks();
    relay.block();
    // Nothing is under way but its own pings: time passes as quickly as it can.
    tokio::time::pause();
    timeout(Duration::from_secs(35), connection.broken_since(breaks)).await.unwrap();
    tokio::time::resume();
    relay.mend();
    connection.request_until("$SYS.REQ.USER.INFO", None, "".into(), Instant::now() + PATIENCE).await.unwrap();
    drop(connection);
    server.stop().await.unwrap();
}

/// Nobody tells a client what it has missed. This one would not ask by itself before long.
/// Everybody goes to the server and back while getting ready.
#[tokio::test]
async fn a_round_trip_goes_on_although_its_message_is_lost_with_its_connection() {
    let lab = lab(|lab| lab.url().to_owned()).await;
    let mut checkpoint = Checkpoint::before(lab.url()).await;
    let connection = Connect::new(checkpoint.url(), "test").connect().await.unwrap();
    checkpoint.stop_at("_INBOX.>");
    let lost = async { drop(checkpoint.stopped().await) };
    let (came_back, ()) = patiently(async { tokio::join!(connection.round_trip(PATIENCE), lost) }).await;
    came_back.unwrap();
    assert_eq!(connection.breaks(), 1);
    lab.stop().await;
}

#[tokio::test]
async fn a_client_that_is_back_asks_at_once_what_it_has_missed() {
    let lab = lab(|lab| lab.url().to_owned()).await;
    let relay = Relay::before(lab.url());
    let mut timing = Timing::default();
    timing.status = Duration::from_secs(3600);
    let client = Client::connect(relay.url()).timing(timing);
    let client = client.trust(lab.local.trust().unwrap()).await.unwrap();
    let mut config = lab.worker_config(RESIDENT);
    config.timing.done = Duration::from_millis(300);
    let _served = scene::serve_gated(config, RESIDENT);
    let gate = Gate::new().await;
    let job = client.job(RESIDENT).payload_value(gate.payload()).launch().await.unwrap();
    let visitor = gate.arrival().await;
    relay.cut();
    visitor.go_on().await;
    lab.history(RESIDENT, job.id(), "finished").await;
    relay.mend();
    let id = *job.id();
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().value, 1);
    lab.history(RESIDENT, &id, "closed").await;
    patiently(client.close()).await;
    lab.stop().await;
}

/// A worker that can be cut off, with a job in each phase, and another one beside it that is free.
struct Pair {
    lab: Lab,
    client: Client,
    relay: Relay,
    cases: Vec<Case>,
    /// What is asked of whoever holds an attempt.
    asked: Subscription,
}

impl Pair {
    async fn new(phases: &[Phase]) -> Self {
        let lab = lab(|lab| lab.url().to_owned()).await;
        let client = client(&lab, lab.url()).await;
        let relay = Relay::before(lab.url());
        let mut config = lab.worker_config(RESIDENT);
        config.nats.url = relay.url().to_owned();
        scene::serve_gated(config, RESIDENT);
        let mut cases = Vec::new();
        for phase in phases {
            cases.push(Case::reach(&lab, &client, RESIDENT, *phase, Moment::After).await);
        }
        let spy = lab.connection().await;
        let asked = spy.subscribe("subrosa.v1.control.*.*.*.alive").await.unwrap();
        Self { lab, client, relay, cases, asked }
    }

    /// Starts the other worker.
    fn rival(&self, patience: Duration) {
        let mut config = self.lab.worker_config(RESIDENT);
        config.timing.probe = patience;
        scene::serve_gated(config, RESIDENT);
    }

    /// Waits until whoever holds these jobs has been asked so often whether it is alive.
    async fn asks(&mut self, times: usize) {
        for _ in 0..times {
            patiently(self.asked.next()).await.unwrap();
        }
    }

    async fn ends(self) {
        let Self { lab, client, mut cases, .. } = self;
        scene::go_on(&mut cases, Moment::After).await;
        for case in cases {
            case.ends(&lab).await;
        }
        patiently(client.close()).await;
        lab.stop().await;
    }
}

#[tokio::test]
async fn a_job_that_is_redelivered_before_its_holder_is_back_stays_with_it() {
    let mut pair = Pair::new(&Phase::HELD).await;
    pair.relay.cut();
    pair.lab.local.server.kill().await.unwrap();
    // Nobody hears of anything for longer than a delivery may go unacknowledged.
    let silent = timeout(ACK_WAIT, pair.asked.next()).await;
    assert!(silent.is_err(), "without a server there are no messages: {silent:?}");
    pair.lab.local.server.restart().await.unwrap();
    pair.rival(Duration::from_secs(10));
    // All are delivered to it, and it asks for all, before the other one is back.
    let mut jobs = std::collections::BTreeSet::new();
    while jobs.len() < Phase::HELD.len() {
        let message = patiently(pair.asked.next()).await.unwrap();
        jobs.insert(message.subject);
    }
    pair.relay.mend();
    pair.ends().await;
}

/// What is silent while connections break may just not be there yet. All in all, the holder is silent for longer than a
/// worker's patience here, but never over one connection.
#[tokio::test]
async fn silence_counts_over_one_unbroken_connection_only() {
    let mut pair = Pair::new(&[Phase::Running]).await;
    pair.relay.cut();
    pair.rival(Duration::from_secs(14));
    for last in [false, true] {
        // It asks at once, and then once a second.
        pair.asks(9).await;
        if last {
            pair.relay.mend();
        }
        pair.lab.local.server.kill().await.unwrap();
        pair.lab.local.server.restart().await.unwrap();
    }
    pair.ends().await;
}

/// What becomes of a record with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// It does not arrive.
    Record,
    /// It arrives, and the answer does not.
    Answer,
}

/// A worker's record is lost with its connection, or only the answer is: either way it stands there once.
async fn is_written_once(lost: Lost) {
    let lab = lab(|lab| lab.url().to_owned()).await;
    let client = client(&lab, lab.url()).await;
    let relay = Relay::before(lab.url());
    let mut checkpoint = Checkpoint::before(relay.url()).await;
    let mut config = lab.worker_config(RESIDENT);
    config.nats.url = checkpoint.url().to_owned();
    let _served = scene::serve_gated(config, RESIDENT);
    // A job that is through says that the worker has written what it writes at the start.
    scene::goes_on(&lab, &client, RESIDENT).await;
    for (record, phase) in [("taken", Phase::Queued), ("running", Phase::Payload), ("closed", Phase::Done)] {
        let records = format!("subrosa.v1.record.{RESIDENT}.*");
        let mut case;
        if phase == Phase::Queued {
            checkpoint.stop_at(&records);
            case = Case::launch(&client, RESIDENT, phase, Moment::During).await;
        } else {
            case = Case::reach(&lab, &client, RESIDENT, phase, Moment::During).await;
            checkpoint.stop_at(&records);
        }
        case.go_on(Moment::During).await;
        let stopped = checkpoint.stopped().await;
        match lost {
            Lost::Record => drop(stopped),
            Lost::Answer => {
                relay.deafen();
                stopped.pass();
                case.is_at(record, &lab).await;
                relay.cut();
                relay.mend();
            }
        }
        case.ends(&lab).await;
    }
    patiently(client.close()).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_record_that_is_lost_with_its_connection_is_written_again() {
    is_written_once(Lost::Record).await;
}

#[tokio::test]
async fn a_record_whose_answer_is_lost_is_not_written_twice() {
    is_written_once(Lost::Answer).await;
}
