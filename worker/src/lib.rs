//! Serve a function as a Subrosa worker.
//!
//! A worker is a function that is given a sealed job: it asks for the client's options, then for the
//! payload, and answers with a result. Order is a type; there is no way to ask for the payload before the
//! options, or to answer twice.
//!
//! ```no_run
//! use serde_json::{Value, json};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), subrosa_worker::Error> {
//!     subrosa_worker::serve("echo", |job| async move {
//!         let (options, job) = job.options::<Value>(&json!({ "version": 1 })).await?;
//!         let (payload, job) = job.ready::<Value>(&()).await?;
//!         job.progress(0.5, "listening");
//!         job.done(&json!({ "options": options, "payload": payload })).await
//!     })
//!     .await
//! }
//! ```
//!
//! The same program runs in two ways. *Resident*, it pulls jobs from the queue itself, several at once.
//! Started with `SUBROSA_JOB` in its environment, as a launcher does, it runs that one job and exits with 0
//! only if the job was closed with its result.
//!
//! | variable | what | default |
//! |---|---|---|
//! | `SUBROSA_NATS_URL` | the NATS server | `nats://127.0.0.1:4222` |
//! | `SUBROSA_NATS_CREDS` | a NATS credentials file | none |
//! | `SUBROSA_INBOX_PREFIX` | the prefix of reply subjects | `_INBOX` |
//! | `SUBROSA_NAMESPACE` | the first token of every subject | `subrosa` |
//! | `SUBROSA_KEY_FILE` | the worker's signing key, a JWK file of mode 0600 | required |
//! | `SUBROSA_CERT_FILE` | the certificate of that key, a compact JWT | none |
//! | `SUBROSA_TRUST_FILE` | the launchers' and workers' public keys, a JWK Set | required |
//! | `SUBROSA_REVOKED_FILE` | keys that are good for nothing any more, a thumbprint a line | none |
//! | `SUBROSA_SIGNERS_FILE` | the keys of which some have to sign a job, a JWK Set | anyone may |
//! | `SUBROSA_SIGNERS_NEEDED` | how many of them | required with the former |
//! | `SUBROSA_POLICY_MODE` | what becomes of other jobs: `enforce`, `warn` or `off` | `enforce` |
//! | `SUBROSA_SLOTS` | how many jobs run at once when resident | 16 |
//! | `SUBROSA_DRAIN_SECONDS` | how long running jobs may take to finish after SIGTERM | 30 |
//! | `SUBROSA_HEALTH_LISTEN` | where a resident worker answers health checks, such as `127.0.0.1:9091` | nowhere |
//! | `SUBROSA_JOB`, `SUBROSA_ATTEMPT` | the one job to run, and its attempt; set by a launcher | none |

mod attempt;
mod config;
mod control;
mod delivery;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    //! What the fuzz targets (`fuzz/`) reach behind the API, and no part of it.

    pub use crate::delivery::verdict;
}
mod health;
mod held;
mod job;
mod numbers;
mod panics;
mod process;
mod resident;
mod serve;
mod single;

pub use subrosa_protocol::{identity::Thumbprint, wire::LogLevel};

pub use self::{
    config::{Config, ConfigError, OneJob, Timing},
    error::{Error, Failure},
    health::health,
    job::{Done, Job, Launched, Prepared, Running},
    serve::{Function, serve, serve_here, serve_with},
};
