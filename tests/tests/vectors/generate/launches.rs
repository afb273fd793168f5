//! Launch requests: jobs and their signatures.

use serde_json::json;

use super::{
    case::{Case, repeat},
    encoding::{b64u, unused_bit_set},
    job::{CREATED_MS, EXPIRES_MS, Job, id},
    jws::{Signature, Signer},
};

pub(crate) const TYP: &str = "subrosa-job";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = taken();
    cases.extend(bad_shapes());
    cases.extend(bad_times());
    cases
}

pub(crate) fn signer() -> Signer {
    Signer::new("signer")
}

pub(crate) fn request(job: &str, signatures: &[Signature]) -> String {
    let signatures: Vec<_> = signatures.iter().map(Signature::json).collect();
    format!(r#"{{"payload":"{}","signatures":[{}]}}"#, b64u(job), signatures.join(","))
}

/// A request of the minimal job with one signature, whose header is made from the usual one.
pub(crate) fn with_header(change: impl FnOnce(String) -> String) -> String {
    let (job, signer) = (Job::new().text(), signer());
    let header = change(signer.header(TYP));
    request(&job, &[signer.signature(&header, &b64u(&job))])
}

/// The same JSON with spaces after it, so that its base64url has unused bits.
pub(crate) fn filled(text: &str) -> String {
    text.to_owned() + &" ".repeat((4 - text.len() % 3) % 3)
}

fn ok(name: &str, about: &str, job: &str, request: &str, signers: &[&Signer]) -> Case {
    let mut thumbprints: Vec<_> = signers.iter().map(|signer| signer.thumbprint()).collect();
    thumbprints.sort();
    common(Case::ok("launch", name, about), request).with("id", id(job)).with("signers", thumbprints)
}

pub(crate) fn bad(name: &str, verdict: &str, fault: &str, because: &str, request: &str) -> Case {
    common(Case::not_ok("launch", name, verdict, fault, because), request)
}

fn common(case: Case, request: &str) -> Case {
    case.with("worker", "echo").with("now_ms", CREATED_MS + 1).with("request", request)
}

fn taken() -> Vec<Case> {
    let job = Job::new().text();
    let payload = b64u(&job);
    let [owner, second, third] = ["owner", "signer", "other signer"].map(Signer::new);
    let sign = |signer: &Signer| signer.signature(&signer.header(TYP), &payload);
    let owned = Job::new().set("client", format!("\"{}\"", owner.thumbprint())).text();
    let sign_owned = |signer: &Signer| signer.signature(&signer.header(TYP), &b64u(&owned));
    let other_name = with_header(|header| header.replace("EdDSA", "Ed25519"));
    let spaced = with_header(|header| header.replace(',', " ,\n").replace("\"alg\"", r#""\u0061lg""#));
    let reordered = with_header(|_| format!(r#"{{"typ":"{TYP}","jwk":{},"alg":"EdDSA"}}"#, signer().jwk()));
    let longest = with_header(|header| header.clone() + &" ".repeat(2048 - header.len()));
    let unknown = request(&job, &[]).replacen('{', r#"{"future":{"payload":1},"#, 1);
    let (whole, empty) = (65_536, request(&job, &[]));
    let full: Vec<_> = (0..16).map(|number| sign(&Signer::new(&format!("signer {number}")))).collect();
    let all: Vec<_> = (0..16).map(|number| Signer::new(&format!("signer {number}"))).collect();
    vec![
        ok("unsigned", "Nobody has to sign an anonymous job.", &job, &request(&job, &[]), &[]),
        ok("signed", "One signature.", &job, &request(&job, &[sign(&second)]), &[&second]),
        ok(
            "owned",
            "The owner has signed, and two others.",
            &owned,
            &request(&owned, &[sign_owned(&third), sign_owned(&owner), sign_owned(&second)]),
            &[&owner, &second, &third],
        )
        .with("client", owner.thumbprint()),
        ok(
            "signed_twice",
            "Two signatures of one key are one signer.",
            &job,
            &request(&job, &[sign(&second), sign(&second)]),
            &[&second],
        ),
        ok(
            "signatures_16",
            "As many signatures as there may be.",
            &job,
            &request(&job, &full),
            &all.iter().collect::<Vec<_>>(),
        ),
        ok("alg_ed25519", "The newer name of the algorithm (RFC 9864).", &job, &other_name, &[&second]),
        ok("header_spaced", "What is signed is the header as it travels.", &job, &spaced, &[&second]),
        ok("header_reordered", "Members have no order.", &job, &reordered, &[&second]),
        ok("header_longest", "2048 bytes.", &job, &longest, &[&second]),
        ok("unknown_member", "Members beside payload and signatures are ignored.", &job, &unknown, &[]),
        Case::ok("launch", "longest", "65,536 bytes.")
            .with("worker", "echo")
            .with("now_ms", CREATED_MS)
            .with("request", json!([repeat(" ", whole - empty.len()), empty]))
            .with("id", id(&job))
            .with("signers", json!([])),
        Case::not_ok("launch", "too_long", "too_large", "size", "65,537 bytes: refused before it is read.")
            .with("worker", "echo")
            .with("now_ms", CREATED_MS)
            .with("request", json!([repeat(" ", whole - empty.len() + 1), empty])),
    ]
}

fn bad_shapes() -> Vec<Case> {
    let job = Job::new().text();
    let payload = b64u(&job);
    let sign = |signer: &Signer| signer.signature(&signer.header(TYP), &payload);
    let one = sign(&signer());
    let many: Vec<_> = (0..17).map(|number| sign(&Signer::new(&format!("signer {number}")))).collect();
    let whole = request(&job, &[sign(&signer())]);
    let bare = request(&job, &[]);
    let unprotected = whole.replace(r#","signature":"#, r#","header":{"kid":"1"},"signature":"#);
    let with_job = |job: Job| request(&job.text(), &[]);
    vec![
        bad(
            "signatures_17",
            "bad_request",
            "signatures",
            "There are at most 16 signatures.",
            &request(&job, &many),
        ),
        bad(
            "signatures_missing",
            "bad_request",
            "signatures",
            "Without signatures the array is empty.",
            &format!(r#"{{"payload":"{payload}"}}"#),
        ),
        bad(
            "signatures_null",
            "bad_request",
            "signatures",
            "`signatures` is an array.",
            &format!(r#"{{"payload":"{payload}","signatures":null}}"#),
        ),
        bad(
            "signature_number",
            "bad_request",
            "signatures",
            "What is no text is malformed, and no signature that could verify.",
            &format!(r#"{{"payload":"{payload}","signatures":[{{"protected":1,"signature":2}}]}}"#),
        ),
        bad(
            "flattened",
            "bad_request",
            "signatures",
            "The general serialisation is the only one.",
            &format!(r#"{{"payload":"{payload}",{}"#, &one.json()[1..]),
        ),
        bad(
            "unprotected_header",
            "bad_request",
            "signatures",
            "An unprotected header is nobody's word.",
            &unprotected,
        ),
        bad(
            "payload_twice",
            "bad_request",
            "json",
            "Readers differ in which of two members they take.",
            &bare.replacen('{', r#"{"payload":"e30","#, 1),
        ),
        bad(
            "payload_unused_bits",
            "bad_request",
            "payload",
            "Unused bits of base64url are zero.",
            &format!(r#"{{"payload":"{}","signatures":[]}}"#, unused_bit_set(&b64u(filled(&job)))),
        ),
        bad(
            "payload_padded",
            "bad_request",
            "payload",
            "Base64url comes without padding.",
            &format!(r#"{{"payload":"{}==","signatures":[]}}"#, b64u(filled(&job))),
        ),
        bad("trailing", "bad_request", "json", "Nothing follows the end.", &(bare.clone() + "x")),
        bad(
            "compact",
            "bad_request",
            "json",
            "A launch request is JSON.",
            &signer().compact(&signer().header(TYP), &job),
        ),
        bad(
            "job_of_another_version",
            "unsupported",
            "v",
            "The job's verdict is the request's.",
            &with_job(Job::new().set("v", "2")),
        ),
        bad(
            "job_refused",
            "bad_request",
            "reply",
            "The job's verdict is the request's.",
            &with_job(Job::new().set("reply", "\"subrosa.v1.client.x\"")),
        ),
        bad(
            "another_worker",
            "bad_request",
            "worker",
            "The job is for another worker than the subject.",
            &with_job(Job::new().set("worker", "\"prove\"")),
        ),
    ]
}

fn bad_times() -> Vec<Case> {
    let job = Job::new().text();
    let at = |case: Case, now_ms: u64| {
        case.with("worker", "echo").with("now_ms", now_ms).with("request", request(&job, &[]))
    };
    let ok = |name, about, now_ms| {
        at(Case::ok("launch", name, about), now_ms).with("id", id(&job)).with("signers", json!([]))
    };
    vec![
        ok("early", "A clock may be 2 minutes behind.", CREATED_MS - 120_000),
        ok("late", "A clock may be 2 minutes ahead.", EXPIRES_MS + 120_000),
        at(
            Case::not_ok(
                "launch",
                "from_the_future",
                "bad_request",
                "created_ms",
                "Over 2 minutes are no clock's fault.",
            ),
            CREATED_MS - 120_001,
        ),
        at(
            Case::not_ok(
                "launch",
                "expired",
                "expired",
                "expires_ms",
                "Over 2 minutes are no clock's fault.",
            ),
            EXPIRES_MS + 120_001,
        ),
    ]
}
