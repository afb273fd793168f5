//! Workers in containers of their own, on a real engine.

use std::{path::Path, sync::Arc};

use rustix::process::Signal;
use serde_json::Value;
use subrosa_client::JobError;
use subrosa_examples::create_proof::{self, Options, Payload, Proof};
use subrosa_launcher::{DockerError, Error};
use subrosa_protocol::{
    identity::{Certificate, file},
    record::Event,
};
use subrosa_tests::{
    lab::{fresh_key, guarded, patiently, seed},
    processes,
};
use subrosa_transport::now_ms;
use testcontainers::bollard::{models::ContainerInspectResponse, query_parameters::RemoveContainerOptions};
use tokio::{
    io::copy_bidirectional,
    net::{UnixListener, UnixStream},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinHandle,
};

use crate::{
    site::{Site, containers, is_running},
    successor,
};

/// The engine of the tests, where its socket is.
const SOCKET: &str = "/var/run/docker.sock";

#[tokio::test]
async fn a_job_runs_in_a_container_that_is_denied_everything_else() {
    let Some(site) = Site::new("create-proof").await else { return };
    // It reaches its result only if it reaches the server, nothing else, and can write nowhere but in /tmp.
    let script = format!(
        "set -e; (exec 3<>/dev/tcp/nats/4222)
        if timeout 1 bash -c 'exec 3<>/dev/tcp/{}/4222'; then exit 1; fi
        for path in / /bin /run; do if (: > $path/written); then exit 2; fi; done
        : > /tmp/written
        [[ $UID == 65532 && $SUBROSA_KEY_FILE == /run/subrosa/key.jwk ]]
        while read -r name value; do if [[ $name == CapEff: ]]; then [[ $value == 0000000000000000 ]]; fi; done < /proc/self/status
        exec /bin/subrosa internal worker create-proof",
        site.elsewhere
    );
    let limits = toml::toml! { memory = "64MiB" cpus = 0.5 pids = 64 };
    let launcher = site.run(&site.configure("create-proof", &["bash", "-c", &script], limits)).await.unwrap();
    let client = site.lab.client().await;
    // It is looked at while the client is asked: then it runs.
    let (engine, network) = (site.engine.clone(), site.network.clone());
    let (sender, mut receiver) = unbounded_channel();
    let sender = Arc::new(sender);
    let job = client
        .job("create-proof")
        .options(move |_| {
            let (engine, network, sender) = (engine.clone(), network.clone(), sender.clone());
            async move {
                sender.send(containers(&engine, &network).await).unwrap();
                Ok(Options { label: "bound".to_owned() })
            }
        })
        .payload_value(Payload { value: 77 })
        .launch()
        .await
        .unwrap();
    let id = *job.id();
    let outcome = patiently(job.result::<Proof>()).await.unwrap();
    create_proof::verify(&outcome.value, "bound").unwrap();
    assert_eq!(outcome.attempt, 1);
    let seen = receiver.recv().await.unwrap();
    assert_eq!(seen.len(), 1);
    is_hardened(&seen[0]);
    let shown = serde_json::to_string(&seen[0]).unwrap();
    assert!(shown.contains(&id.to_string()), "it is labelled with its job");
    assert!(!shown.contains(&seed(&site.lab.local.worker_key("create-proof"))), "the key is shown");
    assert_eq!(
        site.lab.history("create-proof", &id, "closed").await,
        ["queued", "taken", "running", "closed"]
    );
    site.until_containers(0).await;
    // With it went the volume in which the key was.
    let volume = seen[0].mounts.as_ref().unwrap()[0].name.clone().unwrap();
    assert!(site.engine.inspect_volume(&volume).await.is_err(), "its files are left");
    patiently(client.close()).await;
    launcher.stop().await;
    site.stop().await;
}

fn is_hardened(container: &ContainerInspectResponse) {
    let host = container.host_config.as_ref().unwrap();
    assert_eq!(container.config.as_ref().unwrap().user.as_deref(), Some("65532:65532"));
    assert_eq!(host.readonly_rootfs, Some(true));
    assert_eq!(host.privileged, Some(false));
    assert_eq!(host.cap_drop.as_deref(), Some(&["ALL".to_owned()][..]));
    assert_eq!(host.cap_add.as_deref().unwrap_or_default(), [""; 0]);
    assert_eq!(host.security_opt.as_deref(), Some(&["no-new-privileges:true".to_owned()][..]));
    assert_eq!((host.memory, host.memory_swap), (Some(64 << 20), Some(64 << 20)));
    assert_eq!((host.nano_cpus, host.pids_limit), (Some(500_000_000), Some(64)));
    assert_eq!(host.binds.as_deref().unwrap_or_default(), [""; 0]);
    let mounts = container.mounts.as_ref().unwrap();
    assert_eq!(mounts.len(), 1, "{mounts:?}");
    assert_eq!(mounts[0].destination.as_deref(), Some("/run/subrosa"));
    let networks = container.network_settings.as_ref().unwrap().networks.as_ref().unwrap();
    assert_eq!(networks.len(), 1, "{networks:?}");
}

/// Launches a job that fails, and says with which public words.
async fn failure(site: &Site) -> String {
    let client = site.lab.client().await;
    let job = client.job("echo").launch().await.unwrap();
    let id = *job.id();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    let JobError::Ended { state, code, .. } = &error else { panic!("{error}") };
    assert_eq!((state.as_str(), code.as_deref()), ("failed", Some("start_failed")));
    let records = site.lab.records("echo", &id, "failed").await;
    let Event::Failed(reason) = &records.last().unwrap().event else { panic!() };
    patiently(client.close()).await;
    site.until_containers(0).await;
    reason.text.clone()
}

/// What keeps a launcher from starting.
async fn refused(site: &Site, more: toml::Table) -> DockerError {
    match site.run(&site.configure("echo", &["sleep", "600"], more)).await {
        Err(Error::Docker { reason, .. }) => reason,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it starts"),
    }
}

#[tokio::test]
async fn a_container_that_cannot_do_its_work_fails_its_job_with_a_reason() {
    let Some(site) = Site::new("echo").await else { return };
    for (command, memory, reason) in [
        (&["bash", "-c", "exit 3"][..], "64MiB", "the worker's container ended before it took the job"),
        (&["tail", "/dev/zero"], "16MiB", "the worker's container ran out of memory before it took the job"),
        (&["there-is-no-such-program"], "64MiB", "the worker's container could not be started"),
    ] {
        let more = toml::toml! { memory = memory };
        let launcher = site.run(&site.configure("echo", command, more)).await.unwrap();
        assert_eq!(failure(&site).await, reason);
        launcher.stop().await;
    }

    let launcher = site.run(&site.configure("echo", &["sleep", "600"], toml::Table::new())).await.unwrap();
    let killed_by_hand = async {
        let id = site.until_one_runs().await.id.unwrap();
        site.engine.kill_container(&id, None).await.unwrap();
    };
    let (reason, ()) = tokio::join!(failure(&site), killed_by_hand);
    assert_eq!(reason, "the worker's container ended before it took the job");
    launcher.stop().await;

    // A launcher does not start without what it needs, and says what is missing.
    let missing = refused(&site, toml::toml! { image = "subrosa-tests-none:1" }).await;
    assert!(matches!(missing, DockerError::NoImage { .. }), "{missing}");
    let missing = refused(&site, toml::toml! { network = "subrosa-tests-none" }).await;
    assert!(matches!(missing, DockerError::NoNetwork { .. }), "{missing}");
    let missing = refused(&site, toml::toml! { engine = "unix:///there/is/none.sock" }).await;
    assert!(matches!(missing, DockerError::Unreachable { .. }), "{missing}");

    let certificate = |image: &str| {
        let path = site.lab.local.trust_file().with_file_name("image.cert");
        let certificate = Certificate {
            worker: "echo".parse().unwrap(),
            key: file::load(site.lab.local.worker_key("echo")).unwrap().public().clone(),
            issued_s: now_ms() / 1000,
            expires_s: now_ms() / 1000 + 600,
            image: Some(image.parse().unwrap()),
        };
        std::fs::write(&path, certificate.sign(&fresh_key())).unwrap();
        let path = path.to_str().unwrap();
        toml::toml! { cert_file = path }
    };
    let other = refused(&site, certificate(&format!("sha256:{}", "a".repeat(64)))).await;
    assert!(matches!(other, DockerError::OtherImage { .. }), "{other}");
    let id = site.engine.inspect_image(&site.image).await.unwrap().id.unwrap();
    let certified = site.configure("echo", &["sleep", "600"], certificate(&id));
    site.run(&certified).await.unwrap().stop().await;

    // What goes away later fails the jobs that come then: first the engine, then the image.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("engine.sock");
    let mut relay = way_to_engine(&path);
    let launcher = site.run(&site.configure("echo", &["sleep", "600"], engine_at(&path))).await.unwrap();
    end(&mut relay).await;
    assert_eq!(failure(&site).await, "the container engine does not answer");
    launcher.stop().await;
    let launcher = site.run(&site.configure("echo", &["sleep", "600"], toml::Table::new())).await.unwrap();
    site.remove_image().await;
    assert_eq!(failure(&site).await, "the worker's image is not there");
    launcher.stop().await;
    site.stop().await;
}

/// Has a launcher ask the engine by this way.
fn engine_at(path: &Path) -> toml::Table {
    let engine = format!("unix://{}", path.display());
    toml::toml! { engine = engine }
}

/// Ends a task of the test's.
async fn end(task: &mut JoinHandle<()>) {
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
}

/// A way to the engine that ends with its task.
fn way_to_engine(path: &Path) -> JoinHandle<()> {
    // Of a way that has ended.
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = UnixStream::connect(SOCKET).await.unwrap();
            connections.spawn(async move { copy_bidirectional(&mut near, &mut far).await });
        }
    })
}

/// An engine that is asked, which it tells, and says nothing.
fn stalled_engine(path: &Path) -> (JoinHandle<()>, UnboundedReceiver<UnixStream>) {
    std::fs::remove_file(path).unwrap();
    let listener = UnixListener::bind(path).unwrap();
    let (tell, asked) = unbounded_channel();
    let engine = tokio::spawn(async move {
        while let Ok((asking, _)) = listener.accept().await {
            tell.send(asking).unwrap();
        }
    });
    (engine, asked)
}

#[tokio::test]
async fn a_launcher_ends_in_time_although_its_engine_has_stalled() {
    let Some(site) = Site::new("echo").await else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("engine.sock");
    let mut way = way_to_engine(&path);
    site.lab.configure(|config| config.extend(toml::toml! { timing = { drain = "1s" } }));
    let launcher = site.run(&site.configure("echo", &["sleep", "600"], engine_at(&path))).await.unwrap();
    end(&mut way).await;
    let (stalled, mut asked) = stalled_engine(&path);
    let client = site.lab.client().await;
    let job = client.job("echo").launch().await.unwrap();
    let id = *job.id();
    let asking = patiently(asked.recv()).await.unwrap();
    patiently(launcher.stop()).await;
    assert_eq!(site.lab.history("echo", &id, "queued").await, ["queued"], "it may be started elsewhere");
    stalled.abort();
    // It would have the client wait.
    drop((asking, job, client));
    site.stop().await;
}

#[tokio::test]
async fn a_container_that_is_removed_by_hand_fails_its_job_with_that_reason() {
    let Some(site) = Site::new("echo").await else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("engine.sock");
    let mut way = way_to_engine(&path);
    let launcher = site.run(&site.configure("echo", &["sleep", "600"], engine_at(&path))).await.unwrap();
    // The launcher sees neither the end of the container nor what is left of it.
    let removed_by_hand = async {
        let id = site.until_one_runs().await.id.unwrap();
        end(&mut way).await;
        let all = RemoveContainerOptions { force: true, v: true, link: false };
        site.engine.remove_container(&id, Some(all)).await.unwrap();
        way = way_to_engine(&path);
    };
    let (reason, ()) = tokio::join!(failure(&site), removed_by_hand);
    assert_eq!(reason, "the worker's container was removed before it took the job");
    launcher.stop().await;
    way.abort();
    site.stop().await;
}

#[tokio::test]
async fn a_container_that_is_killed_by_hand_has_a_successor() {
    let Some(site) = Site::new("create-proof").await else { return };
    let worker = ["subrosa", "internal", "worker", "create-proof"];
    let launcher = site.run(&site.configure("create-proof", &worker, toml::Table::new())).await.unwrap();
    let client = site.lab.client().await;
    let kill = async || {
        let first = site.until_one_runs().await.id.unwrap();
        site.engine.kill_container(&first, None).await.unwrap();
    };
    successor::proves(&client, kill).await;
    patiently(client.close()).await;
    site.until_containers(0).await;
    launcher.stop().await;
    site.stop().await;
}

#[tokio::test]
async fn what_a_killed_launcher_leaves_over_the_next_one_removes() {
    let Some(site) = Site::new("echo").await else { return };
    let config = site.configure("echo", &["sleep", "600"], toml::Table::new());
    let mut command = guarded(crate::PROGRAM, crate::PROGRAM);
    command.args(["internal", "launcher", "--config"]).arg(site.lab.local.launcher_config());
    let mut killed = processes::Running::start(command);
    killed.says("launcher ready").await;
    let client = site.lab.client().await;
    let job = client.job("echo").launch().await.unwrap();
    let id = *job.id();
    let left = site.until_one_runs().await;
    killed.signal(Signal::KILL);
    killed.ends().await;
    assert!(is_running(&site.containers().await[0]), "nobody has ended it");

    let next = site.run(&config).await.unwrap();
    let gone = site.engine.inspect_container(left.id.as_ref().unwrap(), None).await;
    assert!(gone.is_err(), "it is left over");
    let volume = left.mounts.as_ref().unwrap()[0].name.clone().unwrap();
    assert!(site.engine.inspect_volume(&volume).await.is_err(), "its files are left over");
    assert_eq!(site.lab.history("echo", &id, "queued").await, ["queued"], "the job is not");
    // It would have the client wait.
    drop((job, client));
    next.stop().await;
    site.stop().await;
}
