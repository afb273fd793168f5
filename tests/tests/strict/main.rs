//! One text, one verdict: what launcher, worker and client read, they read strictly and alike.
//!
//! `readers` lists who reads JSON of the protocol, each with a good text. The other modules spoil it.
//!
//! | module | what is spoilt |
//! |---|---|
//! | [`texts`] | the JSON: duplicates, surrogates, depth, what is around it |
//! | [`members`] | one member: an integer, or base64url |
//! | [`sizes`] | how long it is |

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on says so")]

mod members;
mod readers;
mod sizes;
mod texts;
