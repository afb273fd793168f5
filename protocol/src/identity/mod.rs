//! Who somebody is: signing keys, signatures and trust, all of it JOSE.
//!
//! A key is a JWK and is named by its RFC 7638 [`Thumbprint`]. Every signature is a JWS whose protected
//! header has exactly `alg`, `typ` and `jwk`, and [`Typ`] keeps the uses apart: what was signed as a
//! record is no proof, and the other way round.
//!
//! A signature that verifies says only that *some* key made it. Whether that key is good for anything is
//! for [`Trust`] to say, and the functions in here leave no way to mix the two up: verifying gives a
//! [`PublicKey`], and nothing but its thumbprint goes on to [`Trust::vouched`] or [`Trust::launcher`].

mod cert;
pub mod file;
mod jwk;
mod jws;
mod key;
mod proof;
mod revoked;
mod thumbprint;
mod trust;
mod vouchers;

pub use cert::{
    CertError, CertFileError, Certificate, Certified, ImageDigest, ImageDigestError, MAX_CERT_BYTES,
    load_cert,
};
pub use jwk::{Jwk, KeyError};
pub use jws::{JwsError, MAX_HEADER_BYTES, Signature, Typ, Verified, sign_compact, verify_compact};
pub use key::{KeyType, KeyTypeError, PublicKey, SigningKey};
pub use proof::{MAX_PROOF_BYTES, Proof, ProofError};
pub use revoked::{MAX_REVOKED_BYTES, Revoked, RevokedError};
pub use thumbprint::{Thumbprint, ThumbprintError};
pub use trust::{MAX_TRUST_BYTES, Role, Trust, TrustError, Untrusted};
