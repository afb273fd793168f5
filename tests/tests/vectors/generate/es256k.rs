//! Whatever is signed by a secp256k1 key.

use serde_json::json;

use super::{
    case::Case,
    ecdsa::{EcSigner, ORDER, high_s},
    encoding::{b64u, hex, unused_bit_set},
    job::{CREATED_MS, Job, id},
    jws::{Signature, Signer},
    launches::{TYP, bad, request},
    session::Session,
};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = requests();
    cases.extend(bad_keys());
    cases.extend(bad_signatures());
    cases.extend(proofs());
    cases.extend(trusts());
    cases
}

fn signer() -> EcSigner {
    EcSigner::new("secp256k1 signer")
}

fn sign(job: &str) -> Signature {
    signer().signature(&signer().header(TYP), &b64u(job))
}

/// A request of the minimal job, whose header is made from the usual one.
fn with_header(change: impl FnOnce(String) -> String) -> String {
    let job = Job::new().text();
    request(&job, &[signer().signature(&change(signer().header(TYP)), &b64u(&job))])
}

fn requests() -> Vec<Case> {
    let job = Job::new().text();
    let ok = |name: &str, about: &str, job: &str, signatures: &[Signature], mut signers: Vec<String>| {
        signers.sort();
        Case::ok("launch", name, about)
            .with("worker", "echo")
            .with("now_ms", CREATED_MS + 1)
            .with("request", request(job, signatures))
            .with("id", id(job))
            .with("signers", signers)
    };
    let high = || Signature { signature: high_s(&sign(&job).signature), ..sign(&job) };
    let other = Signer::new("signer");
    let ed25519 = other.signature(&other.header(TYP), &b64u(&job));
    let owned = Job::new().set("client", format!("\"{}\"", signer().thumbprint())).text();
    let own = || vec![signer().thumbprint()];
    vec![
        ok("es256k", "A signature by a secp256k1 key, with a low s.", &job, &[sign(&job)], own()),
        ok("es256k_high_s", "The same with the high s: ES256K has no rule about it.", &job, &[high()], own()),
        ok(
            "es256k_both_s",
            "With the low and with the high s: two signatures, and one signer.",
            &job,
            &[sign(&job), high()],
            own(),
        ),
        ok(
            "es256k_and_eddsa",
            "Signers of both kinds.",
            &job,
            &[sign(&job), ed25519],
            vec![signer().thumbprint(), other.thumbprint()],
        ),
        ok("es256k_owned", "The owner's key is of this kind.", &owned, &[sign(&owned)], own())
            .with("client", signer().thumbprint()),
    ]
}

fn bad_keys() -> Vec<Case> {
    let case = |name: &str, fault: &str, because: &str, change: &dyn Fn(String) -> String| {
        bad(name, "bad_signature", fault, because, &with_header(change))
    };
    let alg = |other: &'static str| move |header: String| header.replace("ES256K", other);
    let [x, y] = signer().coordinates().map(b64u);
    let [_, other_y] = EcSigner::new("other secp256k1 signer").coordinates().map(b64u);
    vec![
        case("es256k_alg_eddsa", "alg", "The algorithm does not fit the key.", &alg("EdDSA")),
        case("es256k_alg_es256", "alg", "ES256 is for another curve.", &alg("ES256")),
        case("es256k_alg_hs256", "alg", "A public key is no secret to authenticate with.", &alg("HS256")),
        case("es256k_alg_none", "alg", "The key says how it verifies.", &alg("none")),
        case("es256k_y_missing", "y", "Both coordinates have to be there.", &|header| {
            header.replace(&format!(r#","y":"{y}""#), "")
        }),
        case("es256k_off_the_curve", "key", "x and y of two points are no point.", &|header| {
            header.replace(&y, &other_y)
        }),
        case("es256k_zero", "key", "Zero and zero are no point.", &|header| {
            header.replace(&x, &b64u([0; 32])).replace(&y, &b64u([0; 32]))
        }),
        case("es256k_x_short", "x", "A coordinate has 32 bytes.", &|header| {
            header.replace(&x, &b64u(&signer().coordinates()[0][..31]))
        }),
        case("es256k_y_unused_bits", "y", "Unused bits of base64url are zero.", &|header| {
            header.replace(&y, &unused_bit_set(&y))
        }),
        case("es256k_okp", "jwk", "secp256k1 is a curve of `EC`.", &|header| header.replace("EC", "OKP")),
        case("es256k_p256", "jwk", "P-256 is another curve.", &|header| header.replace("secp256k1", "P-256")),
        case("es256k_private", "private", "A private key that travels is none any more.", &|header| {
            header.replace("\"crv\"", &format!(r#""d":"{}","crv""#, b64u([1; 32])))
        }),
        case("es256k_jwk_kid", "jwk", "The key has exactly crv, kty, x and y.", &|header| {
            header.replace("\"crv\"", r#""kid":"1","crv""#)
        }),
    ]
}

fn bad_signatures() -> Vec<Case> {
    let job = Job::new().text();
    let case = |name: &str, because: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut signature = sign(&job);
        change(&mut signature.signature);
        bad(name, "bad_signature", "signature", because, &request(&job, &[signature]))
    };
    vec![
        case("es256k_r_zero", "r is 1 at least.", &|signature| signature[..32].fill(0)),
        case("es256k_s_zero", "s is 1 at least.", &|signature| signature[32..].fill(0)),
        case("es256k_all_zero", "r and s are 1 at least.", &|signature| signature.fill(0)),
        case("es256k_r_order", "r is below the group's order.", &|signature| {
            signature[..32].copy_from_slice(&ORDER);
        }),
        case("es256k_s_order", "s is below the group's order.", &|signature| {
            signature[32..].copy_from_slice(&ORDER);
        }),
        case("es256k_flipped_r", "One bit of r.", &|signature| signature[31] ^= 1),
        case("es256k_flipped_s", "One bit of s.", &|signature| signature[63] ^= 1),
        case("es256k_short", "A signature has 64 bytes.", &|signature| signature.truncate(63)),
        case("es256k_der", "Two numbers of 32 bytes, and not ASN.1.", &|signature| {
            let positive = |number: &[u8]| {
                let mut number = number.to_vec();
                if number[0] & 0x80 != 0 {
                    number.insert(0, 0);
                }
                [&[2, u8::try_from(number.len()).unwrap()], number.as_slice()].concat()
            };
            let both = [positive(&signature[..32]), positive(&signature[32..])].concat();
            *signature = [&[0x30, u8::try_from(both.len()).unwrap()], both.as_slice()].concat();
        }),
        case("es256k_recoverable", "There is no 65th byte to find the key by.", &|signature| {
            signature.push(0)
        }),
        bad(
            "es256k_by_another_key",
            "bad_signature",
            "signature",
            "The key in the header has not signed.",
            &request(
                &job,
                &[EcSigner::new("other secp256k1 signer").signature(&signer().header(TYP), &b64u(&job))],
            ),
        ),
    ]
}

fn proofs() -> Vec<Case> {
    let session = Session::new(&Job::new());
    let seen = |case: Case, proof: &str| {
        case.with("job_id", id(&session.job))
            .with("worker", "echo")
            .with("enc", hex(session.enc()))
            .with("attempt", 1)
            .with("proof", proof)
    };
    let (header, claims) = (signer().header("subrosa-worker"), b64u(session.claims()));
    let signature = signer().signature(&header, &claims);
    let compact = |bytes: &[u8]| format!("{}.{claims}.{}", signature.protected, b64u(bytes));
    let (proof, high) = (compact(&signature.signature), compact(&high_s(&signature.signature)));
    let altered = session.claims().replace("\"attempt\":1", "\"attempt\":2");
    let altered = proof.replace(&claims, &b64u(altered));
    vec![
        seen(Case::ok("proof", "es256k", "A worker whose key is of secp256k1."), &proof)
            .with("signer", signer().thumbprint()),
        seen(Case::ok("proof", "es256k_high_s", "The same with the high s."), &high)
            .with("signer", signer().thumbprint()),
        seen(
            Case::not_ok(
                "proof",
                "es256k_altered",
                "refused",
                "signature",
                "The signature is over other bytes.",
            ),
            &altered,
        ),
    ]
}

fn trusts() -> Vec<Case> {
    let worker = Signer::new("worker").jwk();
    let key = |more: &str| signer().jwk().replace('}', &format!("{more}}}"));
    let set = |keys: &[&str]| format!(r#"{{"keys":[{}]}}"#, keys.join(","));
    let ok = |name: &str, about: &str, set: &str, good_for: &[&str]| {
        Case::ok("trust", name, about)
            .with("set", set)
            .with("key", signer().thumbprint())
            .with("good_for", json!(good_for))
    };
    let bad = |name: &str, fault: &str, because: &str, set: &str| {
        Case::not_ok("trust", name, "refused", fault, because).with("set", set)
    };
    let [x, y] = signer().coordinates().map(b64u);
    vec![
        ok(
            "secp256k1",
            "A key of the other kind, for one name.",
            &set(&[&key(r#","workers":["echo"]"#)]),
            &["worker echo"],
        ),
        ok(
            "authority",
            "An authority certifies keys, and serves no jobs.",
            &set(&[&key(r#","role":"authority""#)]),
            &["authority echo", "authority prove"],
        ),
        ok(
            "authority_names",
            "An authority for one name.",
            &set(&[&key(r#","role":"authority","workers":["prove"]"#)]),
            &["authority prove"],
        ),
        bad(
            "secp256k1_off_the_curve",
            "key",
            "No point of the curve, and one key that cannot be used refuses the file.",
            &set(&[&worker, &key("").replace(&y, &x)]),
        ),
        bad(
            "secp256k1_y_missing",
            "y",
            "A point has two coordinates.",
            &set(&[&key("").replace(&format!(r#","y":"{y}""#), "")]),
        ),
        bad(
            "secp256k1_private",
            "private",
            "A private key in a public file is none any more.",
            &set(&[&key(&format!(r#","d":"{x}""#))]),
        ),
        bad(
            "p256",
            "jwk",
            "Keys of other curves are refused.",
            &set(&[&key("").replace("secp256k1", "P-256")]),
        ),
    ]
}
