//! A client's handlers under test: its jobs run in memory, and the attacks come from workers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subrosa_client::{Client, Event, HandlerError, JobError, State, StepCode};
use subrosa_testing::{Attack, Odd, Weakness, client, values};
use subrosa_worker::{Done, Failure, Job, Launched};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Version {
    version: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Room {
    room: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sum {
    sum: u64,
}

async fn adds(job: Job<Launched>) -> Result<Done, Failure> {
    let (options, job) = job.options::<Value>(&Version { version: 3 }).await?;
    let (payload, job) = job.ready::<Vec<u64>>(&Room { room: 10 }).await?;
    job.progress(0.5, "adding");
    let sum = payload.iter().sum::<u64>() + options["plus"].as_u64().unwrap_or_default();
    job.done(&Sum { sum }).await
}

/// What the handlers have been given.
type Given = Arc<Mutex<Vec<Value>>>;

/// An app: it looks at what the worker says before it sends anything.
async fn app(client: &Client, given: &Given) -> Result<Sum, JobError> {
    let note = |said: Value| given.lock().unwrap().push(said);
    let (one, two) = (given.clone(), given.clone());
    let job = client
        .job("adds")
        .options(move |said| {
            let given = one.clone();
            async move {
                let said: Version = said.json()?;
                given.lock().unwrap().push(json!(said));
                match said.version {
                    3 => Ok(json!({ "plus": 1 })),
                    other => Err(HandlerError::bad_input(format!("unknown version {other}"))),
                }
            }
        })
        .payload(move |said| {
            let given = two.clone();
            async move {
                let said: Room = said.json()?;
                given.lock().unwrap().push(json!(said));
                if said.room > 100 { Err(HandlerError::bad_input("too roomy")) } else { Ok([70, 6]) }
            }
        })
        .max_attempts(2)
        .launch()
        .await
        .unwrap();
    let sum = job.result::<Sum>().await?.value;
    note(json!(sum));
    Ok(sum)
}

#[tokio::test]
async fn jobs_of_a_real_client_run_in_memory() {
    let client = client(adds).await;
    let mut job =
        client.job("adds").options_value(json!({ "plus": 1 })).payload_value([1, 2]).launch().await.unwrap();
    let mut stream = job.events();
    assert_eq!(job.result::<Sum>().await.unwrap().value, Sum { sum: 4 });
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event);
    }
    let progress = Event::Progress { fraction: 0.5, message: "adding".to_owned() };
    assert!(events.contains(&progress) && events.contains(&Event::State(State::Done)), "{events:?}");
    // Several at once, for whichever worker.
    let jobs = (0..5_u64).map(|number| {
        let client = (*client).clone();
        async move {
            let job =
                client.job(format!("adds-{number}")).payload_value([number, number]).launch().await.unwrap();
            job.result::<Sum>().await.unwrap().value.sum
        }
    });
    let sums = futures_util::future::join_all(jobs).await;
    assert_eq!(sums, [0, 2, 4, 6, 8]);
    assert_eq!(client.reached(), 0);
    client.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_given_up_is_cancelled() {
    let running = Arc::new(AtomicUsize::new(0));
    let count = running.clone();
    let client = client(move |job: Job<Launched>| {
        let count = count.clone();
        async move {
            struct Runs(Arc<AtomicUsize>);
            impl Drop for Runs {
                fn drop(&mut self) {
                    self.0.fetch_sub(1, Ordering::SeqCst);
                }
            }
            count.fetch_add(1, Ordering::SeqCst);
            let _runs = Runs(count);
            let (_, job) = job.options::<Value>(&()).await?;
            let (_, _job) = job.ready::<Value>(&()).await?;
            std::future::pending::<Result<Done, Failure>>().await
        }
    })
    .await;
    let mut job = client.job("sleeps").launch().await.unwrap();
    let mut events = job.events();
    while events.next().await != Some(Event::State(State::Running)) {}
    assert_eq!(running.load(Ordering::SeqCst), 1);
    let id = *job.id();
    assert_eq!(client.history(&id), ["queued", "taken", "running"]);
    drop(job);
    (*client).clone().close().await;
    assert_eq!(client.history(&id), ["queued", "taken", "running", "cancelled"]);
    client.close().await;
    assert_eq!(running.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn sane_handlers_pass_all_attacks() {
    for attack in Attack::on_client() {
        let client = client(adds).attack(attack).await;
        let given = Given::default();
        let result = app(&client, &given).await;
        assert_eq!(client.withstood(&result), Ok(()), "{attack:?}");
        assert!(client.reached() > 0, "{attack:?}");
        let given = given.lock().unwrap().clone();
        let told = [json!({ "version": 3 }), json!({ "room": 10 }), json!({ "sum": 77 })];
        match (attack, result) {
            (Attack::WorkerLost, result) => {
                assert_eq!(result.unwrap(), Sum { sum: 77 });
                let [version, room, sum] = told;
                assert_eq!(given, [version.clone(), room.clone(), version, room, sum]);
            }
            (attack, result) if attack.is_carried() => {
                assert_eq!(result.unwrap(), Sum { sum: 77 }, "{attack:?}");
                assert_eq!(given, told, "{attack:?}");
            }
            (Attack::Result(Odd::Extreme), result) => assert_eq!(result.unwrap(), Sum { sum: u64::MAX }),
            (attack, result) => {
                let error = result.unwrap_err();
                let fits = match attack {
                    Attack::Parameters(_) => matches!(error, JobError::Handler { step: "options", .. }),
                    Attack::Ready(_) => matches!(error, JobError::Handler { step: "payload", .. }),
                    Attack::Result(_) => matches!(error, JobError::Result(_)),
                    Attack::UntrustedWorker => {
                        matches!(&error, JobError::NoWorker { untrusted, .. } if untrusted.len() == 1)
                    }
                    _ => matches!(&error, JobError::Worker { code: StepCode::BadInput, .. }),
                };
                assert!(fits, "{attack:?}: {error}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn handlers_that_trust_the_worker_are_caught() {
    let mut panicked = Vec::new();
    for attack in Attack::on_client() {
        let client = client(values(json!({ "version": 3 }), 77)).attack(attack).await;
        let trusting = client.job("adds").options(|said| async move {
            let said: Value = said.json()?;
            Ok(said.get("version").unwrap().clone())
        });
        let result = trusting.launch().await.unwrap().result::<u32>().await;
        match client.withstood(&result) {
            Err(Weakness::HandlerPanicked { step: "options" }) => panicked.push(attack),
            withstood => assert_eq!(withstood, Ok(()), "{attack:?}"),
        }
    }
    let odd = [Odd::Null, Odd::Text, Odd::List, Odd::Empty];
    assert_eq!(panicked, odd.map(Attack::Parameters));
}
