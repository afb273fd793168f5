//! A nats-server in a container, for machines with a Docker engine: the image `nats` where the engine has it,
//! else one that is built here around the pinned program.

use std::{fs, path::PathBuf};

use subrosa::server::{self, Choice};
use subrosa_launcher::Guard;
use testcontainers::{
    ContainerAsync, GenericBuildableImage, GenericImage, ImageExt as _,
    bollard::{
        Docker,
        models::{EndpointSettings, NetworkConnectRequest},
    },
    core::{IntoContainerPort as _, WaitFor, client::docker_client_instance},
    runners::{AsyncBuilder as _, AsyncRunner as _},
};

use crate::{image::Image, lab::patiently};

/// If this environment variable is `container`, every [`Lab`](crate::lab::Lab) is on a container.
pub const VARIABLE: &str = "SUBROSA_TEST_NATS";

/// The image that is built where the engine does not have `nats`. It is kept for the next run; see
/// [`Nats::remove_image`].
const BUILT: (&str, &str) = ("subrosa-tests-nats-server", "2.12.8");
const DOCKERFILE: &str = "FROM scratch\nCOPY nats-server /nats-server\nENTRYPOINT [\"/nats-server\"]\n";

/// A server in a container of its own.
pub struct Nats {
    container: ContainerAsync<GenericImage>,
    url: String,
    engine: Docker,
    /// What was built here.
    built: Option<Image>,
}

impl Nats {
    /// A server in a container, if that is asked for.
    pub async fn if_wanted(program: impl Into<PathBuf>) -> Option<Self> {
        if std::env::var_os(VARIABLE)? != "container" {
            return None;
        }
        Some(Self::start(program).await.unwrap_or_else(|| panic!("{VARIABLE}: no Docker engine answers")))
    }

    /// Starts one; none where no Docker engine answers. `program` is `subrosa`.
    pub async fn start(program: impl Into<PathBuf>) -> Option<Self> {
        let engine = docker_client_instance().await.ok()?;
        patiently(engine.ping()).await.ok()?;
        let (name, tag) = server::IMAGE.split_once(':').unwrap();
        let (image, built) = match engine.inspect_image(server::IMAGE).await {
            Ok(_) => (GenericImage::new(name, tag), None),
            Err(_) => (GenericImage::new(BUILT.0, BUILT.1), Some(build(&engine, program.into()).await)),
        };
        let image = image
            .with_exposed_port(4222.tcp())
            .with_wait_for(WaitFor::message_on_stderr("Server is ready"))
            .with_cmd(["-js", "-sd", "/data"]);
        let container = patiently(image.start()).await.unwrap();
        let host = container.get_host().await.unwrap();
        let port = container.get_host_port_ipv4(4222).await.unwrap();
        Some(Self { container, url: format!("nats://{host}:{port}"), engine, built })
    }

    /// The server's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Attaches it to another network too, where it has this name. Returns where it is in the first one.
    pub async fn join(&self, network: &str, name: &str) -> String {
        let seen = self.engine.inspect_container(self.container.id(), None).await.unwrap();
        let networks = seen.network_settings.unwrap().networks.unwrap();
        let elsewhere = networks.into_values().find_map(|network| network.ip_address).unwrap();
        let endpoint_config = EndpointSettings { aliases: Some(vec![name.to_owned()]), ..Default::default() };
        let container = self.container.id().to_owned();
        let request = NetworkConnectRequest { container, endpoint_config: Some(endpoint_config) };
        self.engine.connect_network(network, request).await.unwrap();
        elsewhere
    }

    /// Removes the container.
    pub async fn stop(self) {
        self.container.rm().await.unwrap();
    }

    /// Removes the container, and the image if it was built here and nobody else uses it.
    pub async fn remove_image(mut self) {
        let built = self.built.take();
        self.stop().await;
        if let Some(image) = built {
            // Another program's tests may use it, too.
            let _ = image.remove().await;
        }
    }
}

/// Builds an image with nothing in it but the pinned nats-server, which needs nothing else, unless it was kept.
async fn build(engine: &Docker, program: PathBuf) -> Image {
    let (name, tag) = BUILT;
    let build = async |kept: &str| {
        if engine.inspect_image(kept).await.is_err() {
            let image = GenericBuildableImage::new(name, tag)
                .with_dockerfile_string(DOCKERFILE)
                .with_file(pinned_server(program).await, "nats-server");
            let _: GenericImage = patiently(image.build_image()).await.unwrap();
        }
    };
    Image::share(engine, format!("{name}:{tag}"), build).await
}

/// Where the pinned nats-server lies: it is started for a moment, to be asked.
pub async fn pinned_server(program: PathBuf) -> PathBuf {
    let mut options = server::Options::new(Guard::new(program));
    options.choice = Choice::Wheel;
    let server = server::start(options, &mut |_: &str| {}).await.unwrap();
    let path = fs::read_link(format!("/proc/{}/exe", server.pid().unwrap())).unwrap();
    server.stop().await.unwrap();
    path
}
