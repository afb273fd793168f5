//! JetStream in another domain: the streams lie on a hub, and everybody else is at a leaf node.

use std::{fs, path::Path};

use rustix::process::Signal;
use serde_json::{Value, json};
use subrosa::server::{self, Options, Server};
use subrosa_client::Client;
use subrosa_launcher::{Guard, setup};
use subrosa_tests::{
    lab::{fresh_key, guarded, patiently, serve},
    metrics::Endpoint,
    processes::Running,
};
use subrosa_transport::{ApiPrefix, Connect};
use subrosa_worker::{Done, Failure, Job, Launched};

use crate::{PROGRAM, bench::Bench};

pub(crate) async fn start(directory: &Path, name: &str, config: &str) -> Server {
    let path = directory.join(format!("{name}.conf"));
    fs::write(&path, config).unwrap();
    let mut options = Options::new(Guard::new(PROGRAM.into()));
    options.config = Some(path);
    server::start(options, &mut |_: &str| {}).await.unwrap()
}

/// Where the server takes leaf nodes: its log says so before it is ready, and its file of ports does not.
pub(crate) fn leaf_port(server: &Server) -> String {
    let log = fs::read_to_string(server.log()).unwrap();
    let line = log.lines().find(|line| line.contains("Listening for leafnode connections")).unwrap();
    line.rsplit_once(':').unwrap().1.to_owned()
}

async fn answer(job: Job<Launched>) -> Result<Done, Failure> {
    let (_, job) = job.options::<Value>(&()).await?;
    let (payload, job) = job.ready::<Value>(&()).await?;
    job.done(&payload).await
}

#[tokio::test]
async fn everything_goes_through_a_leaf_node_to_the_domain_of_the_streams() {
    let bench = Bench::new(0).await;
    let files = tempfile::tempdir().unwrap();
    let hub = "server_name: hub\njetstream { domain: hub }\nleafnodes { listen: \"127.0.0.1:-1\" }\n";
    let hub = start(files.path(), "hub", hub).await;
    let port = leaf_port(&hub);
    let leaf = format!(
        "server_name: leaf\njetstream {{ domain: leaf }}\n\
         leafnodes {{ remotes: [ {{ url: \"nats-leaf://127.0.0.1:{port}\" }} ] }}\n"
    );
    let leaf = start(files.path(), "leaf", &leaf).await;

    let connect = |prefix: &ApiPrefix| {
        let mut connect = Connect::new(leaf.url(), "test");
        connect.api_prefix = prefix.clone();
        connect
    };
    let url = leaf.url().to_owned();
    bench.lab.configure(|config| {
        config.extend(toml::toml! {
            nats = { url = url, domain = "hub" }
            health = { listen = "127.0.0.1:0", sample = "100ms" }
        });
    });
    setup(&bench.config()).await.unwrap();
    let mut launcher = guarded(PROGRAM, PROGRAM);
    launcher.args(["internal", "launcher", "--config"]).arg(bench.local().launcher_config());
    let mut launcher = Running::start(launcher);
    let endpoint = Endpoint::of(&mut launcher).await;
    launcher.says("launcher ready").await;
    // It finds the queue on the hub.
    endpoint.numbers_once("the queue is known", |numbers| numbers.has("subrosa_queue_pending")).await;
    endpoint.until(200, "ready").await;
    let mut worker = bench.lab.worker_config("echo");
    worker.nats = connect(&"$JS.hub.API".parse().unwrap());
    let worker = serve(worker, "echo", answer);
    let client = Client::connect(leaf.url()).identity(fresh_key()).trust(bench.local().trust().unwrap());
    let client = client.await.unwrap();
    let job = client.job("echo").payload_value("far away").launch().await.unwrap();
    let id = *job.id();
    assert_eq!(patiently(job.result::<Value>()).await.unwrap().value, json!("far away"));

    let mut jobs = guarded(PROGRAM, PROGRAM);
    jobs.args(["--json", "jobs", "--nats", leaf.url(), "--domain", "hub"]);
    let jobs = Running::start(jobs).ends().await;
    assert!(jobs.status.success() && jobs.text().contains(&id.to_string()), "{}", jobs.text());
    // They lie on the hub, and not on the leaf node.
    let mut at_home = bench.config();
    at_home.nats = connect(&ApiPrefix::default());
    let missing = subrosa_launcher::Launcher::start(&at_home, &Guard::new(PROGRAM.into())).await;
    assert!(missing.err().unwrap().to_string().contains("SUBROSA_RECORDS does not exist"));
    patiently(client.close()).await;
    worker.draining.cancel();
    patiently(worker.served).await.unwrap().unwrap();
    launcher.signal(Signal::TERM);
    launcher.ends().await;
    leaf.stop().await.unwrap();
    hub.stop().await.unwrap();
    bench.lab.stop().await;
}
