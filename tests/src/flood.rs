//! Bad launch requests, as many and as fast as one likes.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use subrosa_protocol::{
    encoding::{b64u, hex},
    identity::SigningKey,
    refusal::Code,
};
use subrosa_transport::Connection;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{lab::fresh_key, raw};

/// What must not be found in any log.
pub const CONTENT: &str = "what-a-bad-request-holds";

/// Where bad requests are sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The launchers' service: everyone may ask.
    Service,
    /// The worker's queue: past all launchers, with rights that nobody should have.
    Queue,
}

/// A message, and what it is refused for.
#[derive(Clone, Debug)]
pub struct Bad {
    /// Where it goes.
    pub subject: String,
    /// What it is.
    pub payload: Bytes,
    /// Why it is no good.
    pub code: Code,
}

/// Makes bad launch requests for the worker `echo`, of each kind in turn.
pub struct Flood {
    target: Target,
    made: u64,
    job: Value,
    key: SigningKey,
    /// One signature that does not hold, which serves for all.
    forged: Value,
}

impl Flood {
    /// A flood for this target.
    pub fn new(target: Target) -> Self {
        let mut job = raw::job("echo");
        job["label"] = CONTENT.into();
        let key = fresh_key();
        let forged = raw::request(b"another job", &[&key])["signatures"].clone();
        Self { target, made: 0, job, key, forged }
    }

    /// A good job that nobody has launched.
    fn job(&mut self) -> Value {
        self.job["client_key"] = b64u(rand::random::<[u8; 32]>()).into();
        self.job.clone()
    }

    fn for_service(&mut self) -> Bad {
        let job = self.job();
        let (worker, payload, code) = match self.made % 6 {
            0 => ("echo", CONTENT.repeat(20), Code::BadRequest),
            1 => {
                ("echo", format!(r#"{{"payload": "{}", "signatures": []}}"#, b64u(CONTENT)), Code::BadRequest)
            }
            2 => ("echo", self.forged(&job), Code::BadSignature),
            3 => ("nobody", unsigned(&job), Code::UnknownWorker),
            4 => ("echo", self.of_another(job), Code::Unauthorized),
            _ => ("echo", unsigned(&with(job, "created_ms", u64::MAX >> 12)), Code::BadRequest),
        };
        Bad { subject: format!("subrosa.v1.launch.{worker}"), payload: payload.into(), code }
    }

    fn for_queue(&mut self) -> Bad {
        let job = self.job();
        let id = raw::id(job.to_string().as_bytes()).to_string();
        let (token, payload, code) = match self.made % 5 {
            0 => (hex(rand::random::<[u8; 32]>()), CONTENT.repeat(20), Code::BadRequest),
            1 => (hex(rand::random::<[u8; 32]>()), unsigned(&job), Code::BadRequest),
            2 => (format!("no-job-{}", self.made), unsigned(&job), Code::BadRequest),
            // Nobody has launched these; what they are is not even looked at.
            3 => (id, self.forged(&job), Code::UnknownJob),
            _ => (id, unsigned(&job), Code::UnknownJob),
        };
        Bad { subject: format!("subrosa.v1.queue.echo.{token}"), payload: payload.into(), code }
    }

    fn forged(&self, job: &Value) -> String {
        let mut request = raw::request(job.to_string().as_bytes(), &[]);
        request["signatures"] = self.forged.clone();
        request.to_string()
    }

    /// Somebody else's job, which that one has not signed.
    fn of_another(&self, job: Value) -> String {
        unsigned(&with(job, "client", self.key.thumbprint().to_string()))
    }
}

/// All are different jobs, and there is no end to them.
impl Iterator for Flood {
    type Item = Bad;

    fn next(&mut self) -> Option<Bad> {
        self.made += 1;
        Some(match self.target {
            Target::Service => self.for_service(),
            Target::Queue => self.for_queue(),
        })
    }
}

fn unsigned(job: &Value) -> String {
    raw::request(job.to_string().as_bytes(), &[]).to_string()
}

fn with(mut job: Value, member: &str, value: impl Into<Value>) -> Value {
    job[member] = value.into();
    job
}

/// Sends these, as fast as they go.
pub async fn pour(connection: &Connection, reply: &str, all: Vec<Bad>) {
    for Bad { subject, payload, .. } in all {
        connection.publish(&subject, Some(reply), payload).await.unwrap();
    }
}

/// Sends so many a second for a time; says how many it were.
pub async fn pour_steadily(
    connection: &Connection,
    reply: &str,
    flood: &mut Flood,
    rate: u32,
    time: Duration,
) -> u64 {
    let start = Instant::now();
    let mut ticks = interval(Duration::from_millis(2));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut sent = 0;
    while start.elapsed() < time {
        ticks.tick().await;
        let due = start.elapsed().as_millis() * u128::from(rate) / 1000;
        while u128::from(sent) < due && start.elapsed() < time {
            let Some(Bad { subject, payload, .. }) = flood.next() else { return sent };
            connection.publish(&subject, Some(reply), payload).await.unwrap();
            sent += 1;
        }
    }
    sent
}
