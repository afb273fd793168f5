//! `subrosa demo`, as a newcomer runs it.

use std::process::{Output, Stdio};

use serde_json::Value;
use subrosa_tests::lab::patiently;
use tokio::process::Command;

use crate::PROGRAM;

async fn demo(args: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("demo").args(args).stdin(Stdio::null()).kill_on_drop(true);
    patiently(command.output()).await.unwrap()
}

#[tokio::test]
async fn it_ends_with_a_verified_result() {
    let output = demo(&[]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("✔ verified"), "{text}");
    assert!(text.contains("queued → taken → running → closed"), "{text}");
    assert!(!text.contains('\x1b'), "no colours where there is no terminal");
}

#[tokio::test]
async fn it_runs_one_process_for_a_job_and_speaks_json() {
    let output = demo(&["--process", "--json", "--value", "100"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verified"], true);
    assert_eq!(report["history"], serde_json::json!(["queued", "taken", "running", "closed"]));
}

#[tokio::test]
async fn a_value_out_of_range_is_a_failure_with_a_reason() {
    for value in ["101", "-1"] {
        let output = demo(&["--value", value]).await;
        assert_eq!(output.status.code(), Some(6));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("between 0 and 100"), "{text}");
    }
}

#[tokio::test]
async fn a_value_that_is_no_number_is_a_usage_error() {
    let output = demo(&["--value", "abc"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--value"));
}
