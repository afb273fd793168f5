//! A launcher from its start to its end.

use std::{sync::Arc, time::Duration};

use subrosa_protocol::id::JobId;
use subrosa_telemetry::{Endpoint, Health, metrics::registry::Registry};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    backend::Backends,
    config::Config,
    error::Error,
    guard::Guard,
    numbers::Numbers,
    office::{Office, Shared},
    sample,
    service::Services,
    streams, sweep,
};

/// How long answers and errands may take after the end has come.
const FAREWELL: Duration = Duration::from_secs(10);

/// A launcher that takes requests. Any number of them run beside each other; none keeps a state of its own.
pub struct Launcher {
    office: Shared,
    health: Health,
    /// Answers health checks, if it is to.
    _endpoint: Option<Endpoint>,
    services: Services,
    backends: Backends,
    sweep: CancellationToken,
    tasks: TaskTracker,
}

impl Launcher {
    /// Starts a launcher; returns when it takes requests. `guard` ties the workers that it starts to this
    /// process; call it from a thread that lives as long as the launcher, on a current-thread runtime.
    ///
    /// # Errors
    ///
    /// A configuration or files that cannot be used, a server that cannot be reached within 30 s, streams
    /// that are not as they should be, a subject that the server denies to this user.
    pub async fn start(config: &Config, guard: &Guard) -> Result<Self, Error> {
        let keys = config.keys()?;
        let health = Health::new();
        let mut registry = Registry::default();
        let numbers = Numbers::new(&mut registry);
        let endpoint = match config.health.listen {
            Some(address) => Some(Endpoint::listen(address, health.clone(), registry).await?),
            None => None,
        };
        let connection = config.nats.connect().await?;
        numbers.nats.connected(&connection);
        streams::verify(&connection, config).await?;
        let office: Shared = Arc::new(Office::new(config, keys, connection, numbers));
        office.check_rights().await?;
        let (connected, trusted, quota) = (office.connection.clone(), office.clone(), office.quota.clone());
        health.require(move || match connected.is_connected() {
            true => Ok(()),
            false => Err("it is not connected to NATS".into()),
        });
        health.require(move || trusted.counts().map_err(|reason| reason.to_string().into()));
        health.require(move || quota.ready().map_err(|uncounted| uncounted.to_string().into()));
        let (sweep, tasks) = (CancellationToken::new(), TaskTracker::new());
        let backends = Backends::start(&office, guard).await?;
        let services = Services::start(&office, config.max_requests).await?;
        health.watch("sweep", tasks.spawn(sweep::run(office.clone(), sweep.clone())).abort_handle());
        if endpoint.is_some() {
            let sampling = sample::run(office.clone(), health.clone(), config.health.sample);
            let stop = sweep.clone();
            let sampling = tasks.spawn(async move { stop.run_until_cancelled(sampling).await });
            health.watch("sample", sampling.abort_handle());
        }
        let (heeding, stop) = (office.clone(), sweep.clone());
        tasks.spawn(async move { stop.run_until_cancelled(heeding.heed_revocations()).await });
        tracing::info!(workers = config.workers.len(), "launcher ready");
        health.started();
        Ok(Self { office, health, _endpoint: endpoint, services, backends, sweep, tasks })
    }

    /// Serves until `shutdown`, and ends gracefully: it takes nothing more, answers what it has been asked,
    /// and lets the workers that it has started finish, up to the configured limit.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        shutdown.await;
        self.health.drain();
        tracing::info!("the launcher is about to end");
        self.sweep.cancel();
        let services = tokio::time::timeout(FAREWELL, self.services.stop());
        let (services, ()) = tokio::join!(services, self.backends.stop());
        if services.is_err() {
            tracing::warn!("requests are left unanswered");
        }
        self.tasks.close();
        self.office.errands.close();
        let rest = async {
            self.tasks.wait().await;
            self.office.errands.wait().await;
            self.office.connection.flush(FAREWELL).await;
        };
        if tokio::time::timeout(FAREWELL, rest).await.is_err() {
            tracing::debug!("not everything was said");
        }
        self.office.refused_requests.log();
        self.office.refused_deliveries.log();
        tracing::info!("the launcher has ended");
    }
}

/// Runs a launcher until `shutdown`. On SIGHUP, it reads its trust, revocation and signers files again, and those of
/// the connection; what cannot be used is logged, and what was read before still holds.
///
/// ```no_run
/// # // It takes a server.
/// use subrosa_launcher::{Config, Guard, run};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::from_file("launcher.toml")?;
/// let interrupt = async {
///     let _ = tokio::signal::ctrl_c().await;
/// };
/// run(&config, &Guard::this_program()?, interrupt).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As for [`Launcher::start`].
pub async fn run(config: &Config, guard: &Guard, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    tokio::pin!(shutdown);
    let mut hangup = signal(SignalKind::hangup()).map_err(Error::Signals)?;
    let launcher = tokio::select! {
        launcher = Launcher::start(config, guard) => launcher?,
        () = &mut shutdown => return Ok(()),
    };
    let office = launcher.office.clone();
    let reload = async {
        while hangup.recv().await.is_some() {
            office.reload();
            office.connection.renew().await;
        }
        std::future::pending().await
    };
    tokio::select! {
        () = launcher.serve(shutdown) => {}
        () = reload => {}
    }
    Ok(())
}

/// Cancels a job as the operator: without a token, and signed by this launcher's key. The worker is stopped, the
/// client is told. It takes a launcher's rights on NATS, whether or not one runs. Returns the state that the
/// job has ended in, which is another one if it had ended before.
///
/// # Errors
///
/// A configuration or files that cannot be used, a server that cannot be reached, a job that is not there.
pub async fn cancel(config: &Config, job: &JobId) -> Result<&'static str, Error> {
    let keys = config.keys()?;
    let connection = config.nats.connect().await?;
    let numbers = Numbers::new(&mut Registry::default());
    let office: Shared = Arc::new(Office::new(config, keys, connection, numbers));
    let state = office.cancel_as_operator(job).await?.state();
    office.errands.close();
    if tokio::time::timeout(FAREWELL, office.errands.wait()).await.is_err() {
        tracing::debug!("the worker was not told");
    }
    office.connection.flush(FAREWELL).await;
    Ok(state)
}

/// Creates or updates the streams and consumers that a launcher with this configuration needs. It takes an
/// administrator's rights on NATS, and no key or trust file.
///
/// # Errors
///
/// A server that cannot be reached, or refuses.
pub async fn setup(config: &Config) -> Result<(), Error> {
    let connection = config.nats.connect().await?;
    streams::setup(&connection, config).await?;
    Ok(())
}
