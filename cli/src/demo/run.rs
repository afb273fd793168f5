//! What happens in the demo.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::SeedableRng as _;
use subrosa_client::{Client, SigningKey, Trust};
use subrosa_examples::create_proof::{self, Options, Payload, Proof};
use subrosa_protocol::{
    audit,
    id::{JobId, WorkerName},
    subject::{Namespace, Service},
};
use subrosa_transport::{Connect, History, Message};

use super::{
    Args,
    observer::Observer,
    story::{Seen, Story},
};
use crate::{
    audit::messages,
    exit::{Exit, Failure},
    local::{Backend, Example, Local, LocalError, Plan},
};

/// What the proof is bound to. Distinctive, so that it can be looked for in what the broker carried.
const LABEL: &str = "sub rosa: under the rose";

/// Runs the demo to its verified result. Whatever it started ends when it returns or is dropped.
pub(crate) async fn run(args: &Args, json: bool) -> Result<(), Failure> {
    let started = Instant::now();
    let mut story = Story::new(json);
    story.title();
    let backend = if args.process { Backend::Process } else { Backend::Resident };
    let plan = Plan { backend, ..Plan::new([Example::CreateProof])? };
    let local = Local::start(plan, &mut |message: &str| anstream::eprintln!("{message}")).await?;
    story.cast(&local, args.process);
    let ended = job(args, &local, &mut story, started).await;
    local.stop().await?;
    ended
}

async fn job(args: &Args, local: &Local, story: &mut Story, started: Instant) -> Result<(), Failure> {
    let url = local.server.url();
    launcher_answers(url).await.with_context(|| said(local))?;
    let observer = Observer::start(url).await?;

    let identity = SigningKey::generate(&mut rand::rngs::StdRng::from_rng(&mut rand::rng()));
    let trust = local.trust().map_err(LocalError::from)?;
    let client = Client::connect(url).identity(identity).trust(trust).await?;
    let value = args.value;
    let mut job = client
        .job(Example::CreateProof.name())
        .label("a demo")
        .options(move |_version| async move { Ok(Options { label: LABEL.to_owned() }) })
        .payload(move |_ready| async move { Ok(Payload { value }) })
        .status(|result| async move {
            let proof: Proof = result.json()?;
            create_proof::verify(&proof, LABEL)?;
            Ok("verified")
        })
        .expires_in(Duration::from_secs(60))
        .launch()
        .await?;
    story.launched(job.id(), value, LABEL);
    let id = *job.id();
    let mut events = job.events();
    let outcome = job.result::<Proof>();
    tokio::pin!(outcome);
    let outcome = loop {
        tokio::select! {
            biased;
            Some(event) = events.next() => story.event(&event),
            outcome = &mut outcome => break outcome,
        }
    };
    while let Some(event) = events.next().await {
        story.event(&event);
    }
    let seconds = started.elapsed().as_secs_f64();
    client.close().await;
    let messages = observer.stop().await?;
    let trust = local.trust().map_err(LocalError::from)?;
    let history = history(url, &id, &trust).await?;
    story.broker(&messages, &id);
    story.launcher(&history);
    let seen =
        Seen { seconds, messages: messages.len(), bytes: total(&messages), leaked: leaked(&messages, value) };
    match outcome {
        Ok(outcome) => {
            if seen.leaked {
                return Err(Failure::because(Exit::Failure, "the broker has seen what it must not see"));
            }
            if !(history.is_good() && history.is_finished()) {
                return Err(Failure::because(Exit::Failure, "the history is not what it must be"));
            }
            story.verified(&id, &outcome, &history, &seen);
            Ok(())
        }
        Err(error) => {
            story.failed();
            let report = serde_json::json!({
                "verified": false, "job": id, "history": happened(&history), "seconds": seen.seconds,
            });
            Err(Failure::from(error).context("no verified result").reporting(report))
        }
    }
}

/// Waits until the launcher answers: the broker's view starts after that, because one listener to
/// everything hides that nobody else listens.
async fn launcher_answers(url: &str) -> anyhow::Result<()> {
    let connection = Connect::new(url, "subrosa demo").connect().await?;
    let question = serde_json::json!({ "job": JobId::of(b"is anybody there?") }).to_string();
    let subject = Namespace::default().service(Service::Status);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
    connection.request_until(&subject, None, question.into(), deadline).await?;
    Ok(())
}

/// What the launcher has logged, when it does not answer.
fn said(local: &Local) -> String {
    let log = std::fs::read_to_string(local.log("launcher")).unwrap_or_default();
    format!("the launcher does not answer; it said:\n{log}")
}

/// The job's history, judged as an auditor would.
async fn history(url: &str, job: &JobId, trust: &Trust) -> anyhow::Result<audit::History> {
    let connection = Connect::new(url, "subrosa demo, the history").connect().await?;
    let history = History::new(connection, Namespace::default());
    let worker: WorkerName = Example::CreateProof.name().parse()?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    let records = history.all(&worker, job, deadline).await?;
    Ok(audit::History::judge(&messages(&records), Some(*job), trust))
}

/// What the records say happened.
pub(super) fn happened(history: &audit::History) -> Vec<&'static str> {
    let records = history.messages.iter().filter_map(|message| message.record.as_ref());
    records.map(|record| record.event.name()).collect()
}

fn total(messages: &[Message]) -> usize {
    messages.iter().map(|message| message.payload.len()).sum()
}

/// Whether the payload or the bound label stands in anything that was carried.
fn leaked(messages: &[Message], value: i64) -> bool {
    let payload = format!(r#"{{"value":{value}}}"#);
    let contains =
        |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    messages.iter().any(|message| contains(&message.payload, LABEL) || contains(&message.payload, &payload))
}
