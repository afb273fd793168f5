//! Overwriting the stack that a computation has used.

use zeroize::zeroize_stack;

/// Deeper than a setup or key generation goes: with X25519 3 KiB when optimised, 6 KiB when not. A KEM over
/// lattices needs far more.
pub(super) const KEM_BYTES: usize = 8 * 1024;
/// Deeper than a derivation goes.
pub(super) const KDF_BYTES: usize = 4 * 1024;

/// Runs `computation` in stack frames of its own, and overwrites these, `BYTES` deep, when it has returned.
///
/// Types that erase themselves do so where they are last; what the compiler or a called crate copied on the
/// way stays. In optimised builds that is, above all, HMAC's padded keys, from which the exporter's secret
/// can be read off. What `computation` returns is not touched, so secrets have to come out in boxes.
pub(super) fn erased<const BYTES: usize, T>(computation: impl FnOnce() -> T) -> T {
    let result = apart(computation);
    zeroize_stack::<BYTES>();
    result
}

/// Never inlined: else the computation's frames would be the caller's, which are still in use.
#[inline(never)]
fn apart<T>(computation: impl FnOnce() -> T) -> T {
    computation()
}
