//! Workers' functions under test: what a run shows, and what the attacks find.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subrosa_client::{Event, JobError, LogLevel, SigningKey, State, StepCode};
use subrosa_testing::{Attack, Odd, Run, Weakness, run};
use subrosa_worker::{Done, Failure, Job, Launched};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Options {
    unit: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Payload {
    count: u32,
}

/// What a function has been given.
type Given = Arc<Mutex<Vec<Value>>>;

fn sane(given: &Given) -> Run {
    let given = given.clone();
    let function = move |job: Job<Launched>| {
        let given = given.clone();
        async move {
            let (options, job) = job.options::<Options>(&json!({ "version": 1 })).await?;
            given.lock().unwrap().push(json!(options));
            job.progress(0.25, "measured");
            let (payload, job) = job.ready::<Payload>(&json!({ "room": 9 })).await?;
            given.lock().unwrap().push(json!(payload));
            job.log(LogLevel::Info, "counted");
            job.done(&format!("{} {}", payload.count, options.unit)).await
        }
    };
    run(function).options(Options { unit: "apples".to_owned() }).payload(Payload { count: 77 })
}

#[tokio::test]
async fn a_run_shows_what_the_client_and_the_launcher_see() {
    let given = Given::default();
    let run = sane(&given).await;
    assert_eq!(run.result::<String>().unwrap(), "77 apples");
    assert_eq!(run.result_bytes().unwrap(), br#""77 apples""#);
    assert_eq!(run.parameters().unwrap().json::<Value>().unwrap(), json!({ "version": 1 }));
    assert_eq!(run.ready().unwrap().json::<Value>().unwrap(), json!({ "room": 9 }));
    assert_eq!(run.progress(), [0.25]);
    assert_eq!(run.log(), [(LogLevel::Info, "counted")]);
    assert_eq!(run.events().last(), Some(&Event::State(State::Done)));
    assert_eq!(run.history(), ["queued", "taken", "running", "closed"]);
    assert_eq!(*given.lock().unwrap(), [json!({ "unit": "apples" }), json!({ "count": 77 })]);
    assert_eq!(run.reached(), 0);
    run.withstood().unwrap();
}

#[tokio::test]
async fn a_function_sees_who_calls_and_what_the_job_says() {
    let key = SigningKey::generate(&mut rand::rng());
    let caller = key.thumbprint();
    let run = run(async |job: Job<Launched>| {
        let who = json!([job.caller().map(ToString::to_string), job.label(), job.attempt()]);
        let (_, job) = job.options::<Value>(&who).await?;
        let (bytes, job) = job.ready_bytes(&()).await?;
        job.done_bytes(bytes).await
    });
    let run = run.payload_bytes([0xff, 0]).job(|job| job.label("invoice")).identity(key).await;
    let who = run.parameters().unwrap().json::<Value>().unwrap();
    assert_eq!(who, json!([caller.to_string(), "invoice", 1]));
    assert_eq!(run.result_bytes().unwrap(), [0xff, 0]);
}

#[tokio::test]
async fn a_failure_is_told_as_the_client_is_told() {
    let run = run(async |job: Job<Launched>| {
        let (_, _job) = job.options::<Value>(&()).await?;
        Err::<Done, _>(Failure::bad_input("no such unit"))
    });
    let run = run.await;
    let error = run.result::<Value>().unwrap_err();
    assert!(matches!(&*error, JobError::Worker { code: StepCode::BadInput, .. }), "{error}");
    assert_eq!(run.history(), ["queued", "taken", "failed"]);
    run.withstood().unwrap();
    let mistaken = sane(&Given::default()).await;
    assert!(matches!(&*mistaken.result::<u32>().unwrap_err(), JobError::Result(_)));
}

#[tokio::test(start_paused = true)]
async fn a_function_that_takes_too_long_is_stopped_in_no_time() {
    let run = run(async |job: Job<Launched>| {
        let (_, job) = job.options::<Value>(&()).await?;
        let (_, _job) = job.ready::<Value>(&()).await?;
        std::future::pending::<Result<Done, Failure>>().await
    });
    let run = run.await;
    let error = run.result::<Value>().unwrap_err();
    assert!(matches!(&*error, JobError::Worker { code: StepCode::Timeout, .. }), "{error}");
    run.withstood().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sane_function_passes_all_attacks() {
    for attack in Attack::on_worker() {
        let given = Given::default();
        let run = sane(&given).attack(attack).await;
        assert_eq!(run.withstood(), Ok(()), "{attack:?}");
        let given = given.lock().unwrap().clone();
        let (apples, count) = (json!({ "unit": "apples" }), json!({ "count": 77 }));
        if attack.is_carried() {
            assert_eq!(run.result::<String>().unwrap(), "77 apples", "{attack:?}");
            assert_eq!(run.history(), ["queued", "taken", "running", "closed"], "{attack:?}");
            assert_eq!(given, [apples, count], "{attack:?}");
            // What is not answered may get lost, but does not come twice.
            let told = (run.progress().len(), run.log().len());
            assert_eq!(told, if attack == Attack::Lost { (0, 0) } else { (1, 1) }, "{attack:?}");
            continue;
        }
        match attack {
            // A long text is a text.
            Attack::Options(Odd::Extreme) => {
                assert!(run.result::<String>().unwrap().starts_with("77 applesxxx"));
                assert_eq!(given.len(), 2);
                continue;
            }
            Attack::Options(_) | Attack::OptionsRefused => assert!(given.is_empty(), "{attack:?}"),
            _ => assert_eq!(given, [apples], "{attack:?}"),
        }
        let error = run.result::<Value>().unwrap_err();
        let fits = match attack {
            Attack::OptionsRefused => matches!(&*error, JobError::Handler { step: "options", .. }),
            Attack::PayloadRefused => matches!(&*error, JobError::Handler { step: "payload", .. }),
            Attack::ClientGone => run.history() == ["queued", "taken", "cancelled"],
            _ => matches!(&*error, JobError::Worker { code: StepCode::BadInput, .. }),
        };
        assert!(fits, "{attack:?}: {error}");
    }
}

/// Nothing needs one thread, or paused time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attacks_run_on_many_threads() {
    // What gets lost is sent again only after a second.
    for attack in Attack::on_worker().filter(|attack| *attack != Attack::Lost) {
        let run = sane(&Given::default()).attack(attack).await;
        assert_eq!(run.withstood(), Ok(()), "{attack:?}");
        if attack.is_carried() {
            assert_eq!(run.result::<String>().unwrap(), "77 apples", "{attack:?}");
        }
    }
}

/// Eight sealed messages: three steps, two events, three answers.
#[tokio::test(start_paused = true)]
async fn every_hostile_message_reaches_a_peer() {
    let expected = |attack| match attack {
        Attack::Flipped => 25 * 8,
        Attack::Truncated => 13 * 8,
        Attack::Repeated => 2 * 8,
        Attack::Replayed => 1 + 2 + 3 + 4 + 5 + 6 + 7,
        // Four other kinds for the client, three for the process.
        Attack::Crossed => 4 * 5 + 3 * 3,
        // Each step twice more, as its answer is lost as well.
        Attack::Lost => 3 * 3,
        Attack::Forged => 22 * 8,
        Attack::Impostor => 3,
        Attack::Junk => 18 * 8,
        Attack::Oversized => 8,
        Attack::Misdirected => 6 * 3,
        // Four to the client and four to the process.
        Attack::FalseEnd => 8 * 8,
        // The answer that is not what it should be, or the one that does not come.
        _ => 1,
    };
    for attack in Attack::on_worker() {
        let run = sane(&Given::default()).attack(attack).await;
        assert_eq!(run.reached(), expected(attack), "{attack:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_trusts_its_input_is_caught() {
    let trusting = async |job: Job<Launched>| {
        let (options, job) = job.options::<Value>(&()).await?;
        let unit = options["unit"].as_str().unwrap().to_owned();
        let (payload, job) = job.ready::<Value>(&()).await?;
        job.done(&format!("{} {unit}", payload["count"].as_u64().unwrap_or_default())).await
    };
    let (mut panicked, mut wrong) = (Vec::new(), Vec::new());
    for attack in Attack::on_worker() {
        let run = run(trusting).options(json!({ "unit": "apples" })).payload(json!({ "count": 77 }));
        let run = run.attack(attack).await;
        match run.withstood() {
            Err(Weakness::FunctionPanicked { message }) => panicked.push((attack, message)),
            withstood => assert_eq!(withstood, Ok(()), "{attack:?}"),
        }
        if run.result::<String>().is_ok_and(|result| result == "0 apples") {
            wrong.push(attack);
        }
    }
    let said = "called `Option::unwrap()` on a `None` value".to_owned();
    let odd = [Odd::Null, Odd::Text, Odd::List, Odd::Empty, Odd::Retyped];
    assert_eq!(panicked, odd.map(|odd| (Attack::Options(odd), said.clone())));
    assert_eq!(wrong, odd.map(Attack::Payload));
}

#[tokio::test(start_paused = true)]
async fn an_attack_that_comes_too_late_shows_nothing() {
    let hasty = async |_: Job<Launched>| Err::<Done, _>(Failure::new("not today"));
    let run = run(hasty).attack(Attack::Payload(Odd::Null)).await;
    assert_eq!(run.withstood(), Err(Weakness::NotReached));
}
