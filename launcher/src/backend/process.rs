//! A worker's process that runs one job.

use std::{
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use subrosa_protocol::{
    id::{Attempt, JobId},
    launch::LaunchRequest,
};
use tokio::process::{Child, Command};

use super::Started;
use crate::{config::Process, guard::Guard, office::short};

/// The command that runs one attempt at a job. It dies with this process, gets nothing of this process's
/// environment but PATH, and has no secret in its arguments.
pub(super) fn command(
    started: &Started,
    (process, guard): (&Process, &Guard),
    request: &LaunchRequest,
    attempt: Attempt,
) -> Command {
    let env = &process.per_job.env;
    let mut command = guard.command(&process.program);
    command.args(&process.args).stdin(Stdio::null()).env_clear().envs(env);
    // A PATH that the configuration sets wins.
    if let Some(path) = std::env::var_os("PATH")
        && !env.contains_key("PATH")
    {
        command.env("PATH", path);
    }
    command.envs(started.variables(request, attempt));
    command.envs(started.files().iter().map(|file| (file.variable, file.path)));
    command
}

/// Ends a process, if it has not ended yet, and reaps it.
pub(super) async fn end(mut running: Child, job: &JobId, grace: Duration) {
    if matches!(running.try_wait(), Ok(Some(_))) {
        return;
    }
    terminate(&running);
    if let Ok(ended) = tokio::time::timeout(grace, running.wait()).await {
        return log_end(job, &ended);
    }
    tracing::warn!(job = short(job), "the worker's process does not end, and is killed");
    if let Err(error) = running.kill().await {
        tracing::error!(job = short(job), %error, "the worker's process cannot be killed");
    }
}

pub(super) fn log_end(job: &JobId, ended: &io::Result<ExitStatus>) {
    match ended {
        Ok(status) if status.success() => tracing::info!(job = short(job), "the worker's process has ended"),
        Ok(status) => tracing::warn!(job = short(job), %status, "the worker's process has ended"),
        Err(error) => tracing::error!(job = short(job), %error, "the worker's process cannot be waited for"),
    }
}

pub(super) fn terminate(running: &Child) {
    let pid = running.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = kill_process(pid, Signal::TERM)
    {
        tracing::debug!(%error, "the worker's process was not signalled");
    }
}
