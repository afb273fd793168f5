//! Secret bytes: on the heap, without copies, overwritten when dropped.

use std::fmt;

use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    encoding::{DecodeError, b64u_into},
    exposure,
};

/// `N` secret bytes in a box of their own.
///
/// The box is what makes the overwriting hold: moving a `Secret` moves a pointer, so that no copy of
/// the bytes stays behind on some stack frame. There is no `Clone`, no comparison and no serialisation,
/// and `Debug` prints the type's name only.
///
/// ```
/// use subrosa_protocol::secret::Secret;
///
/// let mut bytes = *b"attack at dawn!!";
/// let secret = Secret::take(&mut bytes);
/// assert_eq!(bytes, [0; 16]); // the source is overwritten
/// assert_eq!(secret.expose(), b"attack at dawn!!");
/// assert_eq!(format!("{secret:?}"), "Secret");
/// ```
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Zero bytes, to be filled in place.
    pub(crate) fn zeroed() -> Self {
        Self(Box::new([0; N]))
    }

    /// Fresh bytes from `rng`.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut secret = Self::zeroed();
        rng.fill_bytes(secret.expose_mut());
        exposure::born("random", secret.expose());
        secret
    }

    /// Takes the bytes from `source` and overwrites it.
    pub fn take(source: &mut [u8; N]) -> Self {
        let mut secret = Self::zeroed();
        secret.0.copy_from_slice(source);
        source.zeroize();
        secret
    }

    /// Decodes canonical base64url of exactly `N` bytes into the box: no copy is left on the stack.
    ///
    /// # Errors
    ///
    /// Another length or spelling. The error repeats nothing of the text.
    pub fn from_b64u(text: impl AsRef<[u8]>) -> Result<Self, DecodeError> {
        let mut secret = Self::zeroed();
        b64u_into(text, secret.expose_mut()).map(|()| secret)
    }

    /// The bytes. Whoever copies them has to overwrite the copy.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// The bytes, to be written in place.
    pub(crate) fn expose_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        if exposure::erases() {
            self.0.zeroize();
        }
    }
}

impl<const N: usize> ZeroizeOnDrop for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::b64u;

    #[test]
    fn debug_shows_the_name_only() {
        let secret = Secret::take(&mut [0xAB; 4]);
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn a_text_is_decoded_in_its_one_spelling() {
        let text = b64u([0xFB; 32]);
        assert_eq!(Secret::<32>::from_b64u(&text).unwrap().expose(), &[0xFB; 32]);
        for bad in ["", "-_v7", &text.replace('-', "+"), &format!("{text}=")] {
            assert!(Secret::<32>::from_b64u(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn taking_overwrites_the_source() {
        let mut source = [7; 32];
        let secret = Secret::take(&mut source);
        assert_eq!(source, [0; 32]);
        assert_eq!(secret.expose(), &[7; 32]);
    }
}
