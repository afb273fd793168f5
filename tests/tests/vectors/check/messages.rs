//! Messages: brought to a client or worker that is where the file says.

use serde::Deserialize;
use subrosa_protocol::{
    identity::Trust,
    job::Job,
    receipt::SaltedReceipt,
    subject::Namespace,
    wire::{ErrorMember, Event, Head, Opened},
};

use super::{Case, Verdict, client::Client, fields::Hex, ok, same, unseal::Plain, worker::Worker};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageCase {
    receiver: String,
    job: String,
    client_secret: Option<Hex>,
    nonces: Option<Vec<Hex>>,
    trust: Option<String>,
    #[serde(default)]
    signers: Vec<String>,
    worker_secret: Option<Hex>,
    attempt: Option<u16>,
    worker_seed: Option<Hex>,
    instance: Option<String>,
    past: Vec<Hex>,
    #[serde(default)]
    dropped: Vec<Hex>,
    envelope: Hex,
    padded_bytes: Option<usize>,
    head: Option<String>,
    body: Option<String>,
    body_hex: Option<Hex>,
}

/// What a state gives out.
pub(crate) enum Got {
    /// A message, as it was opened.
    Opened(Opened),
    /// A result, as it was opened, and the receipt that was taken out of its head.
    Result(Opened, Box<SaltedReceipt>),
    /// The peer's error, which is all that counts of such a message.
    Error(ErrorMember),
    /// An event.
    Event(Event),
    /// The token that has cancelled the job.
    Cancelled([u8; 32]),
    /// An acknowledgement, of which nothing counts but that it has come.
    Acknowledged,
}

/// Something else than taking a message: the word for it.
pub(crate) type Refused = &'static str;

/// Either end of a session.
pub(crate) trait End {
    /// Whether a message of this kind is one that this end sends.
    fn sends(&self, kind: u8) -> bool;

    /// Writes a message of the past anew; fails unless it becomes the same bytes.
    fn send(&mut self, envelope: &[u8]) -> Result<(), String>;

    /// Takes a message.
    fn receive(&mut self, envelope: &[u8]) -> Result<Got, Refused>;

    /// The message that was taken, opened without the session's states: they keep some of it to themselves.
    fn unseal(&self, envelope: &[u8]) -> Option<Plain>;
}

pub(crate) fn message(case: &Case) -> Verdict {
    let members: MessageCase = case.read()?;
    let job =
        Job::parse(members.job.clone().into_bytes(), &Namespace::default()).map_err(|e| e.to_string())?;
    let mut end = members.end(job)?;
    for (number, past) in members.past.iter().enumerate() {
        let past = &past.0;
        if past.get(1).is_some_and(|kind| end.sends(*kind)) {
            end.send(past).map_err(|why| format!("`past[{number}]` {why}"))?;
        } else {
            end.receive(past).map_err(|verdict| format!("`past[{number}]`: {verdict}"))?;
        }
    }
    for (number, dropped) in members.dropped.iter().enumerate() {
        match end.receive(&dropped.0) {
            Err("drop" | "untrusted") => {}
            Err(verdict) => return Err(format!("`dropped[{number}]`: {verdict}")),
            Ok(_) => return Err(format!("`dropped[{number}]` is taken")),
        }
    }
    match end.receive(&members.envelope.0) {
        Ok(got) if case.is_ok => {
            members.compare(&got)?;
            members.compare_plain(end.unseal(&members.envelope.0).ok_or("does not open by itself")?)?;
            ok()
        }
        Ok(_) => ok(),
        Err(verdict) => Ok(verdict.to_owned()),
    }
}

impl MessageCase {
    fn end(&self, job: Job) -> Result<Box<dyn End>, String> {
        let missing = || "a member of the receiver's is missing".to_owned();
        match self.receiver.as_str() {
            "client" => {
                let secret = self.client_secret.as_ref().ok_or_else(missing)?.array()?;
                let nonces: Result<Vec<_>, _> = self.nonces.iter().flatten().map(Hex::array).collect();
                let trust = self.trust.as_ref().ok_or_else(missing)?;
                let trust = Trust::from_jwk_set(trust.as_bytes()).map_err(|error| error.to_string())?;
                let signers: Result<_, _> = self.signers.iter().map(|signer| signer.parse()).collect();
                let signers = signers.map_err(|_| "`signers` are none".to_owned())?;
                Ok(Box::new(Client::new(job, signers, secret, &nonces?, trust)))
            }
            "worker" => {
                let secret = self.worker_secret.as_ref().ok_or_else(missing)?.array()?;
                let seed = self.worker_seed.as_ref().ok_or_else(missing)?.array()?;
                let (attempt, instance) =
                    (self.attempt.ok_or_else(missing)?, self.instance.as_ref().ok_or_else(missing)?);
                Ok(Box::new(Worker::new(job, secret, attempt, seed, instance)?))
            }
            other => Err(format!("there is no receiver {other}")),
        }
    }

    /// What is in the envelope.
    fn compare_plain(&self, plain: Plain) -> Result<(), String> {
        let clear_bytes = if self.envelope.0.get(1) == Some(&1) { 44 + 32 } else { 44 };
        same("padded_bytes", Some(self.envelope.0.len() - clear_bytes - 16), self.padded_bytes)?;
        same("head", Some(plain.head_text.as_str()), self.head.as_deref())?;
        same("body", Some(plain.body.bytes.as_slice()), self.body())
    }

    fn body(&self) -> Option<&[u8]> {
        let text = self.body.as_ref().map(|body| body.as_bytes());
        text.or(self.body_hex.as_ref().map(|body| body.0.as_slice()))
    }

    /// What a state made of it.
    fn compare(&self, got: &Got) -> Result<(), String> {
        let text = self.head.as_deref().unwrap_or_default();
        let mut head: Head = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match got {
            Got::Result(opened, receipt) => {
                same("head", Some(&receipt.jws), head.receipt.take().as_ref())?;
                let salt = head.salt.take().map(|salt| salt.reveal().to_string());
                same("head", Some(receipt.salt.reveal().to_string()), salt)?;
                same("head", format!("{:?}", opened.head()), format!("{head:?}"))?;
                same("body", Some(opened.body()), self.body())
            }
            Got::Opened(opened) => {
                // A head is nothing but its members, and shows them all.
                same("head", format!("{:?}", opened.head()), format!("{head:?}"))?;
                same("body", Some(opened.body()), self.body())
            }
            Got::Error(error) => same("head", Some(error), head.error.as_ref()),
            Got::Event(event) => same("head", Some(event), head.event.as_ref()),
            Got::Cancelled(token) => same("head", Some(*token), head.cancel),
            Got::Acknowledged => Ok(()),
        }
    }
}
