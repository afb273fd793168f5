//! Jobs on a nats-server in a container, and workers in containers, where a Docker engine answers.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

mod docker;
mod images;
mod site;
mod stack;
mod start;
mod successor;

use subrosa::local::{Backend, Example, Plan};
use subrosa_examples::create_proof::{self, Options, Payload, Proof};
use subrosa_tests::{
    container::Nats,
    lab::{Lab, patiently},
    skipped::skipped,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_subrosa-under-test");
const BARE: &str = env!("CARGO_BIN_EXE_bare-answer");

#[tokio::test]
async fn a_job_runs_to_its_verified_result_on_a_server_in_a_container() {
    for backend in [Backend::Resident, Backend::Process] {
        let Some(container) = Nats::start(PROGRAM).await else {
            skipped("no Docker engine answers");
            return;
        };
        let url = container.url().to_owned();
        let lab = Lab::on(container, Plan { backend, ..Plan::of(PROGRAM, [Example::CreateProof]) }).await;
        assert_eq!(lab.url(), url);
        let client = lab.client().await;
        let job = client
            .job("create-proof")
            .options_value(Options { label: "bound".to_owned() })
            .payload_value(Payload { value: 77 })
            .launch()
            .await
            .unwrap();
        let id = *job.id();
        let outcome = patiently(job.result::<Proof>()).await.unwrap();
        create_proof::verify(&outcome.value, "bound").unwrap();
        patiently(client.close()).await;
        let history = lab.history("create-proof", &id, "closed").await;
        assert_eq!(history, ["queued", "taken", "running", "closed"], "{backend:?}");
        lab.stop_all_but_container().await.unwrap().remove_image().await;
    }
}
