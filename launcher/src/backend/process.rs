//! A worker's process that runs one job.

use std::{io, process::ExitStatus, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use subrosa_protocol::{
    id::{Attempt, JobId},
    launch::LaunchRequest,
};
use tokio::process::Child;

use super::Started;
use crate::{config::Process, guard::Program, office::short};

/// What runs one attempt at a job. It gets nothing of this process's environment but PATH, and has no secret in its
/// arguments.
pub(super) fn program(
    started: &Started,
    process: &Process,
    request: &LaunchRequest,
    attempt: Attempt,
) -> Program {
    // What comes later wins.
    let path = std::env::var_os("PATH").map(|path| ("PATH".into(), path));
    let configured = process.per_job.env.iter().map(|(name, value)| (name.into(), value.into()));
    let variables = started.variables(request, attempt);
    let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
    let files = started.files();
    let files = files.iter().map(|file| (file.variable.into(), file.path.into()));
    Program {
        path: process.program.clone().into(),
        args: process.args.iter().map(Into::into).collect(),
        env: path.into_iter().chain(configured).chain(variables).chain(files).collect(),
    }
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
