//! Credentials and files for TLS that no connection can be made with: named at once, by whoever is to use them.

use std::{fs, path::PathBuf};

use nkeys::KeyPair;
use rcgen::CertifiedKey;
use subrosa_client::Trust;
use subrosa_protocol::identity::{Role, file};
use subrosa_tests::{
    lab::{fresh_key, guarded},
    processes::Running,
};

use crate::{LAUNCHER, PROGRAM, commands::subrosa};

/// The file that is to be named, what is wrong with it, and what is to be said of that.
type Case = (&'static str, &'static str, &'static str);

/// The files that a connection is made with, as they should be.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.mend();
        files
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn mend(&self) {
        let pair = || rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let CertifiedKey { cert, signing_key } = pair();
        let write = |name: &str, text: String| {
            let path = self.at(name);
            let _ = fs::remove_dir(&path);
            fs::write(path, text).unwrap();
        };
        write("ca.pem", pair().cert.pem());
        write("own.pem", cert.pem());
        write("own.key", signing_key.serialize_pem());
        write("other.key", pair().signing_key.serialize_pem());
        write("user.nk", KeyPair::new_user().seed().unwrap());
    }

    /// Makes one of the files bad.
    fn spoil(&self, name: &str, how: &str) {
        let path = self.at(name);
        match how {
            "is gone" => fs::remove_file(path).unwrap(),
            "is a directory" => {
                fs::remove_file(&path).unwrap();
                fs::create_dir(path).unwrap();
            }
            "is empty" => fs::write(path, "").unwrap(),
            "is another's" => _ = fs::copy(self.at("other.key"), path).unwrap(),
            "is half there" => {
                let bytes = fs::read(&path).unwrap();
                fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
            }
            "has an odd seed" => fs::write(path, "SUAX\n").unwrap(),
            other => panic!("{other}"),
        }
    }
}

const CASES: [Case; 12] = [
    ("user.nk", "is gone", "No such file"),
    ("user.nk", "is a directory", "Is a directory"),
    ("user.nk", "is empty", "it holds no user's token"),
    ("user.nk", "has an odd seed", "it holds no seed that is one"),
    ("ca.pem", "is gone", "No such file"),
    ("ca.pem", "is empty", "it holds no certificate"),
    ("ca.pem", "is half there", "it ends in the middle"),
    ("own.pem", "is empty", "it holds no certificate"),
    ("own.pem", "is half there", "it ends in the middle"),
    ("own.key", "is gone", "No such file"),
    ("own.key", "is empty", "it holds no private key"),
    ("own.key", "is another's", "it is not the key of the certificate in"),
];

#[tokio::test]
async fn a_command_names_the_file_that_no_connection_can_be_made_with() {
    let files = Files::new();
    let at = |name: &str| files.at(name).display().to_string();
    // Nobody listens there, for which it would wait.
    let asked = async |patience: &str| {
        subrosa(&[
            "workers",
            "--nats",
            "nats://127.0.0.1:1",
            "--patience",
            patience,
            "--creds",
            &at("user.nk"),
            "--tls-ca",
            &at("ca.pem"),
            "--tls-cert",
            &at("own.pem"),
            "--tls-key",
            &at("own.key"),
        ])
        .await
    };
    for (name, how, why) in CASES {
        files.mend();
        files.spoil(name, how);
        let said = asked("3600").await;
        assert_eq!(said.error(), (Some(2), "usage"), "{name} {how}: {}", said.json);
        let message = said.json["error"]["message"].as_str().unwrap();
        assert!(message.contains(&at(name)) && message.contains(why), "{name} {how}: {message}");
    }
    files.mend();
    assert_eq!(asked("1").await.error(), (Some(3), "unreachable"), "now they are good");
}

#[tokio::test]
async fn a_check_of_the_configuration_reads_the_files_of_all_connections() {
    let files = Files::new();
    let (launcher, worker) = (fresh_key(), fresh_key());
    file::create(files.at("launcher.jwk"), &launcher).unwrap();
    file::create(files.at("worker.jwk"), &worker).unwrap();
    let trust = Trust::default().with_key(launcher.public(), Role::Launcher, None);
    let trust = trust.with_key(worker.public(), Role::Worker, None);
    fs::write(files.at("trust.json"), trust.to_json()).unwrap();
    let given =
        "credentials = \"user.nk\"\ntls_ca = \"ca.pem\"\ntls_cert = \"own.pem\"\ntls_key = \"own.key\"\n";
    let check = async |nats: &str, worker: &str| {
        let text = format!(
            "key_file = \"launcher.jwk\"\ntrust_file = \"trust.json\"\n[nats]\n{nats}\n[[worker]]\nname = \"echo\"\n\
             backend = \"process\"\ncommand = [\"echo\"]\nkey_file = \"worker.jwk\"\ntrust_file = \"trust.json\"\n\
             {worker}"
        );
        fs::write(files.at("launcher.toml"), text).unwrap();
        let mut command = guarded(PROGRAM, LAUNCHER);
        command.arg("--config").arg(files.at("launcher.toml")).arg("--check").env_remove("RUST_LOG");
        Running::start(command).ends().await
    };
    for (nats, worker, section) in [(given, "", "`nats`: "), ("", given, "`worker` echo: ")] {
        for (name, how, why) in CASES {
            files.mend();
            files.spoil(name, how);
            let ended = check(nats, worker).await;
            assert_eq!(ended.status.code(), Some(1), "{section}{name} {how}: {}", ended.text());
            let named = files.at(name).display().to_string();
            for said in [section, &named, why] {
                assert!(ended.text().contains(said), "{section}{name} {how}: {}", ended.text());
            }
        }
        files.mend();
        let ended = check(nats, worker).await;
        assert!(ended.status.success(), "{}", ended.text());
    }
}
