//! What the fuzz targets (`fuzz/`) reach behind the API: only with the feature `fuzzing`, and no part of it.

use std::path::Path;

use crate::identity::{
    SigningKey,
    file::{self, KeyFileError},
};
pub use crate::wire::FixedKey;

/// Reads what is in a private key's file.
///
/// # Errors
///
/// As for a file.
pub fn read_private(text: &[u8]) -> Result<SigningKey, KeyFileError> {
    file::read_private(text, Path::new("key.jwk"))
}
