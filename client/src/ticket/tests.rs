use serde_json::Value;
use subrosa_protocol::wire::{Json, body_hash};

use super::*;
use crate::{Draft, PreparedJob};

fn ticket() -> Ticket {
    let PreparedJob { request, secrets } = Draft::new("echo").bind_input(&77).prepare().unwrap();
    let kept = |value| Handler::value(value).keep();
    let hash = |value| body_hash(Json(value)).unwrap();
    let inputs = Inputs { options: hash("options"), payload: hash("payload") };
    let answers = Answers { options: kept("options"), payload: kept("payload") };
    Ticket::new(request, secrets, Attempt::FIRST, inputs, answers).unwrap()
}

fn read(text: &[u8]) -> Result<Ticket, TicketError> {
    Ticket::from_bytes(text, &Namespace::default())
}

fn value(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

#[test]
fn a_ticket_comes_back_as_it_was_kept() {
    let ticket = ticket();
    let kept = ticket.to_bytes();
    assert_eq!(*read(&kept).unwrap().to_bytes(), *kept);
    assert_eq!(read(&kept).unwrap().job(), ticket.job());
    // Without what was sent, it is one all the same: handlers may answer.
    let mut less = value(&kept);
    less.as_object_mut().unwrap().retain(|member, _| member != "options" && member != "payload");
    assert!(read(less.to_string().as_bytes()).unwrap().answers.payload.is_none());
}

#[test]
fn debug_shows_the_name_only() {
    assert_eq!(format!("{:?}", ticket()), "Ticket");
}

#[test]
fn bytes_stay_bytes() {
    let mut ticket = ticket();
    let kept = Handler::raw(vec![0xFF; 3].into()).keep().unwrap();
    ticket.inputs.payload = Sha256Hash::of([0xFF; 3]);
    ticket.answers.payload = Some(kept);
    let read = read(&ticket.to_bytes()).unwrap().answers.payload.unwrap();
    assert_eq!((read.content, &*read.body), (Content::Bytes, &[0xFF; 3][..]));
}

#[test]
fn nothing_in_a_ticket_can_be_another() {
    let (ticket, other) = (ticket(), ticket());
    let (kept, other) = (value(&ticket.to_bytes()), value(&other.to_bytes()));
    let forged = |change: &dyn Fn(&mut Value)| {
        let mut forged = kept.clone();
        change(&mut forged);
        read(forged.to_string().as_bytes()).map(|_| ()).unwrap_err()
    };
    let error = forged(&|it| it["request"] = other["request"].clone());
    assert!(matches!(error, TicketError::Secrets(SecretsError::AnotherJob { .. })), "{error}");
    let error = forged(&|it| it["secrets"]["close"] = other["secrets"]["close"].clone());
    assert!(matches!(error, TicketError::Secrets(SecretsError::Mismatch)), "{error}");
    for member in ["options", "payload"] {
        let error = forged(&|it| it[member]["body"] = "bm8".into());
        assert!(matches!(error, TicketError::Mismatch { member: found } if found == member), "{error}");
        let error = forged(&|it| it["sent"][member] = b64u([7; 32]).into());
        assert!(matches!(error, TicketError::Mismatch { member: found } if found == member), "{error}");
        let error = forged(&|it| it[member]["body"] = "n+".into());
        assert!(matches!(error, TicketError::Encoding { .. }), "{error}");
        let error = forged(&|it| it[member]["content"] = "stream".into());
        assert!(matches!(error, TicketError::Mismatch { .. }), "{error}");
        let error = forged(&|it| it[member] = Value::Null);
        assert!(matches!(error, TicketError::Json(_)), "{error}");
    }
    for attempt in [0, 11] {
        assert!(matches!(forged(&|it| it["attempt"] = attempt.into()), TicketError::Attempt(_)));
    }
    let error = forged(&|it| it["attempt"] = 4.into());
    assert!(matches!(error, TicketError::Mismatch { member: "attempt" }), "the job has three: {error}");
    assert!(matches!(forged(&|it| it["v"] = 2.into()), TicketError::Version { found: 2 }));
    assert!(matches!(forged(&|it| it["secrets"]["v"] = 2.into()), TicketError::Secrets(_)));
    assert!(matches!(forged(&|it| it["request"] = "e30".into()), TicketError::Request(_)));
}

#[test]
fn a_request_with_a_signature_that_does_not_hold_is_none() {
    let mut kept = value(&ticket().to_bytes());
    let request = b64u_decode(kept["request"].as_str().unwrap()).unwrap();
    let mut request = value(&request);
    let protected = b64u(r#"{"alg":"none","typ":"subrosa-job"}"#);
    request["signatures"] = serde_json::json!([{ "protected": protected, "signature": "" }]);
    kept["request"] = b64u(request.to_string()).into();
    assert!(matches!(read(kept.to_string().as_bytes()), Err(TicketError::Request(_))));
}
