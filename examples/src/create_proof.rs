use serde::{Deserialize, Serialize};
#[derive(Debug, Serialize, Deserialize)]
pub struct Options { pub label: String }
#[derive(Debug, Serialize, Deserialize)]
pub struct Payload { pub value: i64 }
#[derive(Debug, Serialize, Deserialize)]
pub struct Proof { pub label: String }
#[derive(Debug)]
pub struct E;
impl std::fmt::Display for E { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("value is not between 0 and 100") } }
impl std::error::Error for E {}
pub fn verify(p: &Proof, label: &str) -> Result<(), E> { if p.label == label { Ok(()) } else { Err(E) } }
#[tokio::main]
pub async fn main() -> Result<(), subrosa_worker::Error> {
    subrosa_worker::serve("create-proof", |job| async move {
        let (options, job) = job.options::<Options>(&1).await?;
        let (payload, job) = job.ready::<Payload>(&()).await?;
        if !(0..=100).contains(&payload.value) { return Err(E.into()); }
        job.progress(0.5, "x");
        job.done(&Proof{label: options.label}).await
    })
    .await
}
