//! Example workers. Each is one file to copy from, and a program of its own:
//!
//! - [`create_proof`] proves that a secret number lies between 0 and 100, without showing it;
//! - [`echo`] returns what it was given.
//!
//! An app that uses the first of them is the program `request-proof`.
//!
//! They are modules here so that other programs can run them, and verify what they return.

pub mod create_proof;
pub mod echo;
