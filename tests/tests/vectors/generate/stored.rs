//! What a worker has stored for a client that was away, and what the client believes of it.

use super::{
    case::Case,
    encoding::{b64u, fixed, hex},
    job::Job,
    jws::Signer,
    messages::trust,
    session::{DONE, Message, OPTIONS, OPTIONS_BODY, PAYLOAD, READY, Session, by_the_worker, proven, seal},
};

const RESULT: &str = r#"{"proof":"abc"}"#;

/// A client that has come back, and what it reads.
struct Read {
    session: Session,
    /// The highest attempt that it has answered.
    attempt: u16,
    opening: Vec<u8>,
    done: Vec<u8>,
}

impl Read {
    /// What an honest worker stores after its `done`, number 2, was not answered.
    fn of(session: &Session) -> Self {
        let (opening, done) = (opening(session, &session.options()), session.by_worker(&result(session)));
        Self { session: session.clone(), attempt: session.attempt, opening, done }
    }

    fn with_done(self, message: &Message) -> Self {
        Self { done: self.session.by_worker(message), ..self }
    }

    fn case(self, case: Case) -> Case {
        let Self { session, attempt, opening, done } = self;
        case.with("job", session.job.as_str())
            .with("client_secret", hex(session.client_secret))
            .with("trust", trust())
            .maybe("signers", (!session.signers.is_empty()).then(|| session.signers.clone()))
            .with("attempt", attempt)
            .with("opening", hex(opening))
            .with("done", hex(done))
    }

    /// A result that the client takes.
    fn taken(self, name: &str, about: &str) -> Case {
        let case = self.case(Case::ok("stored", name, about));
        sent(case).with("result", RESULT).with("worker", Signer::new("worker").thumbprint())
    }

    fn refused(self, name: &str, verdict: &str, fault: &str, because: &str) -> Case {
        sent(self.case(Case::not_ok("stored", name, verdict, fault, because)))
    }
}

/// What the client has sent.
fn sent(case: Case) -> Case {
    case.with("options", OPTIONS_BODY).with("payload", PAYLOAD)
}

/// Message 0.
fn opening(session: &Session, options: &[u8]) -> Vec<u8> {
    [&session.nonce, options].concat()
}

fn result(session: &Session) -> Message {
    session.result(3, PAYLOAD, RESULT)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = taken();
    cases.extend(dropped());
    cases.extend(openings());
    cases.extend(unproven());
    cases
}

fn taken() -> Vec<Case> {
    let session = Session::new(&Job::new());
    let owned = Session::owned(Job::new(), &Signer::new("owner"), &[Signer::new("co-signer")]);
    let failure = |number, code: &str| {
        let error = format!(r#""error":{{"code":"{code}","message":"out of luck"}}"#);
        let read = Read::of(&session).with_done(&Message::bare(DONE, number, &error));
        (read, code.to_owned())
    };
    let failed = |name: &str, about: &str, (read, code): (Read, String)| {
        let case = read.case(Case::ok("stored", name, about));
        case.with("error_code", code).with("error_message", "out of luck")
    };
    let later = Read { attempt: 1, ..Read::of(&session.again(2)) };
    vec![
        Read::of(&session).taken("result", "The number after that of the `done` that was sent."),
        Read::of(&session.again(2)).taken("result_of_attempt_2", "The attempt that was answered last."),
        later.taken("result_of_a_later_attempt", "An attempt that the client has not heard of."),
        Read::of(&owned).taken("result_of_an_owned_job", "The receipt names the owner and all signers."),
        failed("failure", "The function has failed.", failure(3, "handler_failed")),
        failed("failure_before_ready", "Before it was ready.", failure(2, "timeout")),
    ]
}

fn dropped() -> Vec<Case> {
    let session = Session::new(&Job::new());
    let read = || Read::of(&session);
    let flipped = |at: usize| {
        let mut read = read();
        let at = at.min(read.done.len() - 1);
        read.done[at] ^= 1;
        read
    };
    let drop =
        |name: &str, fault: &str, because: &str, read: Read| read.refused(name, "drop", fault, because);
    let with = |message: &Message| read().with_done(message);
    let second = session.again(2);
    let mut other = session.clone();
    other.nonce = fixed("another N");
    let event = r#""event":{"progress":1.0,"message":""}"#;
    let members = proven(&by_the_worker(&session.statement(PAYLOAD, RESULT)));
    vec![
        drop(
            "attempt_before",
            "attempt",
            "A later attempt was answered: this one is over.",
            Read { attempt: 2, ..read() },
        ),
        drop("done_flipped_number", "tag", "The number is authenticated.", flipped(11)),
        drop("done_flipped", "tag", "The ciphertext is altered.", flipped(100)),
        drop("done_flipped_tag", "tag", "The tag is altered.", flipped(usize::MAX)),
        drop("done_flipped_key", "session", "It names another session.", flipped(12)),
        drop("done_flipped_attempt", "session", "It names another attempt.", flipped(3)),
        drop("done_short", "short", "Cut off.", Read { done: read().done[..59].to_vec(), ..read() }),
        drop("done_empty", "short", "There is nothing.", Read { done: Vec::new(), ..read() }),
        drop(
            "done_of_another_attempt",
            "session",
            "Another attempt's result behind this one's options.",
            Read { done: second.by_worker(&result(&second)), ..read() },
        ),
        drop(
            "done_under_another_n",
            "tag",
            "The same worker key, and another N.",
            Read { done: other.by_worker(&result(&other)), ..read() },
        ),
        drop("ready", "kind", "A step that is no `done`.", with(&Message::json(READY, 3, &members, RESULT))),
        drop(
            "reflected",
            "kind",
            "What the client has said itself.",
            Read { done: session.done_reply(), ..read() },
        ),
        drop(
            "done_with_event",
            "event",
            "A step has no event.",
            with(&Message::json(DONE, 3, &format!("{members},{event}"), RESULT)),
        ),
    ]
}

fn openings() -> Vec<Case> {
    let session = Session::new(&Job::new());
    let read = |opening: Vec<u8>| Read { opening, ..Read::of(&session) };
    let drop = |name: &str, fault: &str, because: &str, opening: Vec<u8>| {
        read(opening).refused(name, "drop", fault, because)
    };
    let whole = Read::of(&session).opening;
    let flipped = |at: usize| {
        let mut opening = whole.clone();
        opening[at] ^= 1;
        opening
    };
    let head = |session: &Session| session.options_head(&session.proof());
    let number_1 = session.by_worker(&Message::new(OPTIONS, 1, head(&session), "1"));
    let other_enc = {
        let message = Message::new(OPTIONS, 0, head(&session), "1");
        let header = session.header(&message, &session.again(2).enc());
        seal(&session.keys().options, 0, &header, &session.enc(), &message.plaintext())
    };
    let options = |head: &str| opening(&session, &session.by_worker(&Message::new(OPTIONS, 0, head, "1")));
    let (worker, stranger) = (Signer::new("worker"), Signer::new("stranger"));
    let claims = session.claims().replace("\"attempt\":1", "\"attempt\":2");
    let other_attempt = worker.compact(&worker.header("subrosa-worker"), claims);
    let by_stranger = stranger.compact(&stranger.header("subrosa-worker"), session.claims());
    let of_another_job = Session::new(&Job::new().set("timeout_ms", "1"));
    vec![
        drop("opening_empty", "short", "There is nothing.", Vec::new()),
        drop("opening_n_short", "short", "N is cut off.", whole[..31].to_vec()),
        drop("opening_n_only", "short", "There are no options.", whole[..32].to_vec()),
        drop("opening_short", "tag", "The options are cut off.", whole[..whole.len() - 1].to_vec()),
        drop("opening_without_n", "version", "Only the options.", session.options()),
        drop("n_flipped", "tag", "Another N opens nothing.", flipped(31)),
        drop("options_flipped", "tag", "The ciphertext is altered.", flipped(32 + 200)),
        drop("options_flipped_kind", "kind", "It is no `options`.", flipped(33)),
        drop("options_number_1", "number", "An `options` is number 0.", opening(&session, &number_1)),
        drop("options_key_other", "enc", "`enc` is not that of the header.", opening(&session, &other_enc)),
        drop(
            "proof_of_another_attempt",
            "proof",
            "It proves another attempt.",
            options(&session.options_head(&other_attempt)),
        ),
        drop("proof_missing", "proof", "Anybody could have sealed this.", options(r#"{"content":"json"}"#)),
        drop(
            "options_of_another_job",
            "tag",
            "The same keys, and another job's options.",
            opening(&session, &of_another_job.options()),
        ),
        read(options(&session.options_head(&by_stranger))).refused(
            "by_a_stranger",
            "untrusted",
            "trust",
            "The proof is good, and nobody here trusts its key.",
        ),
    ]
}

fn unproven() -> Vec<Case> {
    let session = Session::new(&Job::new());
    let case = |name: &str, fault: &str, because: &str, members: &str, result: &str| {
        let read = Read::of(&session).with_done(&Message::json(DONE, 3, members, result));
        read.refused(name, "unproven", fault, because)
    };
    let signed = |statement: String| proven(&by_the_worker(&statement));
    let good = session.statement(PAYLOAD, RESULT);
    let stranger = Signer::new("stranger");
    let by_stranger = stranger.compact(&stranger.header("subrosa-receipt"), good.as_str());
    let salt = b64u(fixed("receipt salt"));
    vec![
        case("receipt_missing", "receipt", "Nothing proves it.", &format!(r#""salt":"{salt}""#), RESULT),
        case(
            "receipt_by_another_key",
            "signer",
            "Whoever has proven to serve has not signed it.",
            &proven(&by_stranger),
            RESULT,
        ),
        case(
            "receipt_of_another_payload",
            "input_hash",
            "It is the result of something else than was sent.",
            &signed(session.statement(r#"{"value":78}"#, RESULT)),
            RESULT,
        ),
        case(
            "receipt_of_another_result",
            "result_hash",
            "The receipt is for another result.",
            &signed(good.clone()),
            r#"{"proof":"xyz"}"#,
        ),
        case(
            "receipt_of_another_attempt",
            "attempt",
            "The receipt is for another attempt.",
            &signed(good.replace("\"attempt\":1", "\"attempt\":2")),
            RESULT,
        ),
    ]
}
