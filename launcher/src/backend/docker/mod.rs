//! Workers in containers, one per job.
//!
//! What a worker has to keep for itself lies in an anonymous volume of its container, in files that only its
//! user can read. The engine writes them there, before the container starts, from an archive that it is sent:
//! so it does not matter where the launcher itself runs. They are in no environment and no argument list.

mod archive;
mod body;
mod container;
mod error;

use std::{collections::HashMap, path::PathBuf, time::Duration};

use bollard::{
    Docker as Engine, body_full,
    models::ImageInspect,
    query_parameters::{CreateImageOptions, ListContainersOptions, UploadToContainerOptions},
};
use futures_util::TryStreamExt as _;
use subrosa_protocol::{
    id::{Attempt, WorkerName},
    identity::{self, ImageDigest},
    launch::LaunchRequest,
};
use tokio::time::timeout;

pub(super) use self::container::Container;
pub use self::error::DockerError;
use self::{archive::Archive, body::body, error::is_missing};
use super::Started;
use crate::{config::Docker, office::Office};

/// How long an image may take to be pulled.
const PULL: Duration = Duration::from_secs(10 * 60);
/// Where a worker's files lie for it.
const FILES: &str = "/run/subrosa";

/// The labels by which containers are known.
mod label {
    /// The key of the launcher that made it.
    pub(super) const LAUNCHER: &str = "subrosa.launcher";
    pub(super) const NAMESPACE: &str = "subrosa.namespace";
    pub(super) const WORKER: &str = "subrosa.worker";
    pub(super) const JOB: &str = "subrosa.job";
    pub(super) const ATTEMPT: &str = "subrosa.attempt";
}

/// How one worker's containers are made.
pub(crate) struct Containers {
    docker: Docker,
    engine: Engine,
    /// What all of them have.
    labels: HashMap<String, String>,
}

impl Containers {
    /// Finds the engine, removes what a launcher with this key has left over there, and makes sure that image
    /// and network are as they should be.
    pub(super) async fn open(
        docker: &Docker,
        office: &Office,
        worker: &WorkerName,
    ) -> Result<Self, DockerError> {
        let engine = match &docker.engine {
            Some(engine) => Engine::connect_with_host(engine),
            None => Engine::connect_with_defaults(),
        };
        let unreachable = |error| DockerError::from_engine("be asked", &error);
        let engine = engine.map_err(unreachable)?.negotiate_version().await.map_err(unreachable)?;
        let labels = [
            (label::LAUNCHER, office.identity.thumbprint().to_string()),
            (label::NAMESPACE, office.namespace.to_string()),
            (label::WORKER, worker.to_string()),
        ];
        let labels = labels.map(|(name, value)| (name.to_owned(), value)).into();
        let containers = Self { docker: docker.clone(), engine, labels };
        containers.remove_leftovers().await?;
        containers.image().await?;
        containers.network().await?;
        Ok(containers)
    }

    async fn remove_leftovers(&self) -> Result<(), DockerError> {
        let labels = self.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let ours = ListContainersOptions {
            all: true,
            filters: Some(HashMap::from([("label".to_owned(), labels)])),
            ..ListContainersOptions::default()
        };
        let left = self.engine.list_containers(Some(ours)).await;
        let left = left.map_err(|error| DockerError::from_engine("list containers", &error))?;
        for id in left.into_iter().filter_map(|container| container.id) {
            tracing::warn!(container = id, "a container that was left over is removed");
            container::remove(&self.engine, &id).await?;
        }
        Ok(())
    }

    /// Starts a container for one attempt.
    pub(super) async fn start(
        &self,
        started: &Started,
        request: &LaunchRequest,
        attempt: Attempt,
    ) -> Result<Container, DockerError> {
        let archive = self.archive(started)?;
        let (image, network) = (self.image().await?, self.network().await?);
        let body = body(started, &self.docker, self.labels.clone(), (image, network), (request, attempt));
        let created = self.engine.create_container(None, body).await;
        let created = created.map_err(|error| DockerError::from_engine("create a container", &error))?;
        let container = Container::new(&self.engine, created.id, self.docker.memory);
        match self.fill_and_start(&container, archive).await {
            Ok(()) => Ok(container),
            Err(error) => {
                container.remove().await;
                Err(error)
            }
        }
    }

    async fn fill_and_start(&self, container: &Container, archive: Archive) -> Result<(), DockerError> {
        let into = UploadToContainerOptions { path: FILES.to_owned(), ..UploadToContainerOptions::default() };
        let filled = self.engine.upload_to_container(container.id(), Some(into), body_full(archive.finish()));
        filled.await.map_err(|error| DockerError::from_engine("fill a container", &error))?;
        let started = self.engine.start_container(container.id(), None).await;
        started.map_err(|error| DockerError::from_engine("start a container", &error))
    }

    fn archive(&self, started: &Started) -> Result<Archive, DockerError> {
        let mut archive = Archive::new(self.docker.user);
        for file in started.files() {
            let error = |reason| DockerError::File { path: PathBuf::from(file.path), reason };
            archive.add(file.name, file.path).map_err(error)?;
        }
        Ok(archive)
    }

    /// The id of the image, which is the one that the certificate names, if it names one.
    async fn image(&self) -> Result<String, DockerError> {
        let name = &self.docker.image;
        let found = match self.engine.inspect_image(name).await {
            Err(error) if is_missing(&error) && self.docker.pull => {
                self.pull().await?;
                self.engine.inspect_image(name).await
            }
            found => found,
        };
        let found = match found {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Err(DockerError::NoImage { image: name.clone() }),
            Err(error) => return Err(DockerError::from_engine("show an image", &error)),
        };
        let cert = self.docker.per_job.cert_file.as_ref().map(identity::load_cert).transpose()?;
        let certified = cert.and_then(|(_, certified)| certified.certificate.image);
        match certified {
            Some(certified) if !is_image(&found, &certified) => Err(DockerError::OtherImage {
                image: name.clone(),
                id: found.id.unwrap_or_default(),
                certified,
            }),
            _ => found.id.ok_or_else(|| DockerError::NoImage { image: name.clone() }),
        }
    }

    async fn pull(&self) -> Result<(), DockerError> {
        let image = &self.docker.image;
        // Without a tag or digest, an engine pulls all of them.
        let last = image.rsplit('/').next().unwrap_or_default();
        let tag = if last.contains([':', '@']) { None } else { Some("latest".to_owned()) };
        let wanted =
            CreateImageOptions { from_image: Some(image.clone()), tag, ..CreateImageOptions::default() };
        tracing::info!(image, "the image is not there, and is pulled");
        let pulling = self.engine.create_image(Some(wanted), None, None).try_for_each(|_| async { Ok(()) });
        let Ok(pulled) = timeout(PULL, pulling).await else {
            let reason = format!("it took longer than {PULL:?}");
            return Err(DockerError::NotPulled { image: image.clone(), reason });
        };
        pulled.map_err(|error| match DockerError::from_engine("pull an image", &error) {
            DockerError::Refused { reason, .. } => DockerError::NotPulled { image: image.clone(), reason },
            error => error,
        })
    }

    /// The id of the network.
    async fn network(&self) -> Result<String, DockerError> {
        let name = &self.docker.network;
        let network = match self.engine.inspect_network(name, None).await {
            Ok(network) => network,
            Err(error) if is_missing(&error) => return Err(DockerError::NoNetwork { network: name.clone() }),
            Err(error) => return Err(DockerError::from_engine("show a network", &error)),
        };
        if network.internal != Some(true) && !self.docker.open_network {
            return Err(DockerError::OpenNetwork { network: name.clone() });
        }
        network.id.ok_or_else(|| DockerError::NoNetwork { network: name.clone() })
    }
}

/// Whether an image's id or one of its repositories' digests is this one.
fn is_image(image: &ImageInspect, digest: &ImageDigest) -> bool {
    let digest = digest.to_string();
    let has_digest = |name: &String| name.rsplit_once('@').is_some_and(|(_, given)| given == digest);
    image.id.as_ref() == Some(&digest) || image.repo_digests.iter().flatten().any(has_digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_its_id_or_a_whole_digest_of_a_repository() {
        let digest = |digit: char| format!("sha256:{}", digit.to_string().repeat(64));
        let image = ImageInspect {
            id: Some(digest('a')),
            repo_tags: Some(vec!["echo:latest".to_owned()]),
            repo_digests: Some(vec![format!("registry:5000/echo@{}", digest('b'))]),
            ..ImageInspect::default()
        };
        let is = |digit| is_image(&image, &digest(digit).parse().unwrap());
        assert!(is('a') && is('b') && !is('c'));
        assert!(!is_image(&ImageInspect::default(), &digest('a').parse().unwrap()));
    }
}
