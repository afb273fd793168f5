//! The command of a worker that runs one job.

use std::process::Stdio;

use subrosa_protocol::{id::Attempt, launch::LaunchRequest};
use tokio::process::Command;

use super::Started;

/// The command that runs one attempt at a job. It dies with this process, gets nothing of this process's
/// environment but PATH, and has no secret in its arguments.
pub(super) fn command(started: &Started, request: &LaunchRequest, attempt: Attempt) -> Command {
    let process = &started.process;
    let mut command = started.guard.command(&process.program);
    command.args(&process.args).stdin(Stdio::null()).env_clear().envs(&process.env);
    // A PATH that the configuration sets wins.
    if let Some(path) = std::env::var_os("PATH")
        && !process.env.contains_key("PATH")
    {
        command.env("PATH", path);
    }
    command
        .env("SUBROSA_NATS_URL", &process.nats_url)
        .env("SUBROSA_NAMESPACE", started.office.namespace.to_string())
        .env("SUBROSA_KEY_FILE", &process.key_file)
        .env("SUBROSA_TRUST_FILE", &process.trust_file)
        .env("SUBROSA_ATTEMPT", attempt.to_string())
        // A request that has been parsed is UTF-8, and JSON has no bare control characters.
        .env("SUBROSA_JOB", String::from_utf8_lossy(request.bytes()).as_ref());
    if let Some(cert) = &process.cert_file {
        command.env("SUBROSA_CERT_FILE", cert);
    }
    if let Some(policy) = &started.policy {
        command
            .env("SUBROSA_SIGNERS_FILE", &policy.signers_file)
            .env("SUBROSA_SIGNERS_NEEDED", policy.needed.to_string())
            .env("SUBROSA_POLICY_MODE", policy.mode.to_string());
    }
    if let Some(revoked) = &started.office.revoked_file {
        command.env("SUBROSA_REVOKED_FILE", revoked);
    }
    if let Some(credentials) = &process.credentials {
        command.env("SUBROSA_NATS_CREDS", credentials);
    }
    if let Some(prefix) = &process.inbox_prefix {
        command.env("SUBROSA_INBOX_PREFIX", prefix);
    }
    command
}
