//! A cluster of three servers that loses one in the middle of jobs: the one that leads, and any other.

use futures_util::future::join;
use subrosa::local::Plan;
use subrosa_tests::{
    cluster::{Cluster, NODES},
    lab::{Lab, PATIENCE, patiently},
};
use tokio::time::Instant;

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

/// A node is killed, and jobs go on with two; it comes back, and so does what it has missed.
#[tokio::test]
async fn jobs_survive_the_leaders_of_a_cluster() {
    let mut cluster = Cluster::start(PROGRAM).await;
    let lab = lab(&cluster).await;
    let client = scene::client(&lab).await;
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

/// Two of three are lost: nothing can be stored, and nothing is lost of what was.
#[tokio::test]
async fn jobs_survive_that_a_cluster_loses_its_majority() {
    let mut cluster = Cluster::start(PROGRAM).await;
    let lab = lab(&cluster).await;
    let client = scene::client(&lab).await;
    let _worker = scene::serve_gated(lab.worker_config(WORKER), WORKER);
    let mut cases = scene::in_every_phase(&lab, &client, WORKER).await;
    let leader = cluster.leader(&lab.connection().await, RECORDS).await;
    let other = (leader + 1) % NODES;
    cluster.kill(leader).await;
    cluster.stop(other).await;
    scene::go_on(&mut cases, Moment::During).await;
    cluster.restart(other).await;
    scene::go_on(&mut cases, Moment::After).await;
    scene::are_done(cases, &lab, &client, WORKER).await;
    cluster.restart(leader).await;
    let connection = lab.connection().await;
    for stream in [RECORDS, QUEUE, RESULTS] {
        cluster.until_current(&connection, stream).await;
    }
    patiently(client.close()).await;
    lab.stop().await;
}

/// Who starts while a cluster has no leader is told so by JetStream, and asks again.
#[tokio::test]
async fn what_jetstream_cannot_do_just_now_is_asked_again() {
    let lab = Lab::new(PROGRAM, &[], &[WORKER]).await;
    let connection = lab.connection().await;
    let mut asked = connection.subscribe("asked").await.unwrap();
    let unavailable =
        r#"{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}"#;
    let answers = async {
        for answer in [unavailable, unavailable, "{}"] {
            let question = patiently(asked.next()).await.unwrap();
            connection.publish(&question.reply.unwrap(), None, answer.into()).await.unwrap();
        }
    };
    let deadline = Instant::now() + PATIENCE;
    let (answer, ()) = join(connection.request_until("asked", None, "".into(), deadline), answers).await;
    assert_eq!(answer.unwrap().payload, "{}");
    lab.stop().await;
}
