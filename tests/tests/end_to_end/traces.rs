//! Traces that go through all parties, and are sent nowhere unless somebody says so.

use serde_json::{Value, json};
use subrosa::local::Plan;
use subrosa_tests::{
    collector::Span,
    eavesdropper::Eavesdropper,
    lab::{Lab, PATIENCE, patiently},
    teller,
};
use subrosa_transport::HeaderMap;

use crate::{PROGRAM, impatient, telling::Site};

#[tokio::test]
async fn one_trace_goes_through_client_launcher_and_worker() {
    let site = Site::new().await;
    site.run(&json!({ "then": "done" })).await;
    let (_, collector) = site.end().await;
    let spans = collector.spans();
    let find = |service: &str, name: &str| {
        let mut found = spans.iter().filter(|span| span.service == service && span.name == name);
        let span = found.next().unwrap_or_else(|| panic!("no {name} of {service} in {spans:#?}"));
        assert_eq!(found.next(), None, "{name} of {service} twice");
        span
    };
    let is_below = |child: &Span, parent: &Span| {
        assert_eq!((&child.trace, &child.parent), (&parent.trace, &parent.id), "{child:?}");
    };
    let job = find("subrosa", "job");
    assert!(job.parent.is_empty());
    let launch = find("subrosa", "launch");
    is_below(launch, job);
    let admission = find("subrosa-launcher", "launch");
    is_below(admission, launch);
    let attempt = find("worker", "attempt");
    is_below(attempt, admission);
    for phase in ["options", "ready", "run", "done"] {
        is_below(find("worker", phase), attempt);
    }
    is_below(find("worker", "queue"), admission);
}

#[tokio::test]
async fn without_being_told_nobody_exports_traces_and_none_is_sent() {
    let plan = Plan { others: vec![teller::WORKER.to_owned()], ..Plan::of(PROGRAM, []) };
    let lab = Lab::configured(plan, |_, config| impatient(config)).await;
    let ear = Eavesdropper::new(lab.connection().await).await;
    let _worker = lab.serve(teller::WORKER, teller::tell);
    let client = lab.client().await;
    let job = client.job(teller::WORKER).payload_value(json!({})).launch().await.unwrap();
    patiently(job.result::<Value>()).await.unwrap();
    patiently(client.close()).await;
    let traced =
        |heard: &[Vec<u8>]| heard.iter().any(|said| String::from_utf8_lossy(said).contains("traceparent"));
    assert!(!traced(&ear.stop().await));
    // The same look finds one that is sent.
    let ear = Eavesdropper::new(lab.connection().await).await;
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let sender = lab.connection().await;
    sender.publish_with_headers("open.subject", None, Some(headers), "x".into()).await.unwrap();
    sender.round_trip(PATIENCE).await.unwrap();
    assert!(traced(&ear.stop().await));
    lab.stop().await;
}
