//! What jwcrypto is told to do, and what it answers.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use subrosa_protocol::identity::{KeyType, SigningKey, file};
use subrosa_tests::python::{folder, interpreter};

/// A key pair, as jwcrypto writes it.
pub(crate) struct Key {
    pub(crate) private: String,
    pub(crate) public: String,
    pub(crate) thumbprint: String,
}

/// Has jwcrypto do all these, one after the other.
pub(crate) fn ask(orders: &[Value]) -> Vec<Value> {
    let mut command = Command::new(interpreter(Path::new(env!("CARGO_TARGET_TMPDIR"))));
    // Its caches do not belong among the sources.
    command.arg("-B").arg(folder().join("interop.py"));
    let mut python = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(&serde_json::to_vec(orders).unwrap()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answers.len(), orders.len());
    answers
}

/// The one answer to one order; `None` if jwcrypto refuses.
pub(crate) fn ask_one(order: Value) -> Option<Value> {
    let answer = ask(&[order]).remove(0);
    (!answer.is_null()).then_some(answer)
}

/// The same, if the answer is a text.
pub(crate) fn text(order: Value) -> Option<String> {
    ask_one(order).map(|answer| answer.as_str().unwrap().to_owned())
}

impl Key {
    /// A key that jwcrypto makes.
    pub(crate) fn generate(key_type: KeyType) -> Self {
        Self::of(&ask_one(json!({ "do": "generate", "kind": key_type.as_str() })).unwrap())
    }

    /// A key, private or public, that jwcrypto reads.
    pub(crate) fn read(jwk: &str) -> Self {
        Self::of(&ask_one(json!({ "do": "read", "key": jwk })).unwrap())
    }

    fn of(answer: &Value) -> Self {
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        Self { private: text("private"), public: text("public"), thumbprint: text("thumbprint") }
    }

    /// The same key here, by way of a file.
    pub(crate) fn here(&self) -> SigningKey {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.jwk");
        std::fs::write(&path, &self.private).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        file::load(path).unwrap()
    }
}

/// A new key of ours.
pub(crate) fn ours(key_type: KeyType) -> SigningKey {
    SigningKey::generate_type(key_type, &mut rand::rng())
}

/// The public half as a JWK's text.
pub(crate) fn public(key: &SigningKey) -> String {
    serde_json::to_string(&key.public()).unwrap()
}
