//! A deployment whose workers run in containers.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use subrosa::local::Plan;
use subrosa_launcher::{Config, Error};
use subrosa_tests::{
    container::Nats,
    image::Image,
    lab::{Lab, patiently},
    launcher::InProcess,
    skipped::skipped,
};
use testcontainers::{
    bollard::{
        Docker,
        models::{ContainerInspectResponse, NetworkCreateRequest},
        query_parameters::{ListContainersOptions, RemoveImageOptions, TagImageOptionsBuilder},
    },
    core::client::docker_client_instance,
};

use crate::{
    BARE, PROGRAM,
    images::{self, Context},
};

/// A server in a container, a network that reaches it alone, and an image with the example workers.
pub(crate) struct Site {
    pub(crate) lab: Lab,
    pub(crate) engine: Docker,
    pub(crate) network: String,
    /// The site's own name for the image that all share.
    pub(crate) image: String,
    shared: Image,
    /// Where the server is in the network that all containers have by default.
    pub(crate) elsewhere: String,
}

impl Site {
    /// With a worker that nobody serves yet. None, and a word about it, where no Docker engine answers.
    pub(crate) async fn new(worker: &str) -> Option<Self> {
        let Some(nats) = Nats::start(PROGRAM).await else {
            skipped("no Docker engine answers");
            return None;
        };
        let engine = docker_client_instance().await.unwrap();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("subrosa-tests-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let network = NetworkCreateRequest { name: mark.clone(), internal: Some(true), ..Default::default() };
        engine.create_network(network).await.unwrap();
        let elsewhere = nats.join(&mark, "nats").await;
        let build = async |name: &str| context().build(&engine, name).await;
        let shared = Image::share(&engine, images::shared("site"), build).await;
        let tag = TagImageOptionsBuilder::default().repo(&mark).tag("latest").build();
        engine.tag_image(shared.name(), Some(tag)).await.unwrap();
        let image = format!("{mark}:latest");
        let plan = Plan { launchers: 0, others: vec![worker.to_owned()], ..Plan::of(PROGRAM, []) };
        Some(Self { lab: Lab::on(nats, plan).await, engine, network: mark, image, shared, elsewhere })
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

    pub(crate) async fn run(&self, config: &Config) -> Result<InProcess, Error> {
        InProcess::start(config, PROGRAM).await
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

    /// Removes it under the site's own name: others go on using it.
    pub(crate) async fn remove_image(&self) {
        self.engine.remove_image(&self.image, None::<RemoveImageOptions>, None).await.unwrap();
    }

    /// Stops and removes everything.
    pub(crate) async fn stop(self) {
        assert_eq!(self.containers().await, [], "a container is left");
        let Self { lab, engine, network, image, shared, .. } = self;
        lab.stop_all_but_container().await.unwrap().remove_image().await;
        engine.remove_network(&network).await.unwrap();
        // A test may have removed it.
        let _ = engine.remove_image(&image, None::<RemoveImageOptions>, None).await;
        shared.remove().await.unwrap();
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

/// For an image with the programs that these tests run, and the libraries that those need.
fn context() -> Context {
    let context = Context::new();
    fs::write(context.at("Dockerfile"), "FROM scratch\nCOPY root /\nENV PATH=/bin\n").unwrap();
    context.add_program(PROGRAM, "root/bin/subrosa");
    context.add_program(BARE, "root/bin/bare-answer");
    let mut programs = vec![PathBuf::from(PROGRAM)];
    for program in ["bash", "sleep", "tail", "timeout"] {
        let path = ["/bin", "/usr/bin"].map(|directory| Path::new(directory).join(program));
        let path = path.into_iter().find(|path| path.exists()).unwrap();
        context.add(&path, &format!("root/bin/{program}"));
        programs.push(path);
    }
    context.add_libraries(&programs, "root");
    context
}
