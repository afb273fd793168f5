//! A program of somebody else's with all that it starts: a shell or `cargo run` does not pass on a signal.

use std::{io, process::ExitStatus};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use super::GRACE;

/// A process group. What is left of it is killed when this is dropped.
#[derive(Debug)]
pub struct Group {
    leader: Child,
    id: Option<Pid>,
}

impl Group {
    /// Starts the program as the first of its group. The terminal's Ctrl-C does not reach it there.
    pub(super) fn start(mut command: Command) -> io::Result<Self> {
        let leader = command.process_group(0).spawn()?;
        let id = leader.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        Ok(Self { leader, id })
    }

    /// How the program has ended, if it has.
    ///
    /// # Errors
    ///
    /// The process cannot be asked after.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.leader.try_wait()
    }

    /// Asks all of it to end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until the program has ended, and kills what is left.
    pub(super) async fn end(mut self) {
        // Whether it ended or not, what is left is killed when this is dropped.
        let _ = timeout(GRACE, self.leader.wait()).await;
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // There may be nobody left.
            let _ = kill_process_group(id, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
