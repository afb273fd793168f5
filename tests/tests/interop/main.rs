//! Keys, signatures and certificates, here and in another's implementation of JOSE: PyPI's `jwcrypto`.
//!
//! Both kinds of keys, in both directions. RFC 8037's examples are unit tests of the keys. RFC 8812, which
//! registers `ES256K` and the curve, has no example of a signature: what holds for both implementations is what
//! there is, beside Wycheproof's cases.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod certificates;
mod jwcrypto;
mod keys;
mod receipts;
mod signatures;

/// The program that users run.
const PROGRAM: &str = env!("CARGO_BIN_EXE_subrosa-under-test");
