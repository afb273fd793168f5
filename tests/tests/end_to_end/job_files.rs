//! Jobs that several parties sign in files before they are launched.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use subrosa::local::{Example, Plan};
use subrosa_client::{Client, Draft, JobError, JobSecrets, LaunchError, StepCode, identity::file};
use subrosa_protocol::{
    encoding::{b64u, b64u_decode},
    launch::LaunchRequest,
    record::Event,
    subject::Namespace,
};
use subrosa_tests::lab::{Lab, fresh_key, patiently};
use tempfile::TempDir;

use crate::{
    PROGRAM,
    commands::{Said, subrosa},
};

/// A key pair of age's own tests.
pub(crate) const IDENTITY: &str =
    "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
pub(crate) const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

/// A directory with the keys of three parties, and what opens the secrets.
struct Desk {
    directory: TempDir,
    /// Alice's, Bob's and Carol's thumbprints.
    parties: [String; 3],
}

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

impl Desk {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut parties = [const { String::new() }; 3];
        for (party, thumbprint) in parties.iter_mut().enumerate() {
            let key = directory.path().join(format!("{party}.jwk"));
            let made = subrosa(&["key", "new", key.to_str().unwrap()]).await;
            *thumbprint = made.json["thumbprint"].as_str().unwrap().to_owned();
        }
        let desk = Self { directory, parties };
        desk.private("identity", IDENTITY);
        desk.private("passphrase", "correct horse\n");
        desk.private("wrong", "incorrect horse\n");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn private(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        set_mode(&self.path(name), 0o600);
    }

    /// The three parties' public keys, in a file for a policy.
    fn signers(&self) -> String {
        let key = |party: usize| {
            let key = file::load(self.path(&format!("{party}.jwk"))).unwrap();
            json!(key.public().to_jwk())
        };
        let signers = json!({ "keys": [key(ALICE), key(BOB), key(CAROL)] });
        fs::write(self.path("signers"), signers.to_string()).unwrap();
        self.file("signers")
    }

    /// A job of Alice's for the worker `echo`.
    async fn draft(&self, name: &str, args: &[&str]) -> Said {
        let (out, owner) = (self.file(name), self.file("0.jwk"));
        let fixed = ["job", "new", "echo", "--owner", &owner, "--out", &out];
        subrosa(&[&fixed, args].concat()).await
    }

    async fn drafted(&self, name: &str, args: &[&str]) -> Said {
        let said = self.draft(name, &[args, &["--recipient", RECIPIENT]].concat()).await;
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        said
    }

    async fn sign(&self, party: usize, name: &str) -> Said {
        let key = self.file(&format!("{party}.jwk"));
        subrosa(&["job", "sign", &self.file(name), "--key", &key, "--yes"]).await
    }

    async fn signed(&self, party: usize, name: &str) {
        let said = self.sign(party, name).await;
        assert_eq!(
            (said.code, &said.json["signer"]),
            (Some(0), &json!(self.parties[party])),
            "{}",
            said.stderr
        );
    }

    async fn show(&self, name: &str) -> Said {
        subrosa(&["job", "show", &self.file(name)]).await
    }

    async fn run(&self, lab: &Lab, name: &str, args: &[&str]) -> Said {
        let (job, identity) = (self.file(name), self.file("identity"));
        let trust = lab.local.trust_file().to_str().unwrap();
        let fixed =
            ["run", "--job", &job, "--identity-file", &identity, "--nats", lab.url(), "--trust", trust];
        subrosa(&[&fixed, args].concat()).await
    }

    /// The job's file with its JSON changed, in another file.
    fn changed(&self, from: &str, to: &str, change: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&fs::read(self.path(from)).unwrap()).unwrap();
        change(&mut value);
        fs::write(self.path(to), value.to_string()).unwrap();
    }

    /// The job in a file changed, and its signatures kept.
    fn changed_job(&self, from: &str, to: &str, change: impl FnOnce(&mut Value)) {
        self.changed(from, to, |request| {
            let job = b64u_decode(request["payload"].as_str().unwrap()).unwrap();
            let mut job: Value = serde_json::from_slice(&job).unwrap();
            change(&mut job);
            request["payload"] = b64u(job.to_string()).into();
        });
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The secrets in a file, opened without our program.
fn unsealed(path: &Path) -> Value {
    let identity: age::x25519::Identity = IDENTITY.parse().unwrap();
    serde_json::from_slice(&age::decrypt(&identity, &fs::read(path).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn three_parties_sign_copies_in_any_order_and_the_client_launches() {
    let desk = Desk::new().await;
    let lab = Lab::configured(Plan::of(PROGRAM, [Example::Echo]), |_, config| {
        let policy = toml::Table::from_iter([
            ("signers_file".to_owned(), toml::Value::from(desk.signers())),
            ("needed".to_owned(), 3.into()),
        ]);
        config["worker"][0].as_table_mut().unwrap().insert("policy".to_owned(), policy.into());
    });
    let lab = lab.await;
    let made = desk.drafted("job.json", &["--label", "pay 5", "--timeout", "60"]).await;
    let id = made.json["job"].as_str().unwrap();

    // Bob and Carol at the same time, each on a copy; Alice last, on what was joined.
    for (party, copy) in [(CAROL, "carol.json"), (BOB, "bob.json")] {
        fs::copy(desk.path("job.json"), desk.path(copy)).unwrap();
        desk.signed(party, copy).await;
    }
    let said = desk.run(&lab, "bob.json", &["--secrets", &desk.file("job.secrets.age")]).await;
    assert_eq!(said.error(), (Some(2), "usage"));
    assert!(said.stderr.contains("has not signed it"), "{}", said.stderr);
    fs::copy(desk.path("job.json"), desk.path("alone.json")).unwrap();
    desk.signed(ALICE, "alone.json").await;
    let said = desk.run(&lab, "alone.json", &["--secrets", &desk.file("job.secrets.age")]).await;
    assert_eq!(said.error(), (Some(5), "refused"), "one of three: {}", said.stderr);
    assert!(said.stderr.contains("unauthorized"), "{}", said.stderr);
    let copies = ["carol.json", "job.json", "bob.json"].map(|copy| desk.file(copy));
    let [carol, unsigned, bob] = &copies;
    let said = subrosa(&["job", "join", carol, unsigned, bob, "--out", &desk.file("all.json")]).await;
    assert_eq!((said.code, &said.json["signatures"]), (Some(0), &json!(2)), "{}", said.stderr);
    assert_eq!(desk.show("all.json").await.json["owner_signed"], false);
    desk.signed(ALICE, "all.json").await;

    let shown = desk.show("all.json").await;
    assert_eq!(
        (shown.code, &shown.json["job"], &shown.json["owner_signed"]),
        (Some(0), &json!(id), &json!(true))
    );
    for (signature, party) in shown.json["signatures"].as_array().unwrap().iter().zip([CAROL, BOB, ALICE]) {
        assert_eq!((&signature["holds"], &signature["signer"]), (&json!(true), &json!(desk.parties[party])));
    }

    let secrets = desk.file("job.secrets.age");
    let launch = ["--secrets", &secrets, "--options", r#"{"o": 1}"#, "--payload", "77"];
    let said = desk.run(&lab, "all.json", &launch).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!((&said.json["job"], &said.json["result"]["payload"]), (&json!(id), &json!(77)));

    // The file went out as it is, with all signatures.
    let mut records = lab.records("echo", &id.parse().unwrap(), "closed").await;
    let Event::Queued { request: sent } = records.remove(0).event else { panic!("not queued") };
    assert_eq!(sent, fs::read(desk.path("all.json")).unwrap());
    let signers = LaunchRequest::parse(&sent, &Namespace::default()).unwrap().verify().unwrap();
    assert_eq!(signers.len(), 3);

    // It is the same job ever after.
    let said = desk.run(&lab, "all.json", &launch).await;
    assert_eq!(said.error(), (Some(6), "job_failed"));
    assert!(said.stderr.contains("launched before") && said.stderr.contains("closed"), "{}", said.stderr);
    lab.stop().await;
}

#[tokio::test]
async fn a_bound_job_is_launched_with_its_own_payload_only() {
    let lab = Lab::new(PROGRAM, &[Example::Echo], &[]).await;
    let desk = Desk::new().await;
    let salt = desk.file("salt");
    desk.drafted("job.json", &["--payload", r#"{"value": 77}"#, "--bind-input", "--salt-file", &salt]).await;

    // Who is shown payload and salt sees that the job is bound to that payload, and signs no other.
    let (job, key) = (desk.file("job.json"), desk.file("0.jwk"));
    let sign = async |payload| {
        subrosa(&["job", "sign", &job, "--key", &key, "--yes", "--payload", payload, "--salt-file", &salt])
            .await
    };
    let said = sign("78").await;
    assert_eq!(said.error(), (Some(2), "usage"));
    assert!(said.stderr.contains("NOT the one given"), "{}", said.stderr);
    let said = sign(r#"{"value": 77}"#).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("the one given"), "{}", said.stderr);
    let said = subrosa(&["job", "show", &job, "--payload", "78", "--salt-file", &salt]).await;
    assert_eq!((said.error(), &said.json["payload_fits"]), ((Some(1), "failure"), &json!(false)));
    for other in [r#"{"value": 78}"#, r#"{"value":77}"#, "null"] {
        let said = desk.run(&lab, "job.json", &["--payload", other]).await;
        assert_eq!(said.error(), (Some(2), "usage"));
        assert!(said.stderr.contains("the payload is not the one"), "{}", said.stderr);
    }
    let said = desk.run(&lab, "job.json", &["--payload", r#"{"value": 77}"#]).await;
    assert_eq!(
        (said.code, &said.json["result"]["payload"]["value"]),
        (Some(0), &json!(77)),
        "{}",
        said.stderr
    );
    lab.stop().await;
}

#[tokio::test]
async fn a_signer_is_shown_what_is_signed_and_asked() {
    let desk = Desk::new().await;
    // What a label does to a terminal is shown, not done.
    let label = "pay\u{1b}[2J\n5\u{202e}";
    let bound = ["--label", label, "--payload", "77", "--bind-input", "--attempts", "2"];
    let made = desk.drafted("job.json", &bound).await;
    desk.signed(BOB, "job.json").await;
    let before = fs::read(desk.path("job.json")).unwrap();

    // There is no terminal here, so nobody can say yes.
    let key = desk.file("2.jwk");
    let asked = subrosa(&["job", "sign", &desk.file("job.json"), "--key", &key]).await;
    assert_eq!(asked.error(), (Some(2), "usage"));
    assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
    assert_eq!(fs::read(desk.path("job.json")).unwrap(), before);

    let shown = desk.show("job.json").await.json;
    assert_eq!(shown["label"], label);
    let signed = desk.sign(CAROL, "job.json").await;
    assert_eq!(signed.code, Some(0), "{}", signed.stderr);
    let input = shown["input"].as_str().unwrap();
    let [alice, bob, _] = &desk.parties;
    let escaped = r#""pay\u{1b}[2J\n5\u{202e}""#;
    let id = made.json["job"].as_str().unwrap();
    for said in [id, "echo", alice, bob, escaped, "2 at most", "10 min", "x25519", input, "Z, in 23 h 59 min"]
    {
        for seen in [&asked.stderr, &signed.stderr] {
            assert!(seen.contains(said), "{said} is missing in {seen}");
        }
    }
    assert!(!signed.stderr.contains('\u{1b}'));
}

#[tokio::test]
async fn a_signature_is_refused_where_it_would_count_for_nothing() {
    let desk = Desk::new().await;
    desk.drafted("job.json", &[]).await;
    desk.signed(BOB, "job.json").await;
    let before = fs::read(desk.path("job.json")).unwrap();
    let said = desk.sign(BOB, "job.json").await;
    assert_eq!(said.error(), (Some(2), "usage"));
    assert!(said.stderr.contains("has signed the job already"), "{}", said.stderr);
    assert_eq!(fs::read(desk.path("job.json")).unwrap(), before);

    desk.changed_job("job.json", "old.json", |job| {
        for member in ["created_ms", "expires_ms"] {
            job[member] = (job[member].as_u64().unwrap() - 2 * 86_400_000).into();
        }
    });
    desk.changed("old.json", "old.json", |request| request["signatures"] = json!([]));
    let said = desk.sign(CAROL, "old.json").await;
    assert_eq!(said.error(), (Some(2), "usage"));
    assert!(said.stderr.contains("`expires_ms` is over") && said.stderr.contains("OVER"), "{}", said.stderr);
}

#[tokio::test]
async fn what_was_tampered_with_is_neither_signed_nor_launched() {
    let lab = Lab::new(PROGRAM, &[Example::Echo], &[]).await;
    let desk = Desk::new().await;
    desk.drafted("job.json", &["--label", "pay 5"]).await;
    desk.drafted("other.json", &["--label", "pay 5"]).await;
    for name in ["job.json", "other.json"] {
        desk.signed(ALICE, name).await;
        desk.signed(BOB, name).await;
    }
    desk.changed_job("job.json", "label.json", |job| job["label"] = "pay 500".into());
    desk.changed_job("job.json", "worker.json", |job| job["worker"] = "create-proof".into());
    let other: Value = serde_json::from_slice(&fs::read(desk.path("other.json")).unwrap()).unwrap();
    desk.changed("job.json", "moved.json", |request| {
        request["signatures"][1] = other["signatures"][1].clone()
    });
    for (name, first) in [("label.json", 1), ("worker.json", 1), ("moved.json", 2)] {
        let shown = desk.show(name).await;
        assert_eq!(shown.error(), (Some(1), "failure"), "{name}");
        let signatures = shown.json["signatures"].as_array().unwrap();
        let holds: Vec<bool> = signatures.iter().map(|signature| signature["holds"] == true).collect();
        assert_eq!(holds, [first > 1, false], "{name}");

        let before = fs::read(desk.path(name)).unwrap();
        let said = desk.sign(CAROL, name).await;
        assert_eq!(said.error(), (Some(2), "usage"), "{name}");
        assert!(said.stderr.contains(&format!("signature {first} does not hold")), "{}", said.stderr);
        assert_eq!(fs::read(desk.path(name)).unwrap(), before);

        let said = desk.run(&lab, name, &["--secrets", &desk.file("job.secrets.age")]).await;
        assert_eq!(said.error(), (Some(2), "usage"), "{name}");
        assert!(said.stderr.contains("does not hold"), "{}", said.stderr);
    }
    let [job, other] = ["job.json", "other.json"].map(|name| desk.file(name));
    let said = subrosa(&["job", "join", &job, &other, "--out", &desk.file("joined.json")]).await;
    assert_eq!(said.error(), (Some(2), "usage"));
    assert!(!desk.path("joined.json").exists());

    // Unsigned, another job is nobody's forgery; but the client has no secrets of it.
    desk.changed("label.json", "unsigned.json", |request| request["signatures"] = json!([]));
    desk.signed(ALICE, "unsigned.json").await;
    let said = desk.run(&lab, "unsigned.json", &["--secrets", &desk.file("job.secrets.age")]).await;
    assert_eq!(said.error(), (Some(2), "usage"));
    assert!(said.stderr.contains("the secrets are those of the job"), "{}", said.stderr);
    lab.stop().await;
}

#[tokio::test]
async fn the_secrets_are_sealed_and_never_overwritten() {
    let desk = Desk::new().await;
    let made = desk.drafted("job.json", &["--payload", "77", "--bind-input"]).await;
    let sealed = desk.path("job.secrets.age");
    assert_eq!(made.json["secrets"], desk.file("job.secrets.age"));
    assert_eq!(fs::metadata(&sealed).unwrap().permissions().mode() & 0o7777, 0o600);
    let secrets = unsealed(&sealed);
    assert_eq!(secrets["job"], made.json["job"]);
    let public = fs::read(desk.path("job.json")).unwrap();
    let request = LaunchRequest::parse(&public, &Namespace::default()).unwrap();
    let files = [fs::read(&sealed).unwrap(), public, request.job().bytes().to_vec()];
    for name in ["client_key", "cancel", "close", "salt"] {
        let text = secrets[name].as_str().unwrap();
        let raw = b64u_decode(text).unwrap();
        assert_eq!(raw.len(), 32, "{name}");
        for file in &files {
            assert!(!file.windows(32).any(|window| window == raw), "{name}");
            assert!(!file.windows(text.len()).any(|window| window == text.as_bytes()), "{name}");
        }
    }

    // Neither of the two is ever overwritten, and no half of a job is left.
    for lost in ["job.json", "job.secrets.age"] {
        let said = desk.draft("job.json", &["--recipient", RECIPIENT]).await;
        assert_eq!(said.error(), (Some(2), "usage"));
        assert!(said.stderr.contains("exists already"), "{}", said.stderr);
        fs::remove_file(desk.path(lost)).unwrap();
        let left = if lost == "job.json" { &files[0] } else { continue };
        let said = desk.draft("job.json", &["--recipient", RECIPIENT]).await;
        assert_eq!(said.error(), (Some(2), "usage"));
        assert_eq!(&fs::read(&sealed).unwrap(), left);
        assert!(!desk.path("job.json").exists());
    }
}

#[tokio::test]
async fn a_wrong_passphrase_is_said_clearly() {
    let lab = Lab::new(PROGRAM, &[Example::Echo], &[]).await;
    let desk = Desk::new().await;
    // Nobody is asked where there is no terminal, and nothing is made.
    let said = desk.draft("job.json", &[]).await;
    assert_eq!(said.error(), (Some(2), "usage"));
    assert!(said.stderr.contains("--passphrase-file"), "{}", said.stderr);
    assert!(!desk.path("job.json").exists() && !desk.path("job.secrets.age").exists());

    let said = desk.draft("job.json", &["--passphrase-file", &desk.file("passphrase")]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    desk.signed(ALICE, "job.json").await;
    let trust = lab.local.trust_file().to_str().unwrap();
    let job = desk.file("job.json");
    let run = async |args: &[&str]| {
        subrosa(&[&["run", "--job", &job, "--nats", lab.url(), "--trust", trust], args].concat()).await
    };
    let said = run(&["--passphrase-file", &desk.file("wrong")]).await;
    assert_eq!(said.error(), (Some(2), "usage"));
    assert!(said.stderr.contains("the passphrase is wrong"), "{}", said.stderr);
    let said = run(&["--identity-file", &desk.file("identity")]).await;
    assert!(said.stderr.contains("sealed by a passphrase"), "{}", said.stderr);
    let said = run(&["--secrets", &job]).await;
    assert!(said.stderr.contains("no file in age's format"), "{}", said.stderr);
    let said = run(&["--secrets", &desk.file("none")]).await;
    assert!(said.stderr.contains("name it with --secrets"), "{}", said.stderr);
    set_mode(&desk.path("passphrase"), 0o644);
    let said = run(&["--passphrase-file", &desk.file("passphrase")]).await;
    assert_eq!(said.error(), (Some(2), "usage"));
    assert!(said.stderr.contains("chmod 600"), "{}", said.stderr);
    set_mode(&desk.path("passphrase"), 0o600);
    let said = run(&["--passphrase-file", &desk.file("passphrase"), "--payload", "77"]).await;
    assert_eq!((said.code, &said.json["result"]["payload"]), (Some(0), &json!(77)), "{}", said.stderr);

    let said = run(&["--passphrase", "correct horse"]).await;
    assert_eq!(said.error(), (Some(2), "usage"), "it is never taken from the command line");
    lab.stop().await;
}

#[tokio::test]
async fn a_program_launches_what_it_prepared_without_a_connection() {
    let lab = Lab::new(PROGRAM, &[Example::Echo], &[]).await;
    let (alice, bob) = (fresh_key(), fresh_key());
    let draft = Draft::new("echo").owner(alice.thumbprint()).bind_input(&77);
    let prepared = draft.prepare().unwrap();
    let kept = prepared.secrets.to_bytes();
    let secrets = || JobSecrets::from_bytes(&kept).unwrap();
    let unowned = prepared.request.signed_by(&bob).unwrap();
    let request = unowned.signed_by(&alice).unwrap();

    // It is answered where the job says, and nowhere else.
    let elsewhere = lab.anonymous(lab.local.trust().unwrap()).await;
    let error = patiently(elsewhere.prepared(request.clone(), secrets()).launch()).await.unwrap_err();
    assert!(matches!(error, LaunchError::Reply { .. }), "{error}");
    let token = request.job().description().reply.token().to_owned();
    let client = Client::connect(lab.url()).trust(lab.local.trust().unwrap()).reply_token(&token);
    let client = client.await.unwrap();
    let error = patiently(client.prepared(unowned, secrets()).launch()).await.unwrap_err();
    assert!(matches!(error, LaunchError::Request(_)), "{error}");
    let others = Draft::new("echo").prepare().unwrap().secrets;
    let error = patiently(client.prepared(request.clone(), others).launch()).await.unwrap_err();
    assert!(matches!(error, LaunchError::Secrets(_)), "{error}");

    let job = patiently(client.prepared(request, secrets()).payload_value(77).launch()).await.unwrap();
    let outcome = patiently(job.result::<Value>()).await.unwrap();
    assert_eq!(outcome.value["payload"], 77);

    // A handler may make another payload than the job is bound to: the worker refuses it.
    let draft = Draft::new("echo").reply_token(&token).bind_input(&77);
    let prepared = draft.prepare().unwrap();
    let job = client.prepared(prepared.request, prepared.secrets).payload_value(78).launch();
    let error = patiently(patiently(job).await.unwrap().result::<Value>()).await.unwrap_err();
    assert!(matches!(error, JobError::Worker { code: StepCode::BadInput, .. }), "{error}");
    lab.stop().await;
}
