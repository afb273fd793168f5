//! How values are written in the files.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use serde::{Deserialize, Deserializer, de::Error as _};

/// Bytes, as lower-case hexadecimal.
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl Hex {
    pub(crate) fn array<const N: usize>(&self) -> Result<[u8; N], String> {
        self.0.as_slice().try_into().map_err(|_| format!("{} bytes in place of {N}", self.0.len()))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let digits = text.as_bytes();
        let fits = digits.len() % 2 == 0 && digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !fits {
            return Err(D::Error::custom("not hexadecimal"));
        }
        let bytes =
            digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap());
        Ok(Self(bytes.collect()))
    }
}

/// A text, whole or in parts.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Text {
    Whole(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Part {
    Once(String),
    Often(Often),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Often {
    repeat: String,
    times: usize,
}

impl Text {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let part = |part: &Part| match part {
            Part::Once(text) => text.clone(),
            Part::Often(Often { repeat, times }) => repeat.repeat(*times),
        };
        match self {
            Self::Whole(text) => text.clone().into_bytes(),
            Self::Parts(parts) => parts.iter().map(part).collect::<String>().into_bytes(),
        }
    }
}

/// Randomness that is a file's; zeros after its end.
pub(crate) struct Given(std::vec::IntoIter<u8>);

impl Given {
    pub(crate) fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(bytes.as_ref().to_vec().into_iter())
    }
}

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("nothing in the protocol asks for a number")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("nothing in the protocol asks for a number")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes.iter_mut() {
            *byte = self.0.next().unwrap_or_default();
        }
        Ok(())
    }
}

impl TryCryptoRng for Given {}
