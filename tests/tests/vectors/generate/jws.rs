//! Signatures (RFC 7515), well made and otherwise.

use curve25519_dalek::{EdwardsPoint, Scalar};
use ed25519_dalek::{Signer as _, SigningKey, Verifier as _, VerifyingKey, hazmat::ExpandedSecretKey};
use sha2::{Digest as _, Sha512};

use super::encoding::{b64u, fixed, hash};

/// A signing key of the cases.
pub(crate) struct Signer(SigningKey);

impl Signer {
    pub(crate) fn new(purpose: &str) -> Self {
        Self(SigningKey::from_bytes(&fixed(purpose)))
    }

    pub(crate) fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    pub(crate) fn jwk(&self) -> String {
        jwk(&self.public())
    }

    pub(crate) fn thumbprint(&self) -> String {
        b64u(hash(self.jwk()))
    }

    /// The protected header as this implementation writes it.
    pub(crate) fn header(&self, typ: &str) -> String {
        header(typ, &self.public())
    }

    /// A compact JWS with any header.
    pub(crate) fn compact(&self, header: &str, payload: impl AsRef<[u8]>) -> String {
        let signed = format!("{}.{}", b64u(header), b64u(payload));
        let signature = b64u(self.0.sign(signed.as_bytes()).to_bytes());
        format!("{signed}.{signature}")
    }

    /// The two members of one of several signatures, over a payload that is base64url already.
    pub(crate) fn signature(&self, header: &str, payload: &str) -> Signature {
        self.signature_over(b64u(header), payload)
    }

    /// The same with the header's base64url as it is.
    pub(crate) fn signature_over(&self, protected: String, payload: &str) -> Signature {
        let signature = self.0.sign(format!("{protected}.{payload}").as_bytes()).to_bytes();
        Signature { protected, signature: signature.to_vec() }
    }

    /// A signature whose R is the neutral element: the verification's equation holds.
    pub(crate) fn signature_with_small_r(&self, header: &str, payload: &str) -> Signature {
        let protected = b64u(header);
        let message = format!("{protected}.{payload}");
        let r = NEUTRAL;
        let challenge = challenge(&r, &self.public(), message.as_bytes());
        let s = challenge * ExpandedSecretKey::from(&self.seed()).scalar;
        let signature = [r, s.to_bytes()].concat();
        assert!(equation_holds(&self.public(), message.as_bytes(), &signature));
        Signature { protected, signature }
    }
}

/// y = 1: the neutral element.
const NEUTRAL: [u8; 32] = {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    bytes
};

/// One of several signatures.
pub(crate) struct Signature {
    pub(crate) protected: String,
    pub(crate) signature: Vec<u8>,
}

impl Signature {
    pub(crate) fn json(&self) -> String {
        format!(r#"{{"protected":"{}","signature":"{}"}}"#, self.protected, b64u(&self.signature))
    }

    /// The same with s + the order of the group in place of s.
    pub(crate) fn unreduced(mut self) -> Self {
        let order = (Scalar::ZERO - Scalar::ONE).to_bytes();
        let mut carry = 1;
        for (byte, add) in self.signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        self
    }
}

/// A signature by nobody: the key is of small order, so that for some s the equation holds for s and s·B.
pub(crate) fn signed_by_nobody(typ: &str, key: &[u8; 32], payload: &str) -> Signature {
    let protected = b64u(header(typ, key));
    let message = format!("{protected}.{payload}");
    let signatures = (1_u64..).map(|s| {
        let s = Scalar::from(s);
        [EdwardsPoint::mul_base(&s).compress().to_bytes(), s.to_bytes()].concat()
    });
    let signature =
        signatures.take(1000).find(|signature| equation_holds(key, message.as_bytes(), signature));
    Signature { protected, signature: signature.unwrap() }
}

/// What a verifier asks that knows the equation only.
fn equation_holds(key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let signature = ed25519_dalek::Signature::from_slice(signature).unwrap();
    VerifyingKey::from_bytes(key).unwrap().verify(message, &signature).is_ok()
}

/// An encoding that is taken by who does not ask whether y is reduced, of a point that is not of small order.
pub(crate) fn not_canonical() -> [u8; 32] {
    // y + p, which fits 255 bits for y from 0 to 18.
    let encoded =
        |y: u8| std::array::from_fn(|at| [0xED + y, 0xFF, 0x7F][usize::from(at > 0) + usize::from(at > 30)]);
    let taken = |key: &[u8; 32]| VerifyingKey::from_bytes(key).is_ok_and(|key| !key.is_weak());
    (0..19).map(encoded).find(taken).unwrap()
}

fn challenge(r: &[u8; 32], key: &[u8; 32], message: &[u8]) -> Scalar {
    let hash = Sha512::new().chain_update(r).chain_update(key).chain_update(message).finalize();
    Scalar::from_bytes_mod_order_wide(&hash.into())
}

pub(crate) fn jwk(public: &[u8; 32]) -> String {
    format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, b64u(public))
}

pub(crate) fn header(typ: &str, public: &[u8; 32]) -> String {
    format!(r#"{{"alg":"EdDSA","typ":"{typ}","jwk":{}}}"#, jwk(public))
}
