//! Trust files: who may do what.

use serde_json::json;

use super::{
    case::Case,
    encoding::{b64u, unused_bit_set},
    jws::{self, Signer, jwk},
};

pub(crate) fn cases() -> Vec<Case> {
    let worker = Signer::new("worker");
    let key = |more: &str| worker.jwk().replace('}', &format!("{more}}}"));
    let set = |keys: &[&str]| format!(r#"{{"keys":[{}]}}"#, keys.join(","));
    let ok = |name: &str, about: &str, set: &str, good_for: &[&str]| {
        Case::ok("trust", name, about)
            .with("set", set)
            .with("key", worker.thumbprint())
            .with("good_for", json!(good_for))
    };
    let bad = |name: &str, fault: &str, because: &str, set: &str| {
        Case::not_ok("trust", name, "refused", fault, because).with("set", set)
    };
    let case = |name, fault, because, more: &str| bad(name, fault, because, &set(&[&key(more)]));
    let stranger = Signer::new("stranger").jwk();
    let all_zero = jwk(&[0; 32]);
    let x = b64u(worker.public());
    vec![
        ok("empty", "Nobody.", &set(&[]), &[]),
        ok(
            "worker",
            "A key without `role` is a worker's, for every name.",
            &set(&[&key("")]),
            &["worker echo", "worker prove"],
        ),
        ok("other_key", "Another's key.", &set(&[&stranger]), &[]),
        ok(
            "names",
            "A worker's key for one name.",
            &set(&[&key(r#","role":"worker","workers":["echo"]"#)]),
            &["worker echo"],
        ),
        ok(
            "launcher",
            "A launcher's key is for records, and serves no jobs.",
            &set(&[&key(r#","role":"launcher""#)]),
            &["launcher"],
        ),
        ok(
            "both",
            "One key may stand there twice, in two roles.",
            &set(&[&key(r#","role":"launcher""#), &key(r#","workers":["prove"]"#)]),
            &["worker prove", "launcher"],
        ),
        ok(
            "unknown_members",
            "Other members of a JWK are ignored.",
            &set(&[&key(r#","kid":"1","use":"sig","x5c":[]"#)]),
            &["worker echo", "worker prove"],
        ),
        case(
            "private",
            "private",
            "A private key in a public file is none any more.",
            &format!(r#","d":"{x}""#),
        ),
        case("role_unknown", "role", "There are three roles.", r#","role":"admin""#),
        case("role_null", "role", "An optional member is left out, never null.", r#","role":null"#),
        case("names_empty", "workers", "To allow every name `workers` is left out.", r#","workers":[]"#),
        case("names_null", "workers", "An optional member is left out, never null.", r#","workers":null"#),
        case("names_upper_case", "workers", "That is no worker's name.", r#","workers":["Echo"]"#),
        case(
            "names_of_a_launcher",
            "workers",
            "A launcher's key has no `workers`.",
            r#","role":"launcher","workers":["echo"]"#,
        ),
        case(
            "twice",
            "json",
            "Readers differ in which of two members they take.",
            r#","role":"worker","role":"launcher""#,
        ),
        bad(
            "small_order",
            "key",
            "A key of small order, and one that cannot be used refuses the file.",
            &set(&[&key(""), &all_zero]),
        ),
        bad(
            "not_canonical",
            "key",
            "A point of large order, and y + p in place of its y: a key has one spelling, and one name.",
            &set(&[&jwk(&jws::not_canonical())]),
        ),
        bad(
            "x_unused_bits",
            "x",
            "Unused bits of base64url are zero.",
            &set(&[&worker.jwk().replace(&x, &unused_bit_set(&x))]),
        ),
        bad("kty_missing", "jwk", "A key has `kty`.", &set(&[&worker.jwk().replace(r#""kty":"OKP","#, "")])),
        bad("keys_missing", "keys", "A JWK Set has `keys`.", "{}"),
        bad("array", "object", "A JWK Set is an object.", &format!("[{}]", key(""))),
    ]
}
