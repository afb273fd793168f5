//! A cluster of three real servers on this machine, whose nodes can be killed, stopped and started again.
//!
//! Every port is one that the server itself has found free, those of the routes too: a node is told where those are
//! that were started before it, and the nodes tell each other of the rest.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use serde_json::{Value, json};
use subrosa::server::{self, Choice, Server};
use subrosa_launcher::Guard;
use subrosa_transport::{Connect, Connection};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    lab::{PATIENCE, patiently},
    processes::{Process, signal, until},
};

/// How many nodes there are.
pub const NODES: usize = 3;

/// Nobody listens there. A node counts its routes to know how many nodes to wait for.
const NOBODY: &str = "nats-route://127.0.0.1:1";

/// Three servers.
pub struct Cluster {
    nodes: Vec<Node>,
    url: String,
    // Last: the servers write there.
    directory: TempDir,
}

/// One of them.
struct Node {
    server: Server,
    /// Where its routes come in.
    route: String,
    /// Whether it was ended and not started again.
    is_down: bool,
}

impl Cluster {
    /// Starts three servers; returns when they have agreed on who leads, and keep what is replicated three times.
    /// `program` is `subrosa`.
    pub async fn start(program: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("subrosa-cluster-").tempdir().unwrap();
        let mut cluster = Self { nodes: Vec::new(), url: String::new(), directory };
        for number in 0..NODES {
            let mut options = server::Options::new(Guard::new(program.into()));
            options.choice = Choice::Wheel;
            options.state_dir = Some(cluster.directory.path().join(format!("node-{number}")));
            options.config = Some(cluster.configure(number));
            let server = patiently(server::start(options, &mut |_: &str| {})).await.unwrap();
            let route = route(&server);
            cluster.nodes.push(Node { server, route, is_down: false });
        }
        let urls: Vec<&str> = cluster.nodes.iter().map(|node| node.server.url()).collect();
        cluster.url = urls.join(",");
        let connection = cluster.connection().await;
        let stream =
            json!({ "name": "READY", "subjects": ["ready"], "num_replicas": NODES, "storage": "memory" });
        ask_until_granted(&connection, "$JS.API.STREAM.CREATE.READY", &stream).await;
        ask_until_granted(&connection, "$JS.API.STREAM.DELETE.READY", &json!({})).await;
        cluster
    }

    /// Writes a node's configuration: it knows of the others that run.
    fn configure(&self, number: usize) -> PathBuf {
        let others = self.nodes.iter().enumerate();
        let others = others.filter(|(other, node)| *other != number && !node.is_down);
        let routes = others.map(|(_, node)| node.route.as_str()).chain([NOBODY; NODES]).take(NODES);
        let routes: Vec<&str> = routes.collect();
        let path = self.directory.path().join(format!("node-{number}.conf"));
        let config = format!(
            "server_name: node-{number}\ncluster {{ name: subrosa, listen: \"127.0.0.1:-1\", routes: {routes:?} }}\n"
        );
        fs::write(&path, config).unwrap();
        path
    }

    /// The URLs of all nodes, with commas between them.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL of one node.
    pub fn url_of(&self, node: usize) -> &str {
        self.nodes[node].server.url()
    }

    /// A node's process id, for signals.
    pub fn pid(&self, node: usize) -> u32 {
        self.nodes[node].server.pid().unwrap()
    }

    /// A plain connection to any node.
    pub async fn connection(&self) -> Connection {
        Connect::new(self.url(), "test").connect().await.unwrap()
    }

    /// Kills a node.
    pub async fn kill(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        node.server.kill().await.unwrap();
        node.is_down = true;
    }

    /// Lets a node end in an orderly way.
    pub async fn stop(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        let pid = node.server.pid().unwrap();
        signal(pid, Signal::TERM);
        until("the node has ended", || !Process::is_running(pid)).await;
        node.is_down = true;
    }

    /// Starts a node again, with what it has stored, at the same URL.
    pub async fn restart(&mut self, node: usize) {
        self.configure(node);
        let node = &mut self.nodes[node];
        patiently(node.server.restart()).await.unwrap();
        node.route = route(&node.server);
        node.is_down = false;
    }

    /// Which node leads a stream. The connection must be to a node that runs.
    pub async fn leader(&self, connection: &Connection, stream: &str) -> usize {
        let subject = format!("$JS.API.STREAM.INFO.{stream}");
        loop {
            let info = ask_until_granted(connection, &subject, &json!({})).await;
            if let Some(leader) = info["cluster"]["leader"].as_str() {
                return leader.strip_prefix("node-").unwrap().parse().unwrap();
            }
        }
    }

    /// Waits until all replicas of a stream have all that it holds.
    pub async fn until_current(&self, connection: &Connection, stream: &str) {
        let subject = format!("$JS.API.STREAM.INFO.{stream}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let info = ask_until_granted(connection, &subject, &json!({})).await;
            let replicas = info["cluster"]["replicas"].as_array().cloned().unwrap_or_default();
            let current = |replica: &&Value| replica["current"] == true && replica["offline"] != true;
            if info["cluster"]["leader"].is_string() && replicas.iter().filter(current).count() == NODES - 1 {
                return;
            }
            assert!(Instant::now() < deadline, "{stream}: {info}");
            tokio::task::yield_now().await;
        }
    }
}

/// Where a server takes routes, as it says itself.
fn route(server: &Server) -> String {
    let path = server.state_dir().join(format!("nats-server_{}.ports", server.pid().unwrap()));
    ports(&path)["cluster"][0].as_str().unwrap().replace("nats://", "nats-route://")
}

fn ports(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Asks JetStream until it does what is asked.
async fn ask_until_granted(connection: &Connection, subject: &str, question: &Value) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let question = question.to_string().into();
        let answer = connection.request_until(subject, None, question, deadline).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        if answer.get("error").is_none() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{subject}: {answer}");
        tokio::task::yield_now().await;
    }
}
