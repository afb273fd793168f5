//! What it costs to flush every write.

use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use subrosa::server::Server;
use subrosa_tests::lab::PATIENCE;
use subrosa_transport::{Connect, Connection};

use crate::domain::start;

/// How many messages are written in one round.
const MESSAGES: usize = 1000;
const ROUNDS: usize = 5;

async fn made(server: &Server) -> Connection {
    let connection = Connect::new(server.url(), "test").connect().await.unwrap();
    let stream = json!({ "name": "T", "subjects": ["t.>"], "storage": "file" }).to_string();
    connection.request("$JS.API.STREAM.CREATE.T", None, stream.into(), PATIENCE).await.unwrap();
    connection
}

/// Messages stored in a second, of the size of a record, so many at once.
async fn rate(connection: &Connection, at_once: usize) -> f64 {
    let begun = Instant::now();
    let writes = (0..MESSAGES).map(|number| async move {
        connection.request(&format!("t.{number}"), None, vec![7; 600].into(), PATIENCE).await.unwrap()
    });
    assert_eq!(stream::iter(writes).buffer_unordered(at_once).count().await, MESSAGES);
    MESSAGES as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::test]
#[ignore = "a measurement"]
async fn writes_with_and_without_a_flush_of_each() {
    let files = tempfile::tempdir().unwrap();
    let cached = start(files.path(), "cached", "jetstream {}\n").await;
    let flushed = start(files.path(), "flushed", "jetstream { sync_interval: always }\n").await;
    let (to_cached, to_flushed) = (made(&cached).await, made(&flushed).await);
    for at_once in [1, 64] {
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            rates.push((rate(&to_cached, at_once).await, rate(&to_flushed, at_once).await));
        }
        rates.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
        let (cached, flushed) = rates[ROUNDS / 2];
        println!(
            "{at_once} at once: {cached:.0}/s cached, {flushed:.0}/s flushed, 1 : {:.2}",
            cached / flushed
        );
    }
    flushed.stop().await.unwrap();
    cached.stop().await.unwrap();
}
