//! Certificates by themselves, and where workers show them: in `options` and in records.

use super::{
    case::Case,
    ecdsa::EcSigner,
    encoding::{b64u, hash, instance, unused_bit_set},
    job::{CREATED_MS, Job, id},
    jws::Signer,
    messages::received_by,
    session::{Message, OPTIONS, Session},
};

const TYP: &str = "subrosa-cert+jwt";
/// From when the certificates of all cases hold, and until when: a day around the jobs' time.
const ISSUED_S: u64 = CREATED_MS / 1000 - 3600;
const EXPIRES_S: u64 = ISSUED_S + 86_400;
/// By how much clocks may differ.
const TOLERANCE_MS: u64 = 120_000;
const IMAGE: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = taken();
    cases.extend(not_for_this());
    cases.extend(by_nobody());
    cases.extend(malformed());
    cases.extend(options());
    cases.extend(records());
    cases
}

fn worker() -> Signer {
    Signer::new("worker")
}

fn authority() -> Signer {
    Signer::new("authority")
}

fn claims() -> String {
    claims_for("echo", &worker().jwk())
}

fn claims_for(name: &str, jwk: &str) -> String {
    format!(r#"{{"sub":"{name}","cnf":{{"jwk":{jwk}}},"iat":{ISSUED_S},"exp":{EXPIRES_S}}}"#)
}

fn with_image() -> String {
    claims().replace("\"exp\"", &format!(r#""image":"{IMAGE}","exp""#))
}

fn sign(claims: &str) -> String {
    authority().compact(&authority().header(TYP), claims)
}

fn certificate() -> String {
    sign(&claims())
}

/// A trust file with this key in a role.
fn trusted(jwk: &str, more: &str) -> String {
    format!(r#"{{"keys":[{}]}}"#, jwk.replace('}', &format!(",{more}}}")))
}

fn trust() -> String {
    trusted(&authority().jwk(), r#""role":"authority""#)
}

/// What a reader knows of the worker that shows this.
fn shown(case: Case, trust: &str, key: &str, now_ms: u64, cert: &str) -> Case {
    case.with("trust", trust)
        .with("worker", "echo")
        .with("key", key)
        .with("now_ms", now_ms)
        .with("cert", cert)
}

fn taken() -> Vec<Case> {
    let ok = |name: &str, about: &str, now_ms: u64, cert: &str| {
        shown(Case::ok("cert", name, about), &trust(), &worker().thumbprint(), now_ms, cert)
            .with("authority", authority().thumbprint())
    };
    let (ec_authority, ec_worker) = (EcSigner::new("secp256k1 authority"), EcSigner::new("secp256k1 worker"));
    let by_ec = ec_authority.compact(&ec_authority.header(TYP), claims());
    let ec = |more: &str| trusted(&ec_authority.jwk(), more);
    let for_name = trusted(&authority().jwk(), r#""role":"authority","workers":["echo"]"#);
    let case = |name: &str, about: &str| Case::ok("cert", name, about);
    vec![
        ok("good", "An authority's word for a worker's key.", CREATED_MS, &certificate()),
        ok("image_not_asked", "An image that nobody asks for.", CREATED_MS, &sign(&with_image())),
        ok("image", "The image that is asked for.", CREATED_MS, &sign(&with_image())).with("image", IMAGE),
        ok("early", "Clocks may differ by two minutes.", ISSUED_S * 1000 - TOLERANCE_MS, &certificate()),
        ok("late", "Clocks may differ by two minutes.", EXPIRES_S * 1000 + TOLERANCE_MS - 1, &certificate()),
        ok(
            "unknown_member",
            "Claims that are not known are ignored.",
            CREATED_MS,
            &sign(&claims().replace("\"sub\"", r#""iss":"the authority","jti":"1","sub""#)),
        ),
        shown(
            case("authority_for_this_name", "An authority may be one for some names."),
            &for_name,
            &worker().thumbprint(),
            CREATED_MS,
            &certificate(),
        )
        .with("authority", authority().thumbprint()),
        shown(
            case("secp256k1_authority", "The authority's key is of secp256k1, the worker's is not."),
            &ec(r#""role":"authority""#),
            &worker().thumbprint(),
            CREATED_MS,
            &by_ec,
        )
        .with("authority", ec_authority.thumbprint()),
        shown(
            case("secp256k1_worker", "The worker's key is of secp256k1, the authority's is not."),
            &trust(),
            &ec_worker.thumbprint(),
            CREATED_MS,
            &sign(&claims_for("echo", &ec_worker.jwk())),
        )
        .with("authority", authority().thumbprint()),
    ]
}

fn refused(name: &str, fault: &str, because: &str, trust: &str, now_ms: u64, cert: &str) -> Case {
    let case = Case::not_ok("cert", name, "refused", fault, because);
    shown(case, trust, &worker().thumbprint(), now_ms, cert)
}

/// Good certificates, that say something else.
fn not_for_this() -> Vec<Case> {
    let case = |name: &str, fault: &str, because: &str, cert: &str| {
        refused(name, fault, because, &trust(), CREATED_MS, cert)
    };
    let at = |name: &str, fault: &str, because: &str, now_ms: u64| {
        refused(name, fault, because, &trust(), now_ms, &certificate())
    };
    let other_image = IMAGE.replace('e', "f");
    vec![
        at("expired", "exp", "It held until two minutes ago.", EXPIRES_S * 1000 + TOLERANCE_MS),
        at("not_yet", "iat", "It holds in over two minutes.", ISSUED_S * 1000 - TOLERANCE_MS - 1),
        case(
            "other_worker",
            "worker",
            "It is for another name.",
            &sign(&claims_for("prove", &worker().jwk())),
        ),
        case(
            "other_key",
            "key",
            "It is for another key than the worker signs with.",
            &sign(&claims_for("echo", &Signer::new("stranger").jwk())),
        ),
        case("image_other", "image", "Another image is asked for.", &sign(&with_image()))
            .with("image", other_image),
        case("image_missing", "image", "An image is asked for, and none certified.", &certificate())
            .with("image", IMAGE),
        case("worker_revoked", "revoked", "The worker's key is revoked.", &certificate())
            .with("revoked", format!("# stolen\n{}\n", worker().thumbprint())),
        case("authority_revoked", "revoked", "The authority's key is revoked.", &certificate())
            .with("revoked", authority().thumbprint()),
    ]
}

/// Certificates by who cannot certify.
fn by_nobody() -> Vec<Case> {
    let case = |name: &str, because: &str, trust: &str, cert: &str| {
        refused(name, "authority", because, trust, CREATED_MS, cert)
    };
    let (stranger, launcher, other) =
        (Signer::new("stranger"), Signer::new("launcher"), Signer::new("other worker"));
    let by = |signer: &Signer| signer.compact(&signer.header(TYP), claims());
    let both = |role: &str, signer: &Signer| {
        let signer = signer.jwk().replace('}', &format!(r#","role":"{role}"}}"#));
        trust().replace("]}", &format!(",{signer}]}}"))
    };
    vec![
        case("unknown_authority", "Nobody trusts its signer.", &trust(), &by(&stranger)),
        case("by_a_launcher", "Launchers certify nobody.", &both("launcher", &launcher), &by(&launcher)),
        case("by_another_worker", "Workers certify nobody.", &both("worker", &other), &by(&other)),
        case(
            "authority_for_another_name",
            "The authority is one for other names.",
            &trusted(&authority().jwk(), r#""role":"authority","workers":["prove"]"#),
            &certificate(),
        ),
        refused(
            "self_signed",
            "self",
            "A key vouches for itself: that is no news, even if it is an authority's.",
            &trusted(&worker().jwk(), r#""role":"authority""#),
            CREATED_MS,
            &by(&worker()),
        ),
    ]
}

/// What is no certificate.
fn malformed() -> Vec<Case> {
    let case = |name: &str, fault: &str, because: &str, cert: &str| {
        refused(name, fault, because, &trust(), CREATED_MS, cert)
    };
    let with = |from: &str, to: &str| sign(&claims().replace(from, to));
    let header =
        |from: &str, to: &str| authority().compact(&authority().header(TYP).replace(from, to), claims());
    let (iat, exp) = (format!(",\"iat\":{ISSUED_S}"), format!(",\"exp\":{EXPIRES_S}"));
    let altered = claims().replace("echo", "each");
    let x = b64u(worker().public());
    let long = with("\"sub\"", &format!(r#""iss":"{}","sub""#, "x".repeat(3072)));
    assert!(long.len() > 4096);
    vec![
        case("typ_worker", "typ", "A worker's proof is no certificate.", &header(TYP, "subrosa-worker")),
        case("typ_jwt", "typ", "A JWT for any other use is no certificate.", &header(TYP, "JWT")),
        case("alg_none", "alg", "The key says how it verifies.", &header("EdDSA", "none")),
        case(
            "alg_hs256",
            "alg",
            "A public key is no secret to authenticate with.",
            &header("EdDSA", "HS256"),
        ),
        case(
            "altered",
            "signature",
            "The signature is over other claims.",
            &certificate().replace(&b64u(claims()), &b64u(altered)),
        ),
        case(
            "by_another_key",
            "signature",
            "The key in the header has not signed.",
            &Signer::new("stranger").compact(&authority().header(TYP), claims()),
        ),
        case("too_long", "size", "A certificate has at most 4096 bytes.", &long),
        case("sub_missing", "sub", "Every member has to be there.", &with("\"sub\":\"echo\",", "")),
        case("sub_upper_case", "sub", "That is no worker's name.", &with("echo", "Echo")),
        case(
            "cnf_missing",
            "cnf",
            "Every member has to be there.",
            &sign(&format!(r#"{{"sub":"echo","iat":{ISSUED_S},"exp":{EXPIRES_S}}}"#)),
        ),
        case(
            "cnf_kid",
            "cnf",
            "The key itself is needed.",
            &sign(&format!(
                r#"{{"sub":"echo","cnf":{{"kid":"{}"}},"iat":{ISSUED_S},"exp":{EXPIRES_S}}}"#,
                worker().thumbprint()
            )),
        ),
        case(
            "cnf_private",
            "private",
            "A private key that travels is none any more.",
            &with("\"crv\"", &format!(r#""d":"{}","crv""#, b64u([1; 32]))),
        ),
        case("cnf_small_order", "key", "A key of small order.", &with(&x, &b64u([0; 32]))),
        case("cnf_unused_bits", "x", "Unused bits of base64url are zero.", &with(&x, &unused_bit_set(&x))),
        case("iat_missing", "iat", "Every member has to be there.", &with(&iat, "")),
        case("exp_missing", "exp", "Every member has to be there.", &with(&exp, "")),
        case("exp_fraction", "exp", "An integer has no fraction.", &with(&exp, &format!("{exp}.0"))),
        case("exp_text", "exp", "An integer is no text.", &with(&exp, &format!(",\"exp\":\"{EXPIRES_S}\""))),
        case("never", "exp", "It ends when it begins.", &with(&exp, &format!(",\"exp\":{ISSUED_S}"))),
        case(
            "image_null",
            "image",
            "An optional member is left out, never null.",
            &with("\"exp\"", "\"image\":null,\"exp\""),
        ),
        case(
            "image_tag",
            "image",
            "A name that can be moved is no digest.",
            &with("\"exp\"", "\"image\":\"echo:latest\",\"exp\""),
        ),
        case(
            "exp_twice",
            "json",
            "Readers differ in which of two members they take.",
            &with(&exp, &format!("{exp}{exp}")),
        ),
        case(
            "array",
            "object",
            "An array of the values is no certificate.",
            &sign(&format!(r#"["echo",{{"jwk":{}}},{ISSUED_S},{EXPIRES_S}]"#, worker().jwk())),
        ),
    ]
}

/// The head of `options` with a certificate in it.
fn head(session: &Session, cert: &str) -> String {
    session.options_head(&session.proof()).replace(r#","instance""#, &format!(r#","cert":{cert},"instance""#))
}

/// Clients that know the authority only.
fn options() -> Vec<Case> {
    let session = Session::new(&Job::new());
    let quoted = |cert: &str| format!("\"{cert}\"");
    let given = |case: Case, head: String, trust: &str| {
        let message = Message::new(OPTIONS, 0, head, "\"parameters\"");
        (received_by(trust, case, &session, &[], &session.by_worker(&message), OPTIONS), message)
    };
    let taken = |name: &str, about: &str, cert: &str, trust: &str| {
        let (case, message) = given(Case::ok("message", name, about), head(&session, cert), trust);
        case.with("padded_bytes", message.plaintext().len())
            .with("head", message.head)
            .with("body", "\"parameters\"")
    };
    let not_taken = |name: &str, verdict: &str, fault: &str, because: &str, cert: &str| {
        let case = Case::not_ok("message", name, verdict, fault, because);
        given(case, head(&session, cert), &trust()).0
    };
    let untrusted = |name: &str, because: &str, claims: &str| {
        not_taken(name, "untrusted", "trust", because, &quoted(&sign(claims)))
    };
    let day_before = |claims: String| {
        let (issued, expires) = (ISSUED_S - 86_400, EXPIRES_S - 86_400);
        claims
            .replace(&EXPIRES_S.to_string(), &expires.to_string())
            .replace(&ISSUED_S.to_string(), &issued.to_string())
    };
    let pinned = trusted(&worker().jwk(), r#""role":"worker""#);
    vec![
        taken("options_cert", "The worker's key is certified.", &quoted(&certificate()), &trust()),
        taken("options_cert_pinned", "A pinned key needs no certificate.", &quoted("none"), &pinned),
        not_taken("options_cert_number", "drop", "cert", "A certificate is a text.", "1"),
        not_taken("options_cert_null", "drop", "cert", "An optional member is left out, never null.", "null"),
        untrusted(
            "options_cert_of_another_worker",
            "The certificate is for another name.",
            &claims_for("prove", &worker().jwk()),
        ),
        untrusted(
            "options_cert_of_another_key",
            "The proof is by another key than the certificate is for.",
            &claims_for("echo", &Signer::new("stranger").jwk()),
        ),
        untrusted("options_cert_expired", "The certificate held until yesterday.", &day_before(claims())),
        not_taken(
            "options_cert_by_the_worker",
            "untrusted",
            "trust",
            "The worker vouches for itself.",
            &quoted(&worker().compact(&worker().header(TYP), claims())),
        ),
        not_taken(
            "options_cert_is_the_proof",
            "untrusted",
            "trust",
            "A proof is no certificate.",
            &quoted(&session.proof()),
        ),
    ]
}

/// Records of a worker whose authority the reader knows. A certificate has to hold when the record was made.
fn records() -> Vec<Case> {
    let job = id(Job::new().text());
    let record = |at_ms: u64, cert: &str| {
        let payload = format!(
            r#"{{"job":"{job}","event":"taken","at_ms":{at_ms},"attempt":1,"prev":"{}","instance":"{}"{cert}}}"#,
            b64u(hash(b"the record before")),
            instance()
        );
        worker().compact(&worker().header("subrosa-record"), payload)
    };
    let member = |cert: &str| format!(r#","cert":"{cert}""#);
    let read = |case: Case, record: &str| {
        case.with("job_id", job.as_str()).with("worker", "echo").with("trust", trust()).with("record", record)
    };
    let ok = |name: &str, about: &str, at_ms: u64| {
        read(Case::ok("record", name, about), &record(at_ms, &member(&certificate())))
            .with("signer", worker().thumbprint())
            .with("event", "taken")
            .with("at_ms", at_ms)
            .with("attempt", 1)
    };
    let bad = |name: &str, fault: &str, because: &str, at_ms: u64, cert: &str| {
        read(Case::not_ok("record", name, "refused", fault, because), &record(at_ms, cert))
    };
    let late = EXPIRES_S * 1000 + TOLERANCE_MS;
    let by_launcher = Signer::new("launcher");
    vec![
        ok("certified", "The worker's certificate stays with the history.", CREATED_MS),
        ok("certified_at_the_end", "It held when the record was made.", late - 1),
        bad("certified_too_late", "signer", "It held no more.", late, &member(&certificate())),
        bad(
            "certified_no_more",
            "signer",
            "Nobody knows the key, and nobody vouches for it.",
            CREATED_MS,
            "",
        ),
        bad(
            "certified_for_another_name",
            "signer",
            "The certificate is for another name.",
            CREATED_MS,
            &member(&sign(&claims_for("prove", &worker().jwk()))),
        ),
        bad(
            "certified_by_a_launcher",
            "signer",
            "Launchers certify nobody.",
            CREATED_MS,
            &member(&by_launcher.compact(&by_launcher.header(TYP), claims())),
        ),
        bad("cert_number", "cert", "A certificate is a text.", CREATED_MS, r#","cert":1"#),
        bad(
            "cert_null",
            "cert",
            "An optional member is left out, never null.",
            CREATED_MS,
            r#","cert":null"#,
        ),
    ]
}
