//! The process: its connection, its two ways to run, and its orderly end.

use std::{future::Future, pin::Pin, sync::Arc, thread, time::Duration};

use rand::{rand_core::UnwrapErr, rngs::SysRng};
use subrosa_protocol::id::{Instance, WorkerName};
use subrosa_transport::History;
use tokio::{
    runtime::{Builder, Handle},
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, Done, Error, Failure, Job, Launched, control,
    held::Held,
    panics,
    process::{Process, Shared},
    resident, single,
};

/// A worker's function.
pub type Function =
    Arc<dyn Fn(Job<Launched>) -> Pin<Box<dyn Future<Output = Result<Done, Failure>> + Send>> + Send + Sync>;

/// Serves `function` as the worker `name`, as the environment says (see the crate's documentation):
/// resident until SIGTERM or SIGINT, or for one job.
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
    let signals = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: nothing new is taken, what runs may finish");
        stop.cancel();
    });
    let served = serve_with(config, name, function, draining).await;
    signals.abort();
    served
}

/// Serves `function` as [`serve`] does, with a configuration and a token that ends it: nothing new is
/// taken then, and what runs may finish within the drain time.
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
    let name: WorkerName = name.parse()?;
    let function: Function = Arc::new(move |job| Box::pin(function(job)));
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

async fn run(
    config: Config,
    name: WorkerName,
    function: Function,
    functions: Handle,
    draining: CancellationToken,
) -> Result<(), Error> {
    let connection = config.nats.connect().await?;
    let process: Shared = Arc::new(Process {
        instance: Instance::random(&mut UnwrapErr(SysRng)),
        identity: config.identity,
        trust: config.trust,
        history: History::new(connection.clone(), config.namespace.clone()),
        namespace: config.namespace,
        timing: config.timing,
        held: Held::default(),
        name,
        connection,
        functions,
    });
    let subject = process.namespace.control_of(&process.name, &process.instance);
    let messages = process.connection.subscribe(&subject).await?;
    let listener = tokio::spawn(control::listen(process.clone(), messages));
    let served = match &config.one_job {
        Some(one) => single::serve(&process, &function, one, &draining).await,
        None => resident::serve(&process, &function, config.slots, &draining).await.map_err(Error::from),
    };
    listener.abort();
    // What was published last, an ack or a record's copy, still has to leave.
    process.connection.flush(Duration::from_secs(2)).await;
    served
}
