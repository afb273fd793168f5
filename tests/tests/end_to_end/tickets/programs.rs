//! Programs that leave a job and come back to it.

use std::{
    task::{Context, Waker},
    time::Duration,
};

use serde_json::Value;
use subrosa_client::{HandlerError, JobError, Namespace, Ticket};
use subrosa_tests::{
    checkpoint::Checkpoint,
    gate,
    lab::{PATIENCE, patiently},
};

use super::{LIFE, office::Office};

fn again(kept: &[u8]) -> Ticket {
    Ticket::from_bytes(kept, &Namespace::default()).unwrap()
}

#[tokio::test]
async fn a_program_leaves_its_job_and_who_drops_what_was_resumed_leaves_it_again() {
    let office = Office::new().await;
    let client = office.lab.anonymous(office.lab.local.trust().unwrap()).await;
    let job = client.job(gate::WORKER).payload_value(office.gate.payload()).launch().await.unwrap();
    let id = *job.id();
    let ticket = patiently(job.detach()).await.unwrap();
    assert_eq!((*ticket.job(), ticket.attempt(), format!("{ticket:?}")), (id, 1, "Ticket".to_owned()));
    let kept = ticket.to_bytes();
    drop((ticket, client));
    let visitor = office.gate.arrival().await;

    let client = office.returned(&again(&kept)).await;
    let job = patiently(client.ticket(again(&kept)).resume()).await.unwrap();
    drop(job);
    // It can be left with a ticket, too.
    let job = patiently(client.ticket(again(&kept)).resume()).await.unwrap();
    let other = patiently(job.detach()).await.unwrap();
    assert_eq!(*other.to_bytes(), *kept);

    // Whoever listens elsewhere would hear nothing of it.
    let elsewhere = office.lab.anonymous(office.lab.local.trust().unwrap()).await;
    let error = patiently(elsewhere.ticket(again(&kept)).resume()).await.unwrap_err();
    assert!(error.to_string().contains("reply token"), "{error}");

    visitor.go_on().await;
    let job = patiently(client.ticket(other).resume()).await.unwrap();
    let outcome = patiently(job.result::<u16>()).await.unwrap();
    assert_eq!((outcome.value, outcome.attempt, outcome.receipt.receipt.job), (1, 1, id));
    assert_eq!(office.history(&id, "closed").await, LIFE);
    assert_eq!(office.runs.all(), [(id, 1, 1)]);
    patiently(client.close()).await;
    office.lab.stop().await;
}

#[tokio::test]
async fn a_result_that_nobody_fetches_in_time_is_gone() {
    let office = Office::new().await;
    let client = office.lab.anonymous(office.lab.local.trust().unwrap()).await;
    let job = client.job(gate::WORKER).payload_value(office.gate.payload()).launch().await.unwrap();
    let id = *job.id();
    let ticket = patiently(job.detach()).await.unwrap();
    let visitor = office.gate.arrival().await;
    // What is stored gets no older than this; an operator keeps it for days.
    let connection = office.lab.connection().await;
    let info = connection.request("$JS.API.STREAM.INFO.SUBROSA_RESULTS", None, "".into(), PATIENCE);
    let mut config = serde_json::from_slice::<Value>(&info.await.unwrap().payload).unwrap()["config"].clone();
    config["max_age"] = 500_000_000.into();
    config["duplicate_window"] = 500_000_000.into();
    let update = "$JS.API.STREAM.UPDATE.SUBROSA_RESULTS";
    let updated = connection.request(update, None, config.to_string().into(), PATIENCE).await.unwrap();
    let updated: Value = serde_json::from_slice(&updated.payload).unwrap();
    assert_eq!(updated["config"]["max_age"], 500_000_000, "{updated}");
    visitor.go_on().await;
    assert_eq!(office.history(&id, "finished").await, LIFE[..4]);
    office.stored(0).await;

    let client = office.returned(&ticket).await;
    let job = patiently(client.ticket(ticket).resume()).await.unwrap();
    let error = patiently(job.result::<u16>()).await.unwrap_err();
    assert!(matches!(error, JobError::NotStored), "{error}");
    // Nothing was ended by asking.
    assert_eq!(office.history(&id, "finished").await, LIFE[..4]);
    office.lab.stop().await;
}
#[tokio::test]
async fn who_comes_back_and_fails_leaves_the_result_where_it_is() {
    let office = Office::new().await;
    let client = office.lab.anonymous(office.lab.local.trust().unwrap()).await;
    let short = client.job(gate::WORKER).payload_value(office.gate.payload());
    let short = short.expires_in(Duration::from_secs(8)).timeout(Duration::from_secs(5)).max_attempts(1);
    let job = short.launch().await.unwrap();
    let id = *job.id();
    let ticket = patiently(job.detach()).await.unwrap();
    let kept = ticket.to_bytes();
    office.gate.arrival().await.go_on().await;
    assert_eq!(office.history(&id, "finished").await, LIFE[..4]);

    // It cannot be put away.
    let client = office.returned(&ticket).await;
    let failing =
        client.ticket(again(&kept)).status(|_| async { Err::<(), _>(HandlerError::new("no room")) });
    let error = patiently(patiently(failing.resume()).await.unwrap().result::<u16>()).await.unwrap_err();
    assert!(matches!(error, JobError::Handler { step: "status", .. }), "{error}");

    // The same ticket twice: only the last one hears of the job.
    let waits = |_| std::future::pending::<Result<(), HandlerError>>();
    let first = patiently(client.ticket(again(&kept)).status(waits).resume()).await.unwrap();
    let second = patiently(client.ticket(again(&kept)).status(waits).resume()).await.unwrap();
    let error = patiently(first.result::<u16>()).await.unwrap_err();
    assert!(matches!(error, JobError::Closed), "{error}");
    drop(second);
    patiently(client.close()).await;

    // No launcher answers for as long as the job may take.
    let mut checkpoint = Checkpoint::before(office.lab.url()).await;
    let client = office.returned_to(checkpoint.url(), &ticket, Duration::ZERO).await;
    checkpoint.stop_at("subrosa.v1.result");
    let job = patiently(client.ticket(again(&kept)).resume()).await.unwrap();
    let stopped = checkpoint.stopped().await;
    let error = patiently(job.result::<u16>()).await.unwrap_err();
    assert!(matches!(error, JobError::Timeout { .. }), "{error}");
    stopped.pass();
    patiently(client.close()).await;

    assert_eq!(office.history(&id, "finished").await, LIFE[..4]);
    let client = office.returned(&ticket).await;
    let job = patiently(client.ticket(ticket).resume()).await.unwrap();
    assert_eq!(patiently(job.result::<u16>()).await.unwrap().value, 1);
    patiently(client.close()).await;
    office.lab.stop().await;
}

#[tokio::test]
async fn a_job_whose_ticket_nobody_has_taken_is_cancelled() {
    let office = Office::new().await;
    let client = office.lab.anonymous(office.lab.local.trust().unwrap()).await;
    let mut job = client.job(gate::WORKER).payload_value(office.gate.payload()).launch().await.unwrap();
    let (id, mut events) = (*job.id(), job.events());
    let mut leaving = Box::pin(job.detach());
    assert!(leaving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    // They end with the ticket on its way: on this one thread, what follows is done before the test goes on.
    patiently(async { while events.next().await.is_some() {} }).await;
    drop(leaving);
    assert_eq!(office.history(&id, "cancelled").await, ["queued", "taken", "running", "cancelled"]);
    office.lab.stop().await;
}
