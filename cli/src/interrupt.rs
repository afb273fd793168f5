//! Ctrl-C and SIGTERM end a command in order: what it has begun is dropped, and so undone.

use std::future::Future;

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

use crate::exit::{Exit, Failure};

/// Runs a command on this thread. Children's parent-death signal is bound to it.
pub(crate) fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    Builder::new_current_thread().enable_all().build()?.block_on(command)
}

/// Runs a command that can be dropped at any time, until it ends or is told to.
pub(crate) async fn droppable<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    // Before anything is started or said: from now on these end the command in order.
    let told = until_told()?;
    tokio::select! {
        done = command => done,
        told = told => Err(told),
    }
}

/// Completes when this process is told to end.
pub(crate) fn until_told() -> Result<impl Future<Output = Failure>, Failure> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => Failure::because(Exit::Interrupted, "interrupted"),
            _ = terminate.recv() => Failure::because(Exit::Terminated, "terminated"),
        }
    })
}
