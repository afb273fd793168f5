//! The single-job way: a launcher has started this process for one attempt at one job.

use subrosa_protocol::{
    delivery::{Ending, Outcome, Start, start},
    id::{Attempt, JobId},
    job::Job,
    launch::{Checked, LaunchRequest},
    refusal::Code,
};
use subrosa_transport::now_ms;
use tokio_util::sync::CancellationToken;

use crate::{
    Error, Function, OneJob, attempt,
    delivery::{Taken, claim, warn},
    process::{Seen, Shared, Written},
};

/// The job that this process was started for, and its last record.
pub(crate) struct Given<'a> {
    one: &'a OneJob,
    id: JobId,
    seen: Seen,
}

fn not_closed(reason: &str) -> Error {
    Error::NotClosed { reason: reason.to_owned() }
}

/// What a process says that was told to end before it could begin: a job is not closed by that.
pub(crate) fn given_up(one: Option<&OneJob>) -> Result<(), Error> {
    one.map_or(Ok(()), |_| Err(not_closed("this process was told to end before it had begun")))
}

impl<'a> Given<'a> {
    /// Reads the job's last record.
    pub(crate) async fn new(process: &Shared, one: &'a OneJob) -> Result<Self, Error> {
        let id = LaunchRequest::job_id(one.request.as_bytes())
            .ok_or_else(|| not_closed("SUBROSA_JOB holds no launch request"))?;
        Ok(Self { one, id, seen: process.look(&id, 0).await? })
    }

    pub(crate) fn attempt(&self) -> u16 {
        self.one.attempt.get()
    }

    /// Runs the job; succeeds only if it was closed with its result.
    pub(crate) async fn serve(
        self,
        process: &Shared,
        function: &Function,
        draining: &CancellationToken,
    ) -> Result<(), Error> {
        let Self { one, id, mut seen } = self;
        let counts = |seen: &Seen, until_ms| {
            let counts = process.may_follow(seen.stored.as_ref(), until_ms);
            counts.map_err(|reason| not_closed(&format!("this worker's records would not count: {reason}")))
        };
        let checked = Checked::new(one.request.as_bytes(), &id, &process.name, &process.namespace);
        let refused = |code: Code| not_closed(&format!("the worker refuses it: {code}"));
        let warning = match process.check(&checked) {
            Ok(warning) => warning,
            Err(code) => {
                counts(&seen, now_ms())?;
                let ending = Ending::failed(code.word(), "the worker refuses the job");
                end(process, &id, checked.job(), &seen, one.attempt, ending).await?;
                return Err(refused(code));
            }
        };
        let (request, signers) = checked.into_signed().map_err(refused)?;
        let job = request.job();
        let (holder, record, hold) = loop {
            if start(&seen.last, one.attempt) == Start::Exit {
                return Err(not_closed("its attempt is not the next one, or the job is over"));
            }
            // The launcher that has started this process may have another time, or it was long ago.
            if job.expired(now_ms()) {
                counts(&seen, now_ms())?;
                let ending = Ending::expired(seen.last.attempt());
                end(process, &id, Some(job), &seen, one.attempt, ending).await?;
                return Err(not_closed("the job's time is over"));
            }
            // What is taken has to be ended too, however long it runs.
            counts(&seen, now_ms().saturating_add(job.description().timeout_ms))?;
            match claim(process, job.id(), &seen, one.attempt, None).await? {
                Taken::Won { holder, record, hold } => break (holder, record, hold),
                Taken::Lost(last) => seen = last,
                Taken::Held => return Err(not_closed("it is held already")),
            }
        };
        warn(job.id(), warning);
        let work = (job.clone(), signers);
        match attempt::run(process, function, work, (holder, record), hold, draining.clone()).await {
            Outcome::Closed => Ok(()),
            Outcome::Finished => Err(not_closed("the client was gone, and its result is stored")),
            Outcome::Failed => Err(not_closed("it has failed")),
            Outcome::Cancelled => Err(not_closed("its client has cancelled it")),
            Outcome::Ended => Err(not_closed("it had ended")),
            Outcome::Overtaken => Err(not_closed("another worker has taken over")),
            Outcome::LetGo => Err(not_closed("the attempt was given up")),
        }
    }
}

/// Records that the job does not come to this attempt, if it is this attempt's turn. Who was first may say otherwise.
async fn end(
    process: &Shared,
    id: &JobId,
    job: Option<&Job>,
    seen: &Seen,
    attempt: Attempt,
    ending: Ending,
) -> Result<(), Error> {
    if start(&seen.last, attempt) == Start::Take {
        let (last, event) = (seen.last.attempt(), ending.into_event());
        let written = process.write(id, last, seen.stored.as_ref(), event).await?;
        if let (Written::Won(record), Some(job)) = (written, job) {
            process.tell_ended(job, &record).await;
        }
    }
    Ok(())
}
