//! What the fuzz targets check: one function for each, over any bytes.
//!
//! Everything in here that a peer, the broker or a file can say is *any bytes* to its reader. Each `check`
//! gives them to the readers, and panics if one of them is not what `docs/protocol.md` says: takes what it
//! has to refuse, reads the same bytes in two ways, or understands them otherwise than another reader does.
//!
//! The programs in `fuzz_targets/` call these functions with what libFuzzer makes up. The main workspace's
//! tests call them with the inputs that are kept in `corpus/`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod audit;
pub mod config;
pub mod envelope;
pub mod head;
pub mod job;
pub mod jwk;
pub mod jws;
pub mod launch;
pub mod receipt;
pub mod record;
pub mod session;
pub mod ticket;
pub mod verdict;
pub mod world;

/// Checks one input, and panics if something does not hold.
pub type Check = fn(&[u8]);

/// The targets: the name of each, which is also that of its corpus, and what it checks.
pub const TARGETS: &[(&str, Check)] = &[
    ("audit", audit::check),
    ("config", config::check),
    ("envelope", envelope::check),
    ("head", head::check),
    ("job", job::check),
    ("jwk", jwk::check),
    ("jws", jws::check),
    ("launch", launch::check),
    ("receipt", receipt::check),
    ("record", record::check),
    ("session", session::check),
    ("ticket", ticket::check),
];
