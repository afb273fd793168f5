//! The rules that the model drives: the functions that worker and launcher call, each of them one that a
//! mutant can replace.

use subrosa_protocol::{
    delivery::{
        AfterChild, AfterLost, Appended, Child, ChildView, Conclusion, Delivered, End, Holder, KeepChild,
        Last, Look, OnDelivery, OnLaunch, Outcome, Probe, Settle, Stand, Start, Stopped, Sweep, SweepAges,
        after_child, after_probe, after_store, appended, child, conclude, deliver, end, ending_lost, look,
        on_launch, settle, start, sweep,
    },
    id::{Attempt, Sha256Hash},
};

/// Every decision.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) deliver: fn(&Delivered<'_>) -> OnDelivery,
    pub(crate) after_probe: fn(&Last, &Last, Probe) -> Probe,
    pub(crate) look: fn(&Last, &Holder) -> Look,
    pub(crate) start: fn(&Last, Attempt) -> Start,
    pub(crate) appended: fn(Option<&Sha256Hash>, &Sha256Hash, Option<&Sha256Hash>) -> Appended,
    pub(crate) conclude: fn(Stand, Option<Stopped>, Attempt, u16) -> Conclusion,
    pub(crate) after_store: fn(bool, bool) -> Conclusion,
    pub(crate) ending_lost: fn(&Last, &Holder, &Sha256Hash) -> AfterLost,
    pub(crate) settle: fn(Outcome) -> Settle,
    pub(crate) on_launch: fn(&Last) -> OnLaunch,
    pub(crate) sweep: fn(&Last, bool, bool, u64, &SweepAges) -> Sweep,
    pub(crate) end: fn(&Last) -> End,
    pub(crate) child: fn(&Last, &Child, &ChildView) -> KeepChild,
    pub(crate) after_child: fn(&Last, &Child, bool) -> AfterChild,
    pub(crate) carried_out: CarriedOut,
}

/// What worker, launcher and server do between the rules, and the model does in their place.
#[derive(Clone, Copy)]
pub(crate) struct CarriedOut {
    /// A record is published with the sequence that it expects.
    pub(crate) expects: bool,
    /// An attempt is held from before its `taken` is published.
    pub(crate) holds_first: bool,
    /// Nothing starts until `taken` is accepted.
    pub(crate) waits_for_taken: bool,
    /// The function starts only once `running` is accepted.
    pub(crate) waits_for_running: bool,
    /// Another delivery of a held job is kept for its acks, and starts nothing.
    pub(crate) goes_on: bool,
    /// A process that has let go no longer answers.
    pub(crate) falls_silent: bool,
}

impl Rules {
    /// The rules as they are.
    pub(crate) const REAL: Self = Self {
        deliver,
        after_probe,
        look,
        start,
        appended,
        conclude,
        after_store,
        ending_lost,
        settle,
        on_launch,
        sweep,
        end,
        child,
        after_child,
        carried_out: CarriedOut {
            expects: true,
            holds_first: true,
            waits_for_taken: true,
            waits_for_running: true,
            goes_on: true,
            falls_silent: true,
        },
    };
}
