//! Credentials and certificates that are replaced while everything goes on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer};
use rustix::process::Signal;
use serde_json::{Value, json};
use subrosa::server::Server;
use subrosa_client::{Client, Tls};
use subrosa_launcher::{Config, setup};
use subrosa_protocol::encoding::b64u;
use subrosa_tests::{
    gate::{self, Gate},
    lab::{PATIENCE, fresh_key, guarded, patiently, serve},
    processes::{self, Running, until},
};
use subrosa_transport::{Connect, ConnectError, Connection};
use tokio::time::Instant;

use crate::{PROGRAM, bench::Bench, domain};

/// Writes a file at once, as whoever replaces one should.
fn replace(path: PathBuf, text: impl AsRef<[u8]>) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// An authority for certificates.
struct Authority {
    issuer: Issuer<'static, rcgen::KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for this machine, and its key.
    fn issue(&self, directory: &Path, name: &str) {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &self.issuer);
        replace(directory.join(format!("{name}.key")), key.serialize_pem());
        replace(directory.join(format!("{name}.pem")), cert.unwrap().pem());
    }
}

fn tls(directory: &Path, name: &str) -> Tls {
    let mut tls = Tls::default();
    tls.ca = Some(directory.join("ca.pem"));
    tls.cert = Some(directory.join(format!("{name}.pem")));
    tls.key = Some(directory.join(format!("{name}.key")));
    tls
}

fn connect(url: &str, tls: Tls) -> Connect {
    let mut connect = Connect::new(url, "test");
    connect.tls = tls;
    connect
}

/// Lets the server read its configuration and certificates again.
async fn reload(server: &Server) {
    let reloads =
        || fs::read_to_string(server.log()).unwrap().matches("Reloaded server configuration").count();
    let before = reloads();
    processes::signal(server.pid().unwrap(), Signal::HUP);
    until("the server has reloaded", || reloads() > before).await;
}

#[tokio::test]
async fn certificates_and_their_authority_are_replaced_while_a_job_runs() {
    let bench = Bench::new(0).await;
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    replace(files.join("ca.pem"), &old.pem);
    for name in ["server", "client", "gone"] {
        old.issue(files, name);
    }
    let at = |name: &str| files.join(name).display().to_string();
    let config = format!(
        "debug: true\ntls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}\n",
        at("server.pem"),
        at("server.key"),
        at("ca.pem")
    );
    let mut server = domain::start(files, "tls", &config).await;
    let url = server.url().to_owned();
    bench.lab.configure(|config| {
        let [ca, cert, key] = [at("ca.pem"), at("client.pem"), at("client.key")];
        config.insert(
            "nats".to_owned(),
            toml::toml! { url = url
            tls_ca = ca
            tls_cert = cert
            tls_key = key }
            .into(),
        );
    });
    setup(&Config::from_file(bench.local().launcher_config()).unwrap()).await.unwrap();
    let mut launcher = guarded(PROGRAM, PROGRAM);
    launcher.args(["internal", "launcher", "--config"]).arg(bench.local().launcher_config());
    let mut launcher = Running::start(launcher);
    launcher.says("launcher ready").await;
    let mut worker = bench.lab.worker_config("echo");
    worker.nats = connect(server.url(), tls(files, "client"));
    let renewal = worker.renewal.clone();
    let _worker = serve(worker, "echo", gate::pass);
    let client = Client::connect(server.url()).identity(fresh_key()).trust(bench.local().trust().unwrap());
    let client = client.tls(tls(files, "client")).await.unwrap();
    let gate = Gate::new().await;
    let run = async || client.job("echo").payload_value(gate.payload()).launch().await.unwrap();

    // Both authorities count, and all have new certificates; the server comes back with its own.
    let job = run().await;
    let visitor = gate.arrival().await;
    replace(files.join("ca.pem"), format!("{}{}", old.pem, new.pem));
    for name in ["server", "client"] {
        new.issue(files, name);
    }
    server.restart().await.unwrap();
    visitor.go_on().await;
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().value, 1);

    // The old one counts no more. The server goes on, and everybody connects anew when told.
    let job = run().await;
    let visitor = gate.arrival().await;
    replace(files.join("ca.pem"), &new.pem);
    reload(&server).await;
    let closed = || {
        fs::read_to_string(server.log()).unwrap().matches("Client connection closed: Client Closed").count()
    };
    let before = closed();
    launcher.signal(Signal::HUP);
    launcher.says("connecting anew").await;
    renewal.notify_one();
    client.renew_connection().await;
    until("all three have connected anew", || closed() >= before + 3).await;
    visitor.go_on().await;
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().value, 1);
    let mut refused = connect(server.url(), tls(files, "gone"));
    refused.deadline = Some(std::time::Duration::ZERO);
    assert!(refused.connect().await.is_err());

    patiently(client.close()).await;
    launcher.signal(Signal::TERM);
    launcher.ends().await;
    server.stop().await.unwrap();
    bench.lab.stop().await;
}

#[tokio::test]
async fn files_for_tls_that_do_not_fit_break_no_connection() {
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path();
    let authority = Authority::new("any");
    replace(files.join("ca.pem"), &authority.pem);
    for name in ["server", "client", "other"] {
        authority.issue(files, name);
    }
    let at = |name: &str| files.join(name).display().to_string();
    let config =
        format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}\n", at("server.pem"), at("server.key"));
    let server = domain::start(files, "tls", &config).await;
    let connection = connect(server.url(), tls(files, "client")).connect().await.unwrap();
    let works = async || {
        let deadline = Instant::now() + PATIENCE;
        connection.request_until("$SYS.REQ.USER.INFO", None, "".into(), deadline).await.unwrap();
    };
    let (certificate, key) = (fs::read(at("client.pem")).unwrap(), fs::read(at("client.key")).unwrap());
    let half = certificate.get(..certificate.len() / 2).unwrap();
    for (name, bytes, good) in [
        ("client.key", fs::read(at("other.key")).unwrap(), &key),
        ("client.pem", half.to_vec(), &certificate),
        ("client.key", Vec::new(), &key),
        ("ca.pem", Vec::new(), &authority.pem.clone().into_bytes()),
    ] {
        let breaks = connection.breaks();
        replace(files.join(name), bytes);
        connection.renew().await;
        works().await;
        assert_eq!(connection.breaks(), breaks, "{name} is no good");
        // Once it is, the same word is enough.
        replace(files.join(name), good);
        connection.renew().await;
        patiently(connection.broken_since(breaks)).await;
        works().await;
    }
    drop(connection);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_without_tls_is_no_server_for_who_has_certificates() {
    let bench = Bench::new(0).await;
    let files = tempfile::tempdir().unwrap();
    replace(files.path().join("ca.pem"), Authority::new("any").pem);
    let mut only_ca = Tls::default();
    only_ca.ca = Some(files.path().join("ca.pem"));
    let mut connect = connect(bench.lab.url(), only_ca.clone());
    connect.deadline = Some(std::time::Duration::ZERO);
    assert!(matches!(connect.connect().await, Err(ConnectError::Unreachable { .. })));
    connect.tls.ca = Some(files.path().join("none.pem"));
    let refused = connect.connect().await.unwrap_err();
    assert!(refused.to_string().contains("none.pem"), "{refused}");
    bench.lab.stop().await;
}

/// A token in the way of NATS.
fn jwt(issuer: &KeyPair, subject: &KeyPair, claims: Value) -> String {
    let header = b64u(json!({ "typ": "JWT", "alg": "ed25519-nkey" }).to_string());
    let (iss, sub) = (issuer.public_key(), subject.public_key());
    let payload = json!({ "jti": sub, "iat": 1, "iss": iss, "sub": sub, "name": "test", "nats": claims });
    let signed = format!("{header}.{}", b64u(payload.to_string()));
    format!("{signed}.{}", b64u(issuer.sign(signed.as_bytes()).unwrap()))
}

fn credentials(account: &KeyPair, user: &KeyPair) -> String {
    let claims = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
    format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        jwt(account, user, claims),
        user.seed().unwrap()
    )
}

/// Waits until the server takes the connection for this user's.
async fn is_user(connection: &Connection, user: &KeyPair) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = connection.request_until("$SYS.REQ.USER.INFO", None, "".into(), deadline).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        if answer["data"]["user"] == json!(user.public_key()) {
            return;
        }
        assert!(Instant::now() < deadline, "{answer}");
    }
}

#[tokio::test]
async fn credentials_are_read_again_and_bad_ones_change_nothing() {
    let files = tempfile::tempdir().unwrap();
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    let limits = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1 });
    let system = KeyPair::new_account();
    let token =
        |account| jwt(&operator, account, json!({ "type": "account", "version": 2, "limits": limits }));
    let config = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}\n",
        jwt(&operator, &operator, json!({ "type": "operator", "version": 2 })),
        system.public_key(),
        system.public_key(),
        token(&system),
        account.public_key(),
        token(&account),
    );
    let mut server = domain::start(files.path(), "operator", &config).await;
    let path = files.path().join("user.creds");
    let (ann, bob) = (KeyPair::new_user(), KeyPair::new_user());
    replace(path.clone(), credentials(&account, &ann));
    let mut connect = Connect::new(server.url(), "test");
    connect.credentials = Some(path.clone());
    let connection = connect.connect().await.unwrap();
    is_user(&connection, &ann).await;
    let breaks = connection.breaks();
    connection.renew().await;
    is_user(&connection, &ann).await;
    assert_eq!(connection.breaks(), breaks, "nothing has changed");

    replace(path.clone(), credentials(&account, &bob));
    connection.renew().await;
    is_user(&connection, &bob).await;
    let breaks = connection.breaks();
    replace(path.clone(), "no credentials at all");
    connection.renew().await;
    patiently(connection.broken_since(breaks)).await;
    is_user(&connection, &bob).await;
    // Also without being told, if the server was away.
    replace(path, credentials(&account, &ann));
    server.restart().await.unwrap();
    is_user(&connection, &ann).await;
    drop(connection);
    server.stop().await.unwrap();
}
