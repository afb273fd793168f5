//! `subrosa job sign` and `join`: one more signature, and the signatures of several copies.

use std::{
    io::{BufRead as _, IsTerminal as _, stdin},
    path::PathBuf,
};

use serde_json::json;
use subrosa_client::{LaunchRequest, Namespace, SecretsError, SigningKey, identity};
use subrosa_protocol::launch::LaunchError;
use subrosa_transport::now_ms;

use super::{
    file::JobFile,
    show::{Payload, Shown},
};
use crate::{
    exit::{Exit, Failure},
    new_file,
    output::{self, STRONG},
};

/// Options of `subrosa job sign`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    job: JobFile,
    /// The key to sign with
    #[arg(long, value_name = "FILE", env = "SUBROSA_KEY_FILE")]
    key: PathBuf,
    #[command(flatten)]
    payload: Payload,
    /// Sign without asking; needed where there is no terminal
    #[arg(long, short)]
    yes: bool,
}

/// Options of `subrosa job join`.
#[derive(Debug, clap::Args)]
pub(crate) struct Join {
    /// Copies of one job's file
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Where the job goes with all signatures; an existing file is never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The first token of every subject
    #[arg(long, value_name = "TOKEN", env = "SUBROSA_NAMESPACE", default_value = "subrosa")]
    namespace: Namespace,
}

impl From<LaunchError> for Failure {
    fn from(error: LaunchError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

pub(super) fn run(args: &Args, json: bool) -> Result<(), Failure> {
    let key = identity::file::load(&args.key)?;
    let request = args.job.read()?;
    let payload_fits = args.payload.check(request.job())?;
    Shown::of(&request, payload_fits).print_to_stderr();
    if payload_fits == Some(false) {
        return Err(Failure::new(Exit::Usage, SecretsError::Payload));
    }
    request.check_times(now_ms())?;
    // Whether it can be signed is known before anybody is asked.
    let number = request.signed_by(&key)?.signatures().count();
    confirm(args.yes, &key)?;
    // Somebody may have signed the same file meanwhile; the job has to be the one that was shown.
    let request = args.job.read()?.joined(&request)?.signed_by(&key)?;
    args.job.replace(&request)?;
    let signer = key.thumbprint();
    if json {
        output::json(&json!({ "job": request.job().id(), "signer": signer, "signatures": number }))?;
    } else {
        output::line(format_args!("{STRONG}signed{STRONG:#} by {signer}, as signature {number}"))?;
    }
    Ok(())
}

fn confirm(yes: bool, key: &SigningKey) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !stdin().is_terminal() {
        return Err(Failure::usage("there is no terminal to ask on: sign with --yes if this is wanted"));
    }
    anstream::eprint!("Sign this with the key {}? [y/N] ", key.thumbprint());
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::because(Exit::Failure, "not signed")),
    }
}

pub(super) fn join(args: &Join, json: bool) -> Result<(), Failure> {
    let mut joined: Option<LaunchRequest> = None;
    for path in &args.files {
        let job = JobFile { file: path.clone(), namespace: args.namespace.clone() };
        let said = |error: LaunchError| Failure::from(error).context(path.display().to_string());
        let copy = job.read()?;
        // Joined with itself if it is the first: its signatures have to hold as well.
        joined = Some(joined.as_ref().unwrap_or(&copy).joined(&copy).map_err(said)?);
    }
    let Some(joined) = joined else { return Err(Failure::usage("name the copies")) };
    new_file::create(&args.out, joined.bytes(), 0o644)?;
    let (job, signatures) = (joined.job().id(), joined.signatures().count());
    if json {
        output::json(&json!({ "job": job, "file": args.out, "signatures": signatures }))?;
    } else {
        output::line(format_args!("{job}  {signatures} signatures"))?;
    }
    Ok(())
}
