//! What is not as it should be is refused by name, and harms nobody.

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use subrosa::local::Example;
use subrosa_client::SigningKey;
use subrosa_protocol::{encoding::b64u, record::Event};
use subrosa_tests::{
    lab::{Lab, PATIENCE, fresh_key, patiently},
    raw::{self, Refusal, ask},
};
use subrosa_transport::{Connection, now_ms};

use crate::PROGRAM;

const LAUNCH: &str = "subrosa.v1.launch.echo";
const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// A launch that has to be refused.
async fn refusal(connection: &Connection, request: impl Into<Vec<u8>>) -> Refusal {
    ask(connection, LAUNCH, request).await.unwrap_err()
}

async fn is_refused(connection: &Connection, request: &Value, number: u16, code: &str, message: &str) {
    let refusal = refusal(connection, request.to_string()).await;
    assert_eq!((refusal.number, refusal.code.as_str()), (number, code), "{}", refusal.message);
    assert!(refusal.message.contains(message), "{} does not say {message:?}", refusal.message);
}

/// The same for a job that is changed; nobody has signed it.
async fn job_is_refused(
    connection: &Connection,
    number: u16,
    code: &str,
    message: &str,
    spoil: impl FnOnce(&mut Value),
) {
    let mut job = raw::job("echo");
    spoil(&mut job);
    is_refused(connection, &raw::request(job.to_string().as_bytes(), &[]), number, code, message).await;
}

/// A job that goes well, after all that was wrong.
async fn a_good_job_runs(lab: &Lab) {
    let client = lab.client().await;
    let job = client.job("echo").payload_value("well").launch().await.unwrap();
    let id = *job.id();
    assert_eq!(patiently(job.result::<Value>()).await.unwrap().value["payload"], "well");
    patiently(client.close()).await;
    assert_eq!(lab.history("echo", &id, "closed").await, ["queued", "taken", "running", "closed"]);
}

#[tokio::test]
async fn what_is_no_launch_request_is_refused() {
    let lab = Lab::new(PROGRAM, &[Example::Echo], &[]).await;
    let connection = lab.connection().await;
    let good = raw::job("echo").to_string();

    for (bytes, message) in [
        (&b""[..], "is not JSON"),
        (b"hello", "is not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"{\"payload\": \"\\ud800\"}", "is not JSON"),
        (b"[]", "does not fit"),
        (b"null", "does not fit"),
        (b"{}", "`payload`"),
        (br#"{"payload": "e30"}"#, "`signatures`"),
        (br#"{"payload": 7, "signatures": []}"#, "does not fit"),
        (br#"{"payload": "e30", "signatures": {}}"#, "does not fit"),
        (br#"{"payload": "e30", "signatures": [{}]}"#, "`protected`"),
        (br#"{"payload": "e30", "signatures": [{"protected": "e30"}]}"#, "`signature`"),
        (br#"{"payload": "e30", "payload": "e30", "signatures": []}"#, "`payload` twice"),
        (br#"{"payload": "e30=", "signatures": []}"#, "`payload` is not canonical base64url"),
        (br#"{"payload": "e+/0", "signatures": []}"#, "`payload` is not canonical base64url"),
        (br#"{"payload": "e31", "signatures": []}"#, "`payload` is not canonical base64url"),
        (br#"{"payload": "aGVsbG8", "signatures": []}"#, "the job is not JSON"),
    ] {
        let shown = String::from_utf8_lossy(bytes);
        let refusal = refusal(&connection, bytes).await;
        assert_eq!((refusal.number, refusal.code.as_str()), (400, "bad_request"), "{shown}");
        assert!(refusal.message.contains(message), "{shown}: {}", refusal.message);
    }

    // One byte more than allowed; and with exactly as many it is refused for what it is.
    let request = raw::request(good.as_bytes(), &[]).to_string();
    let filled = |bytes: usize| request.clone() + &" ".repeat(bytes - request.len());
    let found = refusal(&connection, filled(MAX_REQUEST_BYTES + 1)).await;
    assert_eq!((found.number, found.code.as_str()), (413, "too_large"));
    assert!(found.message.contains("65537") && found.message.contains("65536"), "{}", found.message);
    let deep = "[".repeat(MAX_REQUEST_BYTES);
    assert_eq!(refusal(&connection, deep.as_bytes()).await.code, "bad_request");
    assert_eq!(ask(&connection, LAUNCH, filled(MAX_REQUEST_BYTES)).await.unwrap()["state"], "queued");

    // Duplicates, also where nobody reads them.
    let twice = good.replacen('{', r#"{"v": 1, "#, 1);
    is_refused(&connection, &raw::request(twice.as_bytes(), &[]), 400, "bad_request", "`v` twice").await;
    let inner = good.replacen('{', r#"{"note": {"a": 1, "a": 2}, "#, 1);
    is_refused(&connection, &raw::request(inner.as_bytes(), &[]), 400, "bad_request", "`a` twice").await;

    a_good_job_runs(&lab).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_job_that_breaks_a_rule_is_refused_and_the_member_named() {
    let lab = Lab::new(PROGRAM, &[Example::Echo], &["other"]).await;
    let connection = lab.connection().await;
    let members: Vec<String> = raw::job("echo").as_object().unwrap().keys().cloned().collect();
    assert_eq!(members.len(), 11);
    for member in &members {
        let named = format!("`{member}`");
        job_is_refused(&connection, 400, "bad_request", &named, |job| {
            job.as_object_mut().unwrap().remove(member);
        })
        .await;
    }
    for length in [0, 1, 31, 33, 64, 1216] {
        job_is_refused(&connection, 400, "bad_request", "`client_key`", |job| {
            job["client_key"] = b64u(vec![7; length]).into();
        })
        .await;
    }
    let hour = 3_600_000;
    let bad = [
        ("client_key", json!("*")),
        ("label", json!("x".repeat(1025))),
        ("psk_id", json!("")),
        ("psk_id", json!("x".repeat(257))),
        ("reply", json!("subrosa.v1.client.short")),
        ("reply", json!("subrosa.v1.client.NobodyListens*ere0")),
        ("reply", json!("subrosa.v1.launch.echo")),
        ("reply", json!("_INBOX.NobodyListensHere0")),
        ("expires_ms", json!(now_ms() + 25 * hour)),
        ("expires_ms", json!(now_ms() - hour)),
        ("timeout_ms", json!(0)),
        ("timeout_ms", json!(25 * hour)),
        ("max_attempts", json!(0)),
        ("max_attempts", json!(11)),
    ];
    for (member, value) in bad {
        let named = format!("`{member}`");
        job_is_refused(&connection, 400, "bad_request", &named, |job| job[member] = value).await;
    }
    // Of another type: the reason says where.
    for (member, value) in [
        ("v", json!("1")),
        ("worker", json!(["echo"])),
        ("client", json!("me")),
        ("label", json!(null)),
        ("created_ms", json!(-1)),
        ("created_ms", json!(1.5)),
        ("expires_ms", json!(u64::MAX)),
        ("cancel", json!("AQ")),
        ("close", json!(b64u([0; 33]))),
        ("input", json!("no hash")),
        ("crit", json!("label")),
    ] {
        job_is_refused(&connection, 400, "bad_request", "does not fit", |job| job[member] = value).await;
    }
    for (what, member, value) in [
        ("version", "v", json!(2)),
        ("version", "v", json!(0)),
        ("suite", "suite", json!("x-wing")),
        ("suite", "suite", json!("rot13")),
        ("critical", "crit", json!(["label", "colour"])),
    ] {
        job_is_refused(&connection, 501, "unsupported", what, |job| job[member] = value).await;
    }

    // Times, and who is asked.
    job_is_refused(&connection, 410, "expired", "`expires_ms`", |job| {
        job["created_ms"] = (now_ms() - 2 * hour).into();
        job["expires_ms"] = (now_ms() - hour).into();
    })
    .await;
    job_is_refused(&connection, 400, "bad_request", "in the future", |job| {
        job["created_ms"] = (now_ms() + hour).into();
        job["expires_ms"] = (now_ms() + 2 * hour).into();
    })
    .await;
    job_is_refused(&connection, 400, "bad_request", "`worker`", |job| job["worker"] = "other".into()).await;
    let request = raw::request(raw::job("nobody").to_string().as_bytes(), &[]).to_string();
    for worker in ["nobody", "UPPER", "echo2"] {
        let refused = ask(&connection, &format!("subrosa.v1.launch.{worker}"), request.clone()).await;
        let refused = refused.unwrap_err();
        assert_eq!((refused.number, refused.code.as_str()), (404, "unknown_worker"), "{worker}");
    }

    a_good_job_runs(&lab).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_signature_that_does_not_hold_refuses_the_whole_request() {
    let lab = Lab::new(PROGRAM, &[Example::Echo], &[]).await;
    let connection = lab.connection().await;
    let (owner, other) = (fresh_key(), fresh_key());
    let owned = |owner: &SigningKey| {
        let mut job = raw::job("echo");
        job["client"] = owner.thumbprint().to_string().into();
        job.to_string().into_bytes()
    };
    let signed = |signers: &[&SigningKey]| raw::request(&owned(&owner), signers);

    // Altered by one character; the first is still good.
    let mut request = signed(&[&owner, &other]);
    let altered = {
        let text = request["signatures"][1]["signature"].as_str().unwrap();
        let first = if text.starts_with('A') { "B" } else { "A" };
        format!("{first}{}", &text[1..])
    };
    request["signatures"][1]["signature"] = altered.into();
    is_refused(&connection, &request, 401, "bad_signature", "signature 2").await;

    // Over another job.
    let mut request = signed(&[&owner]);
    request["signatures"] = raw::request(&owned(&owner), &[&owner])["signatures"].clone();
    is_refused(&connection, &request, 401, "bad_signature", "signature 1").await;

    // Of another length, without a key, with a private one, and with an unprotected header.
    let mut request = signed(&[&owner]);
    request["signatures"][0]["signature"] = b64u([0; 63]).into();
    is_refused(&connection, &request, 401, "bad_signature", "signature 1").await;
    let mut request = signed(&[&owner]);
    request["signatures"][0]["protected"] = b64u(r#"{"alg":"EdDSA","typ":"subrosa-job"}"#).into();
    is_refused(&connection, &request, 401, "bad_signature", "`jwk`").await;
    let mut request = signed(&[&owner]);
    request["signatures"][0]["protected"] = b64u("x".repeat(2049)).into();
    is_refused(&connection, &request, 401, "bad_signature", "2048").await;
    let mut request = signed(&[&owner]);
    request["signatures"][0]["header"] = json!({ "kid": "me" });
    is_refused(&connection, &request, 400, "bad_request", "does not fit").await;

    // Who signs, and how many.
    is_refused(&connection, &signed(&[&other]), 403, "unauthorized", &owner.thumbprint().to_string()).await;
    is_refused(&connection, &signed(&[]), 403, "unauthorized", &owner.thumbprint().to_string()).await;
    is_refused(&connection, &signed(&[&owner; 17]), 400, "bad_request", "17 signatures").await;
    assert_eq!(ask(&connection, LAUNCH, signed(&[&owner; 16]).to_string()).await.unwrap()["state"], "queued");

    a_good_job_runs(&lab).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_job_whose_key_is_none_fails_and_its_worker_goes_on() {
    let mut lab = Lab::new(PROGRAM, &[Example::Echo], &[]).await;
    let connection = lab.connection().await;
    // All zero, and another point of small order.
    let mut one = [0; 32];
    one[0] = 1;
    for key in [[0; 32], one] {
        let mut job = raw::job("echo");
        job["client_key"] = b64u(key).into();
        let job = job.to_string();
        let request = raw::request(job.as_bytes(), &[]).to_string();
        assert_eq!(ask(&connection, LAUNCH, request).await.unwrap()["state"], "queued");
        let records = lab.records("echo", &raw::id(job.as_bytes()), "failed").await;
        let Event::Failed(reason) = &records.last().unwrap().event else { panic!("not failed") };
        assert_eq!(reason.code, "bad_request");
        assert!(reason.text.contains("key"), "{}", reason.text);
    }
    a_good_job_runs(&lab).await;
    assert!(lab.local.workers[0].try_wait().unwrap().is_none(), "the worker has ended");
    lab.stop().await;
}

#[tokio::test]
async fn an_answer_goes_to_an_inbox_and_nowhere_else() {
    let lab = Lab::new(PROGRAM, &[Example::Echo], &[]).await;
    let connection = lab.connection().await;
    // From now on somebody listens.
    ask(&connection, "subrosa.v1.workers", "{}").await.unwrap();
    let mut answers = connection.subscribe("answers.>").await.unwrap();
    let mut near = connection.subscribe("_INBOXES.>").await.unwrap();
    let job = raw::job("echo").to_string();
    let request = raw::request(job.as_bytes(), &[]).to_string();
    for reply in ["answers.here", "_INBOXES.here"] {
        for subject in [LAUNCH, "subrosa.v1.workers", "subrosa.v1.status", "subrosa.v1.cancel"] {
            connection.publish(subject, Some(reply), request.clone().into()).await.unwrap();
        }
    }
    // Not even as somebody's deputy: this would be a launch in the launcher's name.
    connection.publish("subrosa.v1.workers", Some(LAUNCH), "{}".into()).await.unwrap();
    // An inbox of another role's is one.
    let mut inbox = connection.subscribe("_INBOX_other.>").await.unwrap();
    connection.publish("subrosa.v1.workers", Some("_INBOX_other.here"), "{}".into()).await.unwrap();
    let answer = patiently(inbox.next()).await.unwrap();
    let workers: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(workers["workers"][0]["worker"], "echo");

    // By now the others would have been answered as well: each of these asks comes after them.
    a_good_job_runs(&lab).await;
    let unknown =
        ask(&connection, "subrosa.v1.status", json!({ "job": raw::id(job.as_bytes()) }).to_string());
    assert_eq!(unknown.await.unwrap_err().code, "unknown_job", "what asks for no answer is not done either");
    connection.round_trip(PATIENCE).await.unwrap();
    assert!(answers.next().now_or_never().is_none());
    assert!(near.next().now_or_never().is_none());
    lab.stop().await;
}

#[tokio::test]
async fn services_refuse_what_they_cannot_read_and_who_has_no_token() {
    let lab = Lab::new(PROGRAM, &[], &["nobody-serves"]).await;
    let connection = lab.connection().await;
    let job = raw::job("nobody-serves").to_string();
    let id = raw::id(job.as_bytes());
    let request = raw::request(job.as_bytes(), &[]).to_string();
    let launched = ask(&connection, "subrosa.v1.launch.nobody-serves", request).await.unwrap();
    assert_eq!(launched, json!({ "job": id, "state": "queued" }));
    let token = b64u([9; 32]);

    for service in ["status", "cancel", "close"] {
        let subject = format!("subrosa.v1.{service}");
        for (body, message) in [
            (String::new(), "is not JSON"),
            ("hello".to_owned(), "is not JSON"),
            ("[]".to_owned(), "does not fit"),
            ("{}".to_owned(), "`job`"),
            (json!({ "job": "abc", "token": token }).to_string(), "does not fit"),
            (json!({ "job": id.to_string().to_uppercase(), "token": token }).to_string(), "does not fit"),
            (format!(r#"{{"job": "{id}", "job": "{id}", "token": "{token}"}}"#), "`job` twice"),
        ] {
            let refused = ask(&connection, &subject, body.clone()).await.unwrap_err();
            assert_eq!((refused.number, refused.code.as_str()), (400, "bad_request"), "{service} {body}");
            assert!(refused.message.contains(message), "{service} {body}: {}", refused.message);
        }
        let body = json!({ "job": id, "token": token }).to_string();
        let refused = ask(&connection, &subject, format!("{body:<4097}")).await.unwrap_err();
        assert_eq!((refused.number, refused.code.as_str()), (413, "too_large"), "{service}");
        let unknown = json!({ "job": raw::id(b"another"), "token": token }).to_string();
        let refused = ask(&connection, &subject, unknown).await.unwrap_err();
        assert_eq!((refused.number, refused.code.as_str()), (404, "unknown_job"), "{service}");
        if service == "status" {
            continue;
        }
        let refused = ask(&connection, &subject, json!({ "job": id }).to_string()).await.unwrap_err();
        assert!(refused.message.contains("`token`"), "{service}: {}", refused.message);
        for bad in [json!("AQ"), json!(b64u([1; 33])), json!(1), json!(null)] {
            let body = json!({ "job": id, "token": bad }).to_string();
            let refused = ask(&connection, &subject, body).await.unwrap_err();
            assert_eq!(refused.code, "bad_request", "{service} {bad}");
        }
        let refused = ask(&connection, &subject, body).await.unwrap_err();
        assert_eq!((refused.number, refused.code.as_str()), (403, "wrong_token"), "{service}");
    }
    // Neither token does for the other service.
    let with = |token: [u8; 32]| json!({ "job": id, "token": b64u(token) }).to_string();
    for (service, token) in [("cancel", raw::CLOSE), ("close", raw::CANCEL)] {
        let refused = ask(&connection, &format!("subrosa.v1.{service}"), with(token)).await.unwrap_err();
        assert_eq!(refused.code, "wrong_token", "{service}");
    }
    let status = ask(&connection, "subrosa.v1.status", json!({ "job": id }).to_string()).await.unwrap();
    assert_eq!(status["state"], "queued", "nothing of this has changed it");

    let cancelled = ask(&connection, "subrosa.v1.cancel", with(raw::CANCEL)).await.unwrap();
    assert_eq!((&cancelled["state"], &cancelled["attempt"]), (&json!("cancelled"), &json!(0)));
    // It has ended, and cannot be ended otherwise; and its record shows why it has.
    for (service, token) in [("cancel", raw::CANCEL), ("close", raw::CLOSE)] {
        let again = ask(&connection, &format!("subrosa.v1.{service}"), with(token)).await.unwrap();
        assert_eq!(again, cancelled, "{service}");
    }
    let records = lab.records("nobody-serves", &id, "cancelled").await;
    assert_eq!(records.len(), 2);
    let Event::Cancelled { cancel, .. } = &records[1].event else { panic!("not cancelled") };
    assert_eq!(*cancel, Some(raw::CANCEL));
    lab.stop().await;
}

#[tokio::test]
async fn the_same_launch_again_is_the_same_job() {
    let lab = Lab::new(PROGRAM, &[Example::Echo], &["nobody-serves"]).await;
    let connection = lab.connection().await;

    // While it is queued.
    let job = raw::job("nobody-serves").to_string();
    let id = raw::id(job.as_bytes());
    let request = raw::request(job.as_bytes(), &[]).to_string();
    for _ in 0..3 {
        let launched = ask(&connection, "subrosa.v1.launch.nobody-serves", request.clone()).await.unwrap();
        assert_eq!(launched, json!({ "job": id, "state": "queued" }));
    }
    assert_eq!(lab.history("nobody-serves", &id, "queued").await, ["queued"]);

    // After it was closed, by whoever kept the request.
    let client = lab.client().await;
    let job = client.job("echo").payload_value("once").launch().await.unwrap();
    let id = *job.id();
    patiently(job.result::<Value>()).await.unwrap();
    patiently(client.close()).await;
    let records = lab.records("echo", &id, "closed").await;
    let Event::Queued { request } = &records[0].event else { panic!("not queued") };
    for _ in 0..3 {
        let launched = ask(&connection, LAUNCH, request.clone()).await.unwrap();
        assert_eq!(launched, json!({ "job": id, "state": "closed" }));
    }
    // Whatever would have run it again would have taken it before this one.
    a_good_job_runs(&lab).await;
    assert_eq!(lab.history("echo", &id, "closed").await, ["queued", "taken", "running", "closed"]);
    lab.stop().await;
}
