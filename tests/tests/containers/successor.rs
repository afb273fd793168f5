//! A job that outlives the worker that has it.

use std::sync::atomic::{AtomicBool, Ordering};

use subrosa_client::Client;
use subrosa_examples::create_proof::{self, Options, Payload, Proof};
use subrosa_tests::lab::patiently;
use tokio::sync::mpsc;

/// Has a number proven. `kill` ends the first worker while it waits for the payload, which only the next one gets.
pub(crate) async fn proves(client: &Client, kill: impl AsyncFnOnce()) {
    let (asked, mut asks) = mpsc::unbounded_channel();
    let job = client.job("create-proof").options_value(Options { label: "again".to_owned() });
    let first_time = AtomicBool::new(true);
    let job = job.payload(move |_| {
        let (asked, is_first) = (asked.clone(), first_time.swap(false, Ordering::Relaxed));
        async move {
            asked.send(()).unwrap();
            if is_first {
                std::future::pending::<()>().await;
            }
            Ok(Payload { value: 77 })
        }
    });
    let job = job.launch().await.unwrap();
    patiently(asks.recv()).await.unwrap();
    kill().await;
    let outcome = patiently(job.result::<Proof>()).await.unwrap();
    create_proof::verify(&outcome.value, "again").unwrap();
    assert_eq!(outcome.attempt, 2);
}
