//! stub
#![allow(missing_docs)]
pub mod create_proof;
pub mod echo;
