//! A record's head, once it is decrypted.

use serde_json::Value;
use subrosa_protocol::{
    json,
    wire::{Event, Head, MAX_HEAD_BYTES},
};

/// Reads a head, writes it, and reads that.
pub fn check(input: &[u8]) {
    let Some(head) = Head::parse(input) else {
        assert!(Head::parse(input).is_none(), "refused once and taken once");
        return;
    };
    assert!(input.len() <= MAX_HEAD_BYTES);
    assert!(head.error.as_ref().is_none_or(|error| error.message.len() <= 8192));
    let members: Value = serde_json::from_slice(input).expect("what is a head is JSON");
    let present = |member: &str| members.get(member).is_some_and(|value| !value.is_null());
    assert_eq!(present("content"), head.content.is_some());
    assert_eq!(members.get("re").and_then(Value::as_u64), head.re.map(json::Int::get));
    assert_eq!(present("error"), head.error.is_some());
    assert_eq!(members.get("worker").and_then(Value::as_str), head.worker.as_deref());
    assert_eq!(present("instance"), head.instance.is_some());
    assert_eq!(present("close"), head.close.is_some());
    assert_eq!(members.get("receipt").and_then(Value::as_str), head.receipt.as_deref());
    assert_eq!(members.get("salt").and_then(Value::as_str), salt(&head).as_deref());
    assert_eq!(present("event"), head.event.is_some());

    let written = json::to_vec(&head);
    // An event's message is written even if it is empty.
    if written.len() <= MAX_HEAD_BYTES {
        let again = Head::parse(&written).expect("what was read can be written and read");
        is_the_same(again, head);
    }
}

/// Two heads are one, but for the last digit of a fraction, which reading does not keep.
pub(crate) fn is_the_same(mut one: Head, other: Head) {
    if let (Some(Event::Progress { progress: one, .. }), Some(Event::Progress { progress: other, .. })) =
        (&mut one.event, &other.event)
    {
        assert!((0.0..=1.0).contains(one) && (*one - other).abs() <= f64::EPSILON);
        *one = *other;
    }
    assert_eq!(salt(&one), salt(&other));
    assert_eq!(format!("{one:?}"), format!("{other:?}"), "read, written and read: something else");
}

/// What a head does not print.
fn salt(head: &Head) -> Option<String> {
    head.salt.as_ref().map(|salt| salt.reveal().to_string())
}

/// Another head of the same members: a secret is not copied by itself.
pub(crate) fn copied(head: &Head) -> Head {
    Head {
        content: head.content,
        re: head.re,
        error: head.error.clone(),
        worker: head.worker.clone(),
        cert: head.cert.clone(),
        instance: head.instance,
        close: head.close,
        cancel: head.cancel,
        receipt: head.receipt.clone(),
        salt: salt(head).map(|salt| salt.parse().expect("it is one")),
        event: head.event.clone(),
    }
}
