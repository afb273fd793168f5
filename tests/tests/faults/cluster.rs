//! A cluster of three servers that loses one in the middle of jobs: the one that leads, and any other.

use std::time::Duration;

use subrosa::local::Plan;
use subrosa_client::{Client, Timing};
use subrosa_tests::{
    cluster::Cluster,
    lab::{Lab, fresh_key, patiently},
};

use crate::{
    PROGRAM,
    scene::{self, Moment},
};

const WORKER: &str = "resident";
const RECORDS: &str = "SUBROSA_RECORDS";
const QUEUE: &str = "SUBROSA_QUEUE";
const RESULTS: &str = "SUBROSA_RESULTS";

/// A deployment on this cluster, where everything is kept three times.
async fn lab(cluster: &Cluster) -> Lab {
    let plan = Plan { others: vec![WORKER.to_owned()], ..Plan::of(PROGRAM, []) };
    Lab::at(cluster.url(), plan, |_, config| {
        let replicated = toml::toml! { replicas = 3 };
        let streams =
            ["queue", "records", "results"].map(|stream| (stream.to_owned(), replicated.clone().into()));
        config.insert("streams".to_owned(), toml::Table::from_iter(streams).into());
        config.extend(toml::toml! { timing = { ack_wait = "5s", probe = "5s" } });
    })
    .await
}

async fn client(lab: &Lab) -> Client {
    let mut timing = Timing::default();
    timing.status = Duration::from_millis(200);
    timing.settle = Duration::from_millis(200);
    let client = Client::connect(lab.url()).identity(fresh_key()).timing(timing);
    client.trust(lab.local.trust().unwrap()).await.unwrap()
}

/// A node is killed, and jobs go on with two; it comes back, and so does what it has missed.
#[tokio::test]
async fn jobs_survive_the_leaders_of_a_cluster() {
    let mut cluster = Cluster::start(PROGRAM).await;
    let lab = lab(&cluster).await;
    let client = client(&lab).await;
    let _worker = scene::serve_gated(lab.worker_config(WORKER), WORKER);
    for stream in [RECORDS, QUEUE] {
        let mut cases = scene::in_every_phase(&lab, &client, WORKER).await;
        let connection = lab.connection().await;
        let leader = cluster.leader(&connection, stream).await;
        cluster.kill(leader).await;
        scene::go_on(&mut cases, Moment::During).await;
        // Two of three are enough for jobs to go on, and to begin.
        let meanwhile = scene::in_every_phase(&lab, &client, WORKER);
        scene::go_on(&mut cases, Moment::After).await;
        scene::are_done(cases, &lab, &client, WORKER).await;
        let mut meanwhile = meanwhile.await;
        cluster.restart(leader).await;
        scene::go_on(&mut meanwhile, Moment::During).await;
        scene::go_on(&mut meanwhile, Moment::After).await;
        scene::are_done(meanwhile, &lab, &client, WORKER).await;
        for stream in [RECORDS, QUEUE, RESULTS] {
            cluster.until_current(&connection, stream).await;
        }
    }
    patiently(client.close()).await;
    lab.stop().await;
}
