//! The fuzz targets' checks over the inputs that are kept for them (`fuzz/corpus/`).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::{
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
};

use subrosa_fuzz::TARGETS;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_target_passes_over_its_corpus() {
    for (target, check) in TARGETS {
        let inputs = files(&fuzz().join("corpus").join(target));
        assert!(!inputs.is_empty(), "the corpus of {target} is empty");
        for path in inputs {
            let input = fs::read(&path).unwrap();
            assert!(catch_unwind(|| check(&input)).is_ok(), "{target} fails over {}", path.display());
        }
    }
}

#[test]
fn every_program_is_a_target_and_every_target_has_a_program() {
    let programs: Vec<_> = files(&fuzz().join("fuzz_targets"))
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let targets: Vec<_> = TARGETS.iter().map(|(target, _)| (*target).to_owned()).collect();
    assert_eq!(programs, targets, "in alphabetical order");
}
