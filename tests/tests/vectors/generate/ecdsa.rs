//! ES256K signatures (RFC 8812), well made and otherwise.

use k256::ecdsa::{Signature as Scalars, SigningKey, signature::Signer as _};

use super::{
    encoding::{b64u, fixed, hash},
    jws::Signature,
};

/// A secp256k1 key of the cases.
pub(crate) struct EcSigner(SigningKey);

impl EcSigner {
    pub(crate) fn new(purpose: &str) -> Self {
        Self(SigningKey::from_slice(&fixed(purpose)).unwrap())
    }

    /// The coordinates of its point.
    pub(crate) fn coordinates(&self) -> [[u8; 32]; 2] {
        let point = self.0.verifying_key().to_sec1_point(false);
        [point.x(), point.y()].map(|coordinate| (*coordinate.unwrap()).into())
    }

    pub(crate) fn jwk(&self) -> String {
        let [x, y] = self.coordinates().map(b64u);
        format!(r#"{{"crv":"secp256k1","kty":"EC","x":"{x}","y":"{y}"}}"#)
    }

    pub(crate) fn thumbprint(&self) -> String {
        b64u(hash(self.jwk()))
    }

    pub(crate) fn header(&self, typ: &str) -> String {
        format!(r#"{{"alg":"ES256K","typ":"{typ}","jwk":{}}}"#, self.jwk())
    }

    /// A compact JWS with any header.
    pub(crate) fn compact(&self, header: &str, payload: impl AsRef<[u8]>) -> String {
        let signature = self.signature(header, &b64u(&payload)).signature;
        format!("{}.{}.{}", b64u(header), b64u(payload), b64u(signature))
    }

    /// One of several signatures, with a low s, over a payload that is base64url already.
    pub(crate) fn signature(&self, header: &str, payload: &str) -> Signature {
        let protected = b64u(header);
        let scalars: Scalars = self.0.sign(format!("{protected}.{payload}").as_bytes());
        Signature { protected, signature: scalars.normalize_s().to_bytes().to_vec() }
    }
}

/// The order of the curve's group (SEC 2, section 2.4.1).
pub(crate) const ORDER: [u8; 32] = [
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0xBA,
    0xAE, 0xDC, 0xE6, 0xAF, 0x48, 0xA0, 0x3B, 0xBF, 0xD2, 0x5E, 0x8C, 0xD0, 0x36, 0x41, 0x41,
];

/// The same signature with n - s in place of s, which holds as well.
pub(crate) fn high_s(signature: &[u8]) -> Vec<u8> {
    let scalars = Scalars::from_slice(signature).unwrap();
    let (r, s) = scalars.split_scalars();
    let high = Scalars::from_scalars(r, -s).unwrap();
    assert_ne!(high.normalize_s(), high);
    high.to_bytes().to_vec()
}
