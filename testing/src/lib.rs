//! Test a worker's function, or a client's handlers, in memory: no server, no launcher, no files.
//!
//! Client, worker and the sealed sessions between them are the real ones, and take all the steps that they
//! take elsewhere. What carries their messages is a few tables in memory, and so is the launcher, which
//! starts one worker process per job, as a task.
//!
//! ```
//! # use serde_json::json;
//! # use subrosa_worker::{Done, Failure, Job, Launched};
//! # #[derive(serde::Deserialize)]
//! # struct Options { greeting: String }
//! async fn greet(job: Job<Launched>) -> Result<Done, Failure> {
//!     let (options, job) = job.options::<Options>(&json!({ "version": 1 })).await?;
//!     let (name, job) = job.ready::<String>(&()).await?;
//!     job.progress(0.5, "thinking");
//!     job.done(&format!("{}, {name}", options.greeting)).await
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let run = subrosa_testing::run(greet).options(json!({ "greeting": "hello" })).payload("world").await;
//! assert_eq!(run.result::<String>().unwrap(), "hello, world");
//! assert_eq!(run.progress(), [0.5]);
//!
//! for attack in subrosa_testing::Attack::on_worker() {
//!     let run = subrosa_testing::run(greet).options(json!({ "greeting": "hello" })).payload("world");
//!     let run = run.attack(attack).await;
//!     run.withstood().unwrap();
//!     if attack.is_carried() {
//!         assert_eq!(run.result::<String>().unwrap(), "hello, world");
//!     }
//! }
//! # }
//! ```
//!
//! [`run`] is for a worker's function, [`client`] for handlers and for whatever takes a client. Each can be
//! put under an [`Attack`]; some of them take seconds, unless tokio's time is paused, as by
//! `#[tokio::test(start_paused = true)]`. That works here: nothing has a thread of its own.

mod attack;
mod attacker;
mod broker;
mod client;
mod function;
mod launcher;
mod odd;
mod peer;
mod ran;
mod records;
mod relay;
mod run;
mod verdict;
mod world;

pub use self::{
    attack::Attack,
    client::{Connect, TestClient, client},
    function::values,
    odd::Odd,
    ran::Ran,
    run::{Run, run},
    verdict::Weakness,
};
