//! The script in `docs/receipts.md`, as it stands there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};
use subrosa::local::Plan;
use subrosa_client::Trust;
use subrosa_protocol::identity::{KeyType, Role, SigningKey, Typ, file, sign_compact, verify_compact};
use subrosa_tests::{
    lab::{Lab, patiently, serve},
    python::interpreter,
};
use subrosa_worker::{Done, Failure, Job, Launched};

use crate::jwcrypto::{ours, public};

/// The files that a third party is given, in the order of the script's arguments.
const FILES: [&str; 4] = ["receipt", "salt", "key", "result"];

async fn answer(job: Job<Launched>) -> Result<Done, Failure> {
    let (_, job) = job.options::<Value>(&()).await?;
    let (payload, job) = job.ready::<Value>(&()).await?;
    job.done(&json!({ "proved": payload })).await
}

/// The one block of Python in the document.
fn script() -> String {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/receipts.md");
    let document = fs::read_to_string(document).unwrap();
    let (_, script) = document.split_once("```python\n").unwrap();
    let (script, rest) = script.split_once("```").unwrap();
    assert!(!rest.contains("```python"));
    script.to_owned()
}

/// What a third party has, and nothing else.
struct ThirdParty(tempfile::TempDir);

impl ThirdParty {
    fn new(files: [&[u8]; 4]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("verify.py"), script()).unwrap();
        for (name, bytes) in FILES.iter().zip(files) {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn verify(&self) -> Output {
        let mut python = Command::new(interpreter(Path::new(env!("CARGO_TARGET_TMPDIR"))));
        python.current_dir(self.0.path()).arg("verify.py").args(FILES).output().unwrap()
    }

    /// What the script says to one file that is another, which is put back afterwards.
    fn refusal(&self, name: &str, other: impl AsRef<[u8]>) -> String {
        let good = fs::read(self.path(name)).unwrap();
        fs::write(self.path(name), other).unwrap();
        let output = self.verify();
        assert!(!output.status.success(), "another {name}");
        assert!(output.stdout.is_empty());
        fs::write(self.path(name), good).unwrap();
        String::from_utf8(output.stderr).unwrap()
    }
}

/// A real job's receipt, by a worker whose key is of this kind; and that key.
async fn real(key_type: KeyType) -> (ThirdParty, SigningKey, String) {
    let identity = ours(key_type);
    let key = identity.public();
    let plan = Plan { others: vec!["prove".to_owned()], ..Plan::of(crate::PROGRAM, []) };
    let known = key.clone();
    let lab = Lab::configured(plan, move |lab, _| {
        let trust = lab.local.trust().unwrap().with_key(known, Role::Worker, None);
        fs::write(lab.local.trust_file(), trust.to_json()).unwrap();
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("worker.jwk");
    file::create(&path, &identity).unwrap();
    let mut config = lab.worker_config("prove");
    config.identity = identity;
    let _worker = serve(config, "prove", answer);
    let client = lab.anonymous(Trust::pinned([key])).await;
    let job = client.job("prove").payload_value(json!(77)).launch().await.unwrap();
    let id = job.id().to_string();
    let outcome = patiently(job.result_bytes()).await.unwrap();
    lab.stop().await;
    let (identity, receipt) = (file::load(path).unwrap(), &outcome.receipt);
    let salt = receipt.salt.reveal();
    let files = [receipt.jws.as_bytes(), salt.as_bytes(), public(&identity).as_bytes(), &outcome.value]
        .map(<[u8]>::to_vec);
    let third_party = ThirdParty::new([&files[0], &files[1], &files[2], &files[3]]);
    (third_party, identity, id)
}

#[tokio::test]
async fn the_script_in_the_document_verifies_a_real_receipt() {
    for key_type in KeyType::ALL {
        let (third_party, identity, id) = real(key_type).await;
        let output = third_party.verify();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains(&format!("prove made this result of job {id}\n")), "{text}");

        let another_result = third_party.refusal("result", r#"{"proved":78}"#);
        assert!(another_result.contains("another result"), "{another_result}");
        let another_salt = third_party.refusal("salt", subrosa_protocol::encoding::b64u([7; 32]));
        assert!(another_salt.contains("another result"), "{another_salt}");
        let another_key = third_party.refusal("key", public(&ours(key_type)));
        assert!(another_key.contains("InvalidJWSSignature"), "{another_key}");

        // What the same worker has signed as something else.
        let receipt = fs::read(third_party.path("receipt")).unwrap();
        let payload = verify_compact(Typ::Receipt, &receipt, 8192).unwrap().payload;
        let record = third_party.refusal("receipt", sign_compact(&identity, Typ::Record, &payload));
        assert!(record.contains("another use"), "{record}");
        let altered = String::from_utf8(payload.clone()).unwrap().replace("\"attempt\":1", "\"attempt\":2");
        let encoded = |payload: &[u8]| subrosa_protocol::encoding::b64u(payload);
        let altered =
            String::from_utf8(receipt).unwrap().replace(&encoded(&payload), &encoded(altered.as_bytes()));
        let altered = third_party.refusal("receipt", altered);
        assert!(altered.contains("InvalidJWSSignature"), "{altered}");
        assert!(third_party.verify().status.success(), "everything was put back");
    }
}
