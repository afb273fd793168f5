//! Certificates on the command line, from the authority's desk to a client that knows nobody else.

use std::{fs, process::Stdio};

use serde_json::{Value, json};
use subrosa_client::identity::{Role, Trust, file};
use subrosa_tests::lab::Lab;

use crate::{
    PROGRAM,
    commands::{Said, subrosa},
};

/// A directory with an authority's key, a worker's, a stranger's, and a trust file that names the first.
struct Office(tempfile::TempDir);

impl Office {
    async fn new() -> Self {
        let office = Self(tempfile::tempdir().unwrap());
        for (name, kind) in [("authority", "secp256k1"), ("worker", "ed25519"), ("stranger", "secp256k1")] {
            let made = subrosa(&["key", "new", &office.file(name), "--type", kind]).await;
            assert_eq!(made.code, Some(0), "{}", made.stderr);
        }
        let authority = file::load(office.file("authority")).unwrap().public();
        let trust =
            Trust::default().with_key(authority, Role::Authority, Some(vec!["echo".parse().unwrap()]));
        fs::write(office.file("trust"), trust.to_json()).unwrap();
        office
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    async fn issue(&self, authority: &str, worker: &str, key: &str, out: &str) -> Said {
        let (authority, out) = (self.file(authority), self.file(out));
        let args =
            ["--authority", &authority, "--worker", worker, "--key", key, "--days", "2", "--out", &out];
        subrosa(&[&["cert", "issue"], &args[..]].concat()).await
    }

    async fn issued(&self, authority: &str, worker: &str, out: &str) -> Value {
        let said = self.issue(authority, worker, &self.file("worker"), out).await;
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        said.json
    }

    async fn verify(&self, cert: &str, args: &[&str]) -> Said {
        subrosa(&[&["cert", "verify", &self.file(cert), "--trust", &self.file("trust")], args].concat()).await
    }

    /// The one thing that is wrong with a certificate.
    async fn wrong(&self, cert: &str, args: &[&str]) -> String {
        let said = self.verify(cert, args).await;
        assert_eq!(said.error(), (Some(1), "failure"), "{}", said.json);
        let checks = said.json["checks"].as_array().unwrap().iter();
        let wrong: Vec<&Value> = checks.filter(|check| check["good"] == false).collect();
        assert_eq!((wrong.len(), &said.json["good"]), (1, &json!(false)), "{}", said.json);
        assert!(said.stderr.contains(wrong[0]["reason"].as_str().unwrap()), "{}", said.stderr);
        wrong[0]["check"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn certificates_are_issued_shown_and_judged() {
    let office = Office::new().await;
    let issued = office.issued("authority", "echo", "cert").await;
    let shown = subrosa(&["cert", "show", &office.file("cert")]).await;
    for member in ["worker", "key", "authority", "issued_s", "expires_s"] {
        assert_eq!(shown.json[member], issued[member], "{member}");
    }
    let lasts = shown.json["expires_s"].as_u64().unwrap() - shown.json["issued_s"].as_u64().unwrap();
    assert_eq!((lasts, &shown.json["worker"]), (2 * 86_400, &json!("echo")));
    let good = office.verify("cert", &["--worker", "echo"]).await;
    assert_eq!((good.code, &good.json["good"]), (Some(0), &json!(true)), "{}", good.stderr);

    assert_eq!(office.wrong("cert", &["--worker", "echo", "--image", &digest('a')]).await, "image");
    office.issued("stranger", "echo", "by-a-stranger").await;
    assert_eq!(office.wrong("by-a-stranger", &[]).await, "authority");
    office.issued("authority", "other", "other").await;
    assert_eq!(office.wrong("other", &[]).await, "authority", "it may certify workers of the name echo only");
    assert_eq!(office.wrong("other", &["--worker", "echo"]).await, "worker");
    for (key, wrong) in [("key", "revocation"), ("authority", "authority")] {
        let revoked = office.file("revoked");
        fs::write(&revoked, issued[key].as_str().unwrap()).unwrap();
        assert_eq!(office.wrong("cert", &["--revoked", &revoked]).await, wrong);
    }

    let said = office.issue("worker", "echo", &office.file("worker"), "self-signed").await;
    assert_eq!(said.error(), (Some(2), "usage"));
    assert!(said.stderr.contains("the worker's own key"), "{}", said.stderr);
    let said = office.issue("authority", "echo", &office.file("worker"), "cert").await;
    assert_eq!(said.error(), (Some(2), "usage"));
    assert!(said.stderr.contains("exists already"), "{}", said.stderr);
    let jwt = fs::read_to_string(office.file("cert")).unwrap();
    let (signed, signature) = jwt.trim().rsplit_once('.').unwrap();
    let other = fs::read_to_string(office.file("other")).unwrap();
    let (_, other) = other.trim().rsplit_once('.').unwrap();
    assert_ne!(signature, other);
    fs::write(office.file("forged"), format!("{signed}.{other}")).unwrap();
    for asked in
        [office.verify("forged", &[]).await, subrosa(&["cert", "show", &office.file("forged")]).await]
    {
        assert_eq!(asked.error(), (Some(1), "failure"));
        assert!(asked.stderr.contains("does not verify"), "{}", asked.stderr);
    }
}

#[tokio::test]
async fn a_certificate_may_name_the_image() {
    let office = Office::new().await;
    let [authority, key, out] = ["authority", "worker", "cert"].map(|name| office.file(name));
    let image = digest('b');
    let issue =
        ["cert", "issue", "--authority", &authority, "--worker", "echo", "--key", &key, "--days", "1"];
    let said = subrosa(&[&issue[..], &["--image", &image, "--out", &out]].concat()).await;
    assert_eq!((said.code, &said.json["image"]), (Some(0), &json!(image)), "{}", said.stderr);
    assert_eq!(office.verify("cert", &["--image", &image]).await.code, Some(0));
    let said = subrosa(&[&issue[..], &["--image", "latest"]].concat()).await;
    assert_eq!(said.error(), (Some(2), "usage"));
}

fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

#[tokio::test]
async fn a_certified_worker_serves_a_client_that_knows_the_authority_only() {
    let lab = Lab::new(PROGRAM, &[], &["echo"]).await;
    let office = Office::new().await;
    let key = lab.local.worker_key("echo").to_str().unwrap().to_owned();
    let issued = office.issue("authority", "echo", &key, "cert").await;
    assert_eq!(issued.code, Some(0), "{}", issued.stderr);
    let mut worker = lab.worker_command("echo", PROGRAM);
    worker.args(["internal", "worker", "echo"]).env("SUBROSA_CERT_FILE", office.file("cert"));
    let _worker = worker.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();

    let trust = office.file("trust");
    let run = ["run", "echo", "--payload", "77", "--nats", lab.url(), "--trust", &trust];
    let said = subrosa(&run).await;
    assert_eq!((said.code, &said.json["worker"]), (Some(0), &issued.json["key"]), "{}", said.stderr);

    let revoked = office.file("revoked");
    fs::write(&revoked, issued.json["key"].as_str().unwrap()).unwrap();
    let said = subrosa(&[&run[..], &["--revoked", &revoked, "--expires-in", "1"]].concat()).await;
    assert_eq!(said.error(), (Some(7), "no_worker"), "{}", said.stderr);
    assert!(said.stderr.contains("revoked"), "{}", said.stderr);
    lab.stop().await;
}
