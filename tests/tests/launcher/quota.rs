//! Limits of what one may have going at once.

use serde_json::json;
use subrosa_launcher::Config;
use subrosa_protocol::{identity::SigningKey, record::Event, subject::Service};
use subrosa_tests::lab::{PATIENCE, fresh_key};
use subrosa_transport::{HistoryError, RequestError, now_ms};
use tokio::time::Instant;

use crate::bench::{Bench, Made, echo, key_in, made, made_by, token};

fn limited(bench: &Bench, limit: impl FnOnce(&mut subrosa_launcher::config::Quota)) -> Config {
    let mut config = bench.config();
    limit(&mut config.quota);
    config
}

fn owned(key: &SigningKey) -> Made {
    made_by(&[key], |job| job.client = Some(key.thumbprint()))
}

/// Hands it in until there is a place for it.
async fn launch_when_there_is_a_place(bench: &Bench, made: &Made) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(refused) = bench.launch(made).await {
        assert!(refused.starts_with("overloaded: "), "{refused}");
        assert!(Instant::now() < deadline, "{refused}");
    }
}

async fn cancel(bench: &Bench, made: &Made) {
    let question = json!({ "job": made.id, "token": token(made.cancel) });
    assert_eq!(bench.ask(Service::Cancel, question).await.unwrap()["state"], "cancelled");
}

#[tokio::test]
async fn a_signer_has_so_many_open_jobs_and_no_other_is_hit() {
    let bench = Bench::new(0).await;
    let (ann, bob) = (fresh_key(), fresh_key());
    let launcher = bench.run(limited(&bench, |quota| quota.open_per_signer = Some(2))).await;
    let [first, second, third] = [(); 3].map(|()| made_by(&[&ann], |_| {}));
    bench.launch(&first).await.unwrap();
    bench.launch(&second).await.unwrap();
    assert_eq!(
        bench.launch(&third).await.unwrap_err(),
        "overloaded: the launcher's limit `quota.open_per_signer` of 2 is reached: try again later"
    );
    assert_eq!(bench.launch(&first).await.unwrap()["state"], "queued", "what is admitted stays so");
    let both = made_by(&[&ann, &bob], |_| {});
    assert!(bench.launch(&both).await.is_err(), "it counts for each of its signers");
    bench.launch(&made_by(&[&bob], |_| {})).await.unwrap();
    bench.launch(&made()).await.unwrap();

    cancel(&bench, &first).await;
    launch_when_there_is_a_place(&bench, &third).await;
    assert!(bench.launch(&made_by(&[&ann], |_| {})).await.is_err());
    launcher.stop().await;
    bench.lab.stop().await;
}

#[tokio::test]
async fn a_launcher_that_starts_knows_what_is_open() {
    let bench = Bench::new(0).await;
    let ann = fresh_key();
    // One that is queued, one that a worker has, one whose result waits for its client, and one that has ended.
    let (queued, taken, finished, ended) = (owned(&ann), owned(&ann), owned(&ann), owned(&ann));
    bench.append_queued(&queued, now_ms()).await;
    let worker = key_in(&bench.local().worker_key("echo"));
    bench.append_taken(&taken, now_ms(), &worker).await;
    bench.append_finished(&finished, now_ms()).await;
    bench.append_taken(&ended, now_ms(), &worker).await;
    let launcher = bench.run(bench.config()).await;
    cancel(&bench, &ended).await;
    launcher.stop().await;

    let launcher = bench.run(limited(&bench, |quota| quota.open_per_client = Some(2))).await;
    let refused = bench.launch(&owned(&ann)).await.unwrap_err();
    assert!(refused.contains("`quota.open_per_client` of 2"), "{refused}");
    bench.launch(&owned(&fresh_key())).await.unwrap();
    bench.launch(&made()).await.unwrap();
    cancel(&bench, &taken).await;
    launch_when_there_is_a_place(&bench, &owned(&ann)).await;
    launcher.stop().await;
    bench.lab.stop().await;
}

#[tokio::test]
async fn a_history_is_read_until_the_deadline_and_no_longer() {
    let bench = Bench::new(0).await;
    let made = owned(&fresh_key());
    bench.append_finished(&made, now_ms()).await;
    let read = async |deadline| bench.history.all(&echo(), &made.id, deadline).await;
    assert_eq!(read(Instant::now() + PATIENCE).await.unwrap().len(), 4);
    assert!(matches!(read(Instant::now()).await, Err(HistoryError::Request(RequestError::Timeout { .. }))));
    let first = bench.history.first(&echo(), &made.id, Instant::now() + PATIENCE).await.unwrap().unwrap();
    assert_eq!(first.sequence, 1);
    bench.lab.stop().await;
}

#[tokio::test]
async fn nobody_fills_the_quota_of_others_by_forged_records() {
    let bench = Bench::new(0).await;
    let ann = fresh_key();
    let forged = made_by(&[&ann], |_| {});
    let event = Event::Queued { request: forged.request.bytes().to_vec() };
    let worker = key_in(&bench.local().worker_key("echo"));
    let record = bench.record(&forged, now_ms(), event);
    bench.append(&forged.id, None, record.sign(&worker)).await;
    let launcher = bench.run(limited(&bench, |quota| quota.open_per_signer = Some(1))).await;
    let honest = made_by(&[&ann], |_| {});
    bench.launch(&honest).await.unwrap();
    assert!(bench.launch(&made_by(&[&ann], |_| {})).await.is_err());
    launcher.stop().await;
    bench.lab.stop().await;
}

#[tokio::test]
async fn launches_per_minute_count_also_what_has_ended() {
    let bench = Bench::new(0).await;
    let ann = fresh_key();
    let launcher = bench.run(limited(&bench, |quota| quota.launches_per_minute = Some(1))).await;
    let first = made_by(&[&ann], |_| {});
    bench.launch(&first).await.unwrap();
    cancel(&bench, &first).await;
    let refused = bench.launch(&made_by(&[&ann], |_| {})).await.unwrap_err();
    assert!(refused.contains("`quota.launches_per_minute` of 1"), "{refused}");
    bench.launch(&made_by(&[&fresh_key()], |_| {})).await.unwrap();
    launcher.stop().await;
    bench.lab.stop().await;
}
