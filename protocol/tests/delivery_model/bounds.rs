//! How much of everything there is in a search.

/// Who takes part, and how often what can go wrong does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Resident workers; 0: launchers start a child per attempt.
    pub(crate) workers: u8,
    /// Deliveries that a worker deals with at once.
    pub(crate) slots: u8,
    pub(crate) launchers: u8,
    pub(crate) max_attempts: u8,
    /// The children that can be started in one search.
    pub(crate) children: u8,
    /// The worker's program cannot be started.
    pub(crate) cannot_start: bool,
    /// The worker's own checks refuse the request.
    pub(crate) refused: bool,
    pub(crate) left: Left,
}

/// How often each of what can go wrong, or is a person's choice, still can happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    /// All of what follows together.
    pub(crate) together: u8,
    /// A holder is paused, or cut off, for as long as it is asked whether it is alive.
    pub(crate) pauses: u8,
    /// A process ends without a word, and another one starts in its place.
    pub(crate) crashes: u8,
    /// A process does nothing any more, until somebody ends it.
    pub(crate) hangs: u8,
    /// The message is delivered again although somebody deals with it: its ack wait has passed.
    pub(crate) lapses: u8,
    /// The sweep publishes a job that is in the queue.
    pub(crate) needless: u8,
    /// The server loses the job's message in the queue.
    pub(crate) losses: u8,
    /// A record is stored, and its writer not answered.
    pub(crate) unanswered: u8,
    /// A record arrives late or never, and its writer is not answered.
    pub(crate) late: u8,
    /// A writer gives up, not knowing whether its record was stored.
    pub(crate) gave_up: u8,
    /// A read shows the last message but one.
    pub(crate) stale: u8,
    /// Something that is no record is written under the job's subject.
    pub(crate) garbage: u8,
    /// A process has to end, and gives up what it holds.
    pub(crate) drains: u8,
    /// The launch request is handed in again.
    pub(crate) launches: u8,
    /// A message under the job's subject in the queue is not the job.
    pub(crate) foreign: u8,
    /// A function or the client fails.
    pub(crate) failures: u8,
    /// A live client does not answer in time.
    pub(crate) slow: u8,
    /// The store refuses a result.
    pub(crate) refusals: u8,
    /// The client cancels, or leaves without a word.
    pub(crate) cancels: u8,
    pub(crate) leaves: u8,
    /// The job's `expires_ms` passes.
    pub(crate) expiries: u8,
}

impl Left {
    /// Each can happen so often, and so much of it all together.
    pub(crate) const fn each(each: u8, together: u8) -> Self {
        Self {
            together,
            pauses: each,
            crashes: each,
            hangs: each,
            lapses: each,
            needless: each,
            losses: each,
            unanswered: each,
            late: each,
            gave_up: each,
            stale: each,
            garbage: each,
            drains: each,
            launches: each,
            foreign: each,
            failures: each,
            slow: each,
            refusals: each,
            cancels: each,
            leaves: each,
            expiries: each,
        }
    }

    /// Counts one more thing that went wrong; false if that is one too many.
    pub(crate) fn counts(&mut self) -> bool {
        self.together.checked_sub(1).inspect(|left| self.together = *left).is_some()
    }
}
