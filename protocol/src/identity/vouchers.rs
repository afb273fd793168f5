//! Certificates whose signatures were found to hold.
//!
//! A worker shows the same certificate with every job. Its signature is verified once; dates, signer and
//! revocation are looked at each time.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use super::cert::{CertError, Certificate, Certified};
use crate::id::Sha256Hash;

/// So many are kept. The oldest one makes room.
pub(super) const MAX_KEPT: usize = 256;

/// The certificates. Clones share them: that a signature holds depends on nothing else.
#[derive(Clone, Debug, Default)]
pub(super) struct Vouchers(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    certified: HashMap<Sha256Hash, Arc<Certified>>,
    /// In the order in which they came.
    order: VecDeque<Sha256Hash>,
}

impl Vouchers {
    /// The certificate that this text is, if it holds at this time. One that does not is not kept.
    pub(super) fn verify(&self, jwt: &str, at_ms: u64) -> Result<Arc<Certified>, CertError> {
        let hash = Sha256Hash::of(jwt);
        let known = self.lock(|kept| kept.certified.get(&hash).cloned());
        let certified = match known {
            Some(certified) => certified,
            None => Arc::new(Certificate::verify(jwt.as_bytes())?),
        };
        certified.certificate.check_time(at_ms)?;
        self.lock(|kept| {
            if kept.certified.insert(hash, certified.clone()).is_none() {
                kept.order.push_back(hash);
            }
            if kept.order.len() > MAX_KEPT
                && let Some(oldest) = kept.order.pop_front()
            {
                kept.certified.remove(&oldest);
            }
        });
        Ok(certified)
    }

    fn lock<T>(&self, with: impl FnOnce(&mut Kept) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock(|kept| kept.certified.len())
    }
}
