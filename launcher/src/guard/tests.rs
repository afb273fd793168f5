//! The tests start this very test binary again, in two other roles: as the program that has the subcommand
//! (through a small script, as the test harness has a command line of its own), and as a parent to be killed.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::*;

const ROLE: &str = "SUBROSA_TEST_ROLE";
const DEADLINE: Duration = Duration::from_secs(60);

/// The two roles. As an ordinary test it does nothing.
#[test]
fn play_role() {
    match std::env::var(ROLE).as_deref() {
        Ok("guard") => {
            let line = std::env::var("SUBROSA_TEST_LINE").unwrap();
            let words = std::iter::once("subrosa").chain(line.split(' ')).map(OsString::from);
            eprintln!("{}", exec_if_asked(words).unwrap());
            std::process::exit(7);
        }
        Ok("parent") => {
            let guard = Guard::new(std::env::var_os("SUBROSA_TEST_GUARD").unwrap().into());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut child = guard.command("sleep").arg("600").spawn().unwrap();
                println!("\nchild={}", child.id().unwrap());
                child.wait().await.unwrap();
            });
        }
        _ => {}
    }
}

/// A program that has the subcommand: this test binary, as [`play_role`].
fn guard_program(directory: &Path) -> PathBuf {
    let script = directory.join("guard");
    let this = std::env::current_exe().unwrap();
    let test = "guard::tests::play_role --exact --nocapture --test-threads=1";
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = probe ] && exit\nexport {ROLE}=guard SUBROSA_TEST_LINE=\"$*\"\nexec '{}' {test}\n",
        this.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    // A process that another test starts just now has the file open for writing, until it is another program.
    wait_until(
        "the script can be run",
        || !matches!(std::process::Command::new(&script).arg("probe").status(), Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy),
    );
    script
}

/// A process that is gone, or that is dead and only waits for whoever reaps it.
fn is_dead(pid: &str) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')),
        Err(_) => true,
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_command_names_the_guard_its_parent_and_the_program() {
    let guard = Guard::new("/bin/subrosa".into());
    let mut command = guard.command("/bin/worker");
    command.arg("--one");
    let command = command.as_std();
    let pid = std::process::id().to_string();
    assert_eq!(command.get_program(), "/bin/subrosa");
    assert_eq!(command.get_args().collect::<Vec<_>>(), ["guard", &pid, "/bin/worker", "--one"]);
}

#[test]
fn only_its_own_command_line_is_taken() {
    let says = |line: &[&str]| exec_if_asked(line.iter().map(OsString::from)).map(|error| error.to_string());
    assert_eq!(says(&[]), None);
    assert_eq!(says(&["subrosa"]), None);
    assert_eq!(says(&["guard", "demo", "guard"]), None);
    for bad in [&["subrosa", "guard"][..], &["subrosa", "guard", "x", "sleep"], &["subrosa", "guard", "1"]] {
        assert!(says(bad).unwrap().contains("name the parent's process id"), "{bad:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_child_dies_when_its_parent_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["guard::tests::play_role", "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, "parent")
        .env("SUBROSA_TEST_GUARD", guard_program(directory.path()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Kept until the end, as the roles write to the other side of it.
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines().map(Result::unwrap);
    let child = lines.find_map(|line| line.strip_prefix("child=").map(str::to_owned)).unwrap();
    wait_until("the guard becomes `sleep`", || {
        fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim() == "sleep")
    });
    assert!(!is_dead(&child));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until("the child dies", || is_dead(&child));
}

#[test]
#[cfg(target_os = "linux")]
fn a_parent_that_has_died_already_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(guard_program(directory.path()))
        .args([SUBCOMMAND, "4294967295", "sleep", "600"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut message = String::new();
    child.stderr.take().unwrap().read_to_string(&mut message).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert!(message.contains("process 4294967295, which asked for this one, has died"), "{message}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_that_does_not_exist_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let pid = std::process::id().to_string();
    let output = std::process::Command::new(guard_program(directory.path()))
        .args([SUBCOMMAND, &pid, "/nonexistent/worker"])
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7));
    assert!(message.contains("cannot run /nonexistent/worker"), "{message}");
}

#[tokio::test]
async fn a_guard_that_waits_becomes_what_it_is_told_also_if_another_has_to_take_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let waiting = Waiting::new(Guard::new(guard_program(directory.path())));
    let out = directory.path().join("out");
    let program = |path: &str| Program {
        path: path.into(),
        args: ["-c", "echo \"$0 $WORD $(cat)\" > \"$OUT\"", "an argument"].map(OsString::from).to_vec(),
        env: vec![
            ("PATH".into(), std::env::var_os("PATH").unwrap()),
            ("WORD".into(), "a word".into()),
            ("OUT".into(), out.clone().into()),
        ],
    };
    for is_prepared in [false, true] {
        if is_prepared {
            waiting.prepare();
        }
        let before = waiting.pid();
        assert_eq!(before.is_some(), is_prepared);
        let mut child = waiting.spawn(&program("sh")).await.unwrap();
        assert!(before.is_none_or(|before| child.id() == Some(before)));
        assert!(child.wait().await.unwrap().success());
        assert_eq!(fs::read_to_string(&out).unwrap(), "an argument a word \n");
        fs::remove_file(&out).unwrap();
    }
    waiting.prepare();
    let killed = waiting.pid().unwrap();
    let pid = rustix::process::Pid::from_raw(killed.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    wait_until("it is dead", || is_dead(&killed.to_string()));
    let mut child = waiting.spawn(&program("sh")).await.unwrap();
    assert_ne!(child.id(), Some(killed));
    assert!(child.wait().await.unwrap().success());
    assert!(out.exists());
    // That it cannot run shows by its end, as if no guard had waited.
    waiting.prepare();
    let mut child = waiting.spawn(&program("/nonexistent/worker")).await.unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(7));
}
