//! Our images, built as `deploy/prebuilt` builds them: the last stages of `deploy/images`, around the programs of
//! these tests, with the libraries that those need, as they are not static.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use futures_util::TryStreamExt as _;
use subrosa_tests::{container::pinned_server, image::Image, lab::PATIENCE};
use testcontainers::bollard::{Docker, body_full, query_parameters::BuildImageOptionsBuilder};

use crate::PROGRAM;

const LAUNCHER: &str = env!("CARGO_BIN_EXE_subrosa-launcher-under-test");
const CREATE_PROOF: &str = env!("CARGO_BIN_EXE_create-proof-under-test");
const REQUEST_PROOF: &str = env!("CARGO_BIN_EXE_request-proof-under-test");

/// The folder of what a deployment needs.
pub(crate) fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").canonicalize().unwrap()
}

/// Images of ours, which the tests of this program share.
pub(crate) struct Images(BTreeMap<&'static str, Image>);

impl Images {
    /// Builds what nobody has built yet.
    pub(crate) async fn build(engine: &Docker, names: &[&'static str]) -> Self {
        let mut images = BTreeMap::new();
        for name in names {
            let build = async |tag: &str| context(name).await.build(engine, tag).await;
            images.insert(*name, Image::share(engine, shared(name), build).await);
        }
        Self(images)
    }

    /// The name of an image.
    pub(crate) fn name(&self, image: &str) -> String {
        self.0[image].name().to_owned()
    }

    pub(crate) async fn remove(self) {
        for image in self.0.into_values() {
            image.remove().await.unwrap();
        }
    }
}

/// What the image is called that this program's tests share.
pub(crate) fn shared(name: &str) -> String {
    format!("subrosa-tests-{}-{name}", std::process::id())
}

/// What `deploy/prebuilt` would build this image from.
async fn context(name: &str) -> Context {
    let context = Context::new();
    let dockerfile = fs::read_to_string(deploy().join(format!("images/{name}.Dockerfile"))).unwrap();
    fs::write(context.at("Dockerfile"), last_stage(&dockerfile)).unwrap();
    let (folder, program, path) = match name {
        "cli" => ("cli", "subrosa", PROGRAM),
        "nats" | "launcher" => ("launcher", "subrosa-launcher", LAUNCHER),
        "create-proof" => ("create-proof", "create-proof", CREATE_PROOF),
        "client" => ("client", "request-proof", REQUEST_PROOF),
        other => panic!("there is no image {other}"),
    };
    context.add_program(path, &format!("{folder}/{program}"));
    context.add_libraries(&[path.into()], folder);
    let volumes: &[&str] = match name {
        "nats" => &["data"],
        "cli" => &[
            "trust",
            "users",
            "keys/authority",
            "keys/admin",
            "keys/launcher",
            "keys/create-proof",
            "keys/echo",
            "keys/client",
        ],
        _ => &[],
    };
    for volume in volumes {
        fs::create_dir_all(context.at(&format!("volumes/{name}/{volume}"))).unwrap();
    }
    if name == "nats" {
        context.add(&pinned_server(PROGRAM.into()).await, "nats/nats-server");
    }
    context
}

/// What an image is built from.
pub(crate) struct Context(tempfile::TempDir);

impl Context {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn add(&self, from: &Path, to: &str) {
        let to = self.at(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }

    /// Adds one of ours, without what only a debugger reads: there is a lot of it.
    pub(crate) fn add_program(&self, from: &str, to: &str) {
        self.add(Path::new(from), to);
        // Where there is no such tool, it takes longer.
        let _ = Command::new("strip").arg(self.at(to)).status();
    }

    /// Adds the libraries that these programs need, where the linker finds them.
    pub(crate) fn add_libraries(&self, programs: &[PathBuf], folder: &str) {
        let needed = Command::new("ldd").args(programs).output().unwrap();
        let needed = String::from_utf8(needed.stdout).unwrap();
        let words = needed.split_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':'));
        for library in words.collect::<BTreeSet<&str>>() {
            self.add(&fs::canonicalize(library).unwrap(), &format!("{folder}{library}"));
        }
    }

    /// Builds it.
    pub(crate) async fn build(self, engine: &Docker, name: &str) {
        let tar = Command::new("tar").arg("-C").arg(self.0.path()).args(["-cf", "-", "."]).output().unwrap();
        assert!(tar.status.success(), "{tar:?}");
        let options = BuildImageOptionsBuilder::default().t(name).rm(true).build();
        let built = engine.build_image(options, None, Some(body_full(tar.stdout.into())));
        // Megabytes, written several times: on a busy machine that takes longer than all else.
        let said: Vec<_> = tokio::time::timeout(5 * PATIENCE, built.try_collect()).await.unwrap().unwrap();
        assert!(said.iter().all(|line| line.error_detail.is_none()), "{said:?}");
    }
}

/// A Dockerfile's last stage, with what the stages before would have built taken from the context.
fn last_stage(dockerfile: &str) -> String {
    let (_, last) = dockerfile.split_once("\nFROM scratch\n").unwrap();
    let last = last.replace("--from=build ", "").replace("/out/", "").replace("--from=server /", "nats/");
    assert!(!last.contains("FROM ") && !last.contains("--from"), "{last}");
    format!("FROM scratch\n{last}")
}
