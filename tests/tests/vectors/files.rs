//! The committed files.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::generate;

/// Set to anything, this makes the test write the files in place of comparing them.
const WRITE: &str = "SUBROSA_WRITE_VECTORS";

/// Where the vectors are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// All committed vectors: their paths below the folder, and their texts.
pub(crate) fn committed() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let kind = entry.unwrap().path();
        if !kind.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&kind).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder()).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read_to_string(path).unwrap());
        }
    }
    files
}

/// Writes `files` below `folder`.
pub(crate) fn write(folder: &Path, files: &BTreeMap<String, String>) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

#[test]
fn the_committed_files_are_what_the_generator_writes() {
    let generated = generate::files();
    if env::var_os(WRITE).is_some() {
        for stale in committed().keys().filter(|name| !generated.contains_key(*name)) {
            fs::remove_file(folder().join(stale)).unwrap();
        }
        write(&folder(), &generated);
    }
    let committed = committed();
    let all: BTreeSet<_> = committed.keys().chain(generated.keys()).collect();
    let stale: Vec<_> = all.into_iter().filter(|name| committed.get(*name) != generated.get(*name)).collect();
    assert!(stale.is_empty(), "run this test with {WRITE}=1, and read the differences of {stale:#?}");
}

#[test]
fn the_page_names_every_kind_and_member() {
    let page = fs::read_to_string(folder().join("README.md")).unwrap();
    for (name, text) in committed() {
        let members: Map<String, Value> = serde_json::from_str(&text).unwrap();
        for word in members.keys().map(String::as_str).chain([members["kind"].as_str().unwrap()]) {
            assert!(page.contains(&format!("`{word}`")), "`{word}` of {name}");
        }
    }
}
