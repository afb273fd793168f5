//! Who may have a job run: policies in launcher and worker, and launchers that lie about them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use subrosa::local::Plan;
use subrosa_client::{Client, Code, JobBuilder, JobError, LaunchError, SigningKey};
use subrosa_protocol::{
    encoding::b64u,
    id::JobId,
    identity::{Signature, Typ, file},
    launch::LaunchRequest,
    policy::Policy,
    record::{Event, Record},
    secret::Secret,
    subject::Namespace,
};
use subrosa_tests::{
    gate::Gate,
    lab::{Lab, PATIENCE, fresh_key, patiently, serve},
    processes::Running,
    raw::{self, ask},
    runs::Runs,
};
use subrosa_transport::{Commit, History, Live, Queue, now_ms};
use subrosa_worker::{Done, Failure, Job, Launched};
use tokio::time::Instant;

use crate::{GATED, PROGRAM, guarded_launcher};

/// A party, always the same.
pub(crate) fn party(number: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::take(&mut [number; 32]))
}

/// Writes a signers file beside the deployment's others.
pub(crate) fn signers_file(lab: &Lab, name: &str, parties: &[&SigningKey]) -> PathBuf {
    let keys: Vec<Value> =
        parties.iter().map(|key| serde_json::to_value(key.public().to_jwk()).unwrap()).collect();
    replace(lab, name, &json!({ "keys": keys }).to_string())
}

/// Puts a file where another one may be, at once.
pub(crate) fn replace(lab: &Lab, name: &str, text: &str) -> PathBuf {
    let path = lab.local.trust_file().with_file_name(name);
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, &path).unwrap();
    path
}

/// Gives the first worker in a launcher's configuration a policy.
pub(crate) fn policy(config: &mut toml::Table, signers: &Path, needed: i64, mode: &str) {
    let signers_file = signers.to_str().unwrap();
    let policy = toml::toml! { signers_file = signers_file needed = needed mode = mode };
    let workers = config.get_mut("worker").and_then(toml::Value::as_array_mut).unwrap();
    workers[0].as_table_mut().unwrap().insert("policy".to_owned(), policy.into());
}

/// A plan with the worker `asked`, which the tests run themselves.
pub(crate) fn plan(launchers: usize) -> Plan {
    Plan { launchers, others: vec!["asked".to_owned()], ..Plan::of(PROGRAM, []) }
}

async fn counted(runs: Runs, job: Job<Launched>) -> Result<Done, Failure> {
    runs.count(&job);
    let (_, job) = job.options::<Value>(&()).await?;
    let (payload, job) = job.ready::<Value>(&()).await?;
    job.done(&payload).await
}

/// Serves `asked` by a policy of its own, whatever launchers do.
pub(crate) fn serve_by(lab: &Lab, policy: Policy) -> Runs {
    let runs = Runs::default();
    let mut config = lab.worker_config("asked");
    config.policy = Live::given(policy);
    // One after the other, so that what comes later tells that what came before is dealt with.
    config.slots = 1;
    let counting = runs.clone();
    serve(config, "asked", move |job| counted(counting.clone(), job));
    runs
}

fn asked<'a>(client: &'a Client, signers: &[&'a SigningKey]) -> JobBuilder<'a> {
    signers.iter().fold(client.job("asked").payload_value(1), |job, key| job.signed_by(key))
}

/// What the launcher says to a job that it refuses.
async fn refusal(job: JobBuilder<'_>) -> String {
    let error = patiently(job.launch()).await.unwrap_err();
    let LaunchError::Refused { code: Code::Unauthorized, message } = error else { panic!("{error}") };
    message
}

async fn runs(job: JobBuilder<'_>) {
    let job = patiently(job.launch()).await.unwrap();
    assert_eq!(patiently(job.result::<Value>()).await.unwrap().value, 1);
}

/// The job ends because its worker refuses it.
async fn is_refused_by_the_worker(lab: &Lab, job: subrosa_client::Job) {
    let id = *job.id();
    let error = patiently(job.result::<Value>()).await.unwrap_err();
    let JobError::Ended { state, code, .. } = error else { panic!("{error}") };
    assert_eq!((state.as_str(), code.as_deref()), ("failed", Some("unauthorized")));
    is_failed_at_once(lab, &id).await;
}

/// No worker has even taken it.
async fn is_failed_at_once(lab: &Lab, id: &JobId) {
    let records = lab.records("asked", id, "failed").await;
    let [Record { event: Event::Queued { .. }, .. }, Record { event: Event::Failed(reason), .. }] = &*records
    else {
        panic!("{records:?}")
    };
    assert_eq!(reason.code, "unauthorized");
}

#[tokio::test]
async fn two_of_three_parties_have_a_job_run_and_fewer_do_not() {
    let [alice, bob, carol] = [1, 2, 3].map(party);
    let lab = Lab::configured(plan(1), |lab, config| {
        policy(config, &signers_file(lab, "signers.json", &[&alice, &bob, &carol]), 2, "enforce");
    })
    .await;
    let two = Policy::at_least(2, [&alice, &bob, &carol].map(SigningKey::thumbprint)).unwrap();
    let done = serve_by(&lab, two);
    let anonymous = lab.anonymous(lab.local.trust().unwrap()).await;
    let stranger = fresh_key();
    for (few, count) in [
        (&[][..], 0),
        (&[&alice], 1),
        (&[&stranger], 0),
        (&[&alice, &stranger], 1),
        (&[&alice, &alice], 1),
        (&[&bob, &bob, &bob, &stranger], 1),
    ] {
        let said = refusal(asked(&anonymous, few)).await;
        assert!(said.contains(&format!("signatures by 2 of its keys, and {count} count")), "{said}");
    }
    for enough in [&[&alice, &bob][..], &[&carol, &alice], &[&alice, &bob, &carol, &stranger]] {
        runs(asked(&anonymous, enough)).await;
    }
    assert_eq!(done.all().len(), 3);

    // The owner's signature is one of them.
    let owner = Client::connect(lab.url()).identity(party(1)).trust(lab.local.trust().unwrap());
    let owner = owner.await.unwrap();
    refusal(asked(&owner, &[&alice])).await;
    runs(asked(&owner, &[&bob])).await;

    let connection = lab.connection().await;
    let listed = ask(&connection, "subrosa.v1.workers", "{}").await.unwrap();
    assert_eq!(listed["workers"][0]["policy"], "2 of 3");
    lab.stop().await;
}

#[tokio::test]
async fn a_launcher_that_skips_the_check_changes_nothing() {
    let [alice, bob, carol] = [1, 2, 3].map(party);
    // Its configuration names no policy: it lets everyone's jobs through.
    let lab = Lab::with(plan(1)).await;
    let keys = [&alice, &bob, &carol].map(SigningKey::thumbprint);
    let done = serve_by(&lab, Policy::at_least(2, keys).unwrap());
    let client = lab.client().await;
    for few in [&[][..], &[&alice], &[&alice, &alice], &[&carol, &fresh_key()]] {
        let job = asked(&client, few).launch().await.unwrap();
        is_refused_by_the_worker(&lab, job).await;
    }
    assert_eq!(done.all(), [], "it has run something");
    runs(asked(&client, &[&alice, &carol])).await;
    assert_eq!(done.all().len(), 1);
    lab.stop().await;
}

/// The environment of a worker's policy.
fn by(signers: &Path, needed: &'static str, mode: &'static str) -> [(&'static str, PathBuf); 3] {
    [
        ("SUBROSA_SIGNERS_FILE", signers.to_owned()),
        ("SUBROSA_SIGNERS_NEEDED", needed.into()),
        ("SUBROSA_POLICY_MODE", mode.into()),
    ]
}

#[tokio::test]
async fn a_worker_for_one_job_checks_it_itself() {
    let [alice, bob] = [1, 2].map(party);
    let lab = Lab::with(plan(1)).await;
    let signers = signers_file(&lab, "signers.json", &[&alice, &bob]);
    let client = lab.client().await;
    let gate = Gate::new().await;
    for (signed, is_run) in [(&[&alice][..], false), (&[&alice, &bob], true)] {
        let job = asked(&client, signed).payload_value(gate.payload()).launch().await.unwrap();
        let request = lab.request("asked", job.id()).await;
        let mut command = lab.worker_command("asked", GATED);
        command.arg("asked").envs(by(&signers, "2", "enforce")).env("SUBROSA_ATTEMPT", "1");
        command.env("SUBROSA_JOB", String::from_utf8(request).unwrap());
        let worker = Running::start(command);
        if is_run {
            gate.arrival().await.go_on().await;
            assert_eq!(patiently(job.result::<Value>()).await.unwrap().value, 1);
            assert!(worker.ends().await.status.success());
        } else {
            is_refused_by_the_worker(&lab, job).await;
            let ended = worker.ends().await;
            assert!(!ended.status.success());
            assert!(ended.text().contains("the worker refuses it: unauthorized"), "{}", ended.text());
            assert!(gate.is_deserted().await);
        }
    }
    lab.stop().await;
}

#[tokio::test]
async fn a_policy_that_only_warns_lets_jobs_run_and_says_so_for_each() {
    let [alice, bob] = [1, 2].map(party);
    // The launcher starts the workers, and hands its policy on to them.
    let lab = Lab::configured(plan(0), |lab, config| {
        let signers = signers_file(lab, "signers.json", &[&alice, &bob]);
        config.insert("worker".to_owned(), vec![lab.started("asked", &[GATED, "asked"])].into());
        policy(config, &signers, 2, "warn");
    })
    .await;
    let mut launcher = guarded_launcher(&lab);
    launcher.says("launcher ready").await;
    let client = lab.client().await;
    let gate = Gate::new().await;
    for found in [0, 1] {
        let signers = &[&alice][..found];
        let job = asked(&client, signers).payload_value(gate.payload()).launch().await.unwrap();
        let id: String = job.id().to_string().chars().take(8).collect();
        gate.arrival().await.go_on().await;
        assert_eq!(patiently(job.result::<Value>()).await.unwrap().value, 1);
        for who in ["job admitted: the policy only warns", "job runs: the policy only warns"] {
            let line = launcher.says(who).await;
            for part in ["WARN", "UNAUTHORIZED", &id, "needed=2", &format!("found={found}")] {
                assert!(line.contains(part), "{part:?} is not in {line}");
            }
        }
    }
    // What the policy allows is not worth a warning; nor is anything where nobody looks.
    let job = asked(&client, &[&alice, &bob]).payload_value(gate.payload()).launch().await.unwrap();
    gate.arrival().await.go_on().await;
    patiently(job.result::<Value>()).await.unwrap();
    patiently(client.close()).await;
    launcher.signal(rustix::process::Signal::TERM);
    let said = launcher.ends().await.text();
    assert_eq!(said.matches("UNAUTHORIZED").count(), 4, "{said}");
    lab.stop().await;
}

#[tokio::test]
async fn a_policy_that_is_off_does_not_look() {
    let [alice, bob] = [1, 2].map(party);
    let lab = Lab::configured(plan(0), |lab, config| {
        policy(config, &signers_file(lab, "signers.json", &[&alice, &bob]), 2, "off");
    })
    .await;
    let mut launcher = guarded_launcher(&lab);
    launcher.says("launcher ready").await;
    let mut command = lab.worker_command("asked", GATED);
    command.arg("asked").envs(by(&lab.local.trust_file().with_file_name("signers.json"), "2", "off"));
    let worker = Running::start(command);
    let gate = Gate::new().await;
    let client = lab.client().await;
    let job = asked(&client, &[]).payload_value(gate.payload()).launch().await.unwrap();
    gate.arrival().await.go_on().await;
    patiently(job.result::<Value>()).await.unwrap();
    patiently(client.close()).await;
    let connection = lab.connection().await;
    let listed = ask(&connection, "subrosa.v1.workers", "{}").await.unwrap();
    assert_eq!(listed["workers"][0]["policy"], "2 of 2 (off)");
    for process in [launcher, worker] {
        process.signal(rustix::process::Signal::TERM);
        let said = process.ends().await.text();
        assert!(!said.contains("UNAUTHORIZED"), "{said}");
    }
    lab.stop().await;
}

/// Puts a job in history and queue as a launcher does that has the right to, and checks nothing.
pub(crate) async fn admit(lab: &Lab, job: &JobId, request: &[u8]) {
    let (connection, worker) = (lab.connection().await, "asked".parse().unwrap());
    let (namespace, deadline) = (Namespace::default(), Instant::now() + PATIENCE);
    let key = file::load(lab.local.launcher_config().with_file_name("launcher.jwk")).unwrap();
    let event = Event::Queued { request: request.to_vec() };
    let record = Record { job: *job, at_ms: now_ms(), attempt: 0, prev: None, event }.sign(&key);
    let history = History::new(connection.clone(), namespace.clone());
    let queued = history.append(&worker, job, None, record, deadline).await.unwrap();
    assert!(matches!(queued, Commit::Won(_)));
    let request = request.to_vec().into();
    Queue::publish(&connection, &namespace, &worker, job, request, deadline).await.unwrap();
}

/// A launcher that lies has every right on the queue. What it cannot do is sign for a job's owner.
#[tokio::test]
async fn another_tenants_signature_in_place_of_the_owners_is_no_authorisation() {
    let [alice, mallory] = [1, 2].map(party);
    let lab = Lab::with(plan(0)).await;
    // Both are tenants whose jobs are run.
    let done = serve_by(&lab, Policy::at_least(1, [&alice, &mallory].map(SigningKey::thumbprint)).unwrap());
    let job_of = |owner: &SigningKey| {
        let mut job = raw::job("asked");
        job["client"] = owner.thumbprint().to_string().into();
        job.to_string()
    };
    for signers in [&[&mallory][..], &[&mallory, &mallory], &[]] {
        let job = job_of(&alice);
        let id = raw::id(job.as_bytes());
        admit(&lab, &id, raw::request(job.as_bytes(), signers).to_string().as_bytes()).await;
        is_failed_at_once(&lab, &id).await;
    }

    // A signature that was alice's, of another of her jobs, makes the whole request bad.
    let (job, other) = (job_of(&alice), job_of(&alice).replace("60000", "60001"));
    let mut request = raw::request(job.as_bytes(), &[]);
    let stolen = Signature::sign(&alice, Typ::Job, &b64u(&other));
    request["signatures"] = json!([stolen]);
    let id = raw::id(job.as_bytes());
    admit(&lab, &id, request.to_string().as_bytes()).await;
    let records = lab.records("asked", &id, "failed").await;
    let Event::Failed(reason) = &records[1].event else { panic!() };
    assert_eq!((reason.code.as_str(), records.len()), ("bad_signature", 2));

    // More signatures than there may be: nobody reads them, and the job is this one all the same.
    let job = job_of(&alice);
    let id = raw::id(job.as_bytes());
    admit(&lab, &id, raw::request(job.as_bytes(), &[&alice; 17]).to_string().as_bytes()).await;
    let records = lab.records("asked", &id, "failed").await;
    let Event::Failed(reason) = &records[1].event else { panic!() };
    assert_eq!((reason.code.as_str(), records.len()), ("bad_request", 2));

    // A job that says that it is mallory's is another job: under alice's id nobody takes it for hers.
    let (hers, his) = (job_of(&alice), job_of(&mallory));
    let id = raw::id(hers.as_bytes());
    let request = raw::request(his.as_bytes(), &[&mallory]).to_string();
    assert_ne!(LaunchRequest::job_id(request.as_bytes()), Some(id));
    admit(&lab, &id, request.as_bytes()).await;
    // It is acked without a word, and a job that is as it should be runs after it, as its owner's.
    let good = raw::id(his.as_bytes());
    admit(&lab, &good, request.as_bytes()).await;
    lab.records("asked", &good, "taken").await;
    assert_eq!(lab.history("asked", &id, "queued").await, ["queued"]);
    let ran: Vec<JobId> = done.all().into_iter().map(|(job, ..)| job).collect();
    assert!(ran.iter().all(|job| *job == good), "{ran:?}");
    lab.stop().await;
}

#[tokio::test]
async fn a_worker_does_not_start_with_half_a_policy() {
    let lab = Lab::with(plan(0)).await;
    let signers = signers_file(&lab, "signers.json", &[&party(1)]);
    let bad = replace(&lab, "bad.json", "{}");
    let file = ("SUBROSA_SIGNERS_FILE", signers);
    let needed = |number: &str| ("SUBROSA_SIGNERS_NEEDED", PathBuf::from(number));
    let mode = |mode: &str| ("SUBROSA_POLICY_MODE", PathBuf::from(mode));
    for (environment, said) in [
        (vec![file.clone()], ["SUBROSA_SIGNERS_NEEDED is missing", "how many of the keys"]),
        (vec![needed("1")], ["SUBROSA_SIGNERS_NEEDED", "is of no use without SUBROSA_SIGNERS_FILE"]),
        (vec![mode("warn")], ["SUBROSA_POLICY_MODE", "is of no use without SUBROSA_SIGNERS_FILE"]),
        (vec![file.clone(), needed("0")], ["SUBROSA_SIGNERS_NEEDED", "must be a number from 1 to 16"]),
        (vec![file.clone(), needed("2")], ["signers.json", "2 of 1 signers cannot be asked for"]),
        (vec![file, needed("1"), mode("loud")], ["SUBROSA_POLICY_MODE", "must be off, warn or enforce"]),
        (vec![("SUBROSA_SIGNERS_FILE", bad.clone()), needed("1")], ["bad.json", "the set of signers"]),
        (vec![("SUBROSA_REVOKED_FILE", bad)], ["bad.json", "revocation list"]),
    ] {
        let mut command = lab.worker_command("asked", GATED);
        command.arg("asked").envs(environment);
        let ended = Running::start(command).ends().await;
        assert!(!ended.status.success());
        let text = ended.text();
        assert!(said.iter().all(|said| text.contains(said)), "{said:?} are not in {text}");
    }
    lab.stop().await;
}
