//! Overwriting the stack that a computation has used.

use zeroize::zeroize_stack;

use crate::exposure;

/// Unoptimised code keeps more on the stack, and copies it more often.
const DEPTH: usize = if cfg!(debug_assertions) { 4 } else { 1 };
/// Deeper than a setup or key generation goes: 3 KiB when optimised, 6 KiB when not. A KEM over lattices needs
/// far more.
pub(super) const KEM_BYTES: usize = DEPTH * 8 * 1024;
/// Deeper than a derivation goes: 1.5 KiB, and 5 KiB.
pub(crate) const KDF_BYTES: usize = DEPTH * 4 * 1024;
/// Deeper than sealing or opening goes: 3.5 KiB, and 20 KiB.
pub(crate) const AEAD_BYTES: usize = DEPTH * 8 * 1024;

/// Runs `computation` in stack frames of its own, and overwrites these, `BYTES` deep, when it has returned.
///
/// Types that erase themselves do so where they are last; what the compiler or a called crate copied on the
/// way stays. In optimised builds that is, above all, HMAC's padded keys, from which the exporter's secret
/// can be read off. What `computation` returns is not touched, so secrets have to come out in boxes.
pub(crate) fn erased<const BYTES: usize, T>(computation: impl FnOnce() -> T) -> T {
    let result = apart(computation);
    if exposure::erases() {
        zeroize_stack::<BYTES>();
    }
    result
}

/// Never inlined: else the computation's frames would be the caller's, which are still in use.
#[inline(never)]
fn apart<T>(computation: impl FnOnce() -> T) -> T {
    computation()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{fs::File, hint::black_box, os::unix::fs::FileExt as _};

    use super::*;
    use crate::{
        hpke::{
            Mode, RecipientKey,
            kdf::Kdf,
            kem::{self, KeyPair},
            schedule::Schedule,
            setup_sender_with,
        },
        id::Sha256Hash,
        secret::Secret,
    };

    const PAINTED_BYTES: usize = 64 * 1024;
    const PAINT: u8 = 0x5A;

    #[inline(never)]
    fn paint() {
        let painted = black_box([PAINT; PAINTED_BYTES]);
        black_box(&painted);
    }

    /// How deep `computation` writes to the stack, in bytes.
    pub(crate) fn depth<T>(computation: impl FnOnce() -> T) -> usize {
        let memory = File::open("/proc/self/mem").unwrap();
        let mut below = vec![0; PAINTED_BYTES];
        let here = black_box(0_u8);
        let here = std::ptr::from_ref(&here).addr();
        paint();
        let result = apart(computation);
        // Reading goes less deep itself.
        memory.read_exact_at(&mut below, u64::try_from(here - PAINTED_BYTES).unwrap()).unwrap();
        drop(result);
        PAINTED_BYTES - below.iter().position(|byte| *byte != PAINT).unwrap()
    }

    #[test]
    fn what_is_overwritten_is_deeper_than_what_is_used() {
        let mut rng = rand::rng();
        let key = RecipientKey::generate(&mut rng);
        let mut send =
            || setup_sender_with(KeyPair::generate(&mut rng), key.public(), b"info", Mode::Base).unwrap();
        let (enc, _) = send();
        let receive = || {
            let shared_secret = kem::decapsulate(&key, &enc).unwrap();
            Schedule::new(kem::ID, &shared_secret, b"info", Mode::Base).exporter()
        };
        let prk = Secret::zeroed();
        let hash = || Sha256Hash::of([0xA5; 100]);
        let export = || Kdf::new(b"suite").expand::<44>(&prk, b"sec", &[b"context"]);
        for (what, used, overwritten) in [
            ("send", depth(&mut send), KEM_BYTES),
            ("receive", depth(receive), KEM_BYTES),
            ("export", depth(export), KDF_BYTES),
            ("hash", depth(hash), KDF_BYTES),
        ] {
            assert!(used < overwritten * 3 / 4, "{what}: {used} of {overwritten} bytes");
        }
    }
}
