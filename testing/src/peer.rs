//! The client of a function under test: it says what the test says, or what the attack does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use subrosa_client::{Bytes, Event, HandlerError, JobBuilder, JobError, Parameters};
use subrosa_protocol::id::JobId;
use tokio::sync::Notify;

use crate::{Attack, Odd, world::World};

/// What is no JSON.
const NO_JSON: [u8; 4] = [0xff, 0x00, 0x7b, 0xfe];

/// What the client says.
#[derive(Default)]
pub(crate) struct Peer {
    pub(crate) options: Value,
    pub(crate) payload: Payload,
}

/// A payload of either kind.
#[derive(Clone)]
pub(crate) enum Payload {
    Json(Value),
    Bytes(Vec<u8>),
}

impl Default for Payload {
    fn default() -> Self {
        Self::Json(Value::Null)
    }
}

/// What the client has heard of the worker.
#[derive(Clone)]
pub(crate) struct Heard {
    world: Arc<World>,
    said: Arc<Mutex<Said>>,
    /// The client is about to leave.
    leaves: Arc<Notify>,
}

/// The bodies of the worker's steps.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) job: Option<JobId>,
    pub(crate) parameters: Option<Parameters>,
    pub(crate) ready: Option<Parameters>,
    pub(crate) result: Option<Parameters>,
}

/// What came of a job, as bytes.
pub(crate) type Outcome = Result<Vec<u8>, JobError>;

impl Peer {
    pub(crate) fn heard(&self, world: &Arc<World>) -> Heard {
        Heard { world: world.clone(), said: Arc::default(), leaves: Arc::default() }
    }

    /// Adds handlers that say what the test says, and note what they hear.
    pub(crate) fn describe<'a>(self, job: JobBuilder<'a>, heard: &Heard) -> JobBuilder<'a> {
        let Self { options, payload } = self;
        let (one, two, three) = (heard.clone(), heard.clone(), heard.clone());
        let job = job
            .options(move |parameters| {
                one.said().parameters = Some(parameters);
                std::future::ready(one.answer(&options, Attack::Options, Attack::OptionsRefused))
            })
            .status(move |result| {
                three.said().result = Some(result);
                std::future::ready(Ok(Value::Null))
            });
        let attack = heard.world.attack;
        match payload {
            _ if attack == Some(Attack::PayloadOfBytes) => {
                heard.world.reached.count(true);
                job.payload_bytes(Bytes(NO_JSON.to_vec()))
            }
            Payload::Bytes(bytes) if attack.is_none_or(Attack::is_carried) => job.payload_bytes(Bytes(bytes)),
            payload => job.payload(move |ready| {
                two.said().ready = Some(ready);
                let Payload::Json(payload) = &payload else { return two.clone().pay(Value::Null) };
                two.clone().pay(payload.clone())
            }),
        }
    }
}

impl Heard {
    pub(crate) fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pay(self, payload: Value) -> Result<Value, HandlerError> {
        if self.world.attack == Some(Attack::ClientGone) {
            self.world.reached.count(true);
            self.leaves.notify_one();
            std::future::pending::<()>().await;
        }
        self.answer(&payload, Attack::Payload, Attack::PayloadRefused)
    }

    /// What the test says, or what the attack does.
    fn answer(&self, meant: &Value, odd: fn(Odd) -> Attack, refused: Attack) -> Result<Value, HandlerError> {
        let attack = self.world.attack;
        let odd = Odd::ALL.into_iter().find(|body| attack == Some(odd(*body)));
        self.world.reached.count(odd.is_some() || attack == Some(refused));
        match odd {
            _ if attack == Some(refused) => Err(HandlerError::new("refused")),
            Some(odd) => Ok(odd.instead_of(meant)),
            None => Ok(meant.clone()),
        }
    }

    /// Launches the job, and waits for what comes of it.
    #[expect(clippy::expect_used, reason = "a test that cannot go on says so")]
    pub(crate) async fn follow(&self, job: JobBuilder<'_>) -> (Outcome, Vec<Event>) {
        let mut job = job.launch().await.expect("the job can be launched");
        self.said().job = Some(*job.id());
        let mut stream = job.events();
        let outcome = tokio::select! {
            outcome = job.result_bytes() => outcome.map(|outcome| outcome.value),
            () = self.leaves.notified() => Err(JobError::Closed),
        };
        let mut events = Vec::new();
        while let Some(event) = stream.next().await {
            events.push(event);
        }
        (outcome, events)
    }
}
