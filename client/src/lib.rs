//! Hand a job to a worker somewhere else without anyone between them reading it.
//!
//! ```no_run
//! use serde_json::{Value, json};
//! use subrosa_client::{Client, Trust};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("nats://localhost:4222").trust(Trust::from_file("trust.json")?).await?;
//! let job = client
//!     .job("echo")
//!     .options(|_parameters| async { Ok(json!({ "loud": true })) })
//!     .payload(|_parameters| async { Ok(json!({ "value": 77 })) })
//!     .launch()
//!     .await?;
//! let outcome = job.result::<Value>().await?;
//! println!("{}", outcome.value);
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! Each job has an ephemeral key pair of its own. Options, payload, result, progress, log lines and error
//! texts travel sealed for the one worker process that has proven to hold a trusted key; the keys are
//! overwritten when the job is over, by whatever path. One client has one subscription, whatever the
//! number of its jobs.

mod cancel;
mod client;
mod dispatch;
mod driver;
mod error;
mod event;
mod handler;
mod job;
mod launcher;
mod linger;
mod outcome;
mod prepare;
mod ticket;

pub use subrosa_protocol::{
    id::{JobId, NameError},
    identity::{self, SigningKey, Thumbprint, Trust},
    launch::LaunchRequest,
    receipt::{self, Receipt, ReceiptError, Salt, SaltedReceipt},
    refusal::{Code, StepCode},
    subject::Namespace,
    wire::LogLevel,
};

pub use subrosa_transport::Tls;

pub use self::{
    cancel::{CancelToken, Canceller},
    client::{Client, Connect, Timing},
    error::{ClientError, DetachError, HandlerError, JobError, LaunchError, UntrustedWorker},
    event::{Event, EventStream, State, Timings},
    handler::Parameters,
    job::{Bytes, Described, JobBuilder},
    launcher::{JobState, KnownWorker, Launchers},
    outcome::{Job, Outcome},
    prepare::{Draft, JobSecrets, PreparedJob, SecretsError, check_input},
    ticket::{MAX_TICKET_BYTES, Ticket, TicketError},
};
