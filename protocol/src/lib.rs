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
//! | [`receipt`] | what a worker states about a result, for others to check |
