//! Jobs and launch requests.

use serde::Deserialize;
use subrosa_protocol::{
    job::Job,
    launch::{LaunchError, LaunchRequest, Signers},
    subject::Namespace,
};

use super::{
    Case, Verdict,
    fields::{Hex, Text},
    ok, same,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobCase {
    job: Option<Text>,
    job_hex: Option<Hex>,
    namespace: Option<String>,
    subject: Option<String>,
    id: Option<String>,
}

pub(crate) fn job(case: &Case) -> Verdict {
    let members: JobCase = case.read()?;
    let bytes = match (members.job, members.job_hex) {
        (Some(text), None) => text.bytes(),
        (None, Some(bytes)) => bytes.0,
        _ => return Err("neither `job` nor `job_hex`, or both".to_owned()),
    };
    let namespace = members.namespace.map_or_else(|| Ok(Namespace::default()), |name| name.parse());
    let job = match Job::parse(bytes, &namespace.map_err(|error| error.to_string())?) {
        Ok(job) => job,
        Err(error) => return Ok(error.code().word().to_owned()),
    };
    let (worker, id) = (job.worker().to_string(), job.id().to_string());
    if members.subject.is_some_and(|subject| subject != format!("subrosa.v1.queue.{worker}.{id}")) {
        return Ok("wrong_subject".to_owned());
    }
    if case.is_ok {
        same("id", Some(id), members.id)?;
    }
    ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LaunchCase {
    worker: String,
    now_ms: u64,
    request: Text,
    id: Option<String>,
    client: Option<String>,
    signers: Option<Vec<String>>,
}

pub(crate) fn launch(case: &Case) -> Verdict {
    let members: LaunchCase = case.read()?;
    let read = LaunchRequest::parse(&members.request.bytes(), &Namespace::default());
    if read.as_ref().is_ok_and(|request| request.job().worker().as_str() != members.worker) {
        return Ok("bad_request".to_owned());
    }
    let checked = read.and_then(|request| {
        request.check_times(members.now_ms)?;
        let signers = request.verify()?;
        Ok::<(LaunchRequest, Signers), LaunchError>((request, signers))
    });
    let (request, signers) = match checked {
        Ok(checked) => checked,
        Err(error) => return Ok(error.code().word().to_owned()),
    };
    let job = request.job();
    same("id", Some(job.id().to_string()), members.id)?;
    same("client", job.description().client.map(|owner| owner.to_string()), members.client)?;
    same("signers", Some(signers.iter().map(ToString::to_string).collect()), members.signers)?;
    ok()
}
