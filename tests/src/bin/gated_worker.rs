//! The worker `gated`: its function waits until a test lets it go on.

#[tokio::main]
async fn main() -> Result<(), subrosa_worker::Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    subrosa_worker::serve(subrosa_tests::gate::WORKER, subrosa_tests::gate::pass).await
}
