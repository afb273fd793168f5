//! NATS, launcher, workers and app in containers of our images, as docker-compose.yml has them: keys made by the
//! image `cli`, each in a volume that only its owner mounts, and `deploy/nats.conf` in force.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use subrosa_client::{Client, Trust};
use subrosa_examples::create_proof::{self, Options, Payload, Proof};
use subrosa_tests::{lab::patiently, skipped::skipped};
use testcontainers::{
    ContainerAsync, ContainerRequest, GenericImage, ImageExt as _,
    bollard::{
        Docker,
        models::{EndpointSettings, NetworkConnectRequest, NetworkCreateRequest},
        query_parameters::{KillContainerOptions, RemoveVolumeOptions},
    },
    core::{
        AccessMode, Healthcheck, IntoContainerPort as _, Mount, WaitFor, client::docker_client_instance,
        wait::ExitWaitStrategy,
    },
    runners::AsyncRunner as _,
};

use crate::{
    images::{Images, deploy},
    successor,
};

/// Where the engine listens, if it is on this machine.
const SOCKET: &str = "/var/run/docker.sock";

/// Who has a volume with keys.
const OWNERS: [&str; 6] = ["authority", "admin", "launcher", "create-proof", "echo", "client"];

/// What makes a test short: a dead worker is noticed soon.
const TIMING: &str = r#"
[timing]
ack_wait = "5s"
probe = "1s"
sweep = "1s"
queued_age = "1s"
"#;

struct Stack {
    engine: Docker,
    /// The name of the network, and the beginning of the volumes'.
    mark: String,
    images: Images,
    directory: tempfile::TempDir,
    url: String,
    running: Vec<ContainerAsync<GenericImage>>,
}

impl Stack {
    /// With NATS and everybody's keys. None, and a word about it, where no Docker engine answers.
    async fn new(images: &[&'static str]) -> Option<Self> {
        let engine = match docker_client_instance().await {
            Ok(engine) if patiently(engine.ping()).await.is_ok() => engine,
            _ => {
                skipped("no Docker engine answers");
                return None;
            }
        };
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("subrosa-stack-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let images = Images::build(&engine, &[&["cli", "nats", "launcher"], images].concat()).await;
        let network = NetworkCreateRequest { name: mark.clone(), internal: Some(true), ..Default::default() };
        engine.create_network(network).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut stack = Self { engine, mark, images, directory, url: String::new(), running: Vec::new() };
        stack.make_keys().await;
        stack.start_nats().await;
        Some(stack)
    }

    fn image(&self, name: &str) -> GenericImage {
        GenericImage::new(self.images.name(name), "latest".to_owned())
    }

    fn volume(&self, name: &str) -> String {
        format!("{}-{name}", self.mark)
    }

    /// As this role: with its keys at `/keys`, in the network, and as little as docker-compose.yml lets it have.
    fn role(
        &self,
        image: impl Into<ContainerRequest<GenericImage>>,
        role: &str,
    ) -> ContainerRequest<GenericImage> {
        let volume =
            |name, path| Mount::volume_mount(self.volume(name), path).with_access_mode(AccessMode::ReadOnly);
        hardened(image.into())
            .with_network(&self.mark)
            .with_mount(volume(role, "/keys"))
            .with_mount(volume("trust", "/trust"))
    }

    async fn run(&mut self, request: ContainerRequest<GenericImage>) -> String {
        let container = patiently(request.start()).await.unwrap();
        let id = container.id().to_owned();
        self.running.push(container);
        id
    }

    /// With the very command of docker-compose.yml. The files that the test itself needs are copied out.
    async fn make_keys(&mut self) {
        let compose = fs::read_to_string(deploy().join("../docker-compose.yml")).unwrap();
        let (_, keys) = compose.split_once("command:\n").unwrap();
        let words = keys.lines().map_while(|line| line.strip_prefix("      - "));
        let mut request = hardened(self.image("cli").with_wait_for(ended()).with_cmd(words));
        for owner in OWNERS {
            request = request.with_mount(Mount::volume_mount(self.volume(owner), format!("/keys/{owner}")));
        }
        for name in ["trust", "users"] {
            request = request.with_mount(Mount::volume_mount(self.volume(name), format!("/{name}")));
        }
        let container = patiently(request.start()).await.unwrap();
        for path in ["/keys/client/nats.nk", "/trust/trust.json"] {
            let to = self.directory.path().join(Path::new(path).file_name().unwrap());
            patiently(container.copy_file_from(path, to)).await.unwrap();
        }
        self.running.push(container);
    }

    /// In the network as `nats`, and where the test reaches it.
    async fn start_nats(&mut self) {
        let users = Mount::volume_mount(self.volume("users"), "/etc/subrosa/users");
        let config = |name: &str| {
            let mount =
                Mount::bind_mount(deploy().join(name).to_str().unwrap(), format!("/etc/subrosa/{name}"));
            mount.with_access_mode(AccessMode::ReadOnly)
        };
        let nats = self.image("nats").with_exposed_port(4222.tcp());
        let nats = nats.with_wait_for(WaitFor::healthcheck());
        let nats = nats.with_cmd(["--config", "/etc/subrosa/nats.conf", "--store_dir", "/data"]);
        let nats = hardened(nats)
            .with_mount(users.with_access_mode(AccessMode::ReadOnly))
            .with_health_check(asked(&[
                "/subrosa-launcher",
                "health",
                "--live",
                "--address",
                "127.0.0.1:8222",
            ]))
            .with_mount(config("nats.conf"))
            .with_mount(config("accounts.conf"))
            .with_mount(Mount::volume_mount(self.volume("jetstream"), "/data"));
        let nats = patiently(nats.start()).await.unwrap();
        let host = nats.get_host().await.unwrap();
        self.url = format!("nats://{host}:{}", nats.get_host_port_ipv4(4222).await.unwrap());
        let endpoint = EndpointSettings { aliases: Some(vec!["nats".to_owned()]), ..Default::default() };
        let request =
            NetworkConnectRequest { container: nats.id().to_owned(), endpoint_config: Some(endpoint) };
        self.engine.connect_network(&self.mark, request).await.unwrap();
        self.running.push(nats);
    }

    /// Makes the streams, and starts a launcher with this configuration.
    async fn start_launcher(&mut self, config: &str, more: impl Fn(Request) -> Request) {
        let path = self.directory.path().join("launcher.toml");
        fs::write(&path, config).unwrap();
        let config = || {
            let config = Mount::bind_mount(path.to_str().unwrap(), "/etc/subrosa/launcher.toml");
            config.with_access_mode(AccessMode::ReadOnly)
        };
        let setup = self.image("launcher").with_wait_for(ended());
        let command =
            "--config /etc/subrosa/launcher.toml --setup --creds /keys/nats.nk --inbox-prefix _INBOX_admin";
        let setup = self.role(setup.with_cmd(command.split(' ')), "admin").with_mount(config());
        self.run(setup).await;
        let launcher = self.image("launcher").with_wait_for(WaitFor::healthcheck());
        let launcher = launcher.with_cmd(["--config", "/etc/subrosa/launcher.toml"]);
        let launcher = launcher.with_health_check(asked(&["/subrosa-launcher", "health"]));
        let launcher = more(self.role(launcher, "launcher").with_mount(config()));
        self.run(launcher).await;
    }

    /// Starts a resident worker. Returns its container's id.
    async fn start_worker(&mut self) -> String {
        let worker = self.image("create-proof").with_wait_for(WaitFor::healthcheck());
        let worker = self.role(worker, "create-proof");
        let worker = environment(worker, "_INBOX_worker-create-proof")
            .with_env_var("SUBROSA_KEY_FILE", "/keys/key.jwk")
            .with_env_var("SUBROSA_CERT_FILE", "/keys/key.cert")
            .with_env_var("SUBROSA_HEALTH_LISTEN", "127.0.0.1:9090")
            .with_health_check(asked(&["/create-proof", "health"]));
        self.run(worker).await
    }

    /// A client of the test's own.
    async fn client(&self) -> Client {
        let at = |name| self.directory.path().join(name);
        let client = Client::connect(&self.url).credentials(at("nats.nk")).inbox_prefix("_INBOX_client");
        let client =
            client.reply_token("FirstClientsToken").trust(Trust::from_file(at("trust.json")).unwrap());
        patiently(client.into_future()).await.unwrap()
    }

    /// Nothing that anybody reads from the engine tells a key.
    async fn is_discreet(&self) {
        let seed = fs::read_to_string(self.directory.path().join("nats.nk")).unwrap();
        for container in &self.running {
            let seen = self.engine.inspect_container(container.id(), None).await.unwrap();
            assert!(!serde_json::to_string(&seen).unwrap().contains(seed.trim()));
        }
    }

    async fn stop(mut self) {
        while let Some(container) = self.running.pop() {
            patiently(container.rm()).await.unwrap();
        }
        for name in OWNERS.iter().chain(&["trust", "users", "jetstream"]) {
            let removed = self.engine.remove_volume(&self.volume(name), None::<RemoveVolumeOptions>).await;
            removed.unwrap();
        }
        self.engine.remove_network(&self.mark).await.unwrap();
        self.images.remove().await;
    }
}

type Request = ContainerRequest<GenericImage>;

fn hardened(image: impl Into<Request>) -> Request {
    let request: Request = image.into();
    request.with_readonly_rootfs(true).with_cap_drop("ALL").with_security_opt("no-new-privileges:true")
}

fn environment(request: Request, inboxes: &str) -> Request {
    request
        .with_env_var("SUBROSA_NATS_URL", "nats://nats:4222")
        .with_env_var("SUBROSA_NATS_CREDS", "/keys/nats.nk")
        .with_env_var("SUBROSA_TRUST_FILE", "/trust/trust.json")
        .with_env_var("SUBROSA_INBOX_PREFIX", inboxes)
        .with_env_var("NO_COLOR", "1")
}

/// A health check by a subcommand: there is no shell.
fn asked(command: &[&str]) -> Healthcheck {
    Healthcheck::cmd(command).with_interval(Duration::from_secs(1)).with_retries(60)
}

/// It has done what it was started for.
fn ended() -> WaitFor {
    WaitFor::exit(ExitWaitStrategy::new().with_exit_code(0))
}

#[tokio::test]
async fn our_images_run_jobs_and_a_worker_that_is_killed_by_hand_has_a_successor() {
    let Some(mut stack) = Stack::new(&["create-proof", "client"]).await else { return };
    let config = fs::read_to_string(deploy().join("launcher.toml")).unwrap() + TIMING;
    stack.start_launcher(&config, |launcher| launcher).await;
    let first = stack.start_worker().await;
    let app = stack.role(stack.image("client").with_wait_for(ended()), "client");
    let app = environment(app, "_INBOX_client").with_env_var("SUBROSA_REPLY_TOKEN", "FirstClientsToken");
    stack.run(app).await;

    let client = stack.client().await;
    let kill = async || {
        stack.engine.kill_container(&first, None::<KillContainerOptions>).await.unwrap();
        stack.start_worker().await;
    };
    successor::proves(&client, kill).await;
    patiently(client.close()).await;
    stack.is_discreet().await;
    stack.stop().await;
}

#[tokio::test]
async fn a_launcher_in_a_container_starts_workers_beside_it() {
    let Ok(socket) = fs::metadata(SOCKET) else {
        skipped(&format!("there is no {SOCKET}"));
        return;
    };
    let Some(mut stack) = Stack::new(&["create-proof"]).await else { return };
    let config = fs::read_to_string(deploy().join("launcher.toml")).unwrap();
    let worker = format!(
        r#"backend = "docker"
        image = "{}"
        network = "{}"
        nats_url = "nats://nats:4222"
        key_file = "/worker/key.jwk"
        cert_file = "/worker/key.cert"
        trust_file = "/trust/trust.json"
        credentials = "/worker/job.nk"
        inbox_prefix = "_INBOX_job-create-proof""#,
        stack.images.name("create-proof"),
        stack.mark,
    );
    let config = config.replacen(r#"backend = "resident""#, &worker, 1) + TIMING;
    let keys = stack.volume("create-proof");
    let with_engine = |launcher: Request| {
        let keys = Mount::volume_mount(&keys, "/worker").with_access_mode(AccessMode::ReadOnly);
        // The engine's group is whose the socket is.
        let user = format!("65532:{}", socket.gid());
        launcher.with_mount(keys).with_mount(Mount::bind_mount(SOCKET, SOCKET)).with_user(user)
    };
    stack.start_launcher(&config, with_engine).await;
    let client = stack.client().await;
    let job = client.job("create-proof").options_value(Options { label: "beside".to_owned() });
    let job = job.payload_value(Payload { value: 77 }).launch().await.unwrap();
    let outcome = patiently(job.result::<Proof>()).await.unwrap();
    create_proof::verify(&outcome.value, "beside").unwrap();
    assert_eq!(outcome.attempt, 1);
    patiently(client.close()).await;
    patiently(async { while !crate::site::containers(&stack.engine, &stack.mark).await.is_empty() {} }).await;
    stack.stop().await;
}
