//! What launchers and brokers that lie do to signatures, keys and jobs. The table in `docs/threat-model.md`
//! says which other tests try the rest.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ed25519_dalek::Signer as _;
use serde_json::{Value, json};
use subrosa_client::{Client, SigningKey};
use subrosa_protocol::{
    encoding::b64u,
    id::{Attempt, Instance, JobId},
    identity::file,
    launch::LaunchRequest,
    policy::Policy,
    record::Event,
    session::worker::{Offer, Setup},
    subject::Namespace,
    wire::Json,
};
use subrosa_tests::{
    lab::{Lab, PATIENCE, fresh_key, patiently},
    raw::{self, ask},
};

use crate::{
    PROGRAM,
    policies::{admit, party, plan, serve_by},
    trust::{answer, answer_first, untrusted},
};

/// `options` for this job as this worker makes them.
fn options(request: &LaunchRequest, identity: &SigningKey, attempt: Attempt) -> Vec<u8> {
    let signers = request.verify().unwrap();
    let setup = Setup {
        job: request.job(),
        signers: &signers,
        attempt,
        identity,
        cert: None,
        instance: Instance::random(&mut rand::rng()),
        max_envelope_bytes: 1 << 20,
    };
    let offer = Offer::new(&setup, &mut rand::rng()).unwrap();
    offer.options(Json(())).unwrap_or_else(|_| panic!("not sealed")).envelope
}

async fn launched(client: &Client, asked: &Arc<AtomicUsize>) -> subrosa_client::Job {
    let asked = asked.clone();
    let job = client.job("wanted").payload_value(json!("sealed")).options(move |_| {
        asked.fetch_add(1, Ordering::SeqCst);
        async { Ok(json!("options")) }
    });
    job.launch().await.unwrap()
}

/// The broker has what the trusted worker itself has sealed, and delivers something else, or elsewhere.
#[tokio::test]
async fn a_broker_that_swaps_key_attempt_options_or_job_is_not_answered() {
    let lab = Lab::new(PROGRAM, &[], &["wanted"]).await;
    let client = lab.client().await;
    let [asked, asked_of_other] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let mut job = launched(&client, &asked).await;
    let other = launched(&client, &asked_of_other).await;
    let mut events = job.events();
    let request = async |id: &JobId| {
        LaunchRequest::parse(&lab.request("wanted", id).await, &Namespace::default()).unwrap()
    };
    let (this, of_other) = (request(job.id()).await, request(other.id()).await);
    let worker = file::load(lab.local.worker_key("wanted")).unwrap();
    let good = options(&this, &worker, Attempt::FIRST);
    let second = options(&this, &worker, Attempt::new(2).unwrap());
    let altered = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut envelope = good.clone();
        change(&mut envelope);
        envelope
    };
    let swapped = [
        // Another worker's key: in the header, before the ciphertext, in both places; one that is none.
        altered(&|envelope| envelope[12..44].copy_from_slice(&second[12..44])),
        altered(&|envelope| envelope[44..76].copy_from_slice(&second[44..76])),
        altered(&|envelope| envelope[12..76].copy_from_slice(&second[12..76])),
        altered(&|envelope| envelope[12..76].fill(0)),
        // Another attempt, and another number.
        altered(&|envelope| envelope[3] = 2),
        altered(&|envelope| envelope[3] = 0),
        altered(&|envelope| envelope[11] = 1),
        // Other options: those of the second attempt, or nobody's.
        altered(&|envelope| envelope.splice(76.., second[76..].iter().copied()).for_each(drop)),
        altered(&|envelope| envelope[80] ^= 1),
        // Another job's.
        options(&of_other, &worker, Attempt::FIRST),
        // An attempt that this job does not have.
        options(&this, &worker, Attempt::new(10).unwrap()),
    ];
    let connection = lab.connection().await;
    let inbox = connection.inbox();
    let subject = this.job().description().reply.subject(job.id(), "options");
    for envelope in swapped {
        connection.publish(&subject, Some(inbox.subject()), envelope.into()).await.unwrap();
    }
    connection.round_trip(PATIENCE).await.unwrap();
    // Messages of one subject come in their order: once the client has judged this one, it has seen all.
    answer_first(&lab, job.id(), &fresh_key(), None).await;
    untrusted(&mut events).await;
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nothing was answered");

    // And nothing has changed: the first attempt is still to come.
    let _worker = lab.serve("wanted", answer);
    for (job, asked) in [(job, asked), (other, asked_of_other)] {
        let outcome = patiently(job.result::<Value>()).await.unwrap();
        assert_eq!((outcome.value, outcome.attempt), (json!("sealed"), 1));
        assert_eq!((outcome.worker, asked.load(Ordering::SeqCst)), (worker.thumbprint(), 1));
    }
    lab.stop().await;
}

/// A launcher that lies has every right on the queue, and a job that alice has signed.
#[tokio::test]
async fn a_launcher_that_alters_a_signed_job_has_nobody_run_it() {
    let alice = party(1);
    let lab = Lab::with(plan(0)).await;
    let done = serve_by(&lab, Policy::at_least(1, [alice.thumbprint()]).unwrap());
    let mut job = raw::job("asked");
    job["client"] = alice.thumbprint().to_string().into();
    let signed = raw::request(job.to_string().as_bytes(), &[&alice]);
    let hers = raw::id(job.to_string().as_bytes());
    let its_own_key = raw::job("asked")["client_key"].clone();
    for (member, value) in [
        ("client_key", its_own_key),
        ("reply", "subrosa.v1.client.TheLauncherItself0".into()),
        ("client", party(2).thumbprint().to_string().into()),
        ("max_attempts", 10.into()),
        ("label", "something that alice never said".into()),
    ] {
        let mut altered = job.clone();
        altered[member] = value;
        let altered = altered.to_string();
        let mut request = signed.clone();
        request["payload"] = b64u(&altered).into();
        // Under its own id it is a job that she has not signed.
        let id = raw::id(altered.as_bytes());
        admit(&lab, &id, request.to_string().as_bytes()).await;
        let records = lab.records("asked", &id, "failed").await;
        let Event::Failed(reason) = &records[1].event else { panic!("{records:?}") };
        assert_eq!((reason.code.as_str(), records.len()), ("bad_signature", 2), "{member}");
        // Under the id of hers it is none.
        if member == "client_key" {
            admit(&lab, &hers, request.to_string().as_bytes()).await;
        }
    }
    let good = raw::job("asked").to_string();
    let id = raw::id(good.as_bytes());
    admit(&lab, &id, raw::request(good.as_bytes(), &[&alice]).to_string().as_bytes()).await;
    lab.records("asked", &id, "taken").await;
    assert_eq!(lab.history("asked", &hers, "queued").await, ["queued"]);
    let ran: Vec<JobId> = done.all().into_iter().map(|(job, ..)| job).collect();
    assert!(ran.iter().all(|job| *job == id), "{ran:?}");
    lab.stop().await;
}

/// One signature by alice's key, really made with it, under any header.
fn signature(header: &Value, payload: &str) -> Value {
    let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let protected = b64u(header.to_string());
    let signature = key.sign(format!("{protected}.{payload}").as_bytes());
    json!({ "protected": protected, "signature": b64u(signature.to_bytes()) })
}

/// What nobody may take for a signature of alice's, although alice's key has made it.
#[tokio::test]
async fn signatures_under_other_headers_are_refused_by_launchers_and_by_workers() {
    let alice = party(1);
    let honest = Lab::with(plan(1)).await;
    let lab = Lab::with(plan(0)).await;
    let done = serve_by(&lab, Policy::at_least(1, [alice.thumbprint()]).unwrap());
    let jwk = serde_json::to_value(alice.public()).unwrap();
    let usual = json!({ "alg": "EdDSA", "typ": "subrosa-job", "jwk": jwk });
    let with = |member: &str, value: Value| {
        let mut header = usual.clone();
        header[member] = value;
        header
    };
    let with_private = |value: Value| {
        let mut jwk = jwk.clone();
        jwk["d"] = value;
        with("jwk", jwk)
    };
    let without_key = {
        let mut header = usual.clone();
        header.as_object_mut().unwrap().remove("jwk");
        header["kid"] = alice.thumbprint().to_string().into();
        header
    };
    // The thumbprint of this one is trusted, and alice's key, which verifies, is another.
    let carol = serde_json::to_value(party(3).public()).unwrap();
    let headers = [
        with("alg", "none".into()),
        with("alg", "HS256".into()),
        with("alg", "ES256K".into()),
        with("typ", "subrosa-record".into()),
        with("typ", "subrosa-worker".into()),
        with("crit", json!(["exp"])),
        with("crit", json!([])),
        with("b64", false.into()),
        with("kid", alice.thumbprint().to_string().into()),
        with_private(b64u([1; 32]).into()),
        with_private(Value::Null),
        with("jwk", carol),
        without_key,
    ];
    let connection = honest.connection().await;
    let forged = |header: &Value, unprotected: Option<Value>| {
        let job = raw::job("asked").to_string();
        let payload = b64u(&job);
        let mut signature = signature(header, &payload);
        if let Some(unprotected) = unprotected {
            signature["header"] = unprotected;
        }
        let request = json!({ "payload": payload, "signatures": [signature] }).to_string();
        (raw::id(job.as_bytes()), request)
    };
    for header in &headers {
        let (id, request) = forged(header, None);
        let refused = ask(&connection, "subrosa.v1.launch.asked", request.clone()).await.unwrap_err();
        assert_eq!(refused.code, "bad_signature", "{header}");
        admit(&lab, &id, request.as_bytes()).await;
        let records = lab.records("asked", &id, "failed").await;
        let Event::Failed(reason) = &records[1].event else { panic!("{records:?}") };
        assert_eq!((reason.code.as_str(), records.len()), ("bad_signature", 2), "{header}");
    }
    // With an unprotected header it is no launch request at all, and a worker passes over it.
    let mut passed_over = Vec::new();
    for unprotected in [json!({ "kid": "1" }), json!({})] {
        let (id, request) = forged(&usual, Some(unprotected));
        let refused = ask(&connection, "subrosa.v1.launch.asked", request.clone()).await.unwrap_err();
        assert_eq!(refused.code, "bad_request");
        admit(&lab, &id, request.as_bytes()).await;
        passed_over.push(id);
    }
    // That the signature itself is good.
    let (id, request) = forged(&usual, None);
    admit(&lab, &id, request.as_bytes()).await;
    lab.records("asked", &id, "taken").await;
    let ran: Vec<JobId> = done.all().into_iter().map(|(job, ..)| job).collect();
    assert!(ran.iter().all(|job| *job == id), "{ran:?}");
    for id in passed_over {
        assert_eq!(lab.history("asked", &id, "queued").await, ["queued"]);
    }
    lab.stop().await;
    honest.stop().await;
}
