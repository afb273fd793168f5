//! The Subrosa protocol, version 1, without any I/O.
//!
//! Bytes go in and bytes come out. Nothing in here talks to a network, reads a clock or makes randomness
//! of its own: times and random number generators are arguments. (The one thing that touches a disk is
//! [`identity::file`], because a key file's mode is part of what a key file is.)
//!
//! From the inside out:
//!
//! | module | what |
//! |---|---|
//! | [`hpke`] | RFC 9180, export only |
//! | [`wire`] | one message: envelope, padding, head and body, sealed in place |
//! | [`session`] | a job's messages in their order, as types |
//! | [`identity`] | signing keys, signatures, trust |
//! | [`job`], [`launch`], [`policy`] | what is asked for, by whom, and who may |
//! | [`receipt`] | what a worker states about a result, for others to check |
//! | [`record`], [`delivery`] | a job's signed history, and what follows from its last record |
//! | [`audit`] | a whole history as evidence, judged offline |
//! | [`subject`] | where all of this goes on NATS |

pub mod audit;
pub mod delivery;
pub mod encoding;
#[cfg(feature = "danger-expose-keys")]
pub mod exposure;
#[cfg(not(feature = "danger-expose-keys"))]
mod exposure;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod hpke;
pub mod id;
pub mod identity;
pub mod job;
pub mod json;
pub mod launch;
pub mod member;
pub mod policy;
pub mod receipt;
pub mod record;
pub mod refusal;
pub mod secret;
pub mod session;
pub mod subject;
pub mod wire;

// The hostile histories are compiled into the tests here and into a fuzz target, and name the crate alike.
#[cfg(test)]
extern crate self as subrosa_protocol;
