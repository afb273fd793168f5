//! A job: alone, and in a launch request whose signature holds.

use serde_json::json;
use subrosa_protocol::{
    encoding::b64u,
    identity::{Signature, Typ},
    job::Job,
    launch::{LaunchError, LaunchRequest, MAX_REQUEST_BYTES},
    refusal::Code,
};

use crate::{
    verdict::agreed,
    world::{Party, namespace},
};

/// Reads a job, and gives it to everyone who reads one in a request.
pub fn check(input: &[u8]) {
    let job = Job::parse(input.to_vec(), &namespace());
    if let Ok(job) = &job {
        assert_eq!(job.bytes(), input, "the bytes are the job");
    }
    let payload = b64u(input);
    let signatures: Vec<Signature> =
        [Party::Stranger, Party::Worker].map(|party| Signature::sign(party.key(), Typ::Job, &payload)).into();
    let request = json!({ "payload": payload, "signatures": signatures }).to_string();
    let verdict = agreed(request.as_bytes());
    match job {
        _ if request.len() > MAX_REQUEST_BYTES => assert_eq!(verdict.unwrap_err(), Code::TooLarge),
        Err(error) => {
            assert_eq!(verdict.unwrap_err(), error.code());
            let in_request = LaunchRequest::parse(request.as_bytes(), &namespace()).unwrap_err();
            assert_eq!(in_request, LaunchError::Job(error), "for the same reason");
        }
        Ok(job) => {
            let owner = job.description().client;
            let signed = [Party::Stranger, Party::Worker].map(|party| party.key().thumbprint());
            match owner {
                Some(owner) if !signed.contains(&owner) => {
                    assert_eq!(verdict.unwrap_err(), Code::Unauthorized);
                }
                _ => assert_eq!(verdict.expect("in order").job().bytes(), input),
            }
        }
    }
}
