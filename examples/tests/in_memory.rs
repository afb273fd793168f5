//! Both example workers as jobs in memory, tested as anyone would test a worker of their own.

#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use serde_json::{Value, json};
use subrosa_examples::{
    create_proof::{self, Options, Payload, Proof, verify},
    echo,
};
use subrosa_testing::{Attack, Odd, Run, run};

const LABEL: &str = "invoice 4711";

fn proves(value: i64) -> Run {
    run(create_proof::run).options(Options { label: LABEL.to_owned() }).payload(Payload { value })
}

#[tokio::test]
async fn a_value_in_range_is_proven() {
    let run = proves(77).await;
    verify(&run.result::<Proof>().unwrap(), LABEL).unwrap();
    let progress = run.progress();
    assert!(progress.is_sorted(), "{progress:?}");
    assert_eq!((progress.first(), progress.last()), (Some(&0.0), Some(&1.0)));
    assert_eq!(run.history(), ["queued", "taken", "running", "closed"]);
}

#[tokio::test]
async fn a_value_out_of_range_is_refused() {
    let run = proves(101).await;
    let error = run.result::<Proof>().unwrap_err();
    assert_eq!(error.to_string(), "the worker failed: the value is not between 0 and 100 (bad_input)");
    assert_eq!(run.history(), ["queued", "taken", "running", "failed"]);
}

#[tokio::test(start_paused = true)]
async fn no_attack_makes_a_wrong_proof() {
    for attack in Attack::on_worker() {
        let run = proves(77).attack(attack).await;
        run.withstood().unwrap();
        match run.result::<Proof>() {
            // A longer label is a label: the proof holds for what the client has sent.
            Ok(proof) if attack == Attack::Options(Odd::Extreme) => verify(&proof, &proof.label).unwrap(),
            Ok(proof) => verify(&proof, LABEL).unwrap(),
            Err(error) => assert!(!attack.is_carried(), "{attack:?}: {error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn echo_returns_what_it_was_given_under_all_attacks() {
    let (options, payload) = (json!({ "loud": "very" }), json!(["hello", 1.5, null]));
    for attack in Attack::on_worker() {
        let run = run(echo::run).options(&options).payload(&payload).attack(attack).await;
        run.withstood().unwrap();
        match (attack, run.result::<Value>()) {
            (_, Ok(echo)) if attack.is_carried() => {
                assert_eq!(echo, json!({ "options": options, "payload": payload }), "{attack:?}");
            }
            // Any JSON is good enough for it.
            (Attack::Options(odd), Ok(echo)) if odd != Odd::Deep => assert_ne!(echo["options"], options),
            (Attack::Payload(odd), Ok(echo)) if odd != Odd::Deep => assert_ne!(echo["payload"], payload),
            (_, result) => assert!(result.is_err() && !attack.is_carried(), "{attack:?}"),
        }
    }
}
