//! Both ends of one session, and what either can send: also what no honest end would.

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit as _,
    aead::{Aead as _, Payload},
};

use super::{
    encoding::{b64u, fixed, hash, instance},
    hpke::{self, Keys, RecordKey},
    job::{CREATED_MS, Job, id},
    jws::Signer,
};

pub(crate) const OPTIONS: u8 = 0x01;
pub(crate) const READY: u8 = 0x02;
pub(crate) const DONE: u8 = 0x03;
pub(crate) const EVENT: u8 = 0x04;
pub(crate) const OPTIONS_REPLY: u8 = 0x81;
pub(crate) const READY_REPLY: u8 = 0x82;
pub(crate) const DONE_REPLY: u8 = 0x83;
pub(crate) const CANCEL: u8 = 0x84;
pub(crate) const CANCEL_REPLY: u8 = 0x86;

/// A session of one attempt at one job.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) job: String,
    pub(crate) attempt: u16,
    pub(crate) client_secret: [u8; 32],
    pub(crate) worker_secret: [u8; 32],
    pub(crate) nonce: [u8; 32],
    /// What stands in the header of the worker's messages.
    pub(crate) worker_key: [u8; 32],
    /// Who signed the job; its owner first, if it has one.
    pub(crate) signers: Vec<String>,
    pub(crate) owned: bool,
}

/// A message before it is sealed.
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) number: u64,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Session {
    /// The first attempt at this job.
    pub(crate) fn new(job: &Job) -> Self {
        let worker_secret = fixed("worker key, attempt 1");
        Self {
            job: job.text(),
            attempt: 1,
            client_secret: fixed("client key"),
            worker_secret,
            nonce: fixed("N, attempt 1"),
            worker_key: hpke::public(&worker_secret),
            signers: Vec::new(),
            owned: false,
        }
    }

    /// An attempt at a job that this owner, and these others, have signed.
    pub(crate) fn owned(job: Job, owner: &Signer, others: &[Signer]) -> Self {
        let owner = owner.thumbprint();
        let job = job.set("client", format!("\"{owner}\""));
        let signers = [owner].into_iter().chain(others.iter().map(Signer::thumbprint)).collect();
        Self { signers, owned: true, ..Self::new(&job) }
    }

    /// A further attempt at the same job.
    pub(crate) fn again(&self, attempt: u16) -> Self {
        let worker_secret = fixed(&format!("worker key, attempt {attempt}"));
        Self {
            attempt,
            worker_secret,
            nonce: fixed(&format!("N, attempt {attempt}")),
            worker_key: hpke::public(&worker_secret),
            ..self.clone()
        }
    }

    pub(crate) fn enc(&self) -> [u8; 32] {
        hpke::public(&self.worker_secret)
    }

    pub(crate) fn keys(&self) -> Keys {
        Keys::derive(self.job.as_bytes(), &self.client_secret, &self.enc(), None, &self.nonce)
    }

    /// The proof's payload.
    pub(crate) fn claims(&self) -> String {
        let (job, enc) = (id(&self.job), b64u(hash(self.enc())));
        format!(r#"{{"job":"{job}","worker":"echo","enc":"{enc}","attempt":{}}}"#, self.attempt)
    }

    pub(crate) fn proof(&self) -> String {
        let worker = Signer::new("worker");
        worker.compact(&worker.header("subrosa-worker"), self.claims())
    }

    /// The head of `options`.
    pub(crate) fn options_head(&self, proof: &str) -> String {
        format!(r#"{{"content":"json","worker":"{proof}","instance":"{}"}}"#, instance())
    }

    /// Seals what the worker sends.
    pub(crate) fn by_worker(&self, message: &Message) -> Vec<u8> {
        let keys = self.keys();
        let (key, enc) = if message.kind == OPTIONS {
            (keys.options, self.enc().to_vec())
        } else {
            (keys.to_client, Vec::new())
        };
        let header = self.header(message, &self.worker_key);
        seal(&key, message.number, &header, &enc, &message.plaintext())
    }

    /// Seals what the client sends.
    pub(crate) fn by_client(&self, message: &Message) -> Vec<u8> {
        let header = self.header(message, &self.nonce);
        seal(&self.keys().to_worker, message.number, &header, &[], &message.plaintext())
    }

    pub(crate) fn header(&self, message: &Message, key: &[u8; 32]) -> Vec<u8> {
        let mut header = vec![1, message.kind];
        header.extend(self.attempt.to_be_bytes());
        header.extend(message.number.to_be_bytes());
        header.extend(key);
        header
    }

    pub(crate) fn options(&self) -> Vec<u8> {
        self.by_worker(&Message::new(OPTIONS, 0, self.options_head(&self.proof()), "\"parameters\""))
    }

    pub(crate) fn options_reply(&self) -> Vec<u8> {
        self.by_client(&Message::json(OPTIONS_REPLY, 0, r#""re":0"#, OPTIONS_BODY))
    }

    pub(crate) fn ready(&self) -> Vec<u8> {
        self.by_worker(&Message::json(READY, 1, "", "null"))
    }

    pub(crate) fn ready_reply(&self) -> Vec<u8> {
        self.by_client(&Message::json(READY_REPLY, 1, r#""re":1"#, PAYLOAD))
    }

    pub(crate) fn done(&self) -> Vec<u8> {
        self.by_worker(&self.result(2, PAYLOAD, r#"{"proof":"abc"}"#))
    }

    /// What a receipt says, for the options of [`Session::options_reply`].
    pub(crate) fn statement(&self, payload: &str, result: &str) -> String {
        let hash_of = |hashes: &[[u8; 32]]| b64u(hash([&[receipt_salt()], hashes].concat().as_flattened()));
        let input = hash_of(&[hash(OPTIONS_BODY), hash(payload)]);
        let result = hash_of(&[hash(result)]);
        let client = if self.owned { format!(r#","client":"{}""#, self.signers[0]) } else { String::new() };
        let mut signers = self.signers.clone();
        signers.sort_unstable();
        let signers: Vec<_> = signers.iter().map(|signer| format!("\"{signer}\"")).collect();
        format!(
            r#"{{"job":"{}","worker":"echo","attempt":{},"started_ms":{},"finished_ms":{}{client},"signers":[{}],"input_hash":"{input}","result_hash":"{result}"}}"#,
            id(&self.job),
            self.attempt,
            CREATED_MS + 1000,
            CREATED_MS + 1250,
            signers.join(","),
        )
    }

    /// `done` with a result, and the receipt for it.
    pub(crate) fn result(&self, number: u64, payload: &str, result: &str) -> Message {
        Message::json(DONE, number, &proven(&by_the_worker(&self.statement(payload, result))), result)
    }

    pub(crate) fn done_reply(&self) -> Vec<u8> {
        self.by_client(&Message::json(
            DONE_REPLY,
            2,
            &format!(r#""re":2,"close":"{}""#, token()),
            "\"thanks\"",
        ))
    }

    /// All messages of a session that ends well, without events.
    pub(crate) fn whole(&self) -> [Vec<u8>; 6] {
        [
            self.options(),
            self.options_reply(),
            self.ready(),
            self.ready_reply(),
            self.done(),
            self.done_reply(),
        ]
    }
}

/// The body of all `options` replies.
pub(crate) const OPTIONS_BODY: &str = r#"{"label":"invoice 4711"}"#;
/// The body of the usual `ready` reply.
pub(crate) const PAYLOAD: &str = r#"{"value":77}"#;

/// The salt of all receipts.
pub(crate) fn receipt_salt() -> [u8; 32] {
    fixed("receipt salt")
}

/// A receipt by the worker.
pub(crate) fn by_the_worker(statement: &str) -> String {
    let worker = Signer::new("worker");
    worker.compact(&worker.header("subrosa-receipt"), statement)
}

/// The two members of the head of a `done` that prove its result.
pub(crate) fn proven(receipt: &str) -> String {
    format!(r#""receipt":"{receipt}","salt":"{}""#, b64u(receipt_salt()))
}

/// t of all jobs.
pub(crate) fn token() -> String {
    b64u(fixed("close token"))
}

impl Message {
    pub(crate) fn new(kind: u8, number: u64, head: impl Into<String>, body: impl AsRef<[u8]>) -> Self {
        Self { kind, number, head: head.into(), body: body.as_ref().to_vec() }
    }

    /// With a body of JSON, and further members of the head.
    pub(crate) fn json(kind: u8, number: u64, members: &str, body: &str) -> Self {
        let comma = if members.is_empty() { "" } else { "," };
        Self::new(kind, number, format!(r#"{{"content":"json"{comma}{members}}}"#), body)
    }

    /// Without a body.
    pub(crate) fn bare(kind: u8, number: u64, members: &str) -> Self {
        Self::new(kind, number, format!("{{{members}}}"), "")
    }

    /// Lengths, head and body, not padded.
    pub(crate) fn unpadded(&self) -> Vec<u8> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&length(self.head.as_bytes()), &length(&self.body), self.head.as_bytes(), &self.body].concat()
    }

    pub(crate) fn plaintext(&self) -> Vec<u8> {
        let mut plaintext = self.unpadded();
        plaintext.resize(padded(plaintext.len()), 0);
        plaintext
    }
}

/// Padmé, in the words of the protocol.
pub(crate) fn padded(length: usize) -> usize {
    let l = length.max(256);
    let e = l.ilog2();
    let s = e.ilog2() + 1;
    l.next_multiple_of(1 << (e - s))
}

/// One envelope: header, what stands in clear, ciphertext and tag.
pub(crate) fn seal(key: &RecordKey, number: u64, header: &[u8], clear: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let (key, base) = key.split_at(32);
    let number = [&[0; 4], number.to_be_bytes().as_slice()].concat();
    let nonce: [u8; 12] = std::array::from_fn(|at| base[at] ^ number[at]);
    let payload = Payload { msg: plaintext, aad: header };
    let cipher = ChaCha20Poly1305::new_from_slice(key).unwrap();
    [header, clear, &cipher.encrypt(&nonce.into(), payload).unwrap()].concat()
}
