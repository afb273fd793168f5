//! Trust, policies and revocations that change while everything runs.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use subrosa_client::{Client, Code, Event, Job, JobError, LaunchError, SigningKey, Trust};
use subrosa_protocol::identity::{Certificate, Role, Untrusted, file};
use subrosa_tests::{
    gate::{self, Gate},
    lab::{Lab, fresh_key, patiently, serve},
    processes::Running,
    raw::ask,
};
use subrosa_transport::{Live, now_ms};

use crate::{
    GATED, PROGRAM, guarded_launcher,
    policies::{party, plan, policy, replace, signers_file},
};

const REFUSED_FILE: &str = "CANNOT BE READ AGAIN";

/// A client of this party's.
async fn client(lab: &Lab, party: SigningKey) -> Client {
    Client::connect(lab.url()).identity(party).trust(lab.local.trust().unwrap()).await.unwrap()
}

async fn launch(client: &Client, gate: &Gate) -> Job {
    patiently(client.job("asked").payload_value(gate.payload()).launch()).await.unwrap()
}

async fn is_run(client: &Client, gate: &Gate) {
    let job = launch(client, gate).await;
    gate.arrival().await.go_on().await;
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().value, 1);
}

/// The worker refuses it, whatever the launcher has said.
async fn is_refused(client: &Client, gate: &Gate) {
    let error = patiently(launch(client, gate).await.result::<Value>()).await.unwrap_err();
    let JobError::Ended { code, .. } = error else { panic!("{error}") };
    assert_eq!(code.as_deref(), Some("unauthorized"));
    assert!(gate.is_deserted().await);
}

async fn is_refused_by_the_launcher(client: &Client) -> String {
    let error = patiently(client.job("asked").launch()).await.unwrap_err();
    let LaunchError::Refused { code: Code::Unauthorized, message } = error else { panic!("{error}") };
    message
}

/// A line for each of these parties.
fn thumbprints(parties: &[&SigningKey]) -> String {
    parties.iter().map(|key| format!("{}\n", key.thumbprint())).collect()
}

#[tokio::test]
async fn a_worker_reads_its_files_again_on_sighup() {
    let [alice, bob] = [1, 2].map(party);
    let lab = Lab::with(plan(1)).await;
    let signers = signers_file(&lab, "signers.json", &[&alice]);
    let mut command = lab.worker_command("asked", GATED);
    command.arg("asked").env("SUBROSA_SIGNERS_FILE", &signers).env("SUBROSA_SIGNERS_NEEDED", "1");
    let mut worker = Running::start(command);
    worker.says("worker ready").await;
    let gate = Gate::new().await;
    let (alices, bobs) = (client(&lab, party(1)).await, client(&lab, party(2)).await);
    is_run(&alices, &gate).await;
    is_refused(&bobs, &gate).await;

    signers_file(&lab, "signers.json", &[&bob]);
    is_run(&alices, &gate).await;
    worker.signal(Signal::HUP);
    assert!(worker.says("read again").await.contains("trust.json"));
    assert!(worker.says("read again").await.contains("signers.json"));
    worker.says("reloaded").await;
    is_run(&bobs, &gate).await;
    is_refused(&alices, &gate).await;

    // What cannot be used changes nothing.
    for bad in ["{", "{\"keys\":[]}"] {
        replace(&lab, "signers.json", bad);
        worker.signal(Signal::HUP);
        let line = worker.says(REFUSED_FILE).await;
        assert!(line.contains("ERROR") && line.contains("signers.json"), "{line}");
        worker.says("reloaded").await;
        is_run(&bobs, &gate).await;
        is_refused(&alices, &gate).await;
    }
    worker.signal(Signal::TERM);
    assert!(worker.ends().await.status.success(), "SIGHUP is no reason to end");
    lab.stop().await;
}

#[tokio::test]
async fn a_worker_shows_its_new_certificate_after_sighup() {
    let (lab, authority) = (Lab::new(PROGRAM, &[], &[gate::WORKER]).await, fresh_key());
    let key = file::load(lab.local.worker_key(gate::WORKER)).unwrap().public();
    let issue = |days: u64| {
        let issued_s = now_ms() / 1000;
        let worker = gate::WORKER.parse().unwrap();
        let expires_s = issued_s + days * 86_400;
        Certificate { worker, key: key.clone(), issued_s, expires_s, image: None }.sign(&authority)
    };
    let [first, second] = [1, 2].map(issue);
    let path = replace(&lab, "worker.cert", &first);
    let mut command = lab.worker_command(gate::WORKER, GATED);
    command.env("SUBROSA_CERT_FILE", &path);
    let mut worker = Running::start(command);
    worker.says("worker ready").await;
    let trust = Trust::default().with_key(authority.public(), Role::Authority, None);
    let client = Client::connect(lab.url()).trust(trust).await.unwrap();
    let gate = Gate::new().await;
    let shown = async || {
        let job = client.job(gate::WORKER).payload_value(gate.payload()).launch().await.unwrap();
        gate.arrival().await.go_on().await;
        patiently(job.result::<u16>()).await.unwrap().receipt.cert.clone().unwrap()
    };
    assert_eq!(shown().await, first);
    replace(&lab, "worker.cert", &second);
    worker.signal(Signal::HUP);
    worker.says("reloaded").await;
    assert_eq!(shown().await, second);
    // Another authority's is a certificate of this key's all the same; what is none changes nothing.
    replace(&lab, "worker.cert", "none");
    worker.signal(Signal::HUP);
    assert!(worker.says(REFUSED_FILE).await.contains("worker.cert"));
    worker.says("reloaded").await;
    assert_eq!(shown().await, second);
    lab.stop().await;
}

#[tokio::test]
async fn a_launcher_reads_its_files_again_on_sighup() {
    let [alice, bob] = [1, 2].map(party);
    let lab = Lab::configured(plan(0), |lab, config| {
        policy(config, &signers_file(lab, "signers.json", &[&alice]), 1, "enforce");
    })
    .await;
    let mut launcher = guarded_launcher(&lab);
    launcher.says("launcher ready").await;
    let _worker = lab.serve("asked", gate::pass);
    let gate = Gate::new().await;
    let (alices, bobs) = (client(&lab, party(1)).await, client(&lab, party(2)).await);
    is_run(&alices, &gate).await;
    is_refused_by_the_launcher(&bobs).await;

    signers_file(&lab, "signers.json", &[&alice, &bob]);
    let more = lab.local.trust().unwrap().with_key(fresh_key().public(), Role::Worker, None);
    replace(&lab, "trust.json", &more.to_json());
    is_refused_by_the_launcher(&bobs).await;
    launcher.signal(Signal::HUP);
    launcher.says("reloaded").await;
    is_run(&bobs, &gate).await;
    let connection = lab.connection().await;
    let listed = async || ask(&connection, "subrosa.v1.workers", "{}").await.unwrap()["workers"][0].clone();
    let good = listed().await;
    assert_eq!((&good["policy"], good["keys"].as_array().unwrap().len()), (&Value::from("1 of 2"), 2));

    // What cannot be used changes nothing: no JSON, no keys, or nobody who trusts the launcher itself.
    replace(&lab, "signers.json", "{");
    replace(&lab, "trust.json", "{\"keys\":[]}");
    launcher.signal(Signal::HUP);
    let line = launcher.says(REFUSED_FILE).await;
    assert!(line.contains("trust.json") && line.contains("does not trust the key"), "{line}");
    assert!(launcher.says(REFUSED_FILE).await.contains("signers.json"));
    launcher.says("reloaded").await;
    is_run(&bobs, &gate).await;
    assert_eq!(listed().await, good);
    launcher.signal(Signal::TERM);
    assert!(launcher.ends().await.status.success(), "SIGHUP is no reason to end");
    lab.stop().await;
}

#[tokio::test]
async fn a_worker_heeds_a_revocation_without_being_told() {
    let bob = party(2);
    let lab = Lab::with(plan(1)).await;
    let revoked = replace(&lab, "revoked", "# nobody yet\n");
    let mut command = lab.worker_command("asked", GATED);
    command.arg("asked").env("SUBROSA_REVOKED_FILE", &revoked);
    let mut worker = Running::start(command);
    worker.says("worker ready").await;
    let gate = Gate::new().await;
    let (alices, bobs) = (client(&lab, party(1)).await, client(&lab, party(2)).await);
    is_run(&bobs, &gate).await;

    replace(&lab, "revoked", &thumbprints(&[&bob]));
    worker.says("read again").await;
    is_refused(&bobs, &gate).await;
    is_run(&alices, &gate).await;
    // What cannot be used makes nobody good again.
    replace(&lab, "revoked", "whoever");
    assert!(worker.says(REFUSED_FILE).await.contains("revoked"));
    is_refused(&bobs, &gate).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_launcher_heeds_a_revocation_without_being_told() {
    let [alice, bob] = [1, 2].map(party);
    let lab = Lab::configured(plan(0), |lab, config| {
        let revoked = replace(lab, "revoked", "");
        config.insert("revoked_file".to_owned(), revoked.to_str().unwrap().into());
        policy(config, &signers_file(lab, "signers.json", &[&alice, &bob]), 1, "enforce");
    })
    .await;
    let mut launcher = guarded_launcher(&lab);
    launcher.says("launcher ready").await;
    let _worker = lab.serve("asked", gate::pass);
    let gate = Gate::new().await;
    let (alices, bobs) = (client(&lab, party(1)).await, client(&lab, party(2)).await);
    is_run(&bobs, &gate).await;

    replace(&lab, "revoked", &thumbprints(&[&bob]));
    launcher.says("read again").await;
    assert!(is_refused_by_the_launcher(&bobs).await.contains("was revoked"));
    // Nor does it count beside another's.
    let stranger = client(&lab, party(3)).await;
    let error = patiently(stranger.job("asked").signed_by(&bob).launch()).await.unwrap_err();
    assert!(error.to_string().contains("by 1 of its keys, and 0 count"), "{error}");
    is_run(&alices, &gate).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_revoked_itself_takes_no_job() {
    let lab = Lab::with(plan(1)).await;
    let own = file::load(lab.local.worker_key("asked")).unwrap();
    let revoked = replace(&lab, "revoked", "");
    let mut command = lab.worker_command("asked", GATED);
    command.arg("asked").env("SUBROSA_REVOKED_FILE", &revoked);
    let mut worker = Running::start(command);
    worker.says("worker ready").await;
    let gate = Gate::new().await;
    let client = client(&lab, party(1)).await;
    is_run(&client, &gate).await;

    replace(&lab, "revoked", &thumbprints(&[&own]));
    worker.says("read again").await;
    let job = launch(&client, &gate).await;
    assert!(worker.says("NOT TAKEN").await.contains("is revoked"));
    // Nobody would believe its `taken`, and the job would be lost.
    assert_eq!(lab.history("asked", job.id(), "queued").await, ["queued"]);
    assert!(gate.is_deserted().await);

    replace(&lab, "revoked", "");
    worker.says("read again").await;
    is_run(&client, &gate).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_launcher_that_is_revoked_itself_writes_nothing() {
    let lab = Lab::configured(plan(0), |lab, config| {
        let revoked = replace(lab, "revoked", "");
        config.insert("revoked_file".to_owned(), revoked.to_str().unwrap().into());
    })
    .await;
    let own = file::load(lab.local.launcher_config().with_file_name("launcher.jwk")).unwrap();
    let mut launcher = guarded_launcher(&lab);
    launcher.says("launcher ready").await;
    let _worker = lab.serve("asked", gate::pass);
    let gate = Gate::new().await;
    let client = client(&lab, party(1)).await;

    replace(&lab, "revoked", &thumbprints(&[&own]));
    launcher.says("read again").await;
    // It does not answer either, so that another launcher is asked.
    let job = client.job("asked").payload_value(gate.payload());
    let (job, ()) = tokio::join!(patiently(job.launch()), async {
        assert!(launcher.says("no record of this launcher counts").await.contains("is revoked"));
        replace(&lab, "revoked", "");
    });
    let job = job.unwrap();
    let id = *job.id();
    gate.arrival().await.go_on().await;
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().value, 1);
    assert_eq!(lab.history("asked", &id, "closed").await, ["queued", "taken", "running", "closed"]);
    lab.stop().await;
}

/// A client that trusts in this way, whose worker runs a job when this key is revoked; what it says of that.
async fn drops_its_worker(lab: &Lab, name: &str, trust: Trust, key: &SigningKey) -> Untrusted {
    let revoked = replace(lab, name, "");
    let client = Client::connect(lab.url()).trust(trust).revoked_file(revoked).await.unwrap();
    let gate = Gate::new().await;
    is_run(&client, &gate).await;

    let job = client.job("asked").payload_value(gate.payload()).expires_in(Duration::from_secs(5));
    let mut job = patiently(job.launch()).await.unwrap();
    let mut events = job.events();
    let visitor = gate.arrival().await;
    replace(lab, name, &thumbprints(&[key]));
    let distrusted = loop {
        if let Event::Untrusted(worker) = patiently(events.next()).await.unwrap() {
            break worker;
        }
    };
    visitor.go_on().await;
    let error = patiently(job.result::<u16>()).await.unwrap_err();
    let JobError::NoWorker { untrusted, .. } = error else { panic!("{error}") };
    assert_eq!(untrusted, std::slice::from_ref(&distrusted));
    distrusted.reason
}

#[tokio::test]
async fn a_client_takes_no_result_of_a_worker_that_was_revoked_meanwhile() {
    let lab = Lab::with(plan(1)).await;
    let (worker, authority) = (file::load(lab.local.worker_key("asked")).unwrap(), fresh_key());
    let issued_s = now_ms() / 1000;
    let certificate = Certificate {
        worker: "asked".parse().unwrap(),
        key: worker.public(),
        issued_s,
        expires_s: issued_s + 600,
        image: None,
    };
    let mut config = lab.worker_config("asked");
    config.cert = Live::given(Some(certificate.sign(&authority)));
    let _worker = serve(config, "asked", gate::pass);

    let certified = Trust::default().with_key(authority.public(), Role::Authority, None);
    let (pinned, certified) = tokio::join!(
        drops_its_worker(&lab, "revoked-workers", lab.local.trust().unwrap(), &worker),
        drops_its_worker(&lab, "revoked-authorities", certified, &authority),
    );
    assert_eq!(pinned, Untrusted::Revoked { key: worker.thumbprint() });
    let Untrusted::Authority { key, reason } = certified else { panic!("{certified}") };
    assert_eq!(key, worker.thumbprint());
    assert_eq!(*reason, Untrusted::Revoked { key: authority.thumbprint() });
    lab.stop().await;
}

#[tokio::test]
async fn a_run_with_a_revoked_worker_finds_none() {
    let lab = Lab::with(plan(1)).await;
    let _worker = lab.serve("asked", gate::pass);
    let worker = file::load(lab.local.worker_key("asked")).unwrap();
    let good = replace(&lab, "good", &thumbprints(&[&worker]));
    let bad = replace(&lab, "bad", "whoever");
    for (file, code, said) in [(good, 7, "is revoked"), (bad, 2, "bad")] {
        let mut command = subrosa_tests::lab::guarded(PROGRAM, PROGRAM);
        command.args(["run", "asked", "--expires-in", "1", "--nats", lab.url(), "--revoked"]).arg(file);
        command.arg("--trust").arg(lab.local.trust_file());
        let ended = Running::start(command).ends().await;
        assert_eq!(ended.status.code(), Some(code), "{}", ended.text());
        assert!(ended.text().contains(said), "{}", ended.text());
    }
    lab.stop().await;
}
