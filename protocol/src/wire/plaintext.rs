//! `u32 head length || u32 body length || head || body || zero padding`.

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use super::{
    buffer::{Buffer, Erased},
    envelope::TAG_BYTES,
    head::{Content, Head},
    padding::padded,
};
use crate::{id::Sha256Hash, receipt::Salt};

/// Length of the two lengths, in bytes.
const LENGTHS_BYTES: usize = 8;

/// Something that can be a record's body. It is written straight into the buffer that is then sealed.
///
/// ```
/// use subrosa_protocol::wire::{Body, Content, Json, Raw};
///
/// let mut out = Vec::new();
/// assert_eq!(Json([1, 2]).content(), Some(Content::Json));
/// Json([1, 2]).write(&mut out)?;
/// Raw(b"\xFF").write(&mut out)?;
/// assert_eq!(out, b"[1,2]\xFF");
/// # Ok::<(), subrosa_protocol::wire::BodyError>(())
/// ```
pub trait Body {
    /// What the body is; `None` if there is none.
    fn content(&self) -> Option<Content>;

    /// Appends the body to `out`, where at least [`Body::size_hint`] bytes fit without its moving.
    ///
    /// # Errors
    ///
    /// When a value has no JSON form.
    fn write(self, out: &mut Vec<u8>) -> Result<(), BodyError>;

    /// How many bytes the body has, if that is known beforehand. A vector that has to move while it is
    /// written to leaves a copy behind.
    fn size_hint(&self) -> usize {
        0
    }
}

/// A body that has no JSON form, or whose JSON is not what was expected.
///
/// The text is serde's, which may repeat parts of the body: it is for the two peers alone.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct BodyError(String);

impl BodyError {
    fn stream() -> Self {
        Self("is a stream, which is not supported here".to_owned())
    }
}

/// A body of JSON.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> Body for Json<T> {
    fn content(&self) -> Option<Content> {
        Some(Content::Json)
    }

    fn write(self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        serde_json::to_writer(Buffer::new(out), &self.0).map_err(|error| BodyError(error.to_string()))
    }
}

/// A body of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Raw<B>(pub B);

impl<B: AsRef<[u8]>> Body for Raw<B> {
    fn content(&self) -> Option<Content> {
        Some(Content::Bytes)
    }

    fn write(self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        Buffer::new(out).extend(self.0.as_ref());
        Ok(())
    }

    fn size_hint(&self) -> usize {
        self.0.as_ref().len()
    }
}

/// No body.
#[derive(Clone, Copy, Debug)]
pub struct Empty;

impl Body for Empty {
    fn content(&self) -> Option<Content> {
        None
    }

    fn write(self, _: &mut Vec<u8>) -> Result<(), BodyError> {
        Ok(())
    }
}

/// A body that is written already, so that its hash is known before it is sealed.
pub(crate) struct Written {
    content: Option<Content>,
    bytes: Erased,
}

impl Written {
    pub(crate) fn new(body: impl Body) -> Result<Self, BodyError> {
        let content = body.content();
        let mut bytes = Vec::with_capacity(body.size_hint());
        let written = body.write(&mut bytes);
        // Taken first: what was written up to an error is overwritten too.
        let bytes = Erased::new(bytes);
        written.map(|()| Self { content, bytes })
    }

    pub(crate) fn hash(&self) -> Sha256Hash {
        Sha256Hash::of_secret(&self.bytes)
    }
}

impl Body for Written {
    fn content(&self) -> Option<Content> {
        self.content
    }

    fn write(self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        (&self).write(out)
    }

    fn size_hint(&self) -> usize {
        self.bytes.len()
    }
}

impl Body for &Written {
    fn content(&self) -> Option<Content> {
        self.content
    }

    fn write(self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        Raw(&*self.bytes).write(out)
    }

    fn size_hint(&self) -> usize {
        self.bytes.len()
    }
}

/// The hash of a body's bytes.
///
/// # Errors
///
/// When a value has no JSON form.
pub fn body_hash(body: impl Body) -> Result<Sha256Hash, BodyError> {
    Written::new(body).map(|written| written.hash())
}

/// What a head has beside its long texts, in bytes; most have less.
const SHORT_MEMBERS_BYTES: usize = 192;

/// About how many bytes the plaintext will have, for one allocation that is large enough.
pub(super) fn size_hint(head: &Head, body: &impl Body) -> usize {
    let proof = head.worker.as_ref().or(head.receipt.as_ref()).map_or(0, String::len);
    let message = head.error.as_ref().map_or(0, |error| error.message.len());
    let head_bytes = SHORT_MEMBERS_BYTES + proof + message;
    padded(body.size_hint().saturating_add(LENGTHS_BYTES + head_bytes))
}

/// Appends the plaintext to `out`, padded, and leaves room for the tag.
pub(super) fn write(head: &mut Head, body: impl Body, out: &mut Vec<u8>) -> Result<(), BodyError> {
    let start = out.len();
    head.content = body.content();
    out.extend_from_slice(&[0; LENGTHS_BYTES]);
    serde_json::to_writer(Buffer::new(out), head).map_err(|error| BodyError(error.to_string()))?;
    let head_bytes = out.len() - start - LENGTHS_BYTES;
    body.write(out)?;
    let length = out.len() - start;
    let body_bytes = length - LENGTHS_BYTES - head_bytes;
    let too_long = || BodyError("is over 4 GiB".to_owned());
    let lengths = [
        u32::try_from(head_bytes).map_err(|_| too_long())?.to_be_bytes(),
        u32::try_from(body_bytes).map_err(|_| too_long())?.to_be_bytes(),
    ];
    for (byte, value) in out.iter_mut().skip(start).zip(lengths.as_flattened()) {
        *byte = *value;
    }
    let padding = padded(length) - length;
    Buffer::new(out).reserve(padding + TAG_BYTES);
    out.resize(start + length + padding, 0);
    Ok(())
}

/// An opened record: its head, and the body where it was opened.
pub struct Opened {
    // Boxed, because what carries this is passed on by value.
    head: Box<Head>,
    buffer: Erased,
    body: std::ops::Range<usize>,
}

impl Opened {
    /// Takes apart the plaintext that lies in `buffer` at `at`; `None` if it is malformed.
    pub(super) fn parse(buffer: Vec<u8>, at: std::ops::Range<usize>) -> Option<Self> {
        let buffer = Erased::new(buffer);
        let plaintext = buffer.get(at.clone())?;
        let (head_bytes, rest) = plaintext.split_first_chunk()?;
        let (body_bytes, rest) = rest.split_first_chunk()?;
        let head_bytes = usize::try_from(u32::from_be_bytes(*head_bytes)).ok()?;
        let body_bytes = usize::try_from(u32::from_be_bytes(*body_bytes)).ok()?;
        let (head, rest) = rest.split_at_checked(head_bytes)?;
        let (body, padding) = rest.split_at_checked(body_bytes)?;
        if padding.iter().any(|byte| *byte != 0) {
            return None;
        }
        let head = Box::new(Head::parse(head)?);
        if head.content.is_none() && !body.is_empty() {
            return None;
        }
        let body_start = at.start + LENGTHS_BYTES + head_bytes;
        Some(Self { head, body: body_start..body_start + body_bytes, buffer })
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Takes the receipt and its salt out of the head.
    pub(crate) fn take_receipt(&mut self) -> (Option<String>, Option<Salt>) {
        (self.head.receipt.take(), self.head.salt.take())
    }

    /// The body's bytes; empty if there is none.
    pub fn body(&self) -> &[u8] {
        self.buffer.get(self.body.clone()).unwrap_or_default()
    }

    /// The body as a value. No body is JSON's `null`.
    ///
    /// # Errors
    ///
    /// A body that is not JSON, or not of this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, BodyError> {
        let json = match self.head.content {
            Some(Content::Json) => self.body(),
            Some(Content::Bytes) => return Err(BodyError("is bytes, not JSON".to_owned())),
            Some(Content::Stream) => return Err(BodyError::stream()),
            None => b"null",
        };
        serde_json::from_slice(json).map_err(|error| BodyError(error.to_string()))
    }

    /// The body as bytes, whatever they are.
    ///
    /// # Errors
    ///
    /// A body that travels as a stream.
    pub fn bytes(&self) -> Result<&[u8], BodyError> {
        match self.head.content {
            Some(Content::Stream) => Err(BodyError::stream()),
            Some(Content::Json | Content::Bytes) | None => Ok(self.body()),
        }
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opened")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(body: impl Body) -> Vec<u8> {
        let mut out = vec![9; 3];
        write(&mut Head::default(), body, &mut out).unwrap();
        out
    }

    fn parsed(buffer: Vec<u8>) -> Option<Opened> {
        let end = buffer.len();
        Opened::parse(buffer, 3..end)
    }

    #[test]
    fn what_is_written_is_read() {
        let buffer = written(Json([1, 2, 3]));
        assert_eq!(buffer.len(), 3 + 256);
        let opened = parsed(buffer).unwrap();
        assert_eq!(opened.body(), b"[1,2,3]");
        assert_eq!(opened.json::<Vec<u8>>().unwrap(), [1, 2, 3]);
        assert_eq!(parsed(written(Raw(b"\0\0"))).unwrap().body(), b"\0\0");
        assert_eq!(parsed(written(Empty)).unwrap().body(), b"");
    }

    #[test]
    fn padding_is_zero_and_any_length() {
        let mut more = written(Json(1));
        more.extend([0; 1000]);
        assert!(parsed(more).is_some());
        let mut exact = written(Json(1));
        exact.truncate(3 + 8 + br#"{"content":"json"}"#.len() + 1);
        assert!(parsed(exact.clone()).is_some());
        exact.pop();
        assert!(parsed(exact).is_none(), "shorter than it says");
        let mut dirty = written(Json(1));
        *dirty.last_mut().unwrap() = 1;
        assert!(parsed(dirty).is_none());
    }

    #[test]
    fn lengths_beyond_the_buffer_are_refused_before_use() {
        for at in [0, 4] {
            let mut long = written(Json(1));
            long[3 + at..7 + at].copy_from_slice(&u32::MAX.to_be_bytes());
            assert!(parsed(long).is_none());
        }
        assert!(parsed(vec![0; 3 + 7]).is_none());
    }

    #[test]
    fn debug_shows_the_name_only() {
        assert_eq!(format!("{:?}", parsed(written(Json("secret"))).unwrap()), "Opened");
    }
}
