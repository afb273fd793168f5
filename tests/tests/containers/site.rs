//! A deployment whose workers run in containers.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use subrosa::local::Plan;
use subrosa_launcher::{Config, Error, Guard, Launcher};
use subrosa_tests::{
    container::Nats,
    lab::{Lab, patiently},
};
use testcontainers::{
    bollard::{
        Docker,
        models::{ContainerInspectResponse, NetworkCreateRequest},
        query_parameters::{ListContainersOptions, RemoveImageOptions},
    },
    core::client::docker_client_instance,
};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{PROGRAM, images::Context};

/// A server in a container, a network that reaches it alone, and an image with the example workers.
pub(crate) struct Site {
    pub(crate) lab: Lab,
    pub(crate) engine: Docker,
    pub(crate) network: String,
    pub(crate) image: String,
    /// Where the server is in the network that all containers have by default.
    pub(crate) elsewhere: String,
}

/// A launcher in the test's own process.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        patiently(self.served).await.unwrap();
    }
}

impl Site {
    /// With a worker that nobody serves yet. None, and a word about it, where no Docker engine answers.
    pub(crate) async fn new(worker: &str) -> Option<Self> {
        let Some(nats) = Nats::start(PROGRAM).await else {
            eprintln!("\nSKIPPED: no Docker engine answers\n");
            return None;
        };
        let engine = docker_client_instance().await.unwrap();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("subrosa-tests-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let network = NetworkCreateRequest { name: mark.clone(), internal: Some(true), ..Default::default() };
        engine.create_network(network).await.unwrap();
        let elsewhere = nats.join(&mark, "nats").await;
        let image = image(&engine, &mark).await;
        let plan = Plan { launchers: 0, others: vec![worker.to_owned()], ..Plan::of(PROGRAM, []) };
        Some(Self { lab: Lab::on(nats, plan).await, engine, network: mark, image, elsewhere })
    }

    /// The launchers' configuration with the worker in containers: with this command, and further members.
    pub(crate) fn configure(&self, worker: &str, command: &[&str], more: toml::Table) -> Config {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let mut entry = toml::Table::from_iter([
            ("name".to_owned(), worker.into()),
            ("backend".to_owned(), "docker".into()),
            ("image".to_owned(), self.image.as_str().into()),
            ("command".to_owned(), command.to_vec().into()),
            ("network".to_owned(), self.network.as_str().into()),
            ("nats_url".to_owned(), "nats://nats:4222".into()),
            ("key_file".to_owned(), path(&self.lab.local.worker_key(worker)).into()),
            ("trust_file".to_owned(), path(self.lab.local.trust_file()).into()),
        ]);
        entry.extend(more);
        self.lab.configure(|config| {
            config.insert("worker".to_owned(), vec![entry].into());
        });
        Config::from_file(self.lab.local.launcher_config()).unwrap()
    }

    pub(crate) async fn run(&self, config: &Config) -> Result<Running, Error> {
        let launcher = Launcher::start(config, &Guard::new(PROGRAM.into())).await?;
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(launcher.serve(async move {
            let _ = stopped.await;
        }));
        Ok(Running { stop, served })
    }

    /// What is left to be seen of the site's workers, running or not.
    pub(crate) async fn containers(&self) -> Vec<ContainerInspectResponse> {
        containers(&self.engine, &self.network).await
    }

    /// Waits until there are so many of them.
    pub(crate) async fn until_containers(&self, count: usize) -> Vec<ContainerInspectResponse> {
        patiently(async {
            loop {
                let found = self.containers().await;
                if found.len() == count {
                    return found;
                }
            }
        })
        .await
    }

    /// Waits until there is one that runs.
    pub(crate) async fn until_one_runs(&self) -> ContainerInspectResponse {
        patiently(async {
            loop {
                let one = self.until_containers(1).await.remove(0);
                if is_running(&one) {
                    return one;
                }
            }
        })
        .await
    }

    pub(crate) async fn remove_image(&self) {
        let forced = RemoveImageOptions { force: true, ..Default::default() };
        self.engine.remove_image(&self.image, Some(forced), None).await.unwrap();
    }

    /// Stops and removes everything.
    pub(crate) async fn stop(self) {
        assert_eq!(self.containers().await, [], "a container is left");
        let Self { lab, engine, network, image, .. } = self;
        lab.stop_all_but_container().await.unwrap().remove_image().await;
        engine.remove_network(&network).await.unwrap();
        // A test may have removed it.
        let _ = engine.remove_image(&image, None::<RemoveImageOptions>, None).await;
    }
}

pub(crate) fn is_running(container: &ContainerInspectResponse) -> bool {
    container.state.as_ref().unwrap().running == Some(true)
}

/// The workers' containers in this network.
pub(crate) async fn containers(engine: &Docker, network: &str) -> Vec<ContainerInspectResponse> {
    let filters = [("label", "subrosa.job"), ("network", network)];
    let ours = ListContainersOptions {
        all: true,
        filters: Some(filters.map(|(name, value)| (name.to_owned(), vec![value.to_owned()])).into()),
        ..Default::default()
    };
    let mut found = Vec::new();
    for container in engine.list_containers(Some(ours)).await.unwrap() {
        // It may be gone by now.
        found.extend(engine.inspect_container(&container.id.unwrap(), None).await.ok());
    }
    found
}

/// An image with the programs that these tests run, and the libraries that those need.
async fn image(engine: &Docker, name: &str) -> String {
    let context = Context::new();
    fs::write(context.at("Dockerfile"), "FROM scratch\nCOPY root /\nENV PATH=/bin\n").unwrap();
    context.add_program(PROGRAM, "root/bin/subrosa");
    let mut programs = vec![PathBuf::from(PROGRAM)];
    for program in ["bash", "sleep", "tail", "timeout"] {
        let path = ["/bin", "/usr/bin"].map(|directory| Path::new(directory).join(program));
        let path = path.into_iter().find(|path| path.exists()).unwrap();
        context.add(&path, &format!("root/bin/{program}"));
        programs.push(path);
    }
    context.add_libraries(&programs, "root");
    let name = format!("{name}:latest");
    context.build(engine, &name).await;
    name
}
