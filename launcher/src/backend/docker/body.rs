//! What a container is made of, and what it is denied.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType, MountVolumeOptions,
    ResourcesUlimits,
};
use subrosa_protocol::{id::Attempt, launch::LaunchRequest};

use super::{FILES, label};
use crate::{backend::Started, config::Docker};

/// A container for one attempt, of the image and in the network with these ids.
pub(super) fn body(
    started: &Started,
    docker: &Docker,
    labels: HashMap<String, String>,
    (image, network): (String, String),
    (request, attempt): (&LaunchRequest, Attempt),
) -> ContainerCreateBody {
    let set = |(name, value): (&str, String)| format!("{name}={value}");
    let mut env: Vec<String> = started.variables(request, attempt).into_iter().map(set).collect();
    env.extend(started.files().iter().map(|file| format!("{}={FILES}/{}", file.variable, file.name)));
    env.extend(docker.per_job.env.iter().map(|(name, value)| format!("{name}={value}")));
    let mut labels_with_job = labels.clone();
    labels_with_job.insert(label::JOB.to_owned(), request.job().id().to_string());
    labels_with_job.insert(label::ATTEMPT.to_owned(), attempt.to_string());
    ContainerCreateBody {
        image: Some(image),
        cmd: Some(docker.command.clone()).filter(|command| !command.is_empty()),
        env: Some(env),
        user: Some(format!("{0}:{0}", docker.user)),
        labels: Some(labels_with_job),
        // An image's own would be run by the engine, again and again.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        host_config: Some(host_config(docker, labels, network)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(docker: &Docker, labels: HashMap<String, String>, network: String) -> HostConfig {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let volume = Mount {
        target: Some(FILES.to_owned()),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            labels: Some(labels),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    };
    let tmpfs = ("/tmp".to_owned(), "rw,noexec,nosuid,nodev,size=64m,mode=1777".to_owned());
    let no_core_dumps = ResourcesUlimits { name: Some("core".to_owned()), soft: Some(0), hard: Some(0) };
    let log_limits = [("max-size", "10m"), ("max-file", "1")];
    let log_limits = log_limits.map(|(name, value)| (name.to_owned(), value.to_owned()));
    HostConfig {
        readonly_rootfs: Some(true),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        cap_drop: Some(vec!["ALL".to_owned()]),
        memory: Some(signed(docker.memory)),
        // As much as of memory alone: no swap.
        memory_swap: Some(signed(docker.memory)),
        nano_cpus: Some(signed(docker.nano_cpus)),
        pids_limit: Some(docker.pids.into()),
        ulimits: Some(vec![no_core_dumps]),
        tmpfs: Some(HashMap::from([tmpfs])),
        mounts: Some(vec![volume]),
        network_mode: Some(network),
        // Names of containers are known to the engine itself; others would be asked of the machine's own name
        // servers, which reach beyond an internal network.
        dns: (!docker.open_network).then(|| vec!["127.0.0.1".to_owned()]),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from(log_limits)),
        }),
        ..HostConfig::default()
    }
}
