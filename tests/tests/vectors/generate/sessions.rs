//! Sessions' keys, from both ends' secrets.

use super::{
    case::Case,
    encoding::{b64u, fixed, hex},
    hpke::{self, Keys, Psk},
    job::Job,
};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = derived();
    cases.extend(refused());
    cases
}

fn case(name: &str, about: &str, job: &Job, enc: [u8; 32], psk: Option<&Psk<'_>>, nonce: [u8; 32]) -> Case {
    let client_secret = fixed("client key");
    let keys = Keys::derive(job.text().as_bytes(), &client_secret, &enc, psk, &nonce);
    let mut case = Case::ok("session", name, about)
        .with("job", job.text())
        .with("client_secret", hex(client_secret))
        .with("client_key", hex(hpke::public(&client_secret)))
        .with("enc", hex(enc));
    if let Some(psk) = psk {
        case = case.with("psk_id", psk.id).with("psk", hex(psk.key));
    }
    case.with("nonce", hex(nonce))
        .with("info", hex(keys.info))
        .with("shared_secret", hex(keys.shared_secret))
        .with("exporter_secret", hex(keys.exporter_secret))
        .with("options_key", hex(keys.options))
        .with("to_client_key", hex(keys.to_client))
        .with("to_worker_key", hex(keys.to_worker))
}

fn derived() -> Vec<Case> {
    let job = Job::new();
    let psk = Psk { id: "team key 1", key: fixed("psk") };
    let with_psk = job.clone().set("psk_id", format!("\"{}\"", psk.id));
    let secret = fixed("worker key, attempt 1");
    let enc = hpke::public(&secret);
    let mut high_bit = enc;
    high_bit[31] |= 0x80;
    let nonce = fixed("N, attempt 1");
    let secret = |case: Case| case.with("worker_secret", hex(secret));
    vec![
        secret(case("base", "Mode base.", &job, enc, None, nonce)),
        secret(case(
            "other_nonce",
            "As base/ with another N: only the two keys that it goes into differ.",
            &job,
            enc,
            None,
            fixed("another N"),
        )),
        secret(case(
            "other_job",
            "As base/ with another job: everything after the shared secret differs.",
            &job.clone().set("max_attempts", "4"),
            enc,
            None,
            nonce,
        )),
        secret(case(
            "psk",
            "Mode psk, which version 1 reserves (section 12): for who has it.",
            &with_psk,
            enc,
            Some(&psk),
            nonce,
        )),
        case(
            "enc_high_bit",
            "As base/ with the bit of enc set that X25519 ignores: another enc, so another shared secret.",
            &job,
            high_bit,
            None,
            nonce,
        ),
    ]
}

/// Keys that leave the other end no say in the result.
fn refused() -> Vec<Case> {
    let points = [
        ("all_zero", [0; 32]),
        ("one", std::array::from_fn(|at| u8::from(at == 0))),
        ("order_8", bytes("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")),
        ("p_minus_1", bytes("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")),
        ("p", bytes("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")),
        ("p_high_bit", bytes("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff")),
    ];
    let because = "The shared secret is all zeros, and everybody knows it.";
    let refused = |name: String| Case::not_ok("session", &name, "no_session", "zero", because);
    let by_worker = points.iter().map(|(name, point)| {
        let job = Job::new().set("client_key", format!("\"{}\"", b64u(point)));
        refused(format!("client_key_{name}"))
            .with("job", job.text())
            .with("worker_secret", hex(fixed("worker key, attempt 1")))
            .with("client_key", hex(point))
    });
    let by_client = points.iter().map(|(name, point)| {
        refused(format!("enc_{name}"))
            .with("job", Job::new().text())
            .with("client_secret", hex(fixed("client key")))
            .with("enc", hex(point))
    });
    by_worker.chain(by_client).collect()
}

fn bytes(digits: &str) -> [u8; 32] {
    std::array::from_fn(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
}
