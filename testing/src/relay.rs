//! Workers that mean ill: they hold keys that the client trusts, and say other things than they should.

use std::sync::Arc;

use serde_json::Value;
use subrosa_client::{HandlerError, JobError, Parameters};
use subrosa_worker::{Done, Failure, Function, Job, Launched};
use tokio::sync::{mpsc, oneshot};

use crate::{Attack, world::World};

/// The name of the worker behind the one that means ill.
const BEHIND: &str = "behind-the-relay";

/// The function that the worker `name` runs: the one under test, or one that stands before it.
pub(crate) fn function(world: &Arc<World>, name: &str) -> Function {
    let relays = matches!(
        world.attack,
        Some(
            Attack::Parameters(_)
                | Attack::Ready(_)
                | Attack::Result(_)
                | Attack::ReadyRefused
                | Attack::ResultRefused
        )
    );
    if !relays || name == BEHIND {
        return world.function.function.clone();
    }
    let world = world.clone();
    Arc::new(move |job| Box::pin(relay(job, world.clone())))
}

/// A step of the worker behind: what it says, and where its answer goes.
type Step = (Value, oneshot::Sender<Value>);

/// Runs the function under test as a job of its own, and passes on what both sides say, but for what the
/// attack changes.
async fn relay(job: Job<Launched>, world: Arc<World>) -> Result<Done, Failure> {
    let (steps, mut next) = mpsc::channel::<Step>(1);
    let pass = |steps: mpsc::Sender<Step>| {
        move |said: Parameters| {
            let steps = steps.clone();
            async move {
                let (answer, answered) = oneshot::channel();
                let gone = |_| HandlerError::new("the client is gone");
                steps.send((said.json()?, answer)).await.map_err(gone)?;
                Ok(answered.await?)
            }
        }
    };
    let client = world.client(None).await;
    let behind = client.job(BEHIND).options(pass(steps.clone())).payload(pass(steps.clone()));
    let behind = behind.status(pass(steps)).launch().await?.result_bytes();
    tokio::pin!(behind);
    let mut step = async || {
        tokio::select! {
            Some(step) = next.recv() => Ok(step),
            ended = &mut behind => Err(match ended {
                Err(JobError::Worker { message, .. }) => Failure::new(message),
                _ => Failure::new("the worker behind the relay is gone"),
            }),
        }
    };
    let changed = |meant: Value, attack: fn(crate::Odd) -> Attack| {
        let odd = crate::Odd::ALL.into_iter().find(|odd| world.attack == Some(attack(*odd)));
        world.reached.count(odd.is_some());
        odd.map_or(meant.clone(), |odd| odd.instead_of(&meant))
    };
    let refused = |attack: Attack| {
        let refused = world.attack == Some(attack);
        world.reached.count(refused);
        if refused { Err(Failure::bad_input("refused")) } else { Ok(()) }
    };

    let (said, answer) = step().await?;
    let (options, job) = job.options(&changed(said, Attack::Parameters)).await?;
    refused(Attack::ReadyRefused)?;
    // The worker behind may be gone; then the next step says so.
    let _ = answer.send(options);
    let (said, answer) = step().await?;
    let (payload, job) = job.ready(&changed(said, Attack::Ready)).await?;
    refused(Attack::ResultRefused)?;
    let _ = answer.send(payload);
    let (said, answer) = step().await?;
    let _ = answer.send(Value::Null);
    job.done(&changed(said, Attack::Result)).await
}
