//! Who reads JSON of the protocol.

use serde_json::{Value, json};
use subrosa_client::JobState;
use subrosa_fuzz::{
    envelope, receipt, record,
    verdict::agreed,
    world::{NOW_MS, Party, namespace},
};
use subrosa_protocol::{
    encoding::b64u,
    fuzzing::read_private,
    id::{Attempt, JobId, Sha256Hash},
    identity::{Proof, PublicKey, Signature, Trust, Typ, sign_compact, verify_compact},
    job::{Description, Job},
    json,
    launch::LaunchRequest,
    wire::Head,
};
use subrosa_transport::Alive;

/// Whether somebody takes a text. Of several parties that read the same, all have to agree.
type Takes = Box<dyn Fn(&[u8]) -> bool>;

/// Somebody who reads a JSON object.
pub(crate) struct Reader {
    pub(crate) name: &'static str,
    /// What it takes.
    pub(crate) good: Value,
    pub(crate) takes: Takes,
    /// Whether it ignores members that it does not know. A header of a signature may have no others.
    pub(crate) ignores: bool,
    /// Where integers are.
    pub(crate) integers: &'static [&'static str],
    /// Where base64url is.
    pub(crate) base64: &'static [&'static str],
}

impl Reader {
    fn new(name: &'static str, good: Value, takes: impl Fn(&[u8]) -> bool + 'static) -> Self {
        Self { name, good, takes: Box::new(takes), ignores: true, integers: &[], base64: &[] }
    }

    fn with(self, integers: &'static [&'static str], base64: &'static [&'static str]) -> Self {
        Self { integers, base64, ..self }
    }

    /// The good text with one member, at this pointer, replaced by this JSON.
    pub(crate) fn replaced(&self, pointer: &str, json: &str) -> String {
        const PLACE: &str = "@ here @";
        let mut good = self.good.clone();
        *good.pointer_mut(pointer).unwrap() = PLACE.into();
        good.to_string().replace(&format!("{PLACE:?}"), json)
    }
}

/// A job with every member that there is.
pub(crate) fn job() -> Job {
    Job::new(Description {
        worker: "echo".parse().unwrap(),
        client: Some(Party::Stranger.key().thumbprint()),
        label: Some("label".to_owned()),
        client_key: [9; 32].as_slice().try_into().unwrap(),
        psk_id: Some("psk".to_owned()),
        reply: namespace().reply("AliceAliceAlice01").unwrap(),
        created_ms: NOW_MS,
        expires_ms: NOW_MS + 60_000,
        timeout_ms: 60_000,
        max_attempts: 3,
        cancel: Sha256Hash([1; 32]),
        close: Sha256Hash([2; 32]),
        input: Some(Sha256Hash([3; 32])),
    })
    .unwrap()
}

fn value(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap()
}

/// A launch request for these bytes, which the owner of [`job`] has signed.
pub(crate) fn request(job: &[u8]) -> Vec<u8> {
    let payload = b64u(job);
    let signature = Signature::sign(Party::Stranger.key(), Typ::Job, &payload);
    json!({ "payload": payload, "signatures": [signature] }).to_string().into_bytes()
}

/// A record of this party.
fn record_by(name: &'static str, party: Party, event: Value) -> Reader {
    let mut good = json!({ "job": JobId::of(b"job"), "at_ms": NOW_MS, "attempt": 1, "prev": b64u([6; 32]) });
    good.as_object_mut().unwrap().extend(event.as_object().unwrap().clone());
    Reader::new(name, good, move |text| record::signed(text, party).is_ok())
}

fn records() -> [Reader; 4] {
    let queued = json!({ "event": "queued", "attempt": 0, "request": b64u(request(job().bytes())) });
    let times = json!({ "taken_ms": 1, "options_ms": 2, "payload_ms": 3, "done_ms": 4, "closed_ms": 5 });
    [
        record_by("queued", Party::Launcher, queued).with(&["/at_ms", "/attempt"], &["/prev", "/request"]),
        record_by("taken", Party::Worker, json!({ "event": "taken", "instance": b64u([5; 16]) }))
            .with(&["/at_ms", "/attempt"], &["/prev", "/instance"]),
        record_by(
            "closed",
            Party::Worker,
            json!({ "event": "closed", "close": b64u([7; 32]), "times": times }),
        )
        .with(
            &[
                "/at_ms",
                "/attempt",
                "/times/taken_ms",
                "/times/options_ms",
                "/times/payload_ms",
                "/times/done_ms",
                "/times/closed_ms",
            ],
            &["/prev", "/close"],
        ),
        record_by(
            "cancelled",
            Party::Launcher,
            json!({ "event": "cancelled", "cancel": b64u([8; 32]), "code": "cancelled", "reason": "why" }),
        )
        .with(&["/at_ms", "/attempt"], &["/prev", "/cancel"]),
    ]
}

fn head() -> Reader {
    let good = json!({
        "content": "json", "re": 1, "worker": "a proof", "instance": b64u([5; 16]), "close": b64u([2; 32]),
        "receipt": "a receipt", "salt": b64u([4; 32]), "event": { "progress": 0.5, "message": "half" },
    });
    let takes = |text: &[u8]| {
        // And so does who opens the envelope around it.
        let lengths = [u32::try_from(text.len()).unwrap().to_be_bytes(), [0; 4]];
        envelope::check(&[&[1], lengths.as_flattened(), text].concat());
        Head::parse(text).is_some()
    };
    Reader::new("head", good, takes).with(&["/re"], &["/instance", "/close", "/salt"])
}

fn receipt() -> Reader {
    let client = Party::Stranger.key().thumbprint();
    let good = json!({
        "job": JobId::of(b"job"), "worker": "echo", "attempt": 2, "started_ms": 1, "finished_ms": 2,
        "client": client, "signers": [client],
        "input_hash": Sha256Hash([1; 32]), "result_hash": Sha256Hash([2; 32]),
    });
    Reader::new("receipt", good, |text| receipt::signed(text, Party::Worker)).with(
        &["/attempt", "/started_ms", "/finished_ms"],
        &["/client", "/signers/0", "/input_hash", "/result_hash"],
    )
}

fn proof() -> Reader {
    let good =
        json!({ "job": JobId::of(b"job"), "worker": "echo", "enc": Sha256Hash([1; 32]), "attempt": 2 });
    let expected = Proof {
        job: JobId::of(b"job"),
        worker: "echo".parse().unwrap(),
        enc: Sha256Hash([1; 32]),
        attempt: Attempt::new(2).unwrap(),
    };
    let takes = move |text: &[u8]| {
        let jws = sign_compact(Party::Worker.key(), Typ::Worker, text);
        Proof::verify(&jws, &expected).is_ok()
    };
    Reader::new("proof", good, takes).with(&["/attempt"], &["/enc"])
}

fn keys() -> [Reader; 4] {
    let public = serde_json::to_value(Party::Worker.key().public()).unwrap();
    let mut private = public.clone();
    private["d"] = b64u([2; 32]).into();
    let set = json!({ "keys": [public] });
    let header = json!({ "alg": "EdDSA", "typ": "subrosa-record", "jwk": public });
    let verifies = |header: &[u8]| {
        let jws = Party::Worker.sign(header, b"payload");
        verify_compact(Typ::Record, jws.as_bytes(), 8192).is_ok()
    };
    [
        Reader::new("public key", public, |text| PublicKey::from_jwk(text).is_ok()).with(&[], &["/x"]),
        Reader::new("private key", private, |text| read_private(text).is_ok()).with(&[], &["/x", "/d"]),
        Reader::new("trust", set, |text| Trust::from_jwk_set(text).is_ok()).with(&[], &["/keys/0/x"]),
        Reader { ignores: false, ..Reader::new("header", header, verifies).with(&[], &["/jwk/x"]) },
    ]
}

/// What a client reads of a launcher's answer.
fn state() -> Reader {
    let good = json!({
        "job": JobId::of(b"job"), "worker": "echo", "state": "failed", "attempt": 1, "at_ms": NOW_MS,
        "code": "timeout", "reason": "why", "record": "the record",
    });
    Reader::new("state", good, |text| json::parse::<JobState>(text).is_ok())
        .with(&["/attempt", "/at_ms"], &[])
}

/// All of them.
pub(crate) fn all() -> Vec<Reader> {
    let job_reader = Reader::new("job", value(job().bytes()), |text| agreed(&request(text)).is_ok()).with(
        &["/v", "/created_ms", "/expires_ms", "/timeout_ms", "/max_attempts"],
        &["/client", "/client_key", "/cancel", "/close", "/input"],
    );
    let launch_request = LaunchRequest::new(job(), &[Party::Stranger.key()]).unwrap();
    let launch = Reader::new("launch request", value(launch_request.bytes()), |text| agreed(text).is_ok())
        .with(&[], &["/payload", "/signatures/0/protected", "/signatures/0/signature"]);
    let alive = Reader::new("alive", json!({ "attempt": 1 }), |text| Alive::parse(text).is_some())
        .with(&["/attempt"], &[]);
    let mut readers = vec![job_reader, launch, head(), proof(), receipt(), alive, state()];
    readers.extend(records());
    readers.extend(keys());
    for reader in &readers {
        assert!((reader.takes)(reader.good.to_string().as_bytes()), "{} refuses what is good", reader.name);
    }
    readers
}
