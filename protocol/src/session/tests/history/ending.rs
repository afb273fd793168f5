//! What comes next when nobody interferes, and that every history can still end well.

use subrosa_protocol::session::client::REPEAT_AFTER_CLOSE_MS;

use super::{
    cast::{Identity, JobNumber, MAX_ATTEMPTS},
    client::End,
    event::Act,
    invariants,
    letter::{Address, Inbox, WorkerId},
    worker::Stage,
    world::World,
};

/// No history needs more steps than this to end.
const MAX_STEPS: usize = 400;

impl World {
    /// One step of a job, as if the broker were honest; false if nothing is left to do.
    pub(super) fn advance(&mut self, job: JobNumber) -> bool {
        self.client(job);
        let Some(worker) = self.hope(job) else {
            let next = self.client(job).highest + 1;
            let goes_on = !self.is_over(job) && next <= MAX_ATTEMPTS;
            if goes_on {
                self.start(job, Identity::trusted_for(job), next, Act::Go);
            }
            return goes_on;
        };
        if let Some(at) = self.under_way.iter().position(|mail| self.job_of(mail.to) == Some(job)) {
            let mail = self.under_way.remove(at).expect("it is there");
            self.arrive(mail);
        } else if self.resend_cancel(job) {
            // It goes on when that has arrived.
        } else if self.client(job).owes() {
            self.client_acts(job, Act::Go);
        } else if self.workers[worker.0].can_act() && !self.is_over(job) {
            self.worker_acts(worker, Act::Go);
        } else if self.workers[worker.0].waits() && self.client_listens(job) {
            self.resend(worker);
        } else {
            return false;
        }
        true
    }

    /// For a while after a job's end its client still answers the last step.
    fn client_listens(&self, job: JobNumber) -> bool {
        let end = self.clients[job.0].as_ref().and_then(|client| client.end.as_ref());
        end.is_none_or(|(_, at_ms)| self.now_ms - at_ms <= REPEAT_AFTER_CLOSE_MS)
    }

    fn job_of(&self, to: Address) -> Option<JobNumber> {
        match to {
            Address::Client { job, .. } => Some(job),
            Address::Inbox(Inbox::Worker(id)) | Address::Control(id) => Some(self.workers[id.0].job),
            Address::Canceller(job) => Some(job),
            Address::Inbox(Inbox::Elsewhere) => None,
        }
    }

    /// A worker that can still bring the job to its end, or has to learn of it: the peer of the live session,
    /// or one whose options the client would take.
    fn hope(&self, job: JobNumber) -> Option<WorkerId> {
        let client = self.clients[job.0].as_ref()?;
        let live = client.session.map(|id| (id, self.sessions[id.0].peer)).filter(|(id, peer)| {
            let worker = &self.workers[peer.0];
            let is_alive = !matches!(worker.stage, Stage::Crashed | Stage::Stored);
            is_alive && worker.bound.is_none_or(|bound| bound == *id)
        });
        let over = self.is_over(job);
        live.map(|(_, peer)| peer).or_else(|| {
            let fresh = self.workers.iter().position(|worker| {
                worker.job == job
                    && worker.attempt > client.highest
                    && worker.attempt <= MAX_ATTEMPTS
                    && worker.identity.is_trusted(job, self.stranger_is_trusted)
                    && matches!(worker.stage, Stage::AwaitOptions(_))
            });
            fresh.filter(|_| !over).map(WorkerId)
        })
    }

    /// The broker is honest from now on. Every job ends with its result or a typed error, unless its attempts
    /// are used up, and the worker learns how.
    pub(super) fn finish(&mut self) {
        for job in JobNumber::ALL {
            if self.clients[job.0].is_none() {
                continue;
            }
            let mut steps = 0..MAX_STEPS;
            while steps.next().is_some() && self.advance(job) {
                invariants::check(self);
            }
            assert!(!steps.is_empty(), "the job does not end");
            self.invariant_the_job_ends(job);
        }
    }

    fn invariant_the_job_ends(&mut self, job: JobNumber) {
        let client = self.clients[job.0].as_ref().expect("it was asked for");
        let Some((end, _)) = &client.end else {
            assert!(client.highest >= MAX_ATTEMPTS && self.hope(job).is_none(), "it could go on");
            self.tally.count_end(None);
            return;
        };
        let peer = self.sessions[client.session.expect("there was a worker").0].peer;
        let worker = &self.workers[peer.0];
        let mine = worker.bound.is_none() || worker.bound == client.session;
        if self.client_listens(job) && mine {
            let knows = match (end, &worker.stage) {
                (_, Stage::Crashed | Stage::Stored) => true,
                (End::Result(_), stage) => matches!(stage, Stage::Closed),
                (End::Failed(_), stage) => matches!(stage, Stage::Acknowledged),
                (End::Refused(_), stage) => matches!(stage, Stage::Failed),
                (End::Cancelled, stage) => matches!(stage, Stage::Cancelled(_)),
            };
            assert!(knows, "the job is {end:?} here and {} there", worker.stage.name());
        }
        self.tally.count_end(Some(end));
    }
}
