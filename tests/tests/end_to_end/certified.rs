//! Workers that clients know by an authority's word only.

use std::time::Duration;

use serde_json::{Value, json};
use subrosa::local::Plan;
use subrosa_client::{Client, JobError, SigningKey, Trust, UntrustedWorker};
use subrosa_protocol::{
    identity::{Certificate, ImageDigest, KeyType, PublicKey, Revoked, Role, file},
    record::{Event, Record},
    subject::Namespace,
};
use subrosa_tests::lab::{Lab, PATIENCE, fresh_key, patiently, serve};
use subrosa_transport::{History, Live, now_ms};
use subrosa_worker::{Config, Error};
use tokio::time::Instant;

use crate::{
    PROGRAM,
    trust::{answer, answer_first, untrusted},
};

fn image(digit: &str) -> ImageDigest {
    format!("sha256:{}", digit.repeat(64)).parse().unwrap()
}

/// A certificate that holds from an hour ago, for two hours.
fn certificate(key: &PublicKey) -> Certificate {
    let issued_s = now_ms() / 1000 - 3600;
    let worker = "wanted".parse().unwrap();
    Certificate { worker, key: key.clone(), issued_s, expires_s: issued_s + 7200, image: None }
}

/// A deployment where everyone's trust file has the launcher and this authority, and no worker.
async fn lab(authority: &SigningKey) -> (Lab, Trust) {
    let plan = Plan { others: vec!["wanted".to_owned()], ..Plan::of(PROGRAM, []) };
    let authority = authority.public();
    let lab = Lab::configured(plan, move |lab, _| {
        let launcher = file::load(lab.local.launcher_config().with_file_name("launcher.jwk")).unwrap();
        let trust = Trust::default().with_key(launcher.public(), Role::Launcher, None).with_key(
            authority,
            Role::Authority,
            None,
        );
        std::fs::write(lab.local.trust_file(), trust.to_json()).unwrap();
    })
    .await;
    let trust = lab.local.trust().unwrap();
    (lab, trust)
}

fn worker(lab: &Lab, identity: SigningKey, cert: &str) -> Config {
    let mut config = lab.worker_config("wanted");
    config.identity = identity;
    config.cert = Live::given(Some(cert.to_owned()));
    config
}

#[tokio::test]
async fn workers_certified_by_either_kind_of_key_serve_and_write_records_that_count() {
    for (authority, identity) in
        [(KeyType::Ed25519, KeyType::Secp256k1), (KeyType::Secp256k1, KeyType::Ed25519)]
    {
        let [authority, identity] =
            [authority, identity].map(|key_type| SigningKey::generate_type(key_type, &mut rand::rng()));
        let (lab, trust) = lab(&authority).await;
        let (cert, seen) = (certificate(&identity.public()).sign(&authority), identity.thumbprint());
        let _worker = serve(worker(&lab, identity, &cert), "wanted", answer);
        let client = lab.anonymous(trust.clone()).await;
        let job = client.job("wanted").payload_value(json!(1)).launch().await.unwrap();
        let id = *job.id();
        let outcome = patiently(job.result::<Value>()).await.unwrap();
        assert_eq!((outcome.value, outcome.worker, outcome.attempt), (json!(1), seen, 1));
        assert_eq!(outcome.receipt.cert.as_deref(), Some(cert.as_str()));

        // Who knows the authority only can read the history too: the certificate stays with it.
        lab.records("wanted", &id, "closed").await;
        let history = History::new(lab.connection().await, Namespace::default());
        let name = "wanted".parse().unwrap();
        let stored = history.all(&name, &id, Instant::now() + PATIENCE).await.unwrap();
        assert_eq!(stored.len(), 4);
        for stored in stored {
            let verified = Record::verify(&stored.bytes, &id, &name, &trust).unwrap();
            let by_launcher = matches!(verified.record.event, Event::Queued { .. });
            assert_eq!(verified.cert.as_deref(), (!by_launcher).then_some(cert.as_str()));
            assert_eq!(verified.signer == seen, !by_launcher);
        }
        lab.stop().await;
    }
}

#[tokio::test]
async fn certificates_that_do_not_count_are_not_taken_and_the_error_says_why() {
    let (authority, stranger, stolen, other_authority) = (fresh_key(), fresh_key(), fresh_key(), fresh_key());
    let (lab, trust) = lab(&authority).await;
    let trust = trust
        .with_key(other_authority.public(), Role::Authority, None)
        .with_revoked(Revoked::from_iter([stolen.thumbprint(), other_authority.thumbprint()]));
    let client = lab.anonymous(trust).await;
    let job = client.job("wanted").payload_value(json!(1)).expires_in(Duration::from_secs(15));
    let mut job = job.launch().await.unwrap();
    let mut events = job.events();

    let impostor = fresh_key();
    let good = || certificate(&impostor.public());
    let expired = Certificate { issued_s: 1, expires_s: now_ms() / 1000 - 180, ..good() };
    let early = now_ms() / 1000 + 180;
    let early = Certificate { issued_s: early, expires_s: early + 60, ..good() };
    let of_another_name = Certificate { worker: "another".parse().unwrap(), ..good() };
    let of_another_key = certificate(&fresh_key().public());
    let altered = good().sign(&authority).replacen("eyJzdWIi", "eyJzdWIj", 1);
    let launcher = file::load(lab.local.launcher_config().with_file_name("launcher.jwk")).unwrap();
    let cases = [
        (&impostor, None, "is unknown"),
        (&impostor, Some(expired.sign(&authority)), "issue a new one"),
        (&impostor, Some(early.sign(&authority)), "check the clocks"),
        (&impostor, Some(of_another_name.sign(&authority)), "for another worker"),
        (&impostor, Some(of_another_key.sign(&authority)), "for another key"),
        (&impostor, Some(good().sign(&impostor)), "which vouches for nothing"),
        (&impostor, Some(good().sign(&stranger)), "no authority here"),
        (&impostor, Some(good().sign(&launcher)), "no authority here"),
        (&impostor, Some(good().sign(&other_authority)), "is revoked"),
        (&impostor, Some(altered), "does not verify"),
        (&stolen, Some(certificate(&stolen.public()).sign(&authority)), "is revoked"),
    ];
    let mut seen = Vec::new();
    for (identity, cert, why) in cases {
        answer_first(&lab, job.id(), identity, cert.as_deref()).await;
        let UntrustedWorker { worker, reason } = untrusted(&mut events).await;
        assert_eq!(worker, identity.thumbprint());
        assert!(reason.to_string().contains(why), "{reason}: {why}");
        seen.push(reason.to_string());
    }
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    assert!(matches!(error, JobError::NoWorker { .. }), "{error}");
    for reason in seen {
        assert!(error.to_string().contains(&reason), "{error}: {reason}");
    }
    lab.stop().await;
}

#[tokio::test]
async fn who_asks_for_an_image_takes_a_worker_certified_for_it_and_no_other() {
    let (authority, identity) = (fresh_key(), fresh_key());
    let (lab, trust) = lab(&authority).await;
    let certified = Certificate { image: Some(image("a")), ..certificate(&identity.public()) };
    let _worker = serve(worker(&lab, identity, &certified.sign(&authority)), "wanted", answer);
    for (asked, good) in [("b", false), ("a", true)] {
        let client = lab.anonymous(trust.clone().with_image(image(asked))).await;
        let job = client.job("wanted").payload_value(json!(1)).expires_in(Duration::from_secs(1));
        let result = patiently(job.launch().await.unwrap().result::<Value>()).await;
        match result {
            Ok(outcome) => assert!(good && outcome.value == 1),
            Err(error) => assert!(!good && error.to_string().contains("for another image"), "{error}"),
        }
    }
    lab.stop().await;
}

#[tokio::test]
async fn a_worker_whose_certificate_does_not_count_does_not_start() {
    let (authority, identity) = (fresh_key(), fresh_key());
    let (lab, _) = lab(&authority).await;
    let expired = Certificate { issued_s: 1, expires_s: 2, ..certificate(&identity.public()) };
    let config = worker(&lab, identity, &expired.sign(&authority));
    let error = patiently(serve(config, "wanted", answer).served).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Untrusted { .. }), "{error}");
    assert!(error.to_string().contains("issue a new one"), "{error}");
    lab.stop().await;
}

#[tokio::test]
async fn a_worker_takes_no_job_that_may_outlive_its_certificate() {
    let (authority, identity) = (fresh_key(), fresh_key());
    let (lab, trust) = lab(&authority).await;
    let expires_s = now_ms() / 1000 + 300;
    let cert = Certificate { expires_s, ..certificate(&identity.public()) }.sign(&authority);
    let _worker = serve(worker(&lab, identity, &cert), "wanted", answer);
    let client = lab.anonymous(trust).await;
    let job = |minutes: u64| {
        client.job("wanted").payload_value(json!(1)).timeout(Duration::from_secs(60 * minutes))
    };
    // Two minutes of clocks included, the certificate holds for seven more.
    let long = job(8).expires_in(Duration::from_secs(1)).launch().await.unwrap();
    let id = *long.id();
    let error = patiently(long.result::<Value>()).await.unwrap_err();
    assert!(matches!(error, JobError::NoWorker { .. }), "{error}");
    assert_eq!(lab.history("wanted", &id, "cancelled").await, ["queued", "cancelled"]);
    let outcome = patiently(job(5).launch().await.unwrap().result::<Value>()).await.unwrap();
    assert_eq!(outcome.value, json!(1));
    lab.stop().await;
}

#[tokio::test]
async fn a_result_that_a_certified_worker_has_stored_is_taken_by_who_comes_back() {
    let (authority, identity) = (fresh_key(), fresh_key());
    let (lab, trust) = lab(&authority).await;
    let cert = certificate(&identity.public()).sign(&authority);
    let mut config = worker(&lab, identity, &cert);
    config.timing.done = Duration::from_millis(500);
    let _worker = serve(config, "wanted", answer);
    let client = lab.anonymous(trust.clone()).await;
    let job = client.job("wanted").payload_value(json!(1)).launch().await.unwrap();
    let ticket = patiently(job.detach()).await.unwrap();
    drop(client);

    let client = Client::connect(lab.url()).reply_token(ticket.reply_token()).trust(trust).await.unwrap();
    let job = patiently(client.ticket(ticket).resume()).await.unwrap();
    let outcome = patiently(job.result::<Value>()).await.unwrap();
    assert_eq!((outcome.value, outcome.receipt.cert.as_deref()), (json!(1), Some(cert.as_str())));
    patiently(client.close()).await;
    lab.stop().await;
}
