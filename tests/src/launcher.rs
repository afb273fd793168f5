//! A launcher in the test's own process.

use std::path::PathBuf;

use subrosa_launcher::{Config, Error, Guard, Launcher};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::lab::patiently;

/// It serves until it is stopped.
pub struct InProcess {
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl InProcess {
    /// Starts it; `guard` is the program that sees to the end of its children.
    ///
    /// # Errors
    ///
    /// Those of [`Launcher::start`].
    pub async fn start(config: &Config, guard: impl Into<PathBuf>) -> Result<Self, Error> {
        let launcher = Launcher::start(config, &Guard::new(guard.into())).await?;
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(launcher.serve(async move {
            let _ = stopped.await;
        }));
        Ok(Self { stop, served })
    }

    /// Ends it gracefully.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        patiently(self.served).await.unwrap();
    }
}
