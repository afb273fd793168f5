//! What the sweep finds and does.

use std::time::Duration;

use subrosa_launcher::Config;
use subrosa_protocol::{
    id::Instance,
    record::{Event, Record},
};
use subrosa_tests::lab::fresh_key;
use subrosa_transport::now_ms;

use crate::bench::{Bench, key_in, made, made_with};

/// By how much a wrong clock is ahead.
const AHEAD_MS: u64 = 3_600_000;

/// A launcher that sweeps at once.
fn eager(mut config: Config) -> Config {
    config.timing.sweep = Duration::from_millis(50);
    config.timing.queued_age = Duration::from_millis(100);
    config.timing.open_age = Duration::from_millis(100);
    config
}

/// The `failed` record's code at the end of these.
fn code(records: &[Record]) -> &str {
    match &records.last().unwrap().event {
        Event::Failed(reason) | Event::Expired(reason) => &reason.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_the_queue_lost_is_queued_again() {
    let bench = Bench::new(0).await;
    bench.append_queued(&made(), now_ms()).await;
    bench.append_queued(&made(), now_ms() + AHEAD_MS).await;
    let launcher = bench.run(eager(bench.config())).await;
    bench.until_queued(2).await;
    let after = made();
    bench.launch(&after).await.unwrap();
    bench.until_queued(3).await;
    bench.purge_queue().await;
    bench.until_queued(3).await;
    launcher.stop().await;
    bench.lab.stop().await;
}

#[tokio::test]
async fn an_open_job_without_news_is_queued_again() {
    let bench = Bench::new(0).await;
    let key = key_in(&bench.local().worker_key("echo"));
    for ahead_ms in [0, AHEAD_MS] {
        bench.append_taken(&made(), now_ms() + ahead_ms, &key).await;
    }
    let launcher = bench.run(eager(bench.config())).await;
    bench.until_queued(2).await;
    launcher.stop().await;
    bench.lab.stop().await;
}

#[tokio::test]
async fn a_result_that_nobody_came_for_fails_when_it_is_no_longer_kept() {
    let bench = Bench::new(0).await;
    let (late, waiting) = (made(), made());
    let kept_ms = 7 * 24 * 3_600_000 + 600_000;
    bench.append_finished(&late, now_ms() - kept_ms - 1).await;
    bench.append_finished(&waiting, now_ms() - kept_ms + 600_000).await;
    let launcher = bench.run(eager(bench.config())).await;
    assert_eq!(code(&bench.until(&late.id, "failed").await), "client_gone");
    assert_eq!(bench.state(&waiting.id).await, "finished");
    launcher.stop().await;
    bench.lab.stop().await;
}

#[tokio::test]
async fn what_nobody_took_in_time_expires() {
    let bench = Bench::new(0).await;
    let launcher = bench.run(eager(bench.config())).await;
    // Clocks may differ by two minutes, so that it has another second.
    let made = made_with(|job| {
        (job.created_ms, job.expires_ms) = (now_ms() - 600_000, now_ms() - 119_000);
    });
    bench.launch(&made).await.unwrap();
    assert_eq!(code(&bench.until(&made.id, "expired").await), "expired");
    bench.until_queued(0).await;
    launcher.stop().await;
    bench.lab.stop().await;
}

#[tokio::test]
async fn a_broken_history_is_ended() {
    let bench = Bench::new(0).await;
    let garbage = made();
    let queued = bench.append_queued(&garbage, now_ms()).await;
    let bad = bench.append(&garbage.id, Some(&queued), b"not a record".to_vec()).await;

    let forged = made();
    bench.append_taken(&forged, now_ms(), &fresh_key()).await;

    let headless = made();
    let mut record = Record {
        job: headless.id,
        at_ms: now_ms(),
        attempt: 1,
        prev: None,
        event: Event::Taken { instance: Instance::random(&mut rand::rng()) },
    };
    let key = key_in(&bench.local().worker_key("echo"));
    bench.append(&headless.id, None, record.sign(&key)).await;

    let torn = made();
    let queued = bench.append_queued(&torn, now_ms()).await;
    (record.job, record.prev) = (torn.id, Some(bad.hash()));
    bench.append(&torn.id, Some(&queued), record.sign(&key)).await;

    let launchers = [bench.run(eager(bench.config())).await, bench.run(eager(bench.config())).await];
    for made in [garbage, forged, headless, torn] {
        let deadline = tokio::time::Instant::now() + subrosa_tests::lab::PATIENCE;
        while bench.state(&made.id).await != "failed" {
            assert!(tokio::time::Instant::now() < deadline, "{}", made.id);
        }
        let last = bench.last(&made.id).await;
        assert_eq!(code(&[Record::read_unverified(&last.bytes).unwrap()]), "bad_record");
    }
    for launcher in launchers {
        launcher.stop().await;
    }
    bench.lab.stop().await;
}
