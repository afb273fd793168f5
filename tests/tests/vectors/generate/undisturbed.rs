//! Messages that are taken although others came before that were dropped.

use serde_json::json;

use super::{
    case::Case,
    encoding::{fixed, hex},
    job::Job,
    jws::Signer,
    messages::taken,
    session::{DONE, EVENT, Message, OPTIONS, OPTIONS_REPLY, PAYLOAD, READY, READY_REPLY, Session},
};

pub(crate) fn cases() -> Vec<Case> {
    let session = Session::new(&Job::new());
    let whole = session.whole();
    let case = |name: &str, about: &str, past: usize, dropped: &[Vec<u8>], message: &Message| {
        let dropped: Vec<_> = dropped.iter().map(hex).collect();
        taken(name, about, &session, &whole[..past], message).with("dropped", json!(dropped))
    };
    let progress = |number| Message::bare(EVENT, number, r#""event":{"progress":0.5,"message":""}"#);
    let ready_reply = |re: u8| Message::json(READY_REPLY, 1, &format!("\"re\":{re}"), "1");
    let options = |proof: &str| Message::new(OPTIONS, 0, session.options_head(proof), "1");
    let mut forged = session.by_worker(&progress(u64::MAX));
    *forged.last_mut().unwrap() ^= 1;
    let mut other_nonce = session.clone();
    other_nonce.nonce = fixed("another N");
    let mut unsealed = other_nonce.options_reply();
    *unsealed.last_mut().unwrap() ^= 1;
    let stranger = Signer::new("stranger");
    let by_stranger = stranger.compact(&stranger.header("subrosa-worker"), session.claims());
    vec![
        case(
            "after_a_forged_number",
            "The highest number there is, forged: no number is taken by what does not open.",
            4,
            &[forged],
            &progress(2),
        ),
        case(
            "after_a_foreign_step",
            "A result came too early, and used up no number of `done`.",
            2,
            &[session.by_worker(&session.result(9, PAYLOAD, "1"))],
            &Message::bare(DONE, 1, r#""error":{"code":"internal","message":""}"#),
        ),
        case(
            "after_a_bad_event",
            "It opened, and was none.",
            2,
            &[session.by_worker(&Message::bare(EVENT, 7, ""))],
            &progress(1),
        ),
        case(
            "after_another_answer",
            "A reply to something else, with the same number.",
            3,
            &[session.by_client(&ready_reply(0))],
            &ready_reply(1),
        ),
        case(
            "after_another_nonce",
            "No N is bound by what does not open.",
            1,
            &[unsealed],
            &Message::json(OPTIONS_REPLY, 0, r#""re":0"#, "1"),
        ),
        case(
            "after_an_altered_step",
            "A step that somebody altered on the way, and then as it was.",
            2,
            &[{
                let mut altered = session.ready();
                altered[50] ^= 1;
                altered
            }],
            &Message::json(READY, 1, "", "null"),
        ),
        case(
            "after_a_stranger",
            "An attempt is proven by a trusted worker only: the stranger's has not begun.",
            0,
            &[session.by_worker(&options(&by_stranger)), session.by_worker(&options("x"))],
            &options(&session.proof()),
        ),
    ]
}
