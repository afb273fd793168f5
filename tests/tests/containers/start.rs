//! How long a job that is queued waits until a worker in a container of its own has begun with it:
//!
//! ```console
//! $ cargo test --workspace --test containers -- --ignored --nocapture how_long
//! ```
//!
//! As `benches/start.rs` has it for processes. The baseline, in turn with the jobs and through the same engine, is a
//! bare container in the same network: from asking for it until its only message is there, which its program sends
//! as soon as it is connected. The engine takes nearly all of the time, so it does not matter that these programs are
//! not optimised.

use std::time::Instant;

use subrosa_tests::start::{Jobs, TABLE, Times, WARM_UP, Watcher};
use testcontainers::bollard::{
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{CreateContainerOptions, RemoveContainerOptions, StartContainerOptions},
};

use crate::site::Site;

const WORKER: &str = "echo";
/// Jobs.
const ROUNDS: usize = 30;

#[tokio::test]
#[ignore = "a measurement"]
async fn how_long_a_job_waits_for_its_container() {
    let Some(site) = Site::new(WORKER).await else { return };
    let config = site.configure(WORKER, &["subrosa", "internal", "worker", WORKER], toml::Table::new());
    let launcher = site.run(&config).await.unwrap();
    let (client, connection) = (site.lab.client().await, site.lab.connection().await);
    let mut jobs = Jobs::new(&connection).await;
    let mut bare = Watcher::new(&connection, "bare.started").await;
    let [mut spawned, mut started] = [(); 2].map(|()| Times::default());
    for _ in 0..WARM_UP + ROUNDS {
        let start = Instant::now();
        let host_config = HostConfig { network_mode: Some(site.network.clone()), ..HostConfig::default() };
        let body = ContainerCreateBody {
            image: Some(site.image.clone()),
            cmd: Some(["bare-answer", "nats://nats:4222", "bare.started"].map(str::to_owned).to_vec()),
            host_config: Some(host_config),
            ..ContainerCreateBody::default()
        };
        let made = site.engine.create_container(None::<CreateContainerOptions>, body).await.unwrap();
        site.engine.start_container(&made.id, None::<StartContainerOptions>).await.unwrap();
        spawned.push(bare.next().await - start);
        let forced = RemoveContainerOptions { force: true, ..Default::default() };
        site.engine.remove_container(&made.id, Some(forced)).await.unwrap();
        started.push(jobs.run(&client, WORKER).await);
        site.until_containers(0).await;
    }
    println!("\n{ROUNDS} of each:\n\n{TABLE}");
    println!("{}", spawned.row("a bare container, from asking for it to its message", &spawned));
    println!("{}", started.row("docker: queue to start", &spawned));
    client.close().await;
    launcher.stop().await;
    site.stop().await;
}
