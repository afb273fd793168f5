//! Bad launch requests in such numbers that nobody could look at each: good jobs are served beside them, and every
//! bad one is counted.

use std::collections::BTreeMap;

use futures_util::future::{join_all, join3};
use rustix::process::Signal;
use serde_json::Value;
use subrosa::local::{Example, Plan};
use subrosa_tests::{
    flood::{self, Bad, CONTENT, Flood, Target},
    lab::{Lab, patiently},
    processes::signal,
    raw::ask_once,
};
use subrosa_transport::Subscription;
use tokio::process::Child;

use crate::PROGRAM;

/// How many bad ones go each way.
const EACH_WAY: usize = 10_000;

/// Why how many were refused.
type Reasons = BTreeMap<String, u64>;

fn bad(target: Target) -> (Vec<Bad>, Reasons) {
    let all: Vec<Bad> = Flood::new(target).take(EACH_WAY).collect();
    let mut reasons = Reasons::new();
    for bad in &all {
        *reasons.entry(bad.code.to_string()).or_default() += 1;
    }
    (all, reasons)
}

/// What a log says was refused, all lines together.
fn logged(log: &str, what: &str) -> Reasons {
    let mut reasons = Reasons::new();
    for line in log.lines().filter(|line| line.contains(what)) {
        let (_, listed) = line.split_once("reasons=").unwrap();
        for reason in listed.split(", ") {
            let (code, count) = reason.split_once(": ").unwrap();
            *reasons.entry(code.to_owned()).or_default() += count.parse::<u64>().unwrap();
        }
    }
    reasons
}

/// Reads so many answers, and returns how many of them are errors.
async fn answers(inbox: &mut Subscription) -> usize {
    let mut errors = 0;
    for _ in 0..EACH_WAY {
        let answer = patiently(inbox.next()).await.unwrap();
        errors += usize::from(answer.headers.is_some_and(|it| it.get("Subrosa-Error").is_some()));
    }
    errors
}

async fn ends(mut children: Vec<Child>) {
    for child in &mut children {
        signal(child.id().unwrap(), Signal::TERM);
        assert!(patiently(child.wait()).await.unwrap().success());
    }
}

#[tokio::test]
async fn twenty_thousand_bad_requests_keep_nobody_from_twenty_good_jobs() {
    let plan = Plan::of(PROGRAM, [Example::Echo]);
    let mut lab = Lab::configured(plan, |_, config| {
        // So that each is refused for what it is.
        config.insert("max_requests".to_owned(), 65_536.into());
    })
    .await;
    let client = lab.client().await;
    let connection = lab.connection().await;
    let mut from_service = connection.subscribe("_INBOX.service").await.unwrap();
    let mut from_queue = connection.subscribe("_INBOX.queue").await.unwrap();
    let (to_service, refused_by_service) = bad(Target::Service);
    let (to_queue, refused_by_worker) = bad(Target::Queue);

    let flood = async {
        flood::pour(&connection, "_INBOX.queue", to_queue).await;
        flood::pour(&connection, "_INBOX.service", to_service).await;
    };
    let answered = async {
        // The stream has taken all of them.
        assert_eq!(answers(&mut from_queue).await, 0);
        assert_eq!(answers(&mut from_service).await, EACH_WAY);
    };
    let jobs = join_all((0..20).map(async |n| {
        let job = client.job("echo").payload_value(n).launch().await.unwrap();
        assert_eq!(patiently(job.result::<Value>()).await.unwrap().value["payload"], n);
    }));
    join3(flood, answered, jobs).await;
    patiently(client.close()).await;

    // Nothing of it stays in the queue.
    patiently(async {
        while ask_once(&connection, "$JS.API.STREAM.INFO.SUBROSA_QUEUE").await["state"]["messages"] != 0 {}
    })
    .await;
    let logs = ["launcher", "worker"].map(|part| lab.local.log(part));
    ends(lab.local.workers.split_off(0)).await;
    ends(lab.local.launchers.split_off(0)).await;
    let [launcher, worker] = logs.map(|log| std::fs::read_to_string(log).unwrap());
    assert_eq!(logged(&launcher, "requests refused"), refused_by_service);
    assert_eq!(logged(&worker, "deliveries refused"), refused_by_worker);
    for log in [launcher, worker] {
        assert!(!log.contains(CONTENT), "{log}");
        assert!(log.lines().count() < 200, "{log}");
    }
    lab.stop().await;
}
