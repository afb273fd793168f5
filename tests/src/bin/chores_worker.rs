//! A worker of any name, whose function does what it is told.

#[tokio::main]
async fn main() -> Result<(), subrosa_worker::Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let name = std::env::args().nth(1).unwrap_or_default();
    subrosa_tests::chores::serve(&name).await
}
