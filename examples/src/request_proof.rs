//! An app that has the worker `create-proof` prove that a number lies between 0 and 100, and verifies the proof.
//!
//! It is told by its environment where and as whom to connect, as a worker is: `SUBROSA_NATS_URL`,
//! `SUBROSA_NATS_CREDS`, `SUBROSA_INBOX_PREFIX`, `SUBROSA_TRUST_FILE`; and `SUBROSA_REPLY_TOKEN` is the token under
//! which its NATS user may listen. It ends with 0 only if it has a proof that holds.

use std::{env, error::Error};

use subrosa_client::{Client, Trust};
use subrosa_examples::create_proof::{Options, Payload, Proof, verify};

/// What the proof is bound to.
const LABEL: &str = "invoice 4711";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let trust =
        env::var("SUBROSA_TRUST_FILE").map_err(|_| "SUBROSA_TRUST_FILE names no file with trusted keys")?;
    let url = env::var("SUBROSA_NATS_URL").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());
    let mut client = Client::connect(url).trust(Trust::from_file(trust)?);
    if let Ok(credentials) = env::var("SUBROSA_NATS_CREDS") {
        client = client.credentials(credentials);
    }
    if let Ok(prefix) = env::var("SUBROSA_INBOX_PREFIX") {
        client = client.inbox_prefix(prefix);
    }
    if let Ok(token) = env::var("SUBROSA_REPLY_TOKEN") {
        client = client.reply_token(token);
    }
    let client = client.await?;

    let job = client
        .job("create-proof")
        .options_value(Options { label: LABEL.to_owned() })
        .payload_value(Payload { value: 77 })
        .launch()
        .await?;
    println!("{}: launched", job.id());
    let outcome = job.result::<Proof>().await?;
    verify(&outcome.value, LABEL)?;
    println!("a proof that holds, of attempt {}, by the worker {}", outcome.attempt, outcome.worker);
    client.close().await;
    Ok(())
}
