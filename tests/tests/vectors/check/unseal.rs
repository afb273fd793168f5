//! Opening what an end has sent itself, which no state of a session does.

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit as _,
    aead::{Aead as _, Payload},
};
use subrosa_protocol::{
    hpke::Exporter,
    wire::{Body, BodyError, Content, Head},
};

/// A message's head, and its body as it was written.
pub(crate) struct Plain {
    pub(crate) head_text: String,
    pub(crate) head: Head,
    pub(crate) body: Exact,
}

/// A body to be sealed as these very bytes.
pub(crate) struct Exact {
    content: Option<Content>,
    pub(crate) bytes: Vec<u8>,
}

impl Body for Exact {
    fn content(&self) -> Option<Content> {
        self.content
    }

    fn write(self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        out.extend(self.bytes);
        Ok(())
    }
}

/// Opens an envelope with the key that `context` exports; `None` if it is not what that end could have sent.
pub(crate) fn unseal(exporter: &Exporter, context: &[&[u8]], envelope: &[u8]) -> Option<Plain> {
    let key = exporter.export::<44>(context);
    let (key, base) = key.expose().split_at(32);
    let (header, sealed) = envelope.split_at_checked(44)?;
    let sealed = if header[1] == 1 { sealed.get(32..)? } else { sealed };
    let mut nonce: [u8; 12] = base.try_into().ok()?;
    for (byte, number) in nonce[4..].iter_mut().zip(&header[4..12]) {
        *byte ^= number;
    }
    let cipher = ChaCha20Poly1305::new_from_slice(key).ok()?;
    let plaintext = cipher.decrypt(&nonce.into(), Payload { msg: sealed, aad: header }).ok()?;
    let length = |at: usize| -> Option<usize> {
        u32::from_be_bytes(plaintext.get(at..at + 4)?.try_into().ok()?).try_into().ok()
    };
    let (head_end, body_bytes) = (8 + length(0)?, length(4)?);
    let head_text = String::from_utf8(plaintext.get(8..head_end)?.to_vec()).ok()?;
    let head: Head = serde_json::from_str(&head_text).ok()?;
    let bytes = plaintext.get(head_end..head_end + body_bytes)?.to_vec();
    Some(Plain { body: Exact { content: head.content, bytes }, head, head_text })
}
