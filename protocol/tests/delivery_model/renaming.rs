//! Workers are alike, and so are launchers, and a worker's slots: what differs only in their names is one state.

use crate::{
    append::Append,
    attempt::Stage,
    delivery::Delivery,
    history::Message,
    launcher::{FIRST, Task},
    puller::Puller,
    worker::{Process, Slot},
    world::{Ctx, World},
};

/// Shows every other way to name the same.
pub(crate) fn each_renaming(world: &World, ctx: &Ctx<'_>, mut show: impl FnMut(&World)) {
    let workers = ctx.bounds.workers;
    for swap in 0..(1_u8 << workers.saturating_sub(1)) * ctx.bounds.launchers {
        let (launchers, workers) = (swap % ctx.bounds.launchers > 0, swap / ctx.bounds.launchers);
        if swap == 0 {
            continue;
        }
        let mut other = world.clone();
        if launchers {
            other.rename(|by| if by >= FIRST { FIRST + (1 - (by - FIRST)) } else { by });
            other.launchers.swap(0, 1);
        }
        // Neighbours only: of three workers, four of the six orders are tried.
        for bit in (0..2).filter(|bit| workers & 1 << bit != 0) {
            other.rename(|by| match by {
                0 | FIRST.. => by,
                _ if by % 8 == bit + 1 => by + 1,
                _ if by % 8 == bit + 2 => by - 1,
                _ => by,
            });
            other.processes.swap(usize::from(bit), usize::from(bit) + 1);
        }
        show(&other);
    }
}

impl World {
    fn rename(&mut self, name: impl Fn(u8) -> u8 + Copy) {
        self.history.rename(name);
        for process in &mut self.processes {
            process.number = name(process.number);
            process.slots.iter_mut().for_each(|slot| slot.rename(name));
        }
        for launcher in &mut self.launchers {
            match &mut launcher.task {
                Task::Appends { append, .. } => append.rename(name),
                Task::Removes { holder } | Task::Stops { holder } => *holder = name(*holder),
                Task::Free | Task::Launched { .. } | Task::Queues | Task::EndsAgain { .. } => {}
            }
            if let Puller::Deals { delivery: Delivery::Ends(append), .. } = &mut launcher.puller {
                append.rename(name);
            }
        }
    }
}

impl Message {
    pub(crate) fn rename(&mut self, name: impl Fn(u8) -> u8) {
        self.by = name(self.by);
    }
}

impl Append {
    fn rename(&mut self, name: impl Fn(u8) -> u8) {
        self.message.rename(name);
    }
}

impl Slot {
    fn rename(&mut self, name: impl Fn(u8) -> u8) {
        match self {
            Self::Deals { delivery: Delivery::Ends(append), .. }
            | Self::Claims { append, .. }
            | Self::Refuses(append)
            | Self::Works { stage: Stage::Records(append) | Stage::Concludes(append), .. } => {
                append.rename(name);
            }
            Self::Free | Self::Starts(_) | Self::Deals { .. } | Self::Works { .. } => {}
        }
    }
}

impl Process {
    /// In one order, as it does not matter which slot does what.
    pub(crate) fn sort(&mut self) {
        self.slots.sort_unstable();
    }
}
