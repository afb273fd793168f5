//! The process: its connection, its two ways to run, and its orderly end.

use std::{future::Future, pin::Pin, sync::Arc, thread, time::Duration};

use rand::{rand_core::UnwrapErr, rngs::SysRng};
use subrosa_protocol::id::{Instance, WorkerName};
use subrosa_telemetry::{Endpoint, Health, metrics::registry::Registry};
use subrosa_transport::{
    Absences, History, Results, now_ms,
    trace::{self, TARGET},
};
use tokio::{
    runtime::{Builder, Handle},
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    Config, Done, Error, Failure, Job, Launched, control, health,
    held::Held,
    numbers::Numbers,
    panics,
    process::{Process, Shared},
    resident, single,
};

/// A worker's function.
pub type Function =
    Arc<dyn Fn(Job<Launched>) -> Pin<Box<dyn Future<Output = Result<Done, Failure>> + Send>> + Send + Sync>;

/// Serves `function` as the worker `name`, as the environment says (see the crate's documentation):
/// resident until SIGTERM or SIGINT, or for one job. On SIGHUP, the files that say whom to trust and who may
/// have jobs run are read again.
///
/// The connection lives on a thread of its own, so that a busy function does not keep the worker from
/// answering. Panics of the process are logged by their place only; what they say goes to the client.
///
/// # Errors
///
/// An environment that does not fit, a server or queue that cannot be used, and, in single-job mode, a
/// job that was not closed with its result. Failures of jobs do not end a resident worker.
pub async fn serve<F, Fut>(name: &str, function: F) -> Result<(), Error>
where
    F: Fn(Job<Launched>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Done, Failure>> + Send + 'static,
{
    let config = Config::from_env(name)?;
    let draining = CancellationToken::new();
    let stop = draining.clone();
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Process)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Process)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(Error::Process)?;
    let (trust, policy, cert) = (config.trust.clone(), config.policy.clone(), config.cert.clone());
    let renewal = config.renewal.clone();
    let signals = tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                Some(()) = hangup.recv() => {
                    trust.reload();
                    policy.reload();
                    cert.reload();
                    renewal.notify_one();
                    tracing::info!("reloaded: what is decided from now on is decided by these files");
                }
            }
        }
        tracing::info!("stopping: nothing new is taken, what runs may finish");
        stop.cancel();
    });
    let served = serve_with(config, name, function, draining).await;
    signals.abort();
    served
}

/// Serves `function` as [`serve`] does, with a configuration and a token that ends it: nothing new is
/// taken then, and what runs may finish within the drain time. Clones of [`Config::trust`],
/// [`Config::policy`] and [`Config::cert`] can have their files read again.
///
/// ```no_run
/// # // It takes a server.
/// # use serde_json::Value;
/// # use subrosa_worker::{Config, Error, serve_with};
/// # use tokio_util::sync::CancellationToken;
/// # async fn example(config: Config) -> Result<(), Error> {
/// let draining = CancellationToken::new();
/// let stop = draining.clone();
/// tokio::spawn(async move {
///     let _ = tokio::signal::ctrl_c().await;
///     stop.cancel();
/// });
/// let echo = |job: subrosa_worker::Job<subrosa_worker::Launched>| async move {
///     let (_, job) = job.options::<Value>(&()).await?;
///     let (payload, job) = job.ready::<Value>(&()).await?;
///     job.done(&payload).await
/// };
/// serve_with(config, "echo", echo, draining).await
/// # }
/// ```
///
/// # Errors
///
/// As for [`serve`].
pub async fn serve_with<F, Fut>(
    config: Config,
    name: &str,
    function: F,
    draining: CancellationToken,
) -> Result<(), Error>
where
    F: Fn(Job<Launched>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Done, Failure>> + Send + 'static,
{
    panics::hide_messages();
    let (name, function) = (name.parse()?, shared(function));
    let functions = Handle::current();
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Process)?;
    let (ended, end) = oneshot::channel();
    let connection = move || {
        let served = runtime.block_on(run(config, name, function, functions, draining));
        // Nobody waits if the caller was dropped.
        let _ = ended.send(served);
    };
    thread::Builder::new().name("subrosa".to_owned()).spawn(connection).map_err(Error::Process)?;
    end.await
        .unwrap_or_else(|_| Err(Error::Process(std::io::Error::other("the connection's thread is gone"))))
}

/// Serves `function` as [`serve_with`] does, without a thread of its own: a function that keeps the caller's
/// thread busy keeps the worker from answering. Panics are shown as they are. For tests.
///
/// # Errors
///
/// As for [`serve`].
pub async fn serve_here<F, Fut>(
    config: Config,
    name: &str,
    function: F,
    draining: CancellationToken,
) -> Result<(), Error>
where
    F: Fn(Job<Launched>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Done, Failure>> + Send + 'static,
{
    run(config, name.parse()?, shared(function), Handle::current(), draining).await
}

fn shared<F, Fut>(function: F) -> Function
where
    F: Fn(Job<Launched>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Done, Failure>> + Send + 'static,
{
    Arc::new(move |job| Box::pin(function(job)))
}

async fn run(
    config: Config,
    name: WorkerName,
    function: Function,
    functions: Handle,
    draining: CancellationToken,
) -> Result<(), Error> {
    config
        .trust
        .get()
        .vouched(&config.identity.thumbprint(), &name, config.cert.get().as_deref(), now_ms())
        .map_err(|reason| Error::Untrusted { reason })?;
    let health = Health::new();
    let labels = [("worker".into(), name.to_string().into())];
    let mut registry = Registry::with_labels(labels.into_iter());
    let numbers = Numbers::new(&mut registry);
    // A process per job comes and goes, and its launcher looks after it.
    let _endpoint = match config.health.filter(|_| config.one_job.is_none()) {
        Some(address) => Some(Endpoint::listen(address, health.clone(), registry).await?),
        None => None,
    };
    let connection = tokio::select! {
        connection = config.nats.connect() => connection?,
        () = draining.cancelled() => return single::given_up(config.one_job.as_ref()),
    };
    numbers.nats.connected(&connection);
    let (renewed, renewal) = (connection.clone(), config.renewal);
    let _renewing = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            renewal.notified().await;
            renewed.renew().await;
        }
    }));
    let process: Shared = Arc::new(Process {
        instance: Instance::random(&mut UnwrapErr(SysRng)),
        identity: config.identity,
        cert: config.cert,
        trust: config.trust,
        policy: config.policy,
        history: History::new(connection.clone(), config.namespace.clone()),
        results: Results::new(connection.clone(), config.namespace.clone()),
        namespace: config.namespace,
        timing: config.timing,
        held: Held::default(),
        absences: Absences::default(),
        refused: numbers.refused.clone(),
        numbers,
        name,
        connection,
        functions,
    });
    let subject = process.namespace.control_of(&process.name, &process.instance);
    // All at once: a job may be waiting for it.
    let ready = async {
        tokio::try_join!(
            async { Ok(process.connection.subscribe(&subject).await?) },
            async { Ok(process.connection.may_serve_clients(&process.namespace).await?) },
            async { Ok(process.results.may_store(&process.name, process.record_deadline()).await?) },
            async {
                match &config.one_job {
                    Some(one) => single::Given::new(&process, one).await.map(Some),
                    None => Ok(None),
                }
            },
        )
    };
    let (messages, (), (), given) = tokio::select! {
        ready = ready => ready?,
        () = draining.cancelled() => return single::given_up(config.one_job.as_ref()),
    };
    let listener = tokio::spawn(control::listen(process.clone(), messages));
    health::require(&health, &process, &draining);
    health.watch("control", listener.abort_handle());
    let trust = process.trust.clone();
    let watch = tokio::spawn(async move { trust.watch().await });
    let served = match given {
        Some(given) => {
            let span = tracing::debug_span!(target: TARGET, "attempt", attempt = given.attempt());
            let served = given.serve(&process, &function, &draining);
            trace::within(config.trace, span, served).await
        }
        None => resident::serve(&process, &function, config.slots, &draining, &health).await,
    };
    listener.abort();
    watch.abort();
    process.refused.log();
    // What was published last, an ack or a record's copy, still has to leave.
    process.connection.flush(Duration::from_secs(2)).await;
    served
}
