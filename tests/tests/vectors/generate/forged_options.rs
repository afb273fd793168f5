//! `options` that change nothing at the client.

use super::{
    case::Case,
    encoding::{b64u, fixed, hash, instance},
    forged::dropped,
    job::Job,
    jws::Signer,
    messages::received,
    session::{Message, OPTIONS, Session, seal},
};

pub(crate) fn cases() -> Vec<Case> {
    let session = Session::new(&Job::new());
    let (worker, stranger) = (Signer::new("worker"), Signer::new("stranger"));
    let with =
        |session: &Session, number, head: &str| session.by_worker(&Message::new(OPTIONS, number, head, "1"));
    let drop = |name: &str, fault: &str, because: &str, envelope: &[u8]| {
        dropped(name, fault, because, &session, &[], OPTIONS, envelope)
    };
    let proof = |name: &str, because: &str, jws: &str| {
        drop(name, "proof", because, &with(&session, 0, &session.options_head(jws)))
    };
    let typ = worker.header("subrosa-worker");
    let claims = |from: &str, to: &str| worker.compact(&typ, session.claims().replace(from, to));
    let head = session.options_head(&session.proof());
    // Sealed under number 0, with another header.
    let sealed = |number, key: &[u8; 32]| {
        let message = Message::new(OPTIONS, number, head.as_str(), "1");
        let header = session.header(&message, key);
        seal(&session.keys().options, 0, &header, &session.enc(), &message.plaintext())
    };
    let flipped = |at: usize, bit: u8| {
        let mut envelope = session.options();
        envelope[at] ^= bit;
        envelope
    };
    let other_enc = b64u(hash(session.again(2).enc()));
    let zero = {
        let mut envelope = session.options();
        envelope[12..76].fill(0);
        envelope
    };
    let (stale, past) =
        (session.options(), [session.options(), session.options_reply(), session.again(2).options()]);
    let stale = {
        let mut other = session.clone();
        other.worker_secret = fixed("another worker's key");
        other.worker_key = other.enc();
        assert_ne!(other.options(), stale);
        other.options()
    };
    let untrusted = {
        let jws = stranger.compact(&stranger.header("subrosa-worker"), session.claims());
        let because = "The proof is good, and nobody here trusts its key: no answer.";
        let case = Case::not_ok("message", "options_untrusted", "untrusted", "trust", because);
        received(case, &session, &[], &with(&session, 0, &session.options_head(&jws)), OPTIONS)
    };
    let launcher = Signer::new("launcher");
    let by_launcher = {
        let jws = launcher.compact(&launcher.header("subrosa-worker"), session.claims());
        let because = "A launcher's key is no worker's.";
        let case = Case::not_ok("message", "options_by_a_launcher", "untrusted", "trust", because);
        received(case, &session, &[], &with(&session, 0, &session.options_head(&jws)), OPTIONS)
    };
    let psk_session = Session::new(&Job::new().set("psk_id", "\"team key 1\""));
    vec![
        drop(
            "options_number_1",
            "number",
            "`options` has number 0, and no other.",
            &with(&session, 1, &head),
        ),
        drop(
            "options_number_1_sealed_as_0",
            "number",
            "`options` has number 0, and no other: the header is part of the message.",
            &sealed(1, &session.worker_key),
        ),
        drop(
            "options_key_other_sealed",
            "enc",
            "`enc` is not the key in the header, by who has the keys.",
            &sealed(0, &fixed("another N")),
        ),
        drop("options_attempt_0", "attempt", "Attempts begin at 1.", &session.again(0).options()),
        drop("options_attempt_4", "attempt", "The job has 3 attempts.", &session.again(4).options()),
        dropped(
            "options_stale",
            "attempt",
            "A later attempt has been proven: this one is over.",
            &session.again(2),
            &past,
            OPTIONS,
            &stale,
        ),
        dropped(
            "options_same_attempt",
            "attempt",
            "Another worker's `options` for an attempt that is proven.",
            &session,
            &[session.options(), session.options_reply()],
            OPTIONS,
            &stale,
        ),
        drop("options_enc_other", "enc", "`enc` is not the key in the header.", &flipped(44, 1)),
        drop("options_key_other", "enc", "`enc` is not the key in the header.", &flipped(12, 1)),
        drop("options_enc_zero", "zero", "A key of small order, twice.", &zero),
        drop("options_cut", "short", "No room for `enc` and the tag.", &session.options()[..91]),
        drop(
            "options_no_proof",
            "proof",
            "A worker proves who it is.",
            &with(&session, 0, &head.replace("\"worker\"", "\"x\"")),
        ),
        drop(
            "options_no_instance",
            "instance",
            "The process has a name.",
            &with(&session, 0, &head.replace("\"instance\"", "\"x\"")),
        ),
        drop(
            "options_instance_short",
            "instance",
            "That name has 16 bytes.",
            &with(&session, 0, &head.replace(&instance(), "AAAA")),
        ),
        drop(
            "options_with_event",
            "event",
            "A step is no event.",
            &with(&session, 0, &head.replacen('{', r#"{"event":{"progress":0.5},"#, 1)),
        ),
        proof(
            "options_proof_of_another_job",
            "The proof names the job.",
            &claims(&session.claims()[8..72], &"0".repeat(64)),
        ),
        proof("options_proof_of_another_worker", "The proof names the worker.", &claims("echo", "prove")),
        proof(
            "options_proof_of_another_enc",
            "The proof names enc: nobody puts a key of his own there.",
            &claims(&b64u(hash(session.enc())), &other_enc),
        ),
        proof(
            "options_proof_of_another_attempt",
            "The proof names the attempt.",
            &claims("\"attempt\":1", "\"attempt\":2"),
        ),
        proof(
            "options_proof_as_record",
            "What is signed as a record is no proof.",
            &worker.compact(&worker.header("subrosa-record"), session.claims()),
        ),
        proof(
            "options_proof_by_another",
            "The key in the header has not signed.",
            &stranger.compact(&typ, session.claims()),
        ),
        untrusted,
        by_launcher,
        dropped(
            "options_of_a_psk_job",
            "psk",
            "Nobody falls back: without the psk no session opens (section 12).",
            &psk_session,
            &[],
            OPTIONS,
            &psk_session.options(),
        ),
    ]
}
