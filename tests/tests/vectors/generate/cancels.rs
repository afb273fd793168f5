//! Cancelling over the session: what a worker takes as a `cancel`, and a client as the answer.

use super::{
    case::Case,
    encoding::{b64u, fixed},
    forged::dropped,
    job::Job,
    messages::{received, taken},
    session::{CANCEL, CANCEL_REPLY, DONE, Message, READY_REPLY, Session, token},
};

fn cancel(number: u64) -> Message {
    Message::bare(CANCEL, number, &format!(r#""cancel":"{}""#, b64u(fixed("cancel token"))))
}

fn reply(number: u64, re: u8) -> Message {
    Message::bare(CANCEL_REPLY, number, &format!(r#""re":{re}"#))
}

pub(crate) fn cases() -> Vec<Case> {
    let session = Session::new(&Job::new());
    let whole = session.whole();
    let takes = |name: &str, about: &str, past: &[Vec<u8>], number| {
        taken(name, about, &session, past, &cancel(number))
    };
    let drops = |name: &str, fault: &str, because: &str, past: &[Vec<u8>], message: &Message| {
        let envelope = match message.kind {
            CANCEL_REPLY => session.by_worker(message),
            _ => session.by_client(message),
        };
        dropped(name, fault, because, &session, past, message.kind, &envelope)
    };
    let failed = session.by_worker(&Message::bare(DONE, 1, r#""error":{"code":"internal","message":""}"#));
    let (sealed, answer) = (session.by_client(&cancel(2)), session.by_worker(&reply(2, 2)));
    let cancelled = [&whole[..4], std::slice::from_ref(&sealed)].concat();
    let answered = [&cancelled[..], &[answer]].concat();
    let mut other_nonce = session.clone();
    other_nonce.nonce = fixed("another N");
    let wrong = |token: String| Message::bare(CANCEL, 2, &format!(r#""cancel":"{token}""#));
    let again = Case::not_ok(
        "message",
        "cancel_again",
        "repeat",
        "number",
        "The `cancel` that was taken, byte for byte: the same reply goes out again.",
    );
    vec![
        takes("cancel_first", "The first message under N: the options' answer is lost.", &whole[..1], 1),
        takes("cancel_of_options", "In place of an answer to `options`.", &whole[..1], 0),
        takes("cancel_before_ready", "A worker that prepares.", &whole[..2], 1),
        takes("cancel_of_ready", "In place of the payload.", &whole[..3], 1),
        takes("cancel", "The function runs.", &whole[..4], 2),
        takes("cancel_of_done", "The worker has a result that nobody has answered.", &whole[..5], 2),
        takes(
            "cancel_of_failure",
            "The worker has failed, and nobody has answered.",
            &[&whole[..2], &[failed]].concat(),
            1,
        ),
        taken(
            "cancel_reply",
            "The worker knows: `re` is the number of `cancel`.",
            &session,
            &cancelled,
            &reply(2, 2),
        ),
        received(again, &session, &answered, &sealed, CANCEL),
        drops("cancel_other_token", "cancel", "t is not the cancel token.", &whole[..4], &wrong(token())),
        drops("cancel_zero_token", "cancel", "Another token.", &whole[..4], &wrong(b64u([0; 32]))),
        drops("cancel_no_token", "cancel", "Nothing is shown.", &whole[..4], &Message::bare(CANCEL, 2, "")),
        drops("cancel_late", "state", "The client has closed the job itself.", &whole, &cancel(3)),
        drops(
            "cancel_in_a_reply",
            "re",
            "A token in another kind of message cancels nothing, and this one answers another step.",
            &whole[..3],
            &Message::bare(READY_REPLY, 1, &format!(r#""re":7,"cancel":"{}""#, b64u(fixed("cancel token")))),
        ),
        dropped(
            "cancel_other_nonce",
            "session",
            "Sealed under another N than the one that is bound.",
            &session,
            &whole[..4],
            CANCEL,
            &other_nonce.by_client(&cancel(2)),
        ),
        drops("cancel_reply_re", "re", "It answers something else.", &cancelled, &reply(2, 1)),
        drops("cancel_reply_unasked", "state", "Nobody has cancelled.", &whole[..4], &reply(2, 2)),
    ]
}
