//! The 44 bytes that everyone can read, and nobody can change.

/// Length of the header, in bytes.
pub(crate) const HEADER_BYTES: usize = 44;
/// Length of the AEAD's tag, in bytes (RFC 8439, section 2.8).
pub(crate) const TAG_BYTES: usize = 16;
/// No envelope is shorter than this.
pub const MIN_ENVELOPE_BYTES: usize = HEADER_BYTES + TAG_BYTES;

/// The protocol's version, the first byte of every envelope.
const VERSION: u8 = 1;

/// What an envelope carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Worker to client: the encapsulated key, the proof and the worker's public parameters.
    Options,
    /// Worker to client: ready for the payload.
    Ready,
    /// Worker to client: the result, or an error.
    Done,
    /// Worker to client: progress or a log line; not answered.
    Event,
    /// Client to worker: the reply to `options`.
    OptionsReply,
    /// Client to worker: the reply to `ready`.
    ReadyReply,
    /// Client to worker: the reply to `done`.
    DoneReply,
    /// Client to worker: the job is cancelled.
    Cancel,
    /// Worker to client: the reply to `cancel`.
    CancelReply,
}

impl Kind {
    const ALL: [(Self, u8); 9] = [
        (Self::Options, 0x01),
        (Self::Ready, 0x02),
        (Self::Done, 0x03),
        (Self::Event, 0x04),
        (Self::OptionsReply, 0x81),
        (Self::ReadyReply, 0x82),
        (Self::DoneReply, 0x83),
        (Self::Cancel, 0x84),
        (Self::CancelReply, 0x86),
    ];

    /// The kind with this byte; unknown kinds are dropped.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(kind, b)| (b == byte).then_some(kind))
    }

    /// The byte that travels.
    pub fn byte(self) -> u8 {
        match self {
            Self::Options => 0x01,
            Self::Ready => 0x02,
            Self::Done => 0x03,
            Self::Event => 0x04,
            Self::OptionsReply => 0x81,
            Self::ReadyReply => 0x82,
            Self::DoneReply => 0x83,
            Self::Cancel => 0x84,
            Self::CancelReply => 0x86,
        }
    }

    /// The last token of the client's subject that the worker sends this kind to, if there is one.
    pub fn token(self) -> Option<&'static str> {
        match self {
            Self::Options => Some("options"),
            Self::Ready => Some("ready"),
            Self::Done => Some("done"),
            Self::Event => Some("event"),
            Self::OptionsReply | Self::ReadyReply | Self::DoneReply | Self::Cancel | Self::CancelReply => {
                None
            }
        }
    }
}

/// The envelope's header.
///
/// ```
/// use subrosa_protocol::wire::{Header, Kind, MIN_ENVELOPE_BYTES};
///
/// let mut envelope = vec![0; MIN_ENVELOPE_BYTES];
/// envelope[..4].copy_from_slice(&[1, Kind::Done.byte(), 0, 2]);
/// let header = Header::decode(&envelope).ok_or("not an envelope")?;
/// assert_eq!((header.kind, header.attempt, header.number), (Kind::Done, 2, 0));
/// assert_eq!(header.kind.token(), Some("done"));
/// assert!(Header::decode(&envelope[1..]).is_none());
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the envelope carries.
    pub kind: Kind,
    /// The attempt that it belongs to.
    pub attempt: u16,
    /// The record's number in its direction.
    pub number: u64,
    /// From the worker its ephemeral public key, from the client its N.
    pub key: [u8; 32],
}

impl Header {
    /// Appends the header's bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[VERSION, self.kind.byte()]);
        out.extend_from_slice(&self.attempt.to_be_bytes());
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.key);
    }

    /// Reads the header of an envelope; `None` if it is too short, or of another version or kind.
    pub fn decode(envelope: &[u8]) -> Option<Self> {
        if envelope.len() < MIN_ENVELOPE_BYTES {
            return None;
        }
        let (version, rest) = envelope.split_first()?;
        let (kind, rest) = rest.split_first()?;
        let (attempt, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (key, _) = rest.split_first_chunk()?;
        (*version == VERSION).then_some(())?;
        Some(Self {
            kind: Kind::from_byte(*kind)?,
            attempt: u16::from_be_bytes(*attempt),
            number: u64::from_be_bytes(*number),
            key: *key,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_documented_one() {
        let header =
            Header { kind: Kind::Done, attempt: 0x0102, number: 0x0304_0506_0708_090A, key: [0xEE; 32] };
        let mut envelope = Vec::new();
        header.write(&mut envelope);
        assert_eq!(envelope[..12], [1, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(envelope[12..], [0xEE; 32]);
        assert_eq!(Header::decode(&envelope), None, "shorter than header and tag");
        envelope.extend([0; TAG_BYTES]);
        assert_eq!(Header::decode(&envelope), Some(header));
    }

    #[test]
    fn other_versions_and_kinds_are_dropped() {
        let header = Header { kind: Kind::Event, attempt: 1, number: 0, key: [0; 32] };
        let mut envelope = Vec::new();
        header.write(&mut envelope);
        envelope.extend([0; TAG_BYTES]);
        for kind in 0..=255 {
            let mut other = envelope.clone();
            other[1] = kind;
            assert_eq!(Header::decode(&other).map(|h| h.kind.byte()), Kind::from_byte(kind).map(|_| kind));
        }
        for version in [0, 2, 255] {
            let mut other = envelope.clone();
            other[0] = version;
            assert_eq!(Header::decode(&other), None);
        }
    }
}
