//! A server that is about to stop, and lets its connections know.

use rustix::process::Signal;
use serde_json::{Value, json};
use subrosa::server::Server;
use subrosa_client::Client;
use subrosa_launcher::setup;
use subrosa_tests::{
    gate::{self, Gate},
    lab::{fresh_key, patiently, serve},
    processes::{self, until},
};
use subrosa_transport::{ApiPrefix, Connect, Connection};

use crate::{
    bench::Bench,
    domain::{leaf_port, start},
};

/// The server that a connection is at.
fn server_of(connection: &Connection) -> String {
    connection.client().unwrap().server_info().server_name
}

async fn end(server: Server) {
    server.stop().await.unwrap();
}

#[tokio::test]
async fn everybody_leaves_a_server_that_is_about_to_stop() {
    let bench = Bench::new(0).await;
    let files = tempfile::tempdir().unwrap();
    let hub = "server_name: hub\njetstream { domain: hub }\nleafnodes { listen: \"127.0.0.1:-1\" }\n";
    let hub = start(files.path(), "hub", hub).await;
    let leaf = async |name: &str| {
        let config = format!(
            "server_name: {name}\njetstream {{ domain: {name} }}\n\
             leafnodes {{ remotes: [ {{ url: \"nats-leaf://127.0.0.1:{}\" }} ] }}\n",
            leaf_port(&hub)
        );
        start(files.path(), name, &config).await
    };
    let (one, two) = (leaf("one").await, leaf("two").await);
    let connect = |url: String| {
        let mut connect = Connect::new(url, "test");
        connect.api_prefix = ApiPrefix::domain("hub").unwrap();
        connect
    };
    let both = format!("{},{}", one.url(), two.url());
    let mut config = bench.config();
    config.nats = connect(both.clone());
    setup(&config).await.unwrap();
    let launcher = bench.run(config).await;
    let mut worker = bench.lab.worker_config("echo");
    worker.nats = connect(both.clone());
    let worker = serve(worker, "echo", gate::pass);
    let client = Client::connect(&both).identity(fresh_key()).trust(bench.local().trust().unwrap());
    let client = client.await.unwrap();
    let (watched, gate) = (connect(both).connect().await.unwrap(), Gate::new().await);
    let job = client.job("echo").payload_value(gate.payload()).launch().await.unwrap();
    let visitor = gate.arrival().await;

    let (leaving, staying) = if server_of(&watched) == "one" { (one, two) } else { (two, one) };
    let left = server_of(&watched);
    processes::signal(leaving.pid().unwrap(), Signal::USR2);
    // It would go on for half a minute with those who stay.
    until("the connection has moved", || server_of(&watched) != left).await;
    visitor.go_on().await;
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().value, 1);
    end(leaving).await;
    let job = client.job("echo").payload_value(gate.payload()).launch().await.unwrap();
    gate.arrival().await.go_on().await;
    assert_eq!(patiently(job.result::<Value>()).await.unwrap().value, json!(1));

    patiently(client.close()).await;
    worker.draining.cancel();
    patiently(worker.served).await.unwrap().unwrap();
    launcher.stop().await;
    end(staying).await;
    end(hub).await;
    bench.lab.stop().await;
}
