//! Writes the inputs that fuzzing begins with to `corpus/`: what programs really say to each other, signed with
//! real keys. The same every time.
//!
//! ```console
//! $ cargo run --no-default-features --example seeds
//! ```

use std::{fs, io, path::Path};

use serde_json::{Value, json};
use subrosa_fuzz::world::{NOW_MS, Party, namespace};
use subrosa_protocol::{
    audit::{Message, write_line},
    encoding::b64u,
    hpke::RecipientKey,
    id::{Attempt, Instance, JobId, Sha256Hash},
    identity::{Certificate, SigningKey, Typ, sign_compact},
    job::{Description, Job},
    json::{self as strict, Int},
    launch::LaunchRequest,
    receipt::{Receipt, Salt},
    record::{Event, Reason, Record, Times},
    refusal::StepCode,
    secret::Secret,
    wire::{self, Content, ErrorMember, Head, LogLevel},
};

fn main() -> io::Result<()> {
    let seeds: [(&str, Vec<Vec<u8>>); 11] = [
        ("audit", histories()),
        ("config", configs()),
        ("envelope", envelopes()),
        ("head", heads()),
        ("job", jobs()),
        ("jwk", keys()),
        ("jws", signatures()),
        ("launch", requests()),
        ("receipt", receipts()),
        ("record", records()),
        ("ticket", tickets()),
    ];
    for (target, seeds) in seeds {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::create_dir_all(&folder)?;
        for (number, seed) in (1..).zip(&seeds) {
            fs::write(folder.join(format!("seed-{number:02}")), seed)?;
        }
        println!("{target}: {} seeds", seeds.len());
    }
    Ok(())
}

fn configs() -> Vec<Vec<u8>> {
    let files = "key_file = \"launcher.jwk\"\ntrust_file = \"trust.json\"\n";
    let resident = "[[worker]]\nname = \"echo\"\nbackend = \"resident\"\n";
    let process = "[[worker]]\nname = \"create-proof\"\nbackend = \"process\"\ncommand = [\"./w\", \"--fast\"]\n\
                   key_file = \"w.jwk\"\ntrust_file = \"t.json\"\n";
    [
        subrosa_launcher::config::EXAMPLE.to_owned(),
        format!("{files}{resident}"),
        format!(
            "{files}{resident}{process}max_running = 2\nenv = {{ A = \"b\" }}\ninbox_prefix = \"_INBOX_w\"\n"
        ),
        format!("namespace = \"acme\"\nmax_requests = 9\n{files}[nats]\nurl = \"nats://n:4222\"\n{resident}"),
        format!("{files}{resident}[timing]\nack_wait = \"5s\"\nsweep = \"1 m\"\ndrain = \"0ms\"\n"),
        format!(
            "{files}{resident}[streams.queue]\nreplicas = 3\nstorage = \"memory\"\nmax_bytes = \"512MiB\"\n\
             [streams.records]\nmax_age = \"30d\"\nmax_bytes = 1048576\n"
        ),
    ]
    .map(String::into_bytes)
    .into()
}

fn description() -> Description {
    Description {
        worker: "echo".parse().expect("a name"),
        client: None,
        label: None,
        client_key: [9; 32].as_slice().try_into().expect("32 bytes"),
        psk_id: None,
        reply: namespace().reply("AliceAliceAlice01").expect("a token"),
        created_ms: NOW_MS,
        expires_ms: NOW_MS + 600_000,
        timeout_ms: 60_000,
        max_attempts: 3,
        cancel: Sha256Hash::of([1; 32]),
        close: Sha256Hash::of(Sha256Hash::of([2; 32]).0),
        input: None,
    }
}

/// Jobs with all that may be in one, each in turn.
fn descriptions() -> Vec<Description> {
    let owner = Party::Stranger.key().thumbprint();
    vec![
        description(),
        Description { client: Some(owner), ..description() },
        Description { label: Some("invoice 4711, \"näh\"\n".to_owned()), ..description() },
        Description { psk_id: Some("ours".to_owned()), ..description() },
        Description { input: Some(Sha256Hash::of("payload")), max_attempts: 10, ..description() },
    ]
}

fn written(description: &Description) -> Job {
    Job::new(description.clone()).expect("in order")
}

fn jobs() -> Vec<Vec<u8>> {
    let mut jobs: Vec<_> = descriptions().iter().map(|d| written(d).bytes().to_vec()).collect();
    let mut job: Value = serde_json::from_slice(&jobs[0]).expect("JSON");
    job["crit"] = json!(["label", "client"]);
    job["note"] = json!({ "deep": [[[1, 1.5, -1, 1e300, null, true, "\u{1F511}"]]] });
    jobs.push(job.to_string().into_bytes());
    job["crit"] = json!(["colour"]);
    job["suite"] = json!("x-wing");
    jobs.push(job.to_string().into_bytes());
    jobs
}

fn requests() -> Vec<Vec<u8>> {
    let ([owner, worker], wallet) = ([Party::Stranger.key(), Party::Worker.key()], wallet());
    let mut requests = Vec::new();
    for description in descriptions() {
        let job = written(&description);
        for signers in [&[][..], &[owner][..], &[owner, worker][..], &[owner, &wallet][..]] {
            requests
                .push(LaunchRequest::new(job.clone(), signers).expect("each signs once").bytes().to_vec());
        }
    }
    requests
}

/// Tickets with and without what was sent, of an owned job and of one that is bound to its input.
fn tickets() -> Vec<Vec<u8>> {
    let key = RecipientKey::from_secret(Secret::take(&mut [7; 32]));
    let (owner, salt) = (Party::Stranger.key(), Salt::take(&mut [3; 32]));
    let own = Description { client_key: *key.public(), ..description() };
    let owned = Description { client: Some(owner.thumbprint()), ..own.clone() };
    let bound = Description { input: Some(salt.payload_hash(Sha256Hash::of("77"))), ..own.clone() };
    let ticket = |description: &Description, signers: &[&SigningKey]| {
        let request = LaunchRequest::new(written(description), signers).expect("each signs once");
        let kept = |content: &str, body: &str| json!({ "content": content, "body": b64u(body) });
        json!({
            "v": 1,
            "request": b64u(request.bytes()),
            "secrets": {
                "v": 1,
                "job": request.job().id(),
                "client_key": b64u([7; 32]),
                "cancel": b64u([1; 32]),
                "close": b64u([2; 32]),
            },
            "attempt": 1,
            "sent": { "options": Sha256Hash::of("null"), "payload": Sha256Hash::of("77") },
            "options": kept("json", "null"),
            "payload": kept("bytes", "77"),
        })
    };
    let mut without = ticket(&own, &[]);
    without["attempt"] = json!(3);
    without.as_object_mut().expect("an object").retain(|name, _| name != "options" && name != "payload");
    let mut salted = ticket(&bound, &[]);
    salted["secrets"]["salt"] = json!(*salt.reveal());
    let all = [ticket(&own, &[]), without, salted, ticket(&owned, &[owner, Party::Worker.key()])];
    all.map(|ticket| ticket.to_string().into_bytes()).into()
}

fn signatures() -> Vec<Vec<u8>> {
    let types = [Typ::Job, Typ::Worker, Typ::Receipt, Typ::Record, Typ::Cert];
    let mut inputs: Vec<_> =
        types.map(|typ| [b"\0", sign_compact(Party::Worker.key(), typ, b"{}").as_bytes()].concat()).into();
    for (choice, party) in [(1, Party::Launcher), (3, Party::Worker), (5, Party::Stranger)] {
        for alg in ["EdDSA", "Ed25519", "ES256K"] {
            let header = json!({ "alg": alg, "typ": "subrosa-record", "jwk": party.key().public().to_jwk() });
            inputs.push([&[choice], header.to_string().as_bytes()].concat());
        }
    }
    let signed = [sign_compact(&wallet(), Typ::Record, b"{}"), certificate(Party::Stranger.key(), None)];
    let image = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let signed = signed.into_iter().chain([certificate(&wallet(), Some(image))]);
    inputs.extend(signed.map(|jws| [b"\0", jws.as_bytes()].concat()));
    let header = json!({ "alg": "EdDSA", "typ": "subrosa-job", "jwk": Party::Launcher.key().public().to_jwk(),
        "kid": "me", "crit": ["b64"], "b64": false });
    inputs.push([b"\x01", header.to_string().as_bytes()].concat());
    inputs
}

/// A key of the other kind.
fn wallet() -> SigningKey {
    SigningKey::secp256k1(&Secret::take(&mut [4; 32])).expect("a scalar")
}

/// The worker's key, certified by somebody.
fn certificate(authority: &SigningKey, image: Option<&str>) -> String {
    let certificate = Certificate {
        worker: "echo".parse().expect("a name"),
        key: Party::Worker.key().public(),
        issued_s: NOW_MS / 1000,
        expires_s: NOW_MS / 1000 + 86_400,
        image: image.map(|image| image.parse().expect("a digest")),
    };
    certificate.sign(authority)
}

fn keys() -> Vec<Vec<u8>> {
    let public = |party: Party| serde_json::to_value(party.key().public()).expect("a JWK");
    let with = |party: Party, member: &str, value: Value| {
        let mut jwk = public(party);
        jwk[member] = value;
        jwk
    };
    [
        public(Party::Launcher),
        public(Party::Worker),
        with(Party::Launcher, "role", json!("launcher")),
        with(Party::Worker, "workers", json!(["echo", "create-proof"])),
        with(Party::Worker, "role", json!("authority")),
        with(Party::Worker, "d", json!(b64u([2; 32]))),
        with(Party::Worker, "use", json!("sig")),
        json!({ "kty": "EC", "crv": "secp256k1", "x": b64u([1; 32]), "y": b64u([1; 32]) }),
        serde_json::to_value(wallet().public()).expect("a JWK"),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": b64u([0; 32]) }),
        json!({ "kty": "oct", "k": b64u([1; 32]) }),
    ]
    .map(|jwk| jwk.to_string().into_bytes())
    .into()
}

fn instance() -> Instance {
    b64u([9; 16]).parse().expect("16 bytes")
}

fn events() -> Vec<(u16, Event)> {
    let instance = instance();
    let times = Times { taken_ms: Int::try_from(NOW_MS).ok(), done_ms: Some(Int::MAX), ..Times::default() };
    let request = LaunchRequest::unsigned(written(&description())).bytes().to_vec();
    vec![
        (0, Event::Queued { request }),
        (1, Event::Taken { instance }),
        (10, Event::Running { instance }),
        (2, Event::Finished),
        (1, Event::Closed { close: [2; 32], times }),
        (3, Event::Failed(Reason::new("bad_input", ""))),
        (0, Event::Cancelled { cancel: Some([1; 32]), reason: Reason::new("cancelled", "by its client") }),
        (0, Event::Expired(Reason::new("expired", "no worker took the job in time"))),
    ]
}

fn records() -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for (choice, (attempt, event)) in (0_u8..).zip(events()) {
        let prev = (attempt > 0).then(|| Sha256Hash::of("before"));
        let record = Record { job: JobId::of(b"job"), at_ms: NOW_MS, attempt, prev, event };
        let signed = record.sign(Party::pick(choice).key());
        let payload = signed.split(|byte| *byte == b'.').nth(1).expect("three parts");
        let payload = subrosa_protocol::encoding::b64u_decode(payload).expect("base64url");
        inputs.push([b"\0", &signed[..]].concat());
        inputs.push([&[2 * choice + 1], &payload[..]].concat());
    }
    let event = Event::Taken { instance: instance() };
    let record = Record { job: JobId::of(b"job"), at_ms: NOW_MS, attempt: 1, prev: None, event };
    let cert = certificate(&wallet(), None);
    inputs.push([b"\0", &record.sign_certified(Party::Worker.key(), Some(&cert))[..]].concat());
    inputs
}

/// Every four bytes are a message: what and in which attempt, by whom, after which, when.
fn histories() -> Vec<Vec<u8>> {
    let [queued, taken, running, finished, closed] = [0_u8, 1, 2, 3, 4];
    // A party, and that it shows the right tokens.
    let [launcher, worker, stranger] = [12_u8, 13, 14];
    let first = |event: u8| event + 9;
    let whole = [
        [queued, launcher, 0, 0],
        [first(taken), worker, 0, 1],
        [first(running), worker, 0, 1],
        [first(finished), worker, 0, 2],
        [first(closed), launcher, 0, 3],
    ];
    let story = |messages: &[[u8; 4]]| [&[1], &messages.concat()[..]].concat();
    let other = |at: usize, message: [u8; 4]| {
        let mut messages = whole;
        messages[at] = message;
        story(&messages)
    };
    let record = Record {
        job: JobId::of(b"job"),
        at_ms: NOW_MS,
        attempt: 0,
        prev: None,
        event: Event::Expired(Reason::new("expired", "")),
    };
    let record = record.sign(Party::Launcher.key());
    let lines =
        [&record[..], b"junk \n", b""].map(|bytes| write_line(&Message::new(bytes.to_vec()), Some(7)));
    vec![
        story(&whole),
        story(&whole[..3]),
        story(&whole[1..]),
        other(4, [first(closed), 0, 0, 3]),
        other(4, [first(closed), stranger, 0, 3]),
        other(3, [taken + 18, worker, 0, 2]),
        other(3, [first(taken), worker, 1, 1]),
        other(4, [queued, launcher, 255, 0]),
        [b"\0", lines.join("\n").as_bytes()].concat(),
        [b"\0", lines[0].as_bytes()].concat(),
    ]
}

fn receipt(owned: bool) -> Receipt {
    let salt = Salt::take(&mut [5; 32]);
    let owner = Party::Stranger.key().thumbprint();
    Receipt {
        job: JobId::of(b"job"),
        worker: "echo".parse().expect("a name"),
        attempt: Attempt::FIRST,
        started_ms: NOW_MS,
        finished_ms: NOW_MS + 5,
        client: owned.then_some(owner),
        signers: owned.then_some([owner, Party::Launcher.key().thumbprint()]).into_iter().flatten().collect(),
        input_hash: salt.input_hash(Sha256Hash::of("null"), Sha256Hash::of("77")),
        result_hash: salt.result_hash(Sha256Hash::of("78")),
    }
}

fn receipts() -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for (choice, owned) in [(1, false), (1, true), (2, true)] {
        let signed = receipt(owned).sign(Party::pick(choice).key());
        let payload = signed.split('.').nth(1).expect("three parts");
        let payload = subrosa_protocol::encoding::b64u_decode(payload).expect("base64url");
        inputs.push([b"\0", signed.as_bytes()].concat());
        inputs.push([&[2 * choice + 1], &payload[..]].concat());
    }
    inputs
}

fn heads() -> Vec<Vec<u8>> {
    let proof = sign_compact(Party::Worker.key(), Typ::Worker, b"{}");
    let instance = Some(instance());
    [
        Head::default(),
        Head { content: Some(Content::Json), worker: Some(proof.clone()), instance, ..Head::default() },
        Head {
            content: Some(Content::Json),
            worker: Some(proof),
            cert: Some(certificate(&wallet(), None)),
            instance,
            ..Head::default()
        },
        Head {
            content: Some(Content::Bytes),
            re: Some(Int::MAX),
            salt: Some(Salt::take(&mut [4; 32])),
            ..Head::default()
        },
        Head {
            content: Some(Content::Stream),
            re: Some(Int::from(0)),
            close: Some([2; 32]),
            ..Head::default()
        },
        Head {
            content: Some(Content::Json),
            receipt: Some(receipt(true).sign(Party::Worker.key())),
            salt: Some(Salt::take(&mut [5; 32])),
            ..Head::default()
        },
        Head { error: Some(ErrorMember::new(StepCode::BadInput, "no \"such\"\n")), ..Head::default() },
        Head { event: Some(wire::Event::progress(0.25, "proving")), ..Head::default() },
        Head { event: Some(wire::Event::log(LogLevel::Warn, "slow")), ..Head::default() },
        Head { cancel: Some([1; 32]), ..Head::default() },
    ]
    .map(|head| strict::to_vec(&head))
    .into()
}

fn envelopes() -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for (choice, head) in (0_u8..).zip(heads()) {
        for body in [&b""[..], b"{\"value\":77}"] {
            let lengths =
                [head.len(), body.len()].map(|bytes| u32::try_from(bytes).expect("short").to_be_bytes());
            let mut plaintext = [lengths.as_flattened(), &head, body].concat();
            inputs.push([&[2 * choice + 1], &plaintext[..]].concat());
            plaintext.resize(plaintext.len().next_multiple_of(64), 0);
            inputs.push([&[2 * choice + 1], &plaintext[..]].concat());
        }
    }
    for kind in [0x01, 0x04, 0x83, 0x05] {
        inputs.push([&[0, 1, kind, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7][..], &[0xEE; 32], &[0; 16]].concat());
    }
    inputs
}
