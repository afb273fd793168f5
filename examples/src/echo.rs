use serde_json::{Value, json};
#[tokio::main]
pub async fn main() -> Result<(), subrosa_worker::Error> {
    subrosa_worker::serve("echo", |job| async move {
        let (options, job) = job.options::<Value>(&json!({ "version": 1 })).await?;
        let (payload, job) = job.ready::<Value>(&()).await?;
        job.done(&json!({ "options": options, "payload": payload })).await
    })
    .await
}
