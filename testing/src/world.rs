//! A deployment in memory: its keys, who listens, the records, and the processes that run.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::{rand_core::UnwrapErr, rngs::SysRng};
use subrosa_client::{Client, SigningKey, Trust};
use subrosa_protocol::{
    id::Attempt, identity::Role, launch::LaunchRequest, secret::Secret, subject::Namespace,
};
use subrosa_transport::{Connect, Message};
use subrosa_worker::{Config, OneJob, serve_here};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Attack,
    attacker::Attacker,
    broker::{Carried, Line, Listeners, Reached},
    function::Watched,
    launcher::Jobs,
    records::{self, Records, answered},
    relay,
};

/// How long the workers' processes may take to end after their jobs.
const FAREWELL: Duration = Duration::from_secs(60);

/// Everything but the client, and what the client connects to.
pub(crate) struct World {
    pub(crate) namespace: Namespace,
    /// Signs the launcher's records.
    pub(crate) launcher: SigningKey,
    worker: Secret<32>,
    /// The launcher's key and the worker's.
    pub(crate) trust: Trust,
    pub(crate) function: Watched,
    pub(crate) attack: Option<Attack>,
    pub(crate) reached: Reached,
    pub(crate) jobs: Jobs,
    /// The workers' processes; they are tasks.
    processes: TaskTracker,
    attacker: Mutex<Attacker>,
    listeners: Mutex<Listeners>,
    records: Mutex<Records>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new key.
pub(crate) fn fresh_key() -> SigningKey {
    SigningKey::generate(&mut UnwrapErr(SysRng))
}

impl World {
    pub(crate) fn new(function: Watched, attack: Option<Attack>) -> Arc<Self> {
        let (launcher, worker) = (fresh_key(), Secret::random(&mut UnwrapErr(SysRng)));
        let trust = Trust::pinned([SigningKey::from_seed(&worker).public()]);
        Arc::new(Self {
            namespace: Namespace::default(),
            trust: trust.with_key(launcher.public(), Role::Launcher, None),
            launcher,
            worker,
            function,
            attack,
            reached: Reached::default(),
            jobs: Jobs::default(),
            processes: TaskTracker::new(),
            attacker: Mutex::new(Attacker::new(attack)),
            listeners: Mutex::default(),
            records: Mutex::default(),
        })
    }

    pub(crate) fn listeners(&self) -> MutexGuard<'_, Listeners> {
        lock(&self.listeners)
    }

    pub(crate) fn records(&self) -> MutexGuard<'_, Records> {
        lock(&self.records)
    }

    /// A client. It trusts the worker, unless the attack is that it does not.
    #[expect(clippy::expect_used, reason = "a test that cannot go on says so")]
    pub(crate) async fn client(self: &Arc<Self>, identity: Option<SigningKey>) -> Client {
        let trust = match self.attack {
            Some(Attack::UntrustedWorker) => Trust::pinned([fresh_key().public()]),
            _ => self.trust.clone(),
        };
        let nats = Connect::over(Arc::new(Line::new(self.clone())), "client");
        let connect = Client::connect_with(nats).trust(trust);
        let connect = match identity {
            Some(identity) => connect.identity(identity),
            None => connect,
        };
        connect.await.expect("there is nobody to refuse it")
    }

    /// Waits until no worker's process runs; gives up after a time, and then returns false.
    pub(crate) async fn settled(&self) -> bool {
        self.processes.close();
        tokio::time::timeout(FAREWELL, self.processes.wait()).await.is_ok()
    }

    /// Carries a message, and what the attacker makes of it.
    pub(crate) fn publish(self: &Arc<Self>, message: Message) {
        let carried = lock(&self.attacker).tamper(message);
        for carried in carried {
            self.carry(carried);
        }
    }

    fn carry(self: &Arc<Self>, carried: Carried) {
        let reply = carried.message.reply.clone();
        let answer = match self.answer(&carried.message) {
            Some(answer) => answer,
            None if self.listeners().deliver(&carried) => return,
            // Nobody listens.
            None => Message { status: Some(503), ..answered("", None) },
        };
        if let Some(subject) = reply {
            self.listeners().deliver(&Carried::genuine(Message { subject, ..answer }));
        }
    }

    /// What JetStream and the launcher answer; none if the message is for somebody else.
    fn answer(self: &Arc<Self>, message: &Message) -> Option<Message> {
        let direct_get = format!("$JS.API.DIRECT.GET.{}.", self.namespace.records_stream());
        if let Some(subject) = message.subject.strip_prefix(&direct_get) {
            return Some(self.records().direct_get(subject));
        }
        let own = format!("{}.v1.", self.namespace);
        let tokens: Vec<&str> = message.subject.strip_prefix(&own)?.split('.').collect();
        match *tokens.as_slice() {
            // Nothing is stored here.
            ["result", _, _, _, _] => Some(records::full()),
            ["record", _, _] => Some(self.records().publish(message)),
            [service @ ("launch" | "status" | "cancel" | "close" | "result"), ..] => {
                // Whoever answers elsewhere becomes somebody's deputy.
                let reply = message.reply.as_deref()?;
                subrosa_protocol::subject::may_answer(reply).then(|| self.serve(service, message))
            }
            _ => None,
        }
    }

    /// Starts a worker's process for an attempt at this job, as a task; when it is gone, the launcher sees to
    /// what follows.
    pub(crate) fn start(self: &Arc<Self>, request: LaunchRequest, attempt: Attempt) {
        let world = self.clone();
        self.processes.spawn(async move {
            let line = Arc::new(Line::new(world.clone()));
            let mut config = Config::new(
                Connect::over(line.clone(), "worker"),
                SigningKey::from_seed(&world.worker),
                world.trust.clone(),
            );
            if world.attack == Some(Attack::UntrustedWorker) {
                // Nobody answers: no test wants to wait for ten minutes.
                config.timing.options = Duration::from_secs(2);
            }
            let text = String::from_utf8_lossy(request.bytes()).into_owned();
            config.one_job = Some(OneJob { request: text, attempt });
            let name = request.job().worker().as_str();
            let function = relay::function(&world, name);
            let served = serve_here(config, name, move |job| function(job), CancellationToken::new());
            let lost = lock(&world.attacker).lost.clone();
            tokio::select! {
                // Why it was not closed is in the records.
                _ = served => {}
                () = lost.notified(), if attempt == Attempt::FIRST => {
                    world.reached.count(true);
                    line.cut();
                }
            }
            world.after(&request, attempt);
        });
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World({:?})", self.attack)
    }
}
