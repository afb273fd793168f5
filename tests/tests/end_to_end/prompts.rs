//! Passphrases that are asked for on a terminal, and Ctrl-C.

use std::{env, fs, os::unix::fs::PermissionsExt as _, process::Stdio};

use serde_json::Value;
use subrosa_tests::{lab::patiently, python};
use tokio::process::Command;

use crate::{PROGRAM, commands::subrosa};

/// A command on a terminal, where this is typed, and then Ctrl-C. How it has ended.
async fn interrupted(typed: &str, args: &[&str]) -> Value {
    let mut command = Command::new(env::var_os("PYTHON").unwrap_or("python3".into()));
    command.arg(python::folder().join("terminal.py")).arg(typed).arg(PROGRAM).args(args);
    let output = patiently(command.stdin(Stdio::null()).kill_on_drop(true).output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn ctrl_c_ends_a_question_for_a_passphrase_and_what_follows_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("passphrase"), "correct horse\n").unwrap();
    fs::set_permissions(at("passphrase"), fs::Permissions::from_mode(0o600)).unwrap();
    let passphrase = at("passphrase");
    let made = ["job", "new", "echo", "--out", &at("job"), "--secrets", &at("sealed")];
    let said = subrosa(&[&made[..], &["--passphrase-file", &passphrase]].concat()).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);

    // What is in the file is not looked at before it is open, which takes a second.
    let sealed = at("sealed");
    let opens = ["cancel", "--ticket", &sealed];
    let (job, secrets) = (at("another"), at("others"));
    let seals = ["job", "new", "echo", "--out", &job, "--secrets", &secrets];
    for (typed, args) in [("", &opens[..]), ("incorrect horse", &opens), ("", &seals)] {
        let ended = interrupted(typed, args).await;
        assert_eq!(ended["code"], 130, "{args:?}: {ended}");
        assert_eq!(ended["echoes"], true, "{args:?}: {ended}");
        let shown = ended["shown"].as_str().unwrap();
        assert!(shown.contains("interrupted") && !shown.contains("horse"), "{args:?}: {shown}");
    }
    assert!(fs::metadata(&job).is_err() && fs::metadata(&secrets).is_err(), "nothing is made");
    assert!(fs::metadata(&sealed).is_ok());
}
