//! The worker `gated`, or one of another name: its function waits until a test lets it go on. Or the worker `teller`,
//! whose function says a lot.

use subrosa_tests::{gate, teller};

#[tokio::main]
async fn main() -> Result<(), subrosa_worker::Error> {
    let _telemetry = subrosa_telemetry::Telemetry::start("worker");
    match std::env::args().nth(1).as_deref() {
        Some(teller::WORKER) => subrosa_worker::serve(teller::WORKER, teller::tell).await,
        name => subrosa_worker::serve(name.unwrap_or(gate::WORKER), gate::pass).await,
    }
}
