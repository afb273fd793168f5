//! What lets a test look for secrets in a live process. Not in any program of ours: the feature
//! `danger-expose-keys` is for the probe in `tests/erasure` alone, and is off wherever it is not asked for.
//!
//! With the feature, and only then, two environment variables count:
//!
//! - `SUBROSA_DANGER_EXPOSE_KEYS` names a file. Every secret is appended to it at its birth, as a line with
//!   its name and its bytes, each XOR `MASK`, in hexadecimal. Masked, so that telling a secret does not
//!   itself leave it in memory.
//! - `SUBROSA_DANGER_KEEP_KEYS`, whatever its value, leaves out all overwriting of ours: the test must find
//!   then what it does not find otherwise.

#[cfg(feature = "danger-expose-keys")]
pub(crate) use self::told::erases;
#[cfg(feature = "danger-expose-keys")]
pub use self::told::{MASK, born};

// A feature is on in a whole build once anybody asks for it, as `--all-features` does. So it takes a second
// word, which no manifest can say.
#[cfg(feature = "danger-expose-keys")]
const _: () = assert!(
    option_env!("SUBROSA_DANGER_BUILD").is_some(),
    "the feature `danger-expose-keys` tells secrets to a file: it is for the test `erasure` alone"
);

#[cfg(feature = "danger-expose-keys")]
mod told {
    use std::{
        fs::File,
        io::Write as _,
        sync::{LazyLock, OnceLock},
    };

    use crate::encoding::hex;

    /// What each byte is XORed with. HMAC XORs its keys too, with other values.
    pub const MASK: u8 = 0xA5;

    static FILE: LazyLock<Option<File>> = LazyLock::new(|| {
        let path = std::env::var_os("SUBROSA_DANGER_EXPOSE_KEYS")?;
        File::options().create(true).append(true).open(path).ok()
    });

    static ERASES: OnceLock<bool> = OnceLock::new();

    /// Tells a secret.
    pub fn born(name: &str, secret: &[u8]) {
        let Some(mut file) = FILE.as_ref() else { return };
        let masked: Vec<u8> = secret.iter().map(|byte| byte ^ MASK).collect();
        // One write, so that lines do not mix. The test misses what is not written.
        let _ = file.write_all(format!("{name} {}\n", hex(masked)).as_bytes());
    }

    /// Whether secrets are overwritten.
    pub(crate) fn erases() -> bool {
        *ERASES.get_or_init(|| std::env::var_os("SUBROSA_DANGER_KEEP_KEYS").is_none())
    }
}

/// Tells nobody.
#[cfg(not(feature = "danger-expose-keys"))]
#[inline(always)]
pub(crate) fn born(_: &str, _: &[u8]) {}

/// Secrets are overwritten.
#[cfg(not(feature = "danger-expose-keys"))]
#[inline(always)]
pub(crate) const fn erases() -> bool {
    true
}
