//! At how many bad launch requests a second good jobs stop being served in time:
//!
//! ```console
//! $ cargo bench -p subrosa-tests --bench flood
//! $ cargo bench -p subrosa-tests --bench flood -- queue 5000 10000
//! ```
//!
//! The second asks for one way in only, and for these rates.
//!
//! A launcher, a resident worker, a nats-server, the clients and whoever sends the bad requests share this machine.
//! The unloaded baseline is taken in the same run. `docs/measured.md` has figures.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement that cannot go on says so")]

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use subrosa::local::Example;
use subrosa_client::Client;
use subrosa_tests::{
    flood::{Flood, Target, pour_steadily},
    lab::Lab,
    raw::ask_once,
};
use subrosa_transport::Connection;
use tokio::time::{Instant, interval, sleep, timeout};

/// Bad requests that are offered a second.
const RATES: [u32; 6] = [1_000, 2_000, 5_000, 10_000, 20_000, 40_000];
/// For how long each.
const STEP: Duration = Duration::from_secs(10);
/// Good jobs are launched so often meanwhile.
const EVERY: Duration = Duration::from_millis(100);
/// Served in time is who has the result within this; nineteen of twenty have to.
const IN_TIME: Duration = Duration::from_secs(1);
/// Nobody waits longer than this.
const LIMIT: Duration = Duration::from_secs(30);

const PROGRAM: &str = env!("CARGO_BIN_EXE_subrosa-under-test");

/// How long good jobs took, the fastest first; who had no result, as long as the limit.
struct Served(Vec<Duration>);

impl Served {
    fn at(&self, percent: usize) -> Duration {
        self.0[(self.0.len() - 1) * percent / 100]
    }

    fn ended(&self) -> usize {
        self.0.iter().filter(|took| **took < LIMIT).count()
    }
}

/// Launches good jobs for a while, and waits for their results.
async fn serve(client: &Client) -> Served {
    let mut ticks = interval(EVERY);
    let mut jobs = Vec::new();
    for _ in 0..STEP.as_millis() / EVERY.as_millis() {
        ticks.tick().await;
        let client = client.clone();
        jobs.push(tokio::spawn(async move {
            let start = Instant::now();
            let job = async {
                let job = client.job("echo").payload_value("good").launch().await.ok()?;
                job.result::<Value>().await.ok()
            };
            match timeout(LIMIT, job).await {
                Ok(Some(_)) => start.elapsed().min(LIMIT),
                Ok(None) | Err(_) => LIMIT,
            }
        }));
    }
    let mut took: Vec<Duration> = join_all(jobs).await.into_iter().map(Result::unwrap).collect();
    took.sort();
    Served(took)
}

/// How many bad requests have been dealt with so far.
async fn dealt_with(connection: &Connection, target: Target) -> u64 {
    match target {
        Target::Service => {
            let stats = ask_once(connection, "$SRV.STATS.subrosa-launcher").await;
            let endpoints = stats["endpoints"].as_array().unwrap();
            endpoints.iter().map(|endpoint| endpoint["num_errors"].as_u64().unwrap()).sum()
        }
        Target::Queue => {
            let state = &ask_once(connection, "$JS.API.STREAM.INFO.SUBROSA_QUEUE").await["state"];
            state["last_seq"].as_u64().unwrap() - state["messages"].as_u64().unwrap()
        }
    }
}

/// Waits until nothing is left of a flood.
async fn settled(connection: &Connection, target: Target) {
    loop {
        let before = dealt_with(connection, target).await;
        sleep(Duration::from_secs(2)).await;
        let queue = ask_once(connection, "$JS.API.STREAM.INFO.SUBROSA_QUEUE").await;
        if dealt_with(connection, target).await == before && queue["state"]["messages"] == 0 {
            return;
        }
    }
}

async fn measure(target: Target, rates: &[u32]) {
    let lab = Lab::new(PROGRAM, &[Example::Echo], &[]).await;
    let client = lab.client().await;
    let (sender, watcher) = (lab.connection().await, lab.connection().await);
    // Whatever is slow the first time.
    client.job("echo").launch().await.unwrap().result::<Value>().await.unwrap();
    let unloaded = serve(&client).await;
    let (half, most) = (unloaded.at(50), unloaded.at(95));
    println!("\n{target:?}: unloaded, half of the good jobs take {half:.1?}, 95 % at most {most:.1?}");
    println!("| offered/s | sent/s | dealt with/s | good jobs | median | ratio | 95 % | ratio | in time |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for &rate in rates {
        let (before, start) = (dealt_with(&watcher, target).await, Instant::now());
        let (connection, mut flood) = (sender.clone(), Flood::new(target));
        let flood =
            tokio::spawn(
                async move { pour_steadily(&connection, "_INBOX.nobody", &mut flood, rate, STEP).await },
            );
        let serving = serve(&client);
        let poured = async {
            let sent = flood.await.unwrap();
            let took = start.elapsed();
            (sent, dealt_with(&watcher, target).await - before, took)
        };
        let (served, (sent, dealt_with, took)) = tokio::join!(serving, poured);
        let per_second = |count: u64| count * 1000 / u64::try_from(took.as_millis()).unwrap();
        let ratio = |loaded: Duration, unloaded: Duration| loaded.as_secs_f64() / unloaded.as_secs_f64();
        println!(
            "| {rate} | {} | {} | {} of {} | {:.1?} | {:.1} | {:.1?} | {:.1} | {} |",
            per_second(sent),
            per_second(dealt_with),
            served.ended(),
            served.0.len(),
            served.at(50),
            ratio(served.at(50), half),
            served.at(95),
            ratio(served.at(95), most),
            if served.at(95) <= IN_TIME { "yes" } else { "no" },
        );
        settled(&watcher, target).await;
    }
    client.close().await;
    lab.stop().await;
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rates: Vec<u32> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let rates = if rates.is_empty() { RATES.to_vec() } else { rates };
    for (name, target) in [("service", Target::Service), ("queue", Target::Queue)] {
        let others = ["service", "queue"].into_iter().filter(|other| *other != name);
        if !args.iter().any(|arg| others.clone().any(|other| other == arg)) {
            measure(target, &rates).await;
        }
    }
}
