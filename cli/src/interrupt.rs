//! Ctrl-C and SIGTERM end a command in order: what it has begun is dropped, and so undone.

use std::{future::Future, thread};

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
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

/// Does what keeps its thread, as a question or a second of computing, unless this process is told to end first. Whoever
/// calls may be in a runtime already.
pub(crate) fn unless_told<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (done, waited) = oneshot::channel();
    let either = async {
        // Before anything is begun. From now on signals do not end this process by themselves.
        let told = until_told()?;
        // It is left behind when told: this program ends then.
        thread::spawn(move || done.send(work()));
        tokio::select! {
            done = waited => done.map_err(|_| broken()),
            told = told => Err(told),
        }
    };
    thread::spawn(|| block_on(either)).join().unwrap_or_else(|_| Err(broken()))
}

fn broken() -> Failure {
    Failure::because(Exit::Failure, "a thread of this program has panicked")
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
