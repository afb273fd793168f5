//! Buffers that leave no copies of what is in them.

use std::{fmt, io, ops::Deref};

use zeroize::optimization_barrier;

use crate::exposure;

/// Overwrites all that was allocated, and empties the vector.
///
/// [`zeroize::Zeroize`] writes one byte after the other, which takes long for a large message. This is one
/// fill, and the barrier keeps it from being left out.
pub(super) fn erase(bytes: &mut Vec<u8>) {
    bytes.clear();
    if !exposure::erases() {
        return;
    }
    bytes.resize(bytes.capacity(), 0);
    optimization_barrier(bytes.as_slice());
    bytes.clear();
}

/// Bytes that are overwritten when dropped.
pub struct Erased(Vec<u8>);

impl Erased {
    /// These bytes, without a copy.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for Erased {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Erased {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Erased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Erased")
    }
}

impl Drop for Erased {
    fn drop(&mut self) {
        erase(&mut self.0);
    }
}

/// Appends to a vector whose contents are secret until they are sealed.
///
/// A vector that grows by itself moves, and what it held stays behind in freed memory. This one moves its
/// contents itself and overwrites where they were.
pub(super) struct Buffer<'a>(&'a mut Vec<u8>);

impl<'a> Buffer<'a> {
    pub(super) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Makes room for `more` bytes.
    pub(super) fn reserve(&mut self, more: usize) {
        let needed = self.0.len().saturating_add(more);
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.max(self.0.capacity().saturating_mul(2)));
            larger.extend_from_slice(self.0);
            erase(self.0);
            *self.0 = larger;
        }
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.0.extend_from_slice(bytes);
    }
}

impl io::Write for Buffer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_was_appended() {
        let mut bytes = Vec::with_capacity(4);
        let mut expected = Vec::new();
        for length in 0..200_u8 {
            let part = vec![length; length.into()];
            Buffer::new(&mut bytes).extend(&part);
            expected.extend(part);
        }
        assert_eq!(bytes, expected);
    }

    #[test]
    fn erasing_overwrites_what_is_beyond_the_end_too() {
        let mut bytes = vec![7; 100];
        bytes.truncate(10);
        let (start, capacity) = (bytes.as_ptr(), bytes.capacity());
        erase(&mut bytes);
        assert!(bytes.is_empty());
        assert_eq!((bytes.as_ptr(), bytes.capacity()), (start, capacity), "it has not moved");
        bytes.resize(capacity, 1);
        erase(&mut bytes);
        assert!(bytes.is_empty());
    }

    #[test]
    fn it_does_not_move_while_there_is_room() {
        let mut bytes = Vec::with_capacity(8);
        let before = bytes.as_ptr();
        Buffer::new(&mut bytes).extend(&[1; 8]);
        assert_eq!(bytes.as_ptr(), before);
        Buffer::new(&mut bytes).extend(&[1]);
        assert!(bytes.capacity() >= 16);
    }
}
