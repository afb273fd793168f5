//! What is asked of a launcher, and what it answers.

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::{Value, json};
use subrosa_protocol::{
    encoding::b64u,
    id::Sha256Hash,
    record::{Event, Record},
    subject::{Namespace, Service},
};
use subrosa_tests::lab::{PATIENCE, fresh_key, patiently};
use subrosa_transport::{Results, now_ms};
use tokio::time::Instant;

use crate::bench::{Bench, Made, echo, made, made_by, made_with, token};

#[tokio::test]
async fn a_launch_is_queued_once_and_answered_by_its_state() {
    let bench = Bench::new(1).await;
    let made = made();
    let queued = json!({ "job": made.id, "state": "queued" });
    assert_eq!(bench.launch(&made).await.unwrap(), queued);
    assert_eq!(bench.launch(&made).await.unwrap(), queued, "the same job again");
    assert_eq!(bench.queued().await, 1);
    bench.purge_queue().await;
    assert_eq!(bench.launch(&made).await.unwrap(), queued);
    assert_eq!(bench.queued().await, 1, "what was lost is queued again");
    assert_eq!(bench.until(&made.id, "queued").await.len(), 1);
    bench.lab.stop().await;
}

#[tokio::test]
async fn many_launchers_and_requests_make_one_history() {
    let bench = Bench::new(3).await;
    let jobs: Vec<_> = (0..20).map(|_| made()).collect();
    let all = jobs.iter().flat_map(|made| [made; 10]).map(|made| bench.launch(made));
    for answer in join_all(all).await {
        assert_eq!(answer.unwrap()["state"], "queued");
    }
    for made in &jobs {
        assert_eq!(bench.until(&made.id, "queued").await.len(), 1);
    }
    assert_eq!(bench.queued().await, 20);
    bench.lab.stop().await;
}

#[tokio::test]
async fn what_is_refused_is_refused_by_name() {
    let bench = Bench::new(1).await;
    let subject = "subrosa.v1.launch.echo";
    let refusal =
        async |subject: &str, payload: &[u8]| bench.request(subject, payload.to_vec()).await.unwrap_err();
    let good = made();
    let whole: Value = serde_json::from_slice(good.request.bytes()).unwrap();

    let refused = refusal("subrosa.v1.launch.nobody", good.request.bytes()).await;
    assert_eq!(refused, "unknown_worker: no such worker may be launched here");
    let refused = refusal(subject, &vec![b' '; 64 * 1024 + 1]).await;
    assert!(refused.starts_with("too_large: the launch request has 65537 bytes"), "{refused}");
    let refused = refusal(subject, b"{}").await;
    assert_eq!(refused, "bad_request: the launch request has no member `payload`");
    let refused = refusal(subject, b"\xFF").await;
    assert!(refused.starts_with("bad_request: the launch request is not JSON"), "{refused}");
    let other = made_with(|job| job.worker = "another".parse().unwrap());
    let refused = refusal(subject, other.request.bytes()).await;
    assert_eq!(refused, "bad_request: the job's `worker` is not the one in the subject");
    let late = made_with(|job| (job.created_ms, job.expires_ms) = (now_ms() - 600_000, now_ms() - 130_000));
    assert_eq!(
        refusal(subject, late.request.bytes()).await,
        "expired: the job's `expires_ms` is over: if it is new, check the clocks"
    );
    let early = made_with(|job| job.created_ms = now_ms() + 500_000);
    let refused = refusal(subject, early.request.bytes()).await;
    assert!(refused.starts_with("bad_request: the job was made"), "{refused}");

    let zero = json!({ "v": 1, "worker": "echo", "suite": "x25519", "client_key": b64u([0; 32]) });
    let mut of_zero = whole.clone();
    of_zero["payload"] = b64u(zero.to_string()).into();
    let refused = refusal(subject, of_zero.to_string().as_bytes()).await;
    assert!(refused.starts_with("bad_request: the job has no member `reply`"), "{refused}");

    let key = fresh_key();
    let signed = made_by(&[&key], |_| {});
    let mut forged: Value = serde_json::from_slice(signed.request.bytes()).unwrap();
    forged["payload"] = whole["payload"].clone();
    let refused = refusal(subject, forged.to_string().as_bytes()).await;
    assert!(refused.starts_with("bad_signature: signature 1 does not hold"), "{refused}");
    let owned = made_by(&[&key], |job| job.client = Some(fresh_key().thumbprint()));
    let refused = refusal(subject, owned.request.bytes()).await;
    assert!(refused.starts_with("unauthorized: "), "{refused}");

    assert_eq!(bench.queued().await, 0, "nothing of it is remembered");
    bench.lab.stop().await;
}

#[tokio::test]
async fn the_cancel_token_ends_a_job() {
    let bench = Bench::new(1).await;
    let made = made();
    bench.launch(&made).await.unwrap();
    let mut ended = bench.connection.subscribe(&made.reply).await.unwrap();

    let ask = |job: Value, token: String| bench.ask(Service::Cancel, json!({ "job": job, "token": token }));
    let refused = ask(json!(made.id), token(made.close)).await.unwrap_err();
    assert_eq!(refused, "wrong_token: the token is not this job's");
    let refused = ask(json!("0".repeat(64)), token(made.cancel)).await.unwrap_err();
    assert_eq!(refused, "unknown_job: there is no such job");
    let refused = ask(json!("x"), token(made.cancel)).await.unwrap_err();
    assert!(refused.starts_with("bad_request: the request does not fit"), "{refused}");
    assert_eq!(bench.state(&made.id).await, "queued");

    let status = ask(json!(made.id), token(made.cancel)).await.unwrap();
    assert_eq!((&status["state"], &status["code"]), (&json!("cancelled"), &json!("cancelled")));
    assert_eq!(bench.queued().await, 0);
    let told = patiently(ended.next()).await.unwrap().payload;
    assert_eq!(status["record"].as_str().unwrap().as_bytes(), &told[..]);
    let trust = bench.local().trust().unwrap();
    let record = Record::verify(&told, &made.id, &echo(), &trust).unwrap().record;
    let Event::Cancelled { cancel, .. } = record.event else { panic!() };
    assert_eq!(cancel, Some(made.cancel), "the token is the proof");

    let again = ask(json!(made.id), token(made.cancel)).await.unwrap();
    assert_eq!(again, status);
    let closed = bench.ask(Service::Close, json!({ "job": made.id, "token": token(made.close) })).await;
    assert_eq!(closed.unwrap()["state"], "cancelled", "a job that has ended cannot be ended otherwise");
    assert_eq!(bench.launch(&made).await.unwrap()["state"], "cancelled");
    assert_eq!(bench.until(&made.id, "cancelled").await.len(), 2);
    bench.lab.stop().await;
}

#[tokio::test]
async fn the_close_token_closes_a_job() {
    let bench = Bench::new(1).await;
    let made = made();
    bench.launch(&made).await.unwrap();
    let refused = bench.ask(Service::Close, json!({ "job": made.id, "token": token(made.cancel) })).await;
    assert_eq!(refused.unwrap_err(), "wrong_token: the token is not this job's");
    let status = bench.ask(Service::Close, json!({ "job": made.id, "token": token(made.close) })).await;
    assert_eq!(status.unwrap()["state"], "closed");
    let records = bench.until(&made.id, "closed").await;
    let Event::Closed { close, .. } = &records.last().unwrap().event else { panic!() };
    assert_eq!(*close, made.close);
    bench.lab.stop().await;
}

#[tokio::test]
async fn of_many_ends_at_once_one_counts() {
    let bench = Bench::new(3).await;
    let made = made();
    bench.launch(&made).await.unwrap();
    let ends = (0..20).map(|n| {
        let (service, token) =
            if n % 2 == 0 { (Service::Cancel, made.cancel) } else { (Service::Close, made.close) };
        bench.ask(service, json!({ "job": made.id, "token": b64u(token) }))
    });
    let states: Vec<Value> =
        join_all(ends).await.into_iter().map(|end| end.unwrap()["state"].clone()).collect();
    assert!(states.iter().all(|state| *state == states[0]), "{states:?}");
    assert_eq!(bench.until(&made.id, states[0].as_str().unwrap()).await.len(), 2);
    bench.lab.stop().await;
}

#[tokio::test]
async fn a_job_found_under_another_name_is_not_taken_for_it() {
    let bench = Bench::new(1).await;
    let made = made();
    bench.launch(&made).await.unwrap();
    // A worker may write under its own name whatever it likes.
    let elsewhere = format!("subrosa.v1.record.another.{}", made.id);
    bench.request(&elsewhere, "not a record").await.unwrap();
    assert_eq!(bench.state(&made.id).await, "queued");
    let cancelled = bench.ask(Service::Cancel, json!({ "job": made.id, "token": token(made.cancel) })).await;
    assert_eq!(cancelled.unwrap()["state"], "cancelled");
    bench.lab.stop().await;
}

#[tokio::test]
async fn a_broken_history_is_said_to_be_broken() {
    let bench = Bench::new(1).await;
    let made = made();
    bench.launch(&made).await.unwrap();
    let last = bench.last(&made.id).await;
    bench.append(&made.id, Some(&last), b"not a record".to_vec()).await;
    assert_eq!(bench.state(&made.id).await, "broken");
    let status = bench.ask(Service::Cancel, json!({ "job": made.id, "token": token(made.cancel) })).await;
    let status = status.unwrap();
    assert_eq!((&status["state"], &status["code"]), (&json!("failed"), &json!("bad_record")));
    bench.lab.stop().await;
}

#[tokio::test]
async fn only_inboxes_are_answered() {
    let bench = Bench::new(1).await;
    let mut elsewhere = bench.connection.subscribe("subrosa.v1.client.AliceAliceAlice01.x.y").await.unwrap();
    let mut inbox = bench.connection.inbox();
    let status = Namespace::default().service(Service::Status);
    let ask = |reply: String| {
        let connection = bench.connection.clone();
        let status = status.clone();
        async move { connection.publish(&status, Some(&reply), Bytes::from_static(b"{}")).await.unwrap() }
    };
    ask("subrosa.v1.client.AliceAliceAlice01.x.y".to_owned()).await;
    ask(inbox.subject().to_owned()).await;
    // Requests of one endpoint are taken in order: what comes after the second has been answered.
    assert!(patiently(inbox.next()).await.is_some());
    ask(inbox.subject().to_owned()).await;
    assert!(patiently(inbox.next()).await.is_some());
    bench.connection.round_trip(std::time::Duration::from_secs(5)).await.unwrap();
    let nothing = tokio::select! {
        biased;
        message = elsewhere.next() => message,
        () = tokio::task::yield_now() => None,
    };
    assert!(nothing.is_none(), "{nothing:?}");
    bench.lab.stop().await;
}

#[tokio::test]
async fn the_service_can_be_found_and_lists_its_workers() {
    let bench = Bench::new(1).await;
    let info = bench.request("$SRV.INFO.subrosa-launcher", "").await.unwrap();
    assert_eq!(info["name"], "subrosa-launcher");
    let endpoints = info["endpoints"].as_array().unwrap();
    let mut names: Vec<&str> = endpoints.iter().map(|it| it["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["cancel", "close", "launch", "result", "status", "workers"]);
    assert!(endpoints.iter().all(|it| it["queue_group"] == "subrosa-launcher"));
    let listed = bench.ask(Service::Workers, json!({})).await.unwrap();
    let echo = &listed["workers"][0];
    assert_eq!((&echo["worker"], &echo["backend"]), (&json!("echo"), &json!("resident")));
    assert_eq!(echo["keys"][0]["kty"], "OKP");
    bench.lab.stop().await;
}

#[tokio::test]
async fn a_launcher_outlives_its_server() {
    let mut bench = Bench::new(1).await;
    let (before, after) = (made(), made());
    bench.launch(&before).await.unwrap();
    bench.lab.local.server.kill().await.unwrap();
    bench.lab.local.server.restart().await.unwrap();
    assert_eq!(bench.launch(&after).await.unwrap()["state"], "queued");
    assert_eq!(bench.state(&before.id).await, "queued");
    bench.lab.stop().await;
}

#[tokio::test]
async fn what_is_stored_is_for_whoever_shows_the_hash_of_the_close_token() {
    let bench = Bench::new(1).await;
    let (made, open) = (made(), made());
    bench.append_finished(&made, now_ms()).await;
    bench.launch(&open).await.unwrap();
    let results = Results::new(bench.connection.clone(), Namespace::default());
    let place = (&echo(), &made.id);
    for (number, message) in (0..).zip(["\"first\"", "\"second\""]) {
        results.store(place, 1, number, message.into(), Instant::now() + PATIENCE).await.unwrap();
    }
    let shown = token(Sha256Hash::of(made.close).0);
    let ask = |job: &Made, token: &str, from: Value| {
        bench.ask(Service::Result, json!({ "job": job.id, "token": token, "from": from }))
    };
    assert_eq!(ask(&made, &shown, json!(0)).await.unwrap(), "first");
    assert_eq!(ask(&made, &shown, json!(1)).await.unwrap(), "second");
    let not_stored = "not_stored: nothing is stored there";
    assert_eq!(ask(&made, &shown, json!(2)).await.unwrap_err(), not_stored);
    let open_token = token(Sha256Hash::of(open.close).0);
    assert_eq!(ask(&open, &open_token, json!(0)).await.unwrap_err(), not_stored);
    // Neither t itself, nor its double hash, which is public, nor another job's.
    let public = Sha256Hash::of(Sha256Hash::of(made.close).0).0;
    for wrong in [token(made.close), token(public), token(made.cancel), open_token] {
        let refused = ask(&made, &wrong, json!(0)).await.unwrap_err();
        assert_eq!(refused, "wrong_token: the token is not this job's");
    }
    let unknown = bench.ask(Service::Result, json!({ "job": "0".repeat(64), "token": shown, "from": 0 }));
    assert_eq!(unknown.await.unwrap_err(), "unknown_job: there is no such job");
    for from in [json!(-1), json!("0"), json!(null), json!(0.5)] {
        let refused = ask(&made, &shown, from.clone()).await.unwrap_err();
        assert!(refused.starts_with("bad_request: "), "{from}: {refused}");
    }

    let closed = bench.ask(Service::Close, json!({ "job": made.id, "token": token(made.close) }));
    assert_eq!(closed.await.unwrap()["state"], "closed");
    assert_eq!(ask(&made, &shown, json!(0)).await.unwrap_err(), not_stored);
    let left = results.read(place, 1, 0, Instant::now() + PATIENCE).await.unwrap();
    assert_eq!(left, None, "what the client has is not kept");
    bench.lab.stop().await;
}
