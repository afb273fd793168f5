//! Base64url and hexadecimal, in their one canonical spelling each.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use thiserror::Error;

/// Base64url without padding; unused bits must be zero (RFC 4648, section 3.5).
const B64U: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(false),
);

/// Why a text could not be decoded. It never repeats the text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not base64url without padding, or with unused bits set.
    #[error("is not canonical base64url without padding")]
    NotBase64Url,
    /// Not lower-case hexadecimal.
    #[error("is not lower-case hexadecimal")]
    NotHex,
    /// Well-formed, but of another length than the field has.
    #[error("has {found} bytes, expected {expected}")]
    Length {
        /// The length that the field has, in bytes.
        expected: usize,
        /// The length found, in bytes.
        found: usize,
    },
}

/// Encodes `bytes` as base64url without padding.
pub fn b64u(bytes: impl AsRef<[u8]>) -> String {
    B64U.encode(bytes)
}

/// How many characters `bytes` bytes have as base64url.
pub(crate) const fn b64u_chars(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// Decodes canonical base64url without padding.
///
/// ```
/// use subrosa_protocol::encoding::{b64u, b64u_decode};
///
/// assert_eq!(b64u([0xFB, 0xFF]), "-_8");
/// assert_eq!(b64u_decode("-_8")?, [0xFB, 0xFF]);
/// for another_spelling in ["-_8=", "+/8", "-_9"] {
///     assert!(b64u_decode(another_spelling).is_err());
/// }
/// # Ok::<(), subrosa_protocol::encoding::DecodeError>(())
/// ```
///
/// # Errors
///
/// [`DecodeError::NotBase64Url`] for anything but the canonical spelling.
pub fn b64u_decode(text: impl AsRef<[u8]>) -> Result<Vec<u8>, DecodeError> {
    B64U.decode(text).map_err(|_| DecodeError::NotBase64Url)
}

/// Decodes canonical base64url of exactly `N` bytes, without allocating.
///
/// # Errors
///
/// Another length or spelling.
pub fn b64u_array<const N: usize>(text: impl AsRef<[u8]>) -> Result<[u8; N], DecodeError> {
    let mut bytes = [0; N];
    b64u_into(text, &mut bytes).map(|()| bytes)
}

/// As [`b64u_array`], to where the bytes stay: of a secret, no copy is made.
pub(crate) fn b64u_into<const N: usize>(
    text: impl AsRef<[u8]>,
    bytes: &mut [u8; N],
) -> Result<(), DecodeError> {
    let text = text.as_ref();
    if text.len() != b64u_chars(N) {
        return Err(DecodeError::Length { expected: N, found: text.len() / 4 * 3 + text.len() % 4 * 3 / 4 });
    }
    match B64U.decode_slice(text, bytes) {
        Ok(written) if written == N => Ok(()),
        _ => Err(DecodeError::NotBase64Url),
    }
}

/// Encodes `bytes` as lower-case hexadecimal.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('?'));
        }
    }
    text
}

/// Decodes lower-case hexadecimal of exactly `N` bytes.
///
/// ```
/// use subrosa_protocol::encoding::{hex, hex_array};
///
/// assert_eq!(hex([0xAB, 1]), "ab01");
/// assert_eq!(hex_array("ab01"), Ok([0xAB, 1]));
/// assert!(hex_array::<2>("AB01").is_err());
/// ```
///
/// # Errors
///
/// Another length, an upper-case digit, or no digit at all.
pub fn hex_array<const N: usize>(text: &str) -> Result<[u8; N], DecodeError> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return Err(DecodeError::Length { expected: N, found: digits.len() / 2 });
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return Err(DecodeError::NotHex),
            };
            *byte = *byte << 4 | value;
        }
    }
    Ok(bytes)
}

/// Serde support for byte arrays as base64url members: `#[serde(with = "crate::encoding::b64u_member")]`.
pub(crate) mod b64u_member {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(bytes: impl AsRef<[u8]>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::b64u(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        from: D,
    ) -> Result<[u8; N], D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        super::b64u_array(text.as_bytes()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_has_one_spelling() {
        assert_eq!(b64u([0xFB, 0xFF]), "-_8");
        assert_eq!(b64u_array::<2>("-_8").unwrap(), [0xFB, 0xFF]);
        for bad in ["-_9", "-_8=", "+/8", "-_ 8", "-_8\n"] {
            assert!(b64u_decode(bad).is_err(), "{bad:?}");
            assert!(b64u_array::<2>(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lengths_are_checked_before_decoding() {
        for length in 0..=40 {
            let text = b64u(vec![1; length]);
            match b64u_array::<32>(&text) {
                Ok(bytes) => assert_eq!((length, bytes), (32, [1; 32])),
                Err(error) => assert_eq!(error, DecodeError::Length { expected: 32, found: length }),
            }
        }
    }

    #[test]
    fn hex_is_lower_case() {
        assert_eq!(hex([0x0A, 0xFF]), "0aff");
        assert_eq!(hex_array::<2>("0aff").unwrap(), [0x0A, 0xFF]);
        assert_eq!(hex_array::<2>("0AFF"), Err(DecodeError::NotHex));
        assert_eq!(hex_array::<2>("0af"), Err(DecodeError::Length { expected: 2, found: 1 }));
    }
}
