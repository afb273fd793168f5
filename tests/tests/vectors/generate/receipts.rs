//! Receipts: by themselves, as an auditor has them, and in the `done` that a client is to believe.

use super::{
    case::Case,
    encoding::{b64u, fixed, hash, unused_bit_set},
    job::{CREATED_MS, Job, id},
    jws::Signer,
    messages::{received, taken, trust},
    session::{DONE, Message, OPTIONS_BODY, PAYLOAD, Session, by_the_worker, proven, receipt_salt},
};

const RESULT: &str = r#"{"proof":"abc"}"#;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = good();
    cases.extend(of_other_data());
    cases.extend(malformed());
    cases.extend(signatures());
    cases.extend(in_done());
    cases
}

/// A session of a job with an owner and a co-signer.
fn owned() -> Session {
    Session::owned(Job::new(), &Signer::new("owner"), &[Signer::new("controller")])
}

/// What an auditor has.
struct Evidence<'a> {
    salt: Option<String>,
    result: Option<&'a str>,
    input: Option<(&'a str, &'a str)>,
}

impl Evidence<'_> {
    /// Everything, as it was.
    fn all() -> Self {
        Self { salt: Some(b64u(receipt_salt())), result: Some(RESULT), input: Some((OPTIONS_BODY, PAYLOAD)) }
    }
}

fn read(case: Case, receipt: &str, evidence: &Evidence<'_>) -> Case {
    case.with("trust", trust())
        .with("receipt", receipt)
        .maybe("salt", evidence.salt.clone())
        .maybe("result", evidence.result)
        .maybe("options", evidence.input.map(|(options, _)| options))
        .maybe("payload", evidence.input.map(|(_, payload)| payload))
}

fn ok(name: &str, about: &str, session: &Session, receipt: &str, evidence: &Evidence<'_>) -> Case {
    let mut signers = session.signers.clone();
    signers.sort_unstable();
    read(Case::ok("receipt", name, about), receipt, evidence)
        .with("signer", Signer::new("worker").thumbprint())
        .with("job_id", id(&session.job))
        .with("worker", "echo")
        .with("attempt", session.attempt)
        .with("started_ms", CREATED_MS + 1000)
        .with("finished_ms", CREATED_MS + 1250)
        .maybe("client", session.owned.then(|| session.signers[0].clone()))
        .with("signers", signers)
}

fn bad(name: &str, fault: &str, because: &str, receipt: &str, evidence: &Evidence<'_>) -> Case {
    read(Case::not_ok("receipt", name, "refused", fault, because), receipt, evidence)
}

fn good() -> Vec<Case> {
    let (session, owned) = (Session::new(&Job::new()), owned());
    let statement = session.statement(PAYLOAD, RESULT);
    let anonymous = by_the_worker(&statement);
    let all = Evidence::all;
    vec![
        ok("anonymous", "A job that nobody has signed.", &session, &anonymous, &all()),
        ok(
            "owned",
            "A job with an owner and a co-signer.",
            &owned,
            &by_the_worker(&owned.statement(PAYLOAD, RESULT)),
            &all(),
        ),
        ok(
            "result_only",
            "Whoever has only the result checks that.",
            &session,
            &anonymous,
            &Evidence { input: None, ..all() },
        ),
        ok(
            "input_only",
            "Whoever has only options and payload checks those.",
            &session,
            &anonymous,
            &Evidence { result: None, ..all() },
        ),
        ok(
            "unknown_member",
            "Members that are not known are ignored.",
            &session,
            &by_the_worker(&statement.replace('}', ",\"iat\":1}")),
            &all(),
        ),
        ok(
            "longest",
            "Nearly 8192 bytes.",
            &session,
            &by_the_worker(&(statement.clone() + &" ".repeat(5300))),
            &all(),
        ),
    ]
}

fn of_other_data() -> Vec<Case> {
    let receipt = by_the_worker(&Session::new(&Job::new()).statement(PAYLOAD, RESULT));
    let salt = |salt: String| Evidence { salt: Some(salt), ..Evidence::all() };
    let input = |options, payload| Evidence { input: Some((options, payload)), ..Evidence::all() };
    vec![
        bad(
            "other_result",
            "result_hash",
            "The receipt is for another result.",
            &receipt,
            &Evidence { result: Some(r#"{"proof":"xyz"}"#), ..Evidence::all() },
        ),
        bad(
            "other_spelling",
            "result_hash",
            "The hash is over the body's bytes.",
            &receipt,
            &Evidence { result: Some(r#"{"proof": "abc"}"#), ..Evidence::all() },
        ),
        bad(
            "other_payload",
            "input_hash",
            "The receipt is for another payload.",
            &receipt,
            &input(OPTIONS_BODY, r#"{"value":78}"#),
        ),
        bad(
            "other_options",
            "input_hash",
            "The receipt is for other options.",
            &receipt,
            &input("{}", PAYLOAD),
        ),
        bad(
            "options_and_payload_swapped",
            "input_hash",
            "Options come before the payload.",
            &receipt,
            &input(PAYLOAD, OPTIONS_BODY),
        ),
        bad(
            "other_salt",
            "result_hash",
            "Without its salt a receipt says nothing about its data.",
            &receipt,
            &salt(b64u(fixed("salt"))),
        ),
        bad("salt_short", "salt", "A salt has 32 bytes.", &receipt, &salt(b64u(&receipt_salt()[1..]))),
        bad(
            "salt_unused_bits",
            "salt",
            "Unused bits of base64url are zero.",
            &receipt,
            &salt(unused_bit_set(&b64u(receipt_salt()))),
        ),
    ]
}

fn malformed() -> Vec<Case> {
    let session = owned();
    let statement = session.statement(PAYLOAD, RESULT);
    let mut signers = session.signers.clone();
    signers.sort_unstable();
    let [first, second] = [&signers[0], &signers[1]].map(|signer| format!("\"{signer}\""));
    let listed = format!("[{first},{second}]");
    let job = id(&session.job);
    let input = statement.split(r#""input_hash":""#).nth(1).unwrap()[..43].to_owned();
    let client = format!(r#","client":"{}""#, session.signers[0]);
    let many: Vec<_> = (0..17).map(|number| Signer::new(&format!("signer {number}")).thumbprint()).collect();
    let mut many = [many, vec![session.signers[0].clone()]].concat();
    many.sort_unstable();
    let many: Vec<_> = many.iter().map(|signer| format!("\"{signer}\"")).collect();
    let case = |name: &str, fault: &str, because: &str, from: &str, to: &str| {
        assert!(statement.contains(from), "{name}: {from}");
        bad(name, fault, because, &by_the_worker(&statement.replacen(from, to, 1)), &Evidence::all())
    };
    vec![
        case("job_in_upper_case", "job", "Hexadecimal is in lower case.", &job, &job.to_uppercase()),
        case("worker_dot", "worker", "A name is one token.", "echo", "ec.ho"),
        case("attempt_none", "attempt", "Attempts are counted from 1.", "\"attempt\":1", "\"attempt\":0"),
        case("attempt_many", "attempt", "There are at most 10.", "\"attempt\":1", "\"attempt\":11"),
        case(
            "attempt_fraction",
            "attempt",
            "An integer has no fraction.",
            "\"attempt\":1",
            "\"attempt\":1.0",
        ),
        case("started_missing", "started_ms", "Every member has to be there.", "started_ms", "begun_ms"),
        case("finished_negative", "finished_ms", "Integers begin at 0.", "finished_ms\":", "finished_ms\":-"),
        case(
            "client_null",
            "client",
            "An optional member is left out, never null.",
            &client,
            ",\"client\":null",
        ),
        case(
            "client_unsigned",
            "client",
            "The owner is among the signers.",
            &listed,
            &format!("[{}]", {
                let other = signers.iter().find(|signer| **signer != session.signers[0]).unwrap();
                format!("\"{other}\"")
            }),
        ),
        case("signers_missing", "signers", "Every member has to be there.", "signers", "signed"),
        case("signers_null", "signers", "Nobody is an empty array.", &listed, "null"),
        case("signers_reversed", "signers", "Signers are sorted.", &listed, &format!("[{second},{first}]")),
        case(
            "signers_twice",
            "signers",
            "Each stands there once.",
            &listed,
            &format!("[{first},{first},{second}]"),
        ),
        case("signers_18", "signers", "A job has at most 16.", &listed, &format!("[{}]", many.join(","))),
        case(
            "signers_short",
            "signers",
            "A thumbprint has 32 bytes.",
            &listed,
            &format!("[\"AAAA\",{first},{second}]"),
        ),
        case(
            "input_hash_unused_bits",
            "input_hash",
            "Unused bits of base64url are zero.",
            &input,
            &unused_bit_set(&input),
        ),
        case("result_hash_missing", "result_hash", "Every member has to be there.", "result_hash", "result"),
        case("twice", "json", "Readers differ in which of two members they take.", "}", ",\"attempt\":1}"),
        bad("array", "object", "A receipt is an object.", &by_the_worker("[]"), &Evidence::all()),
        bad(
            "too_long",
            "size",
            "A receipt has at most 8192 bytes.",
            &by_the_worker(&(statement.clone() + &" ".repeat(6000))),
            &Evidence::all(),
        ),
    ]
}

fn signatures() -> Vec<Case> {
    let session = Session::new(&Job::new());
    let statement = session.statement(PAYLOAD, RESULT);
    let (good, worker) = (by_the_worker(&statement), Signer::new("worker"));
    let signed = |signer: &Signer, typ: &str| signer.compact(&signer.header(typ), &statement);
    let case = |name: &str, fault: &str, because: &str, receipt: &str| {
        bad(name, fault, because, receipt, &Evidence::all())
    };
    vec![
        case(
            "by_a_stranger",
            "trust",
            "A key that may not serve.",
            &signed(&Signer::new("stranger"), "subrosa-receipt"),
        ),
        case(
            "by_the_launcher",
            "trust",
            "A launcher's key does not serve.",
            &signed(&Signer::new("launcher"), "subrosa-receipt"),
        ),
        case(
            "for_another_name",
            "trust",
            "The key is good for another name.",
            &by_the_worker(&statement.replace("\"echo\"", "\"prove\"")),
        ),
        case(
            "typ_worker",
            "typ",
            "What is signed as a proof is no receipt.",
            &signed(&worker, "subrosa-worker"),
        ),
        case(
            "typ_record",
            "typ",
            "What is signed as a record is no receipt.",
            &signed(&worker, "subrosa-record"),
        ),
        case("two_parts", "compact", "A compact JWS has three parts.", &good[..good.rfind('.').unwrap()]),
        case(
            "payload_altered",
            "signature",
            "The signature is over other bytes.",
            &good.replace(&b64u(&statement), &b64u(statement.replace("\"attempt\":1", "\"attempt\":2"))),
        ),
    ]
}

/// What a client makes of a `done` by the worker that it trusts.
fn in_done() -> Vec<Case> {
    let (session, owned) = (Session::new(&Job::new()), owned());
    let statement = owned.statement(PAYLOAD, RESULT);
    let past = owned.whole()[..4].to_vec();
    let done = |members: &str| Message::json(DONE, 2, members, RESULT);
    let bad = |name: &str, fault: &str, because: &str, message: &Message| {
        let case = Case::not_ok("message", name, "bad_input", fault, because);
        received(case, &owned, &past, &owned.by_worker(message), DONE)
    };
    let altered = |name: &str, fault: &str, because: &str, from: &str, to: &str| {
        assert!(statement.contains(from), "{name}: {from}");
        let receipt = by_the_worker(&statement.replacen(from, to, 1));
        bad(&format!("receipt_{name}"), fault, because, &done(&proven(&receipt)))
    };
    let quoted = |text: &str| format!("\"{text}\"");
    let [owner, other] = [&owned.signers[0], &owned.signers[1]];
    let mut signers = owned.signers.clone();
    signers.sort_unstable();
    let listed = format!("[{},{}]", quoted(&signers[0]), quoted(&signers[1]));
    let other_key = Signer::new("stranger");
    let by_another = other_key.compact(&other_key.header("subrosa-receipt"), &statement);
    let hash_of = |name: &str| statement.split(&format!(r#""{name}":""#)).nth(1).unwrap()[..43].to_owned();
    let other_hash = b64u(hash("other"));
    vec![
        taken(
            "done_owned",
            "The receipt names owner and signers of the job.",
            &owned,
            &past,
            &owned.result(2, PAYLOAD, RESULT),
        ),
        bad(
            "receipt_missing",
            "receipt",
            "Every result has a receipt.",
            &done(&format!(r#""salt":"{}""#, b64u(receipt_salt()))),
        ),
        bad(
            "receipt_without_salt",
            "salt",
            "Without the salt nobody can use the receipt.",
            &done(&format!(r#""receipt":"{}""#, by_the_worker(&statement))),
        ),
        bad("receipt_malformed", "receipt_jws", "It is no JWS.", &done(&proven("a.b"))),
        bad(
            "receipt_by_another_key",
            "signer",
            "Who serves has proven another key, whoever else is trusted.",
            &done(&proven(&by_another)),
        ),
        altered("of_another_job", "job", "Not this job.", &id(&owned.job), &id(&session.job)),
        altered("of_another_worker", "worker", "Not the name that was asked for.", "\"echo\"", "\"prove\""),
        altered("of_another_attempt", "attempt", "Not this attempt.", "\"attempt\":1", "\"attempt\":2"),
        altered("of_nobody", "client", "The job has an owner.", &format!(r#","client":"{owner}""#), ""),
        altered(
            "of_another_client",
            "client",
            "A co-signer is not the owner.",
            &format!(r#""client":"{owner}""#),
            &format!(r#""client":"{other}""#),
        ),
        altered(
            "of_fewer_signers",
            "signers",
            "The job has another signer.",
            &listed,
            &format!("[{}]", quoted(owner)),
        ),
        altered(
            "of_another_input",
            "input_hash",
            "Other options or payload.",
            &hash_of("input_hash"),
            &other_hash,
        ),
        altered("of_another_result", "result_hash", "Another result.", &hash_of("result_hash"), &other_hash),
        bad(
            "receipt_of_other_bytes",
            "result_hash",
            "The receipt is for the bytes that travel.",
            &Message::json(DONE, 2, &proven(&by_the_worker(&statement)), r#"{"proof": "abc"}"#),
        ),
    ]
}
