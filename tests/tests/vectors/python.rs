//! A second implementation, in Python, on the same files.

use std::{
    path::Path,
    process::{Command, Output},
};

use subrosa_tests::python::{folder, interpreter};

use crate::{altered, files};

/// Has Python check a folder of vectors.
fn check(vectors: &Path) -> (Output, String) {
    // Its caches do not belong among the sources.
    let python = interpreter(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let output = Command::new(python).arg("-B").arg(folder().join("check.py")).arg(vectors).output().unwrap();
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
