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
    let setup = Setup {
        job: &job,
        signers: &Signers::default(),
        attempt: Attempt::FIRST,
        identity: &identity,
        cert: None,
        instance,
        max_envelope_bytes,
    };
    let sent = Offer::new(&setup, &mut rng).unwrap().options(Empty).unwrap();
    let trust = Trust::pinned([identity.public()]);
    let mut client = Launched::new(job.clone(), [].into(), key, max_envelope_bytes);
    let options = client.open_options(sent.envelope, "_INBOX.a", &trust, &mut rng, 0).unwrap();
    let reply = options.session.answer(Empty).unwrap();
    match sent.next.receive(reply.envelope).unwrap() {
        Answer::Accepted { next, .. } => next,
        Answer::Failed(error) => panic!("{error:?}"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InboxCase {
    answered: Vec<String>,
    not_answered: Vec<String>,
}

pub(crate) fn inbox(case: &Case) -> Verdict {
    let members: InboxCase = case.read()?;
    let wrong = |subjects: &[String], expected| {
        subjects.iter().find(|subject| may_answer(subject) != expected).cloned()
    };
    same("answered", wrong(&members.answered, true), None)?;
    same("not_answered", wrong(&members.not_answered, false), None)?;
    ok()
}
