//! A second implementation, in Python, on the same files.

use std::{
    env, fs,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{altered, files};

/// The implementation's folder.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

/// A virtual environment with the pinned packages, made once for each list of them.
fn python() -> PathBuf {
    let requirements = folder().join("requirements.txt");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = File::create(target.join("vectors-python.lock")).unwrap();
    // Kept until this function ends: one test makes the environment, the others wait for it.
    lock.lock().unwrap();
    let environment = target.join("vectors-python");
    let (python, installed) = (environment.join("bin/python"), environment.join("installed.txt"));
    let wanted = fs::read_to_string(&requirements).unwrap();
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) && python.is_file() {
        return python;
    }
    if environment.exists() {
        fs::remove_dir_all(&environment).unwrap();
    }
    let program = env::var_os("PYTHON").unwrap_or("python3".into());
    run(Command::new(&program).args(["-m", "venv"]).arg(&environment), "a virtual environment");
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]);
    pip.args(["--only-binary", ":all:", "--require-hashes", "--requirement"]).arg(&requirements);
    run(&mut pip, "the pinned packages");
    fs::write(installed, wanted).unwrap();
    python
}

fn run(command: &mut Command, what: &str) {
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("{what}: {command:?} says {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            panic!("{what}: {command:?}: {error}. The tests need Python 3 with pip and venv on PATH")
        }
    }
}

/// Has Python check a folder of vectors.
fn check(vectors: &Path) -> (Output, String) {
    // Its caches do not belong among the sources.
    let output =
        Command::new(python()).args(["-B"]).arg(folder().join("check.py")).arg(vectors).output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap() + &String::from_utf8_lossy(&output.stderr);
    (output, text)
}

#[test]
fn python_agrees_with_every_file() {
    let (output, text) = check(&files::folder());
    assert!(output.status.success(), "{text}");
    assert_eq!(text.trim(), format!("{} files checked, 0 disagreements", files::committed().len()));
}

#[test]
fn python_notices() {
    let altered = altered::files(true);
    let folder = tempfile::tempdir().unwrap();
    files::write(folder.path(), &altered);
    let (output, text) = check(folder.path());
    assert!(!output.status.success());
    let noticed: Vec<_> =
        text.lines().filter_map(|line| line.split_once(".json: ")).map(|(name, _)| name).collect();
    let unnoticed: Vec<_> =
        altered.keys().filter(|name| !noticed.contains(&name.trim_end_matches(".json"))).collect();
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
    assert!(
        text.contains(&format!("{} files checked, {} disagreements", altered.len(), altered.len())),
        "{text}"
    );
}
