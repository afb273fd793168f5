//! The small rules.

use rand::{SeedableRng as _, rngs::StdRng};
use serde::Deserialize;
use subrosa_protocol::{
    hpke::RecipientKey,
    id::{Attempt, Instance, Sha256Hash},
    identity::{SigningKey, Trust},
    job::{Description, Job},
    launch::Signers,
    session::{
        client::Launched,
        worker::{Answer, HasOptions, Offer, Setup},
    },
    subject::{Namespace, may_answer},
    wire::{Empty, Raw},
};

use super::{Case, Verdict, ok, same};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaddingCase {
    lengths: Vec<(usize, usize)>,
}

/// Length of a plaintext's two lengths and of the head that a body of bytes has.
const BEFORE_BODY_BYTES: usize = 8 + r#"{"content":"bytes"}"#.len();
/// Length of header and tag.
const AROUND_BYTES: usize = 44 + 16;

pub(crate) fn padding(case: &Case) -> Verdict {
    let members: PaddingCase = case.read()?;
    let mut worker = worker();
    for (length, padded) in members.lengths {
        let body = length.checked_sub(BEFORE_BODY_BYTES).ok_or("too short for a message")?;
        let sent = worker.ready(Raw(vec![0; body])).map_err(|error| error.to_string())?;
        same("lengths", (length, sent.envelope.len() - AROUND_BYTES), (length, padded))?;
        worker = self::worker();
    }
    ok()
}

/// A worker of any session that may send a body of any length.
fn worker() -> HasOptions {
    let mut rng = StdRng::seed_from_u64(1);
    let key = RecipientKey::generate(&mut rng);
    let description = Description {
        worker: "echo".parse().unwrap(),
        client: None,
        label: None,
        client_key: *key.public(),
        psk_id: None,
        reply: Namespace::default().reply("AliceAliceAlice01").unwrap(),
        created_ms: 0,
        expires_ms: 0,
        timeout_ms: 1,
        max_attempts: 1,
        cancel: Sha256Hash([0; 32]),
        close: Sha256Hash([0; 32]),
        input: None,
    };
    let (job, identity) = (Job::new(description).unwrap(), SigningKey::generate(&mut rng));
    let instance = Instance::random(&mut rng);
    let max_envelope_bytes = 2 << 20;
