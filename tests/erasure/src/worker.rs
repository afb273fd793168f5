//! The worker `erasing`: its function waits until the test says how it ends.

use std::time::Duration;

use subrosa_worker::{Config, Done, Failure, Job, Launched, serve_with};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::body;

/// The worker's name.
const NAME: &str = "erasing";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long to wait for the client's answer to `ready`.
    #[arg(long, default_value_t = 60_000)]
    ready_ms: u64,
    /// How long to wait for the client's answer to `done`.
    #[arg(long, default_value_t = 60_000)]
    done_ms: u64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut config = Config::from_env(NAME)?;
    config.timing.ready = Duration::from_millis(args.ready_ms);
    config.timing.done = Duration::from_millis(args.done_ms);
    // So that another worker's taking over is soon noticed.
    config.timing.look = Duration::from_secs(1);
    config.timing.probe = Duration::from_secs(1);
    serve_with(config, NAME, work, CancellationToken::new()).await?;
    Ok(())
}

async fn work(job: Job<Launched>) -> Result<Done, Failure> {
    let (_, job) = job.options::<Zeroizing<String>>(&()).await?;
    let (payload, job) = job.ready_bytes(&()).await?;
    let payload = Zeroizing::new(payload);
    job.progress(0.5, "at the gate");
    let gate = payload.split(|byte| *byte == b' ').next_back().unwrap_or_default();
    let mut stream = TcpStream::connect(str::from_utf8(gate)?).await?;
    stream.write_u32(std::process::id()).await?;
    match stream.read_u8().await? {
        1 => job.done_bytes(body("result")).await,
        2 => panics(),
        _ => Err(Failure::new("it was sent away")),
    }
}

#[expect(clippy::panic, reason = "this is what is tried")]
fn panics() -> ! {
    panic!("as the test wants it")
}
