//! The worker `gated`, or one of another name: its function waits until a test lets it go on.

#[tokio::main]
async fn main() -> Result<(), subrosa_worker::Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let name = std::env::args().nth(1);
    subrosa_worker::serve(name.as_deref().unwrap_or(subrosa_tests::gate::WORKER), subrosa_tests::gate::pass)
        .await
}
