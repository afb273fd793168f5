//! Launch requests whose signatures do not hold.

use super::{
    case::Case,
    encoding::{b64u, unused_bit_set},
    job::Job,
    jws::{self, Signature, Signer, signed_by_nobody},
    launches::{TYP, bad, filled, request, signer, with_header},
};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = bad_headers();
    cases.extend(bad_keys());
    cases.extend(bad_signatures());
    cases
}

fn bad_headers() -> Vec<Case> {
    let case = |name: &str, fault: &str, because: &str, change: &dyn Fn(String) -> String| {
        bad(name, "bad_signature", fault, because, &with_header(change))
    };
    let typ = |other: &'static str| move |header: String| header.replace("subrosa-job", other);
    let alg = |other: &'static str| move |header: String| header.replace("EdDSA", other);
    let more = |member: &'static str| move |header: String| header.replacen('{', &format!("{{{member},"), 1);
    let key =
        |member: &'static str| move |header: String| header.replace("\"crv\"", &format!("{member},\"crv\""));
    vec![
        case(
            "typ_record",
            "typ",
            "What is signed as one thing is not taken for another.",
            &typ("subrosa-record"),
        ),
        case(
            "typ_application",
            "typ",
            "A media type's prefix does not make it the same text.",
            &typ("application/subrosa-job"),
        ),
        case("typ_missing", "header", "`typ` has to be there.", &|header| {
            header.replace(r#""typ":"subrosa-job","#, "")
        }),
        case("alg_none", "alg", "The key says how it verifies.", &alg("none")),
        case("alg_es256k", "alg", "The algorithm does not fit the key.", &alg("ES256K")),
        case("alg_hs256", "alg", "A public key is no secret to authenticate with.", &alg("HS256")),
        case("alg_ed448", "alg", "The algorithm does not fit the key.", &alg("Ed448")),
        case("header_kid", "header", "The header has exactly alg, typ and jwk.", &more(r#""kid":"1""#)),
        case("header_crit", "header", "No extension is understood.", &more(r#""crit":["exp"],"exp":1"#)),
        case(
            "header_crit_empty",
            "header",
            "The header has exactly alg, typ and jwk.",
            &more(r#""crit":[]"#),
        ),
        case(
            "header_b64",
            "header",
            "The payload is base64url always (not RFC 7797).",
            &more(r#""b64":false"#),
        ),
        case(
            "header_twice",
            "json",
            "Readers differ in which of two members they take.",
            &more(r#""alg":"none""#),
        ),
        case("header_trailing", "json", "Nothing follows the end.", &|header| header + "{}"),
        case("header_array", "header", "A header is an object.", &|header| format!("[{header}]")),
        case("header_too_long", "size", "2049 bytes.", &|header| {
            header.clone() + &" ".repeat(2049 - header.len())
        }),
        case(
            "jwk_private",
            "private",
            "A private key that travels is none any more.",
            &key(r#""d":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA""#),
        ),
        case(
            "jwk_private_null",
            "private",
            "A private member is one whatever its value.",
            &key(r#""d":null"#),
        ),
        case("jwk_kid", "jwk", "The key has exactly crv, kty and x.", &key(r#""kid":"1""#)),
        case("jwk_missing", "header", "`jwk` has to be there.", &|header| {
            header[..header.find(",\"jwk\"").unwrap()].to_owned() + "}"
        }),
        case("jwk_x25519", "jwk", "X25519 keys do not sign.", &|header| {
            header.replace("\"crv\":\"Ed25519\"", "\"crv\":\"X25519\"")
        }),
        case("jwk_ec", "jwk", "Ed25519 is a curve of `OKP`.", &|header| header.replace("OKP", "EC")),
        case("jwk_x_short", "x", "An Ed25519 key has 32 bytes.", &|header| {
            header.replace(&b64u(signer().public()), &b64u(&signer().public()[..31]))
        }),
        case("jwk_x_unused_bits", "x", "Unused bits of base64url are zero.", &|header| {
            header.replace(&b64u(signer().public()), &unused_bit_set(&b64u(signer().public())))
        }),
    ]
}

fn bad_keys() -> Vec<Case> {
    let job = Job::new().text();
    let case = |name: &str, because: &str, key: [u8; 32]| {
        let signature = signed_by_nobody(TYP, &key, &b64u(&job));
        bad(name, "bad_signature", "key", because, &request(&job, &[signature]))
    };
    let neutral = std::array::from_fn(|at| u8::from(at == 0));
    let p_plus_one = std::array::from_fn(|at| [0xEE, 0xFF, 0x7F][usize::from(at > 0) + usize::from(at > 30)]);
    let minus_zero = std::array::from_fn(|at| [1, 0, 0x80][usize::from(at > 0) + usize::from(at > 30)]);
    let no_point = std::array::from_fn(|at| if at == 0 { 2 } else { 0 });
    let header = jws::header(TYP, &no_point);
    let no_point = request(&job, &[signer().signature(&header, &b64u(&job))]);
    vec![
        case("key_neutral", "A point of order 1: any s with R = s·B satisfies the equation.", neutral),
        case(
            "key_all_zero",
            "A point of order 4: for every fourth text the equation can be satisfied by anybody.",
            [0; 32],
        ),
        case("key_not_canonical", "y = p + 1 is another spelling of the neutral element.", p_plus_one),
        case(
            "key_minus_zero",
            "x = 0 with its sign set is another spelling of the neutral element.",
            minus_zero,
        ),
        bad("key_no_point", "bad_signature", "key", "There is no point with y = 2.", &no_point),
    ]
}

fn bad_signatures() -> Vec<Case> {
    let (job, signer) = (Job::new().text(), signer());
    let payload = b64u(&job);
    let header = signer.header(TYP);
    let sign = || signer.signature(&header, &payload);
    let case = |name: &str, fault: &str, because: &str, signature: Signature| {
        bad(name, "bad_signature", fault, because, &request(&job, &[signature]))
    };
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut signature = sign();
        change(&mut signature.signature);
        signature
    };
    let text = |from: &str, to: &str| request(&job, &[sign()]).replace(from, to);
    let (valid, owner) = (sign().json(), Signer::new("owner"));
    let owned = Job::new().set("client", format!("\"{}\"", owner.thumbprint())).text();
    let encoded = b64u(sign().signature);
    vec![
        case("signature_flipped", "signature", "One bit of R.", changed(|signature| signature[0] ^= 1)),
        case("signature_flipped_s", "signature", "One bit of s.", changed(|signature| signature[40] ^= 1)),
        case(
            "signature_zero",
            "signature",
            "R of small order, and s = 0.",
            changed(|signature| signature.fill(0)),
        ),
        case(
            "signature_short",
            "signature",
            "A signature has 64 bytes.",
            changed(|signature| signature.truncate(63)),
        ),
        case("signature_empty", "signature", "A signature has 64 bytes.", changed(Vec::clear)),
        case(
            "signature_unreduced",
            "signature",
            "s plus the group's order is s for who does not look.",
            sign().unreduced(),
        ),
        case(
            "signature_small_r",
            "signature",
            "R is the neutral element: only the equation holds.",
            signer.signature_with_small_r(&header, &payload),
        ),
        case(
            "signature_of_another_payload",
            "signature",
            "The signature is over another job.",
            signer.signature(&header, &b64u(Job::new().set("max_attempts", "4").text())),
        ),
        case(
            "signature_by_another_key",
            "signature",
            "The key in the header has not signed.",
            Signer::new("other signer").signature(&header, &payload),
        ),
        bad(
            "signature_unused_bits",
            "bad_signature",
            "signature",
            "Unused bits of base64url are zero.",
            &text(&encoded, &unused_bit_set(&encoded)),
        ),
        case(
            "protected_unused_bits",
            "header",
            "Unused bits of base64url are zero.",
            signer.signature_over(unused_bit_set(&b64u(filled(&header))), &payload),
        ),
        bad(
            "one_of_two",
            "bad_signature",
            "signature",
            "One signature that does not verify refuses all.",
            &format!(
                r#"{{"payload":"{payload}","signatures":[{valid},{}]}}"#,
                changed(|signature| signature[63] ^= 1).json()
            ),
        ),
        bad(
            "owner_missing",
            "unauthorized",
            "client",
            "Another has signed for the owner.",
            &request(&owned, &[signer.signature(&header, &b64u(&owned))]),
        ),
        bad("owner_unsigned", "unauthorized", "client", "The owner has to sign.", &request(&owned, &[])),
    ]
}
