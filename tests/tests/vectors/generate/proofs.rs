//! The worker's proof by itself.

use super::{
    case::Case,
    encoding::{b64u, hash, hex, unused_bit_set},
    job::{Job, id},
    jws::Signer,
    session::Session,
};

pub(crate) fn cases() -> Vec<Case> {
    let session = Session::new(&Job::new());
    let worker = Signer::new("worker");
    let (claims, header) = (session.claims(), worker.header("subrosa-worker"));
    let seen = |case: Case, proof: &str| {
        case.with("job_id", id(&session.job))
            .with("worker", "echo")
            .with("enc", hex(session.enc()))
            .with("attempt", 1)
            .with("proof", proof)
    };
    let ok = |name: &str, about: &str, proof: &str| {
        seen(Case::ok("proof", name, about), proof).with("signer", worker.thumbprint())
    };
    let bad = |name: &str, fault: &str, because: &str, proof: &str| {
        seen(Case::not_ok("proof", name, "refused", fault, because), proof)
    };
    let with = |from: &str, to: &str| worker.compact(&header, claims.replace(from, to));
    let signed = |claims: &str| worker.compact(&header, claims);
    let good = session.proof();
    let filled = |length: usize| {
        let spaces =
            (0..length).find(|spaces| signed(&(claims.clone() + &" ".repeat(*spaces))).len() >= length);
        signed(&(claims.clone() + &" ".repeat(spaces.unwrap())))
    };
    let [longest, too_long] = [filled(4095), filled(4097)];
    assert!(longest.len() <= 4096 && too_long.len() > 4096);
    let last_part = good.rfind('.').unwrap();
    vec![
        ok("good", "What a worker signs for an attempt.", &good),
        ok(
            "spaced",
            "White space and order do not matter: the bytes are signed as they are.",
            &signed(&format!("{{ \"attempt\":1,{} }}", claims[1..].replace(",\"attempt\":1}", ""))),
        ),
        ok("unknown_member", "Members that are not known are ignored.", &with("}", ",\"iat\":1}")),
        ok(
            "alg_ed25519",
            "The newer name of the algorithm (RFC 9864).",
            &worker.compact(&header.replace("EdDSA", "Ed25519"), &claims),
        ),
        ok("longest", "Nearly 4096 bytes.", &longest),
        bad("too_long", "size", "A proof has at most 4096 bytes.", &too_long),
        bad("other_job", "job", "The proof is for another job.", &with(&id(&session.job), &"0".repeat(64))),
        bad("other_worker", "worker", "The proof is for another name.", &with("echo", "prove")),
        bad(
            "other_enc",
            "enc",
            "The proof is for another session.",
            &with(&b64u(hash(session.enc())), &b64u(hash(b""))),
        ),
        bad(
            "enc_itself",
            "enc",
            "The proof has the hash of enc, and not enc.",
            &with(&b64u(hash(session.enc())), &b64u(session.enc())),
        ),
        bad(
            "enc_unused_bits",
            "enc",
            "Unused bits of base64url are zero.",
            &with(&b64u(hash(session.enc())), &unused_bit_set(&b64u(hash(session.enc())))),
        ),
        bad(
            "job_in_upper_case",
            "job",
            "Hexadecimal is in lower case.",
            &with(&id(&session.job), &id(&session.job).to_uppercase()),
        ),
        bad(
            "attempt_other",
            "attempt",
            "The proof is for another attempt.",
            &with("\"attempt\":1", "\"attempt\":2"),
        ),
        bad(
            "attempt_fraction",
            "attempt",
            "An integer has no fraction.",
            &with("\"attempt\":1", "\"attempt\":1.0"),
        ),
        bad("attempt_wrapping", "attempt", "65537 is not 1.", &with("\"attempt\":1", "\"attempt\":65537")),
        bad("attempt_missing", "attempt", "Every member has to be there.", &with(",\"attempt\":1", "")),
        bad(
            "attempt_twice",
            "json",
            "Readers differ in which of two members they take.",
            &with("}", ",\"attempt\":1}"),
        ),
        bad(
            "array",
            "object",
            "An array of the values is no proof.",
            &signed(&format!("[\"{}\",\"echo\",\"{}\",1]", id(&session.job), b64u(hash(session.enc())))),
        ),
        bad(
            "typ_job",
            "typ",
            "What is signed as a job is no proof.",
            &worker.compact(&worker.header("subrosa-job"), &claims),
        ),
        bad("two_parts", "compact", "A compact JWS has three parts.", &good[..last_part]),
        bad("four_parts", "compact", "A compact JWS has three parts.", &format!("{good}.")),
        bad("signature_missing", "signature", "A signature has 64 bytes.", &good[..=last_part]),
        bad(
            "payload_altered",
            "signature",
            "The signature is over other bytes.",
            &good.replace(&b64u(&claims), &b64u(claims.replace("\"attempt\":1", "\"attempt\": 1"))),
        ),
        bad(
            "header_altered",
            "signature",
            "The header is signed too.",
            &good.replace(&b64u(&header), &b64u(header.replace("EdDSA", "Ed25519"))),
        ),
        bad("trailing_newline", "signature", "A newline is not base64url.", &(good.clone() + "\n")),
    ]
}
