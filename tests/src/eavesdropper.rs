//! Everything that the broker carries, and whether a text can be found in it, however it is encoded.

use std::sync::{Arc, Mutex};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use subrosa_protocol::encoding::hex;
use subrosa_transport::Connection;
use tokio::task::JoinHandle;

/// Listens on `>`, JetStream's own traffic included.
pub struct Eavesdropper {
    connection: Connection,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    listener: JoinHandle<()>,
}

impl Eavesdropper {
    /// Starts listening.
    pub async fn new(connection: Connection) -> Self {
        let mut everything = connection.subscribe(">").await.unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let messages = heard.clone();
        let listener = tokio::spawn(async move {
            while let Some(message) = everything.next().await {
                let mut bytes = message.subject.into_bytes();
                bytes.extend(message.reply.unwrap_or_default().into_bytes());
                bytes.extend(format!("{:?}", message.headers).into_bytes());
                bytes.push(b'\n');
                bytes.extend(&message.payload);
                messages.lock().unwrap().push(bytes);
            }
        });
        Self { connection, heard, listener }
    }

    /// Everything heard up to now.
    pub async fn stop(self) -> Vec<Vec<u8>> {
        // What was sent before has arrived by then, and been written down.
        self.connection.round_trip(super::lab::PATIENCE).await.unwrap();
        tokio::task::yield_now().await;
        self.listener.abort();
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

/// The ways in which `secret` could stand in a message: raw, in hexadecimal, in base64 of both alphabets at
/// each alignment, as `Debug` shows bytes, and escaped as JSON.
pub fn encodings(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![
        ("raw", secret.to_vec()),
        ("hex", hex(secret).into_bytes()),
        ("upper-case hex", hex(secret).to_uppercase().into_bytes()),
        ("a list of numbers", format!("{secret:?}").trim_matches(['[', ']']).into()),
        ("escaped bytes", secret.escape_ascii().to_string().into_bytes()),
    ];
    for (name, engine) in [("base64", &STANDARD_NO_PAD), ("base64url", &URL_SAFE_NO_PAD)] {
        for alignment in 0..3 {
            // Characters that also depend on what stands before or behind the secret are left out.
            let shifted = [&b"\0\0"[..alignment], secret].concat();
            let text = engine.encode(&shifted);
            let first = [0, 2, 3][alignment];
            let last = shifted.len() / 3 * 4;
            all.push((name, text.as_bytes()[first..last].to_vec()));
        }
    }
    if let Ok(text) = std::str::from_utf8(secret) {
        let escaped: String = text.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
        all.push(("escaped JSON", escaped.into_bytes()));
        let quoted = serde_json::to_string(text).unwrap();
        all.push(("JSON", quoted.trim_matches('"').as_bytes().to_vec()));
        // JSON within JSON.
        let twice = serde_json::to_string(quoted.trim_matches('"')).unwrap();
        all.push(("JSON in JSON", twice.trim_matches('"').as_bytes().to_vec()));
    }
    all
}

/// How `secret` was found in what was heard, if it was.
pub fn find(heard: &[Vec<u8>], secret: &[u8]) -> Option<&'static str> {
    assert!(secret.len() >= 12, "too short to be told from chance");
    encodings(secret).into_iter().find_map(|(name, encoded)| {
        let contains = |message: &Vec<u8>| message.windows(encoded.len()).any(|window| window == encoded);
        heard.iter().any(contains).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_encoding_and_alignment() {
        let secret = "a \"secret\" of Ümläuts";
        for shift in 0..6 {
            let around = |text: &[u8]| [&b"before"[..shift], text, b"behind"].concat();
            let raw = around(secret.as_bytes());
            for heard in [
                raw.clone(),
                hex(&raw).into_bytes(),
                hex(&raw).to_uppercase().into_bytes(),
                format!("{raw:?}").into_bytes(),
                raw.escape_ascii().to_string().into_bytes(),
                STANDARD_NO_PAD.encode(&raw).into_bytes(),
                URL_SAFE_NO_PAD.encode(&raw).into_bytes(),
                serde_json::to_vec(&String::from_utf8(raw.clone()).unwrap()).unwrap(),
            ] {
                assert!(find(&[heard], secret.as_bytes()).is_some());
            }
        }
        assert_eq!(find(&[b"something else altogether".to_vec()], secret.as_bytes()), None);
    }
}
