//! Streams that are not as they should be.

use subrosa_launcher::{Config, Difference, Error, Guard, Launcher, StreamsError, setup};

use crate::{PROGRAM, bench::Bench};

async fn differences(config: &Config) -> Vec<Difference> {
    match Launcher::start(config, &Guard::new(PROGRAM.into())).await {
        Err(Error::Streams(StreamsError::Differ { differences })) => differences,
        Err(error) => panic!("{error}"),
        Ok(_) => Vec::new(),
    }
}

#[tokio::test]
async fn a_launcher_refuses_streams_that_differ_and_setup_mends_them() {
    let bench = Bench::new(0).await;
    let mut config = bench.config();
    assert_eq!(differences(&config).await, []);

    config.streams.queue.max_bytes = Some(1 << 30);
    config.timing.ack_wait *= 2;
    let found: Vec<String> = differences(&config).await.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "stream SUBROSA_QUEUE: `max_bytes` is -1, expected 1073741824",
            "consumer echo of SUBROSA_QUEUE: `ack_wait` is 30s, expected 60s",
        ]
    );
    setup(&config).await.unwrap();
    assert_eq!(differences(&config).await, []);
    bench.lab.stop().await;
}

#[tokio::test]
async fn a_launcher_refuses_a_server_without_its_streams() {
    let bench = Bench::new(0).await;
    let mut config = bench.config();
    config.namespace = "elsewhere".parse().unwrap();
    let found = differences(&config).await;
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.iter().all(|difference| matches!(difference, Difference::Missing { .. })));
    setup(&config).await.unwrap();
    assert_eq!(differences(&config).await, []);
    bench.lab.stop().await;
}
