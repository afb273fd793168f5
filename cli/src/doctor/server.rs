//! The server: whether it is there, what is on it, and what this user may do.

use std::time::{Duration, Instant};

use rand::{RngExt as _, distr::Alphanumeric};
use serde::Deserialize;
use subrosa_client::{KnownWorker, LaunchError, Launchers, Trust, identity::PublicKey};
use subrosa_protocol::{
    id::{Instance, WorkerName},
    job::CLOCK_TOLERANCE_MS,
};
use subrosa_transport::{Connection, History, Position, Queue, QueueError, RequestError, now_ms};

use super::{Args, Check};
use crate::{nats::Nats, server::OLDEST};

/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(2);

/// Looks at the server, as far as it can be reached.
pub(super) async fn checks(args: &Args, trust: Option<&Trust>) -> Vec<Check> {
    let started = Instant::now();
    let connection = match args.nats.connect("subrosa doctor").await {
        Ok(connection) => connection,
        Err(failure) => {
            let advice =
                "start one with `subrosa dev`, or name another with --nats; --creds names credentials";
            return vec![Check::bad("server", format!("{:#}", failure.error), advice)];
        }
    };
    let mut checks = Vec::from_iter(server(&connection, started.elapsed()));
    checks.extend(streams(&connection, &args.nats).await);
    let workers = launchers(&connection, &args.nats, &mut checks).await;
    match &args.worker {
        None => checks.extend(client(&connection, args).await),
        Some(name) => checks.extend(worker(&connection, &args.nats, name).await),
    }
    for worker in &workers {
        checks.push(consumer(&connection, &args.nats, &worker.worker).await);
        checks.push(known(worker, trust));
    }
    checks
}

fn server(connection: &Connection, took: Duration) -> Option<Check> {
    let info = connection.client().ok()?.server_info();
    let found = format!(
        "nats-server {} at {}:{}, {} ms, messages of up to {} bytes",
        info.version,
        info.host,
        info.port,
        took.as_millis(),
        connection.max_payload()
    );
    Some(match info.version.parse::<crate::server::Version>() {
        Ok(version) if version < OLDEST => {
            Check::warn("server", found, format!("Subrosa is tested with {OLDEST} and newer"))
        }
        _ => Check::good("server", found),
    })
}

/// What is read of JetStream's answer about a stream.
#[derive(Deserialize)]
struct StreamInfo {
    #[serde(default)]
    error: Option<StreamError>,
    #[serde(default)]
    state: Option<StreamState>,
    /// The server's clock.
    #[serde(default)]
    ts: Option<jiff::Timestamp>,
}

#[derive(Deserialize)]
struct StreamError {
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct StreamState {
    messages: u64,
}

/// The streams, and by the way the server's clock.
async fn streams(connection: &Connection, nats: &Nats) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut offset_ms = None;
    let namespace = &nats.namespace;
    for stream in [namespace.queue_stream(), namespace.records_stream(), namespace.results_stream()] {
        let asked = connection.api(&format!("STREAM.INFO.{stream}"));
        let answer = connection.request(&asked, None, bytes::Bytes::new(), QUESTION).await;
        let now_ms = now_ms();
        let setup = "run `subrosa-launcher --config FILE --setup` with an administrator's rights";
        checks.push(match answer {
            Err(RequestError::Denied { .. }) => {
                Check::skipped("stream", format!("{stream}: this user may not ask; a launcher checks it"))
            }
            Err(error) => Check::bad("stream", format!("{stream}: {error}"), nats.without_jetstream()),
            Ok(message) => match serde_json::from_slice::<StreamInfo>(&message.payload) {
                Err(_) => Check::bad("stream", format!("{stream}: the answer is not JetStream's"), setup),
                Ok(StreamInfo { error: Some(error), .. }) => {
                    Check::bad("stream", format!("{stream}: {}", error.description), setup)
                }
                Ok(info) => {
                    let server_ms = info.ts.and_then(|ts| u64::try_from(ts.as_millisecond()).ok());
                    offset_ms = offset_ms.or(server_ms.map(|server_ms| now_ms.abs_diff(server_ms)));
                    let messages = info.state.map_or(0, |state| state.messages);
                    Check::good("stream", format!("{stream}: {messages} messages"))
                }
            },
        });
    }
    checks.push(clock(offset_ms));
    checks
}

/// Whether what is queued for this worker is delivered.
async fn consumer(connection: &Connection, nats: &Nats, name: &WorkerName) -> Check {
    let read = async || {
        let deadline = tokio::time::Instant::now() + QUESTION;
        Position::read(connection, &nats.namespace, name, deadline).await
    };
    let mut position = read().await;
    if position.as_ref().is_ok_and(Position::is_ahead) {
        // One look may have come in the middle of a change.
        tokio::time::sleep(Position::SETTLED).await;
        position = read().await;
    }
    match position {
        Ok(position) if position.is_ahead() => Check::bad(
            "consumer",
            format!(
                "the consumer of {name} is ahead of its queue, at {} of {}: its jobs are not delivered",
                position.delivered, position.end
            ),
            "the server has lost its last writes: run `subrosa-launcher --config FILE --setup` with an \
             administrator's rights",
        ),
        Ok(position) => {
            Check::good("consumer", format!("{name}: at {} of {}", position.delivered, position.end))
        }
        Err(QueueError::Request(RequestError::Denied { .. })) => {
            Check::skipped("consumer", format!("{name}: this user may not ask; a launcher checks it"))
        }
        Err(error) => Check::bad(
            "consumer",
            format!("{name}: {error}"),
            "run `subrosa-launcher --config FILE --setup` with an administrator's rights",
        ),
    }
}

fn clock(offset_ms: Option<u64>) -> Check {
    match offset_ms {
        None => Check::skipped("clock", "the server's clock cannot be asked by this user"),
        Some(offset_ms) if offset_ms > CLOCK_TOLERANCE_MS => Check::bad(
            "clock",
            format!("{} s off the server's", offset_ms / 1000),
            format!(
                "clocks may differ by {} s: set this machine's or the server's (NTP)",
                CLOCK_TOLERANCE_MS / 1000
            ),
        ),
        Some(offset_ms) => Check::good("clock", format!("within {} ms of the server's", offset_ms.max(1))),
    }
}

/// Asks for the workers, and adds whether a launcher answered.
async fn launchers(connection: &Connection, nats: &Nats, checks: &mut Vec<Check>) -> Vec<KnownWorker> {
    let launchers = Launchers::new(connection.clone(), nats.namespace.clone());
    match launchers.workers(nats.patience()).await {
        Ok(workers) => {
            checks.push(Check::good("launcher", format!("answers, and knows {} workers", workers.len())));
            workers
        }
        Err(LaunchError::NoLauncher(error @ RequestError::Denied { .. })) => {
            checks.push(Check::skipped("launcher", error.to_string()));
            Vec::new()
        }
        Err(error) => {
            let advice = "start `subrosa-launcher --config FILE` on this server, with the same namespace";
            checks.push(Check::bad("launcher", error.to_string(), advice));
            Vec::new()
        }
    }
}

/// Whether a client could launch a job, and hear of it.
async fn client(connection: &Connection, args: &Args) -> Vec<Check> {
    let random = || rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect();
    let token = args.reply_token.clone().unwrap_or_else(random);
    let namespace = &args.nats.namespace;
    let listen = match namespace.reply(&token) {
        Err(error) => Check::bad("replies", error.to_string(), "name another with --reply-token"),
        Ok(reply) => match connection.subscribe(&reply.any()).await {
            Ok(_) => Check::good("replies", format!("may listen to {}", reply.any())),
            Err(error) => Check::bad(
                "replies",
                error.to_string(),
                "name the token that this user may listen to with --reply-token, or grant the subject",
            ),
        },
    };
    // Nobody's job: without a subject for answers, a launcher drops it.
    let worker: Result<WorkerName, _> = "doctor".parse();
    let launch = worker.map(|worker| namespace.launch(&worker)).unwrap_or_default();
    let may_launch = match connection.may_send(&[&launch]).await {
        Ok(()) => Check::good("launch", format!("may publish to {launch}")),
        Err(error) => Check::bad("launch", error.to_string(), "grant the subject to this user"),
    };
    vec![listen, may_launch]
}

/// Whether the worker of this name could serve.
async fn worker(connection: &Connection, nats: &Nats, name: &WorkerName) -> Vec<Check> {
    let advice = "grant it to this user: `deploy/accounts.conf` has what each role needs";
    let queue = match Queue::open(connection, &nats.namespace, name).await {
        Ok(_) => Check::good("queue", format!("may pull jobs for {name}")),
        Err(error) => Check::bad("queue", error.to_string(), advice),
    };
    let instance = Instance::random(&mut rand::rng());
    let control = nats.namespace.control_of(name, &instance);
    let control = match connection.subscribe(&control).await {
        Ok(_) => Check::good("control", format!("may listen to {control}")),
        Err(error) => Check::bad("control", error.to_string(), advice),
    };
    let history = History::new(connection.clone(), nats.namespace.clone());
    let deadline = tokio::time::Instant::now() + QUESTION;
    let records = match history.may_record(name, deadline).await {
        Ok(()) => Check::good("records", format!("may read and write the records of {name}")),
        Err(error) => Check::bad("records", error.to_string(), advice),
    };
    let clients = match connection.may_serve_clients(&nats.namespace).await {
        Ok(()) => Check::good("clients", "may send to clients"),
        Err(error) => Check::bad("clients", error.to_string(), advice),
    };
    vec![queue, control, records, clients]
}

/// Whether one of the keys that a worker is said to have is trusted.
fn known(worker: &KnownWorker, trust: Option<&Trust>) -> Check {
    let name = &worker.worker;
    let Some(trust) = trust else { return Check::skipped("worker", format!("{name}: no trust file")) };
    let keys = worker.keys.iter().filter_map(|key| PublicKey::from_jwk(key.to_string().as_bytes()).ok());
    let trusted = keys.filter(|key| trust.worker(&key.thumbprint(), name).is_ok()).count();
    match trusted {
        0 if trust.has_authority(name) => {
            Check::good("worker", format!("{name}: trusted with a certificate by an authority"))
        }
        0 => Check::warn(
            "worker",
            format!("{name}: none of its keys is trusted"),
            "add its public key to the trust file if you have it from its owner, not from the launcher",
        ),
        trusted => Check::good("worker", format!("{name}: {trusted} trusted key(s)")),
    }
}
